//! Images as the replicated state knows them; their bytes are in the members' blob stores.

use bincode::{Decode, Encode};
use novacron_protocol::image::ImageBoot;
use novacron_protocol::{ByteCount, ImageId, LogIndex, MemberId, Name, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Image {
    pub id: ImageId,
    pub name: Name,
    pub boot: ImageBoot,
    pub size: ByteCount,
    /// Members that have every blob of it, sorted.
    pub holders: Vec<MemberId>,
    pub created_at: Timestamp,
    pub changed: LogIndex,
}
