//! Every bound of a coded exchange, with what happens there.

/// Content of one block: what a receiver must be ready to expand at once. A block that declares
/// more is refused before anything is reserved. Larger ones gain under 1 % on disk images.
pub const BLOCK_BYTES_MAX: usize = 4 << 20;
/// Bytes on the wire for one block. What does not shrink is sent as it is, so a longer payload is
/// never made, and is refused.
pub const PAYLOAD_BYTES_MAX: usize = BLOCK_BYTES_MAX;
/// Content that a sender holds before it is coded: the block being planned, and the next. At the
/// bound [`crate::Sender::wants`] is 0; a push beyond it is refused.
pub const PENDING_BYTES_MAX: usize = 2 * BLOCK_BYTES_MAX;
/// Coded bytes that may wait for the link; then coding waits. One second of a 64 Mbit/s link, and
/// enough that slow levels have time to work.
pub const QUEUE_BYTES_MAX: usize = 8 << 20;
/// Memory of one compressor: zstd's strongest level on the largest block takes less. Levels that
/// would take more are not used.
pub const COMPRESSOR_BYTES_MAX: usize = 72 << 20;
/// Memory of one receiver: a payload as it comes in, the block it becomes, and zstd's tables.
pub const RECEIVER_BYTES_MAX: usize = 2 * BLOCK_BYTES_MAX + (1 << 20);

/// Hashes in one signature of a base: 8 MiB of them. A larger base is cut into larger pieces.
pub const SIGNATURE_HASHES_MAX: usize = 1 << 20;

/// VMs in one coded batch of samples: those of the fullest host. A batch of more is refused.
pub const BATCH_VMS_MAX: usize = novacron_protocol::limits::VMS_PER_HOST_MAX;
