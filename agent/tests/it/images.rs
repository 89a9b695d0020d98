//! Images over real sessions.

use novacron_agent::images::{ImageError, ImageStore};
use novacron_agent::uplink::Uplink;
use novacron_agent::vm_files::VmFiles;
use novacron_protocol::image::{Chunk, FileRole, ImageFile, Manifest, ManifestFile};
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

    let content = vec![5; 3000];
    let chunk = Chunk { digest: Digest::of(&content), len: 3000 };
    let file = ImageFile {
        role: FileRole::Kernel,
        digest: chunk.digest,
        size: ByteCount(3000),
        virtual_size: ByteCount(0),
    };
    let manifest = Manifest {
        files: vec![ManifestFile { file, chunks: vec![chunk] }],
        cmdline: "console=ttyS0".to_owned(),
    };
    let (image, bytes) = manifest.seal().unwrap();
    for blob in [&content, &bytes] {
        let stored = zstd::encode_all(&blob[..], 3).unwrap();
        member.blobs.lock().unwrap().insert(Digest::of(blob), stored.into());
    }

    let identity = IdentityStore::new(Identity::load(&config.data_dir).unwrap());
    let members = novacron_agent::members::MembersFile::open(&config.data_dir).unwrap();
    let vms = VmFiles::open(config.vms_dir()).unwrap();
    let (uplink, mut links_rx, _words_rx) = Uplink::start(identity, members.list(), vms).unwrap();
    let images = ImageStore::open(config.images_dir()).unwrap();
    let boot = manifest.boot(image);
    let waiting = images.ensure(&boot, &uplink.blobs()).await;
    assert!(matches!(waiting, Err(ImageError::Unavailable(_))), "{waiting:?}");

    let _agent = member.accept(1).await;
    let up = links_rx.recv().await;
    assert!(matches!(up, Some(LinkEvent::Up(MemberId(1), _))), "{up:?}");
    images.ensure(&boot, &uplink.blobs()).await.unwrap();
    assert_eq!(std::fs::read(images.path(chunk.digest)).unwrap(), content);
}
