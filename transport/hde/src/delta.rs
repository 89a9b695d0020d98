//! Content as references to what the peer has, and the rest coded.
//!
//! ```text
//! receiver                                   sender
//! base ──> SignatureBuilder ── signature ──> DeltaSender  <── content
//! base ──> DeltaReceiver    <── stream ─────     │
//!             └──> content, checked              └ Sender: what the base does not have
//! ```
//! The signature lists a keyed hash of each piece of the base, 8 bytes of BLAKE3. Pieces are blocks
//! of one length, for images whose layout stays, or cut by content, for what moves. A hash that two
//! pieces share by chance (1 in 2^28 for two images of 1 GiB) makes wrong content, never silently:
//! the receiver knows the digest of the whole.

mod cut;
mod once;
mod receiver;
mod sender;
mod signature;

pub use cut::Cut;
pub use once::{decode_once, encode_once};
pub use receiver::{Base, DeltaError, DeltaReceiver};
pub use sender::DeltaSender;
pub use signature::{Signature, SignatureBuilder, SignatureError};

#[cfg(test)]
pub(crate) mod tests;
