//! Images over real sessions.

use std::sync::atomic::Ordering;

use novacron_agent::images::{ImageError, ImageStore};
use novacron_agent::uplink::Uplink;
use novacron_agent::vm_files::VmFiles;
use novacron_protocol::image::{Chunk, FileRole, ImageBoot, ImageFile, Manifest, ManifestFile};
use novacron_protocol::{ByteCount, Digest, MemberId};
use novacron_transport::{Identity, IdentityStore, LinkEvent};

use crate::agent::{config, enrol};
use crate::member::Member;

#[tokio::test]
async fn an_image_comes_from_a_member_and_without_one_it_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start();
    let config = config(dir.path(), "sim://");
    enrol(&config, &member).await;

    let content = noise(500_000);
    let boot = import(&member, &content);
    let identity = IdentityStore::new(Identity::load(&config.data_dir).unwrap());
    let members = novacron_agent::members::MembersFile::open(&config.data_dir).unwrap();
    let vms = VmFiles::open(config.vms_dir()).unwrap();
    let (uplink, mut links_rx, _words_rx) = Uplink::start(identity, members.list(), vms).unwrap();
    let images = ImageStore::open(config.images_dir()).unwrap();
    let waiting = images.ensure(&boot, &uplink.blobs()).await;
    assert!(matches!(waiting, Err(ImageError::Unavailable(_))), "{waiting:?}");

    let _agent = member.accept(1).await;
    let up = links_rx.recv().await;
    assert!(matches!(up, Some(LinkEvent::Up(MemberId(1), _))), "{up:?}");
    images.ensure(&boot, &uplink.blobs()).await.unwrap();
    assert_eq!(std::fs::read(images.path(boot.files[0].digest)).unwrap(), content);

    // Of an image that differs in one place only that place comes.
    let mut changed = content;
    changed[123_456] ^= 1;
    let boot = import(&member, &changed);
    let before = member.sent_bytes.load(Ordering::SeqCst);
    images.ensure(&boot, &uplink.blobs()).await.unwrap();
    assert_eq!(std::fs::read(images.path(boot.files[0].digest)).unwrap(), changed);
    let sent = member.sent_bytes.load(Ordering::SeqCst) - before;
    assert!(sent < 6_000, "a manifest, a block of 4 KiB and a few references: {sent} bytes");
}

/// Has the member hold an image of one file, a kernel.
fn import(member: &Member, content: &[u8]) -> ImageBoot {
    let chunk = Chunk { digest: Digest::of(content), len: content.len() as u32 };
    let size = ByteCount(content.len() as u64);
    let role = FileRole::Kernel;
    let file = ImageFile { role, digest: chunk.digest, size, virtual_size: ByteCount(0) };
    let manifest = Manifest {
        files: vec![ManifestFile { file, chunks: vec![chunk] }],
        cmdline: "console=ttyS0".to_owned(),
    };
    let (image, bytes) = manifest.seal().unwrap();
    for blob in [content, &bytes] {
        let stored = zstd::encode_all(blob, 3).unwrap();
        member.blobs.lock().unwrap().insert(Digest::of(blob), stored.into());
    }
    manifest.boot(image)
}

fn noise(len: usize) -> Vec<u8> {
    let mut content = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    content
}
