//! What the blob store takes, refuses and leaves behind.

use std::time::Duration;

use bytes::Bytes;
use novacron_hde::delta::{self, Cut, Signature};
use novacron_protocol::image::{Chunk, FileRole, ImageFile, ManifestFile};

use super::*;

fn compressed(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 3).unwrap()
}

async fn put(store: &BlobStore, digest: Digest, stored: &[u8]) -> Result<ByteCount, BlobError> {
    let mut upload = store.upload(digest).await?;
    for piece in stored.chunks(1000) {
        upload.write(Bytes::copy_from_slice(piece)).await?;
    }
    upload.finish().await
}

async fn put_content(store: &BlobStore, content: &[u8]) -> Digest {
    let digest = Digest::of(content);
    put(store, digest, &compressed(content)).await.unwrap();
    digest
}

fn store() -> (tempfile::TempDir, BlobStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = BlobStore::open(directory.path()).unwrap();
    (directory, store)
}

fn leftovers(directory: &tempfile::TempDir) -> usize {
    fs::read_dir(directory.path().join("blobs/tmp")).unwrap().count()
}

#[tokio::test]
async fn a_blob_reads_back_and_is_there_after_a_restart() {
    let (directory, store) = store();
    let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let digest = put_content(&store, &content).await;
    let again = BlobStore::open(directory.path()).unwrap();
    assert_eq!(again.inner.content(&digest).unwrap(), content);
    let (_, len) = again.stored(digest).await.unwrap();
    assert_eq!(again.size(digest).await.unwrap(), Some(ByteCount(len)));
    let other = Digest::of(b"other");
    let missing = again.missing(vec![other, digest, other]).await.unwrap();
    assert_eq!(missing, [other]);
    assert_eq!(leftovers(&directory), 0);
}

#[tokio::test]
async fn what_does_not_match_its_digest_leaves_nothing() {
    let (directory, store) = store();
    let (content, digest) = (b"hello".repeat(500), Digest::of(&b"hello".repeat(500)));
    let whole = compressed(&content);
    let bomb = compressed(&vec![0; BLOB_BYTES_MAX + 1]);
    for (stored, what) in [
        (compressed(b"other"), "other content"),
        (whole[..whole.len() - 1].to_vec(), "cut"),
        ([&whole[..], b"tail"].concat(), "tail"),
        (content.clone(), "not compressed"),
        (Vec::new(), "empty"),
        (bomb, "bomb"),
    ] {
        let error = put(&store, digest, &stored).await.unwrap_err();
        let named = matches!(
            error,
            BlobError::WrongDigest { .. } | BlobError::Malformed(_) | BlobError::TooLarge { .. }
        );
        assert!(named, "{what}: {error}");
        assert_eq!(store.size(digest).await.unwrap(), None, "{what}");
        assert_eq!(leftovers(&directory), 0, "{what}");
    }
    put(&store, digest, &whole).await.unwrap();
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_nothing() {
    let (directory, store) = store();
    let content = b"content".repeat(1000);
    let mut upload = store.upload(Digest::of(&content)).await.unwrap();
    upload.write(Bytes::from(compressed(&content)[..10].to_vec())).await.unwrap();
    drop(upload);
    // All slots are free again once every writer has ended.
    let slots = u32::try_from(UPLOADS_MAX).unwrap();
    let _all = store.inner.slots.acquire_many(slots).await.unwrap();
    assert_eq!(store.size(Digest::of(&content)).await.unwrap(), None);
    assert_eq!(leftovers(&directory), 0);
}

#[tokio::test]
async fn a_window_that_claims_too_much_memory_is_refused() {
    let (_directory, store) = store();
    let content = b"x".repeat(3000);
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    io::Write::write_all(&mut encoder, &content).unwrap();
    let stored = encoder.finish().unwrap();
    let error = put(&store, Digest::of(&content), &stored).await.unwrap_err();
    assert!(matches!(error, BlobError::Malformed(_)), "{error}");
}

#[tokio::test]
async fn a_damaged_blob_is_noticed_removed_and_can_be_stored_anew() {
    let (_directory, store) = store();
    let content = b"content".repeat(1000);
    let digest = put_content(&store, &content).await;
    let path = store.inner.path(&digest);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(store.inner.content(&digest), Err(BlobError::Invalid(_))));
    assert_eq!(store.size(digest).await.unwrap(), None);
    put_content(&store, &content).await;
    assert_eq!(store.inner.content(&digest).unwrap(), content);
}

#[tokio::test]
async fn leftovers_of_a_crash_are_removed_at_the_next_start() {
    let (directory, store) = store();
    fs::write(store.inner.temporary_path(), b"half").unwrap();
    BlobStore::open(directory.path()).unwrap();
    assert_eq!(leftovers(&directory), 0);
}

async fn kernel_manifest(store: &BlobStore, content: &[u8]) -> Manifest {
    let chunk = Chunk {
        digest: put_content(store, content).await,
        len: u32::try_from(content.len()).unwrap(),
    };
    let file = ImageFile {
        role: FileRole::Kernel,
        digest: Digest::of(content),
        size: ByteCount(content.len() as u64),
        virtual_size: ByteCount(0),
    };
    Manifest { files: vec![ManifestFile { file, chunks: vec![chunk] }], cmdline: String::new() }
}

#[tokio::test]
async fn an_image_is_whole_or_it_is_said_what_is_wrong() {
    let (_directory, store) = store();
    let good = kernel_manifest(&store, b"kernel").await;
    let (image, bytes) = good.seal().unwrap();
    put_content(&store, &bytes).await;
    let read = store.manifest(image).await.unwrap();
    assert_eq!(read, good);
    store.verify(read).await.unwrap();

    let mut wrong_file = good.clone();
    wrong_file.files[0].file.digest = Digest::of(b"another");
    let mut wrong_size = good.clone();
    wrong_size.files[0].file.virtual_size = ByteCount(9);
    let mut wrong_len = good.clone();
    wrong_len.files[0].chunks[0].len = 5;
    for wrong in [wrong_file, wrong_size, wrong_len] {
        let error = store.verify(wrong).await.unwrap_err();
        assert!(matches!(error, BlobError::Invalid(_)), "{error}");
    }
    let mut absent = good;
    absent.files[0].chunks[0].digest = Digest::of(b"absent");
    let error = store.verify(absent).await.unwrap_err();
    assert!(matches!(error, BlobError::Missing(_)), "{error}");
}

/// As if it had been stored so long ago.
fn age(store: &BlobStore, digest: &Digest, by: Duration) {
    let file = File::options().write(true).open(store.inner.path(digest)).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified - by).unwrap();
}

#[tokio::test]
async fn what_no_image_needs_goes_when_it_is_old_and_nobody_was_promised_it() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let (_directory, store) = store();
    let manifest = kernel_manifest(&store, b"needed").await;
    let (image, sealed) = manifest.seal().unwrap();
    put(&store, image.0, &compressed(&sealed)).await.unwrap();
    let chunk = Digest::of(b"needed");
    let old = put_content(&store, b"of a deleted image").await;
    let promised = put_content(&store, b"of an import under way").await;
    let since = fs::metadata(store.inner.path(&chunk)).unwrap().modified().unwrap();
    for digest in [image.0, chunk, old, promised] {
        age(&store, &digest, DAY);
    }
    let fresh = put_content(&store, b"just stored").await;
    assert_eq!(store.missing(vec![promised]).await.unwrap(), []);

    let needed = store.blobs_of([image]).await.unwrap();
    let collected = store.collect(needed.clone(), since).await.unwrap();
    assert_eq!(collected.blobs, 1);
    let all = vec![image.0, chunk, old, promised, fresh];
    assert_eq!(store.missing(all).await.unwrap(), [old]);
    assert_eq!(store.collect(needed, since).await.unwrap(), collect::Collected::default());
}

#[tokio::test]
async fn what_is_needed_is_not_known_without_every_manifest() {
    let (_directory, store) = store();
    let lacking = ImageId(Digest::of(b"an image that is not copied yet"));
    let error = store.blobs_of([lacking]).await.unwrap_err();
    assert!(matches!(error, BlobError::Missing(_)), "{error}");
}

#[tokio::test]
async fn a_blob_is_coded_where_that_is_shorter_and_not_where_it_takes_longer() {
    let (_directory, store) = store();
    let line = |n: u64| format!("{n} {}\n", n * n % 977).into_bytes();
    let old: Vec<u8> = (0..60_000).flat_map(line).collect();
    let mut new = old.clone();
    new[100_000..100_010].copy_from_slice(b"novacron!!");
    let digest = Digest::of(&new);
    put(&store, digest, &zstd::encode_all(&new[..], 1).unwrap()).await.unwrap();
    let stored = store.size(digest).await.unwrap().unwrap().0 as usize;
    let coded = |signature, bytes_per_s| store.inner.coded(digest, signature, bytes_per_s).unwrap();

    let base = Bytes::from(old);
    let signature = Signature::of(base.clone(), Cut::disk(base.len() as u64), 3);
    let delta = coded(signature, 1e9).unwrap();
    assert!(delta.len() < stored / 10, "{} of {stored}", delta.len());
    assert_eq!(delta::decode_once(delta, base, digest, new.len()).unwrap(), new);

    assert_eq!(coded(Signature::none(), 1e9), None, "a fast link");
    let slow = coded(Signature::none(), 1e5).unwrap();
    assert!(slow.len() < stored, "{} of {stored}", slow.len());
    assert_eq!(delta::decode_once(slow, Bytes::new(), digest, new.len()).unwrap(), new);
}
