//! The language members, agents and clients speak.
//!
//! Everything here is a plain value: ids, units, messages and their encodings. Nothing in this
//! crate opens a file or a socket, reads a clock, or draws a random number. Bytes from outside
//! become these types through one fallible constructor each, and every list, name and frame has
//! a bound in [`limits`].

pub mod api;
pub mod codec;
pub mod digest;
pub mod frame;
pub mod host;
pub mod id;
pub mod image;
pub mod join_token;
pub mod limits;
pub mod name;
pub mod record;
pub mod unit;
pub mod version;
pub mod vm;
pub mod wire;

pub use digest::Digest;
pub use id::{
    ClusterId, Generation, HostId, ImageId, LogIndex, MemberId, OperationId, RequestId, Term,
    TokenId, UserId, VmId,
};
pub use name::{Labels, Name};
pub use unit::{Bitrate, ByteCount, Millis, Timestamp, VcpuCount};
