//! Every bound of the system that an outsider can push against, with what happens there.

use crate::unit::{Bitrate, ByteCount};

/// Longest frame on a stream. A longer one is a protocol error and ends the session: 4 MiB holds
/// the desired set of the largest host (1,000 VMs of under 4 KiB each).
pub const FRAME_BYTES_MAX: usize = 4 << 20;
/// Longest frame before a peer has proven who it is. The session is refused beyond it.
pub const HELLO_BYTES_MAX: usize = 16 << 10;
/// Largest Raft entry. A larger command is refused before it is proposed.
pub const COMMAND_BYTES_MAX: usize = 256 << 10;
/// Largest record on disk: a snapshot of the fullest state, 50,000 VMs of 4 KiB and what goes with
/// them. A larger one is refused as corrupt.
pub const RECORD_BYTES_MAX: usize = 512 << 20;

/// Longest name of a VM, host, image, user or cluster: one DNS label (RFC 1035 section 2.3.4).
pub const NAME_LEN_MAX: usize = 63;
/// Most labels on one object. One more is refused.
pub const LABELS_MAX: usize = 32;
/// Longest key or value of a label. A longer one is refused.
pub const LABEL_LEN_MAX: usize = 63;
/// Most bytes of all keys and values of one object's labels: two such sets, a kernel command line
/// and the rest of a VM stay below the 4 KiB that [`FRAME_BYTES_MAX`] counts on.
pub const LABELS_BYTES_MAX: usize = 1024;
/// Longest free text: descriptions, reasons, kernel command lines. Longer text is refused when it
/// comes from a user and cut when it comes from a driver's error.
pub const TEXT_LEN_MAX: usize = 1024;
/// Longest socket address text a join token or configuration may carry.
pub const ADDRESS_LEN_MAX: usize = 255;

/// Most members, voters and learners together. One more `join` is refused.
pub const MEMBERS_MAX: usize = 7;
/// Most hosts. One more join is refused.
pub const HOSTS_MAX: usize = 10_000;
/// Most VMs in the fleet. One more create is refused.
pub const VMS_MAX: usize = 50_000;
/// Most VMs placed on one host. Placement treats the host as full.
pub const VMS_PER_HOST_MAX: usize = 1_000;
/// Most images. One more import is refused.
pub const IMAGES_MAX: usize = 10_000;
/// Most join tokens that are still valid. One more is refused.
pub const TOKENS_MAX: usize = 1_000;
/// Most users. One more is refused.
pub const USERS_MAX: usize = 1_000;

/// Events and audit records kept in the state; the oldest go first, and a reader that resumes
/// from before them is told so.
pub const EVENTS_KEPT: usize = 10_000;
/// Finished operations kept in the state; the oldest go first.
pub const OPERATIONS_KEPT: usize = 10_000;
/// Operations that may be open at once. One more is refused, unless it supersedes an open one.
pub const OPERATIONS_OPEN_MAX: usize = 20_000;
/// Answers kept for repeated requests; the oldest go first, and a repeat after that is new.
pub const REQUESTS_KEPT: usize = 50_000;

/// Fewest and most virtual CPUs of a VM.
pub const VCPUS_MIN: u32 = 1;
pub const VCPUS_MAX: u32 = 512;
/// Least and most memory of a VM.
pub const MEMORY_MIN: ByteCount = ByteCount::mib(16);
pub const MEMORY_MAX: ByteCount = ByteCount::tib(16);
/// Largest disk of a VM.
pub const DISK_MAX: ByteCount = ByteCount::tib(64);

/// Length of an image's chunks; the last may be shorter. Small enough that a resumed transfer on
/// a 1 Mbit/s link repeats under 10 s, large enough that the manifest of 1 TiB stays under 40 MiB.
pub const CHUNK_BYTES: u64 = 1 << 20;
/// Most chunks of one image file: 1 TiB. A larger file is refused.
pub const CHUNKS_MAX: usize = 1 << 20;
/// Most files of one image: a disk, a kernel and an initrd.
pub const IMAGE_FILES_MAX: usize = 3;

/// Largest body of an API request; a larger one is answered with 413.
pub const API_BODY_BYTES_MAX: usize = 1 << 20;
/// Largest body of an uploaded blob: a chunk that did not compress, or a manifest.
pub const BLOB_BYTES_MAX: usize = 64 << 20;
/// Items on a page of a list when the client does not say, and the most it may ask for.
pub const PAGE_LIMIT_DEFAULT: u32 = 100;
pub const PAGE_LIMIT_MAX: u32 = 1_000;
/// Most of a VM's serial console handed out at once; the newest part is kept.
pub const CONSOLE_TAIL_BYTES_MAX: usize = 256 << 10;
/// Life of an idempotency key text.
pub const IDEMPOTENCY_KEY_LEN_MAX: usize = 128;

/// Messages that may wait for a session's writer per class. At the bound the sender waits, and a
/// telemetry sender drops its oldest batch.
pub const CLASS_QUEUE_MESSAGES: usize = 256;

/// Most rules of rates in the caps of one site's link. One more is refused.
pub const CAP_RULES_MAX: usize = 64;
/// Least cap of a link. A lower one is refused: not even leases would get through.
pub const CAP_MIN: Bitrate = Bitrate::kbit(8);
