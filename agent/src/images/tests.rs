//! Images are fetched once, whole, and only what their digests say.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use novacron_protocol::ByteCount;

use super::*;

/// Members that hold blobs in memory, count what is asked for, and may lie.
#[derive(Default)]
struct Members {
    blobs: Mutex<HashMap<Digest, Bytes>>,
    fetches: AtomicUsize,
    /// After so many fetches the link is lost.
    cut_after: Option<usize>,
}

impl BlobSource for Members {
    async fn fetch(&self, digest: Digest, max: usize) -> Result<Bytes, ImageError> {
        let count = self.fetches.fetch_add(1, Ordering::SeqCst);
        if self.cut_after.is_some_and(|cut| count >= cut) {
            return Err(ImageError::Unavailable("the link is cut".to_owned()));
        }
        tokio::task::yield_now().await;
        let blob = self.blobs.lock().unwrap().get(&digest).cloned();
        let blob = blob.ok_or_else(|| ImageError::Unavailable("not found".to_owned()))?;
        assert!(blob.len() <= max, "asked with too small a bound");
        Ok(blob)
    }
}

impl Members {
    fn put(&self, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        let stored = zstd::encode_all(content, 3).unwrap();
        self.blobs.lock().unwrap().insert(digest, stored.into());
        digest
    }

    /// Imports files as an image.
    fn import(&self, files: &[(FileRole, &[u8])]) -> ImageBoot {
        let files = files.iter().map(|(role, content)| {
            let chunk =
                |content: &[u8]| Chunk { digest: self.put(content), len: content.len() as u32 };
            let chunks = content.chunks(CHUNK_BYTES as usize).map(chunk).collect();
            let size = ByteCount(content.len() as u64);
            let digest = Digest::of(content);
            let file = ImageFile { role: *role, digest, size, virtual_size: ByteCount(0) };
            ManifestFile { file, chunks }
        });
        let manifest = Manifest { files: files.collect(), cmdline: "console=ttyS0".to_owned() };
        let (image, bytes) = manifest.seal().unwrap();
        self.put(&bytes);
        manifest.boot(image)
    }

    fn replace(&self, digest: Digest, stored: Vec<u8>) {
        self.blobs.lock().unwrap().insert(digest, stored.into());
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

fn disk_content() -> Vec<u8> {
    let mut content = vec![1; CHUNK_BYTES as usize];
    content.extend(vec![0; CHUNK_BYTES as usize]);
    content.extend(vec![3; CHUNK_BYTES as usize]);
    content.extend(b"the last chunk is shorter");
    content
}

fn store() -> (tempfile::TempDir, ImageStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(dir.path().join("images")).unwrap();
    (dir, store)
}

#[tokio::test]
async fn an_image_is_fetched_once_and_is_what_was_imported() {
    let (_dir, store) = store();
    let members = Members::default();
    let content = disk_content();
    let boot = members.import(&[(FileRole::RawDisk, &content), (FileRole::Kernel, b"kernel")]);
    store.ensure(&boot, &members).await.unwrap();
    assert_eq!(fs::read(store.path(boot.files[0].digest)).unwrap(), content);
    assert_eq!(fs::read(store.path(boot.files[1].digest)).unwrap(), b"kernel");
    let fetches = members.fetches();
    store.ensure(&boot, &members).await.unwrap();
    assert_eq!(members.fetches(), fetches, "what is there is not fetched again");
    assert!(store.busy.lock().unwrap().is_empty());
}

#[tokio::test]
async fn vms_that_need_the_same_image_share_one_fetch() {
    let (_dir, store) = store();
    let members = Members::default();
    let boot = members.import(&[(FileRole::RawDisk, &disk_content())]);
    let (one, two) = tokio::join!(store.ensure(&boot, &members), store.ensure(&boot, &members));
    assert_eq!((one, two), (Ok(()), Ok(())));
    assert_eq!(members.fetches(), 1 + 4, "a manifest and four chunks");
}

#[tokio::test]
async fn a_fetch_that_was_cut_off_goes_on_where_it_ended() {
    let (dir, store) = store();
    let mut members = Members { cut_after: Some(3), ..Members::default() };
    let boot = members.import(&[(FileRole::RawDisk, &disk_content())]);
    let cut = store.ensure(&boot, &members).await;
    assert!(matches!(cut, Err(ImageError::Unavailable(_))), "{cut:?}");
    members.cut_after = None;
    members.fetches = AtomicUsize::new(0);
    // A restart of the agent changes nothing.
    let store = ImageStore::open(dir.path().join("images")).unwrap();
    store.ensure(&boot, &members).await.unwrap();
    assert!(members.fetches() < 1 + 4, "{} fetches", members.fetches());
    assert_eq!(fs::read(store.path(boot.files[0].digest)).unwrap(), disk_content());
}

#[tokio::test]
async fn a_draft_that_was_damaged_is_fetched_again_from_there() {
    let (_dir, store) = store();
    let members = Members::default();
    let boot = members.import(&[(FileRole::RawDisk, &disk_content())]);
    let digest = boot.files[0].digest;
    let mut draft = disk_content();
    draft[CHUNK_BYTES as usize + 5] = 9;
    fs::write(store.dir.join(PARTIAL).join(digest.to_string()), draft).unwrap();
    store.ensure(&boot, &members).await.unwrap();
    assert_eq!(fs::read(store.path(digest)).unwrap(), disk_content());
    assert_eq!(members.fetches(), 1 + 3);
}

#[tokio::test]
async fn hostile_blobs_are_thrown_away() {
    let bomb = zstd::encode_all(&*vec![0; 64 << 20], 3).unwrap();
    let other = zstd::encode_all(&b"something else"[..], 3).unwrap();
    for (name, stored) in
        [("bomb", bomb), ("other", other), ("junk", b"junk".to_vec()), ("empty", Vec::new())]
    {
        let (_dir, store) = store();
        let members = Members::default();
        let boot = members.import(&[(FileRole::Kernel, b"kernel")]);
        let digest = boot.files[0].digest;
        members.replace(digest, stored.clone());
        let refused = store.ensure(&boot, &members).await;
        assert!(matches!(refused, Err(ImageError::Unavailable(_))), "{name}: {refused:?}");
        assert!(!store.path(digest).exists());
        members.put(b"kernel");
        store.ensure(&boot, &members).await.expect("another member's copy is taken");

        members.replace(boot.image.0, stored);
        fs::remove_file(store.path(digest)).unwrap();
        assert!(store.ensure(&boot, &members).await.is_err(), "{name} as a manifest");
    }
}

#[tokio::test]
async fn a_manifest_that_contradicts_itself_or_the_boot_is_refused() {
    let (_dir, store) = store();
    let members = Members::default();
    let mut boot = members.import(&[(FileRole::Kernel, b"kernel")]);
    boot.files[0].size = ByteCount(7);
    assert!(matches!(store.ensure(&boot, &members).await, Err(ImageError::Refused(_))));

    let chunk = Chunk { digest: members.put(b"kernel"), len: 6 };
    let file = ImageFile {
        role: FileRole::Kernel,
        digest: Digest::of(b"not its chunks"),
        size: ByteCount(6),
        virtual_size: ByteCount(0),
    };
    let manifest = Manifest {
        files: vec![ManifestFile { file, chunks: vec![chunk] }],
        cmdline: String::new(),
    };
    let (image, bytes) = manifest.seal().unwrap();
    members.put(&bytes);
    let refused = store.ensure(&manifest.boot(image), &members).await;
    assert!(matches!(refused, Err(ImageError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn a_qcow2_with_a_backing_file_never_becomes_an_image() {
    let (_dir, store) = store();
    let members = Members::default();
    let mut content = b"QFI\xfb\0\0\0\x03".to_vec();
    content.extend(512_u64.to_be_bytes());
    content.resize(1024, 0);
    let boot = members.import(&[(FileRole::Qcow2Disk, &content)]);
    let refused = store.ensure(&boot, &members).await;
    assert!(matches!(&refused, Err(ImageError::Refused(text)) if text.contains("backing")));
    assert!(!store.path(boot.files[0].digest).exists());
}

#[tokio::test]
async fn only_files_that_nobody_uses_are_collected() {
    let (_dir, store) = store();
    let members = Members::default();
    let boot = members.import(&[(FileRole::RawDisk, b"disk"), (FileRole::Kernel, b"kernel")]);
    store.ensure(&boot, &members).await.unwrap();
    fs::write(store.dir.join(PARTIAL).join(Digest::of(b"x").to_string()), b"").unwrap();
    fs::write(store.dir.join("not-ours"), b"").unwrap();
    assert_eq!(store.collect(&[boot.files[0].digest]).unwrap(), 2);
    assert!(store.path(boot.files[0].digest).exists());
    assert!(store.dir.join("not-ours").exists());
}
