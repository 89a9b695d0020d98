//! Copies images that this member lacks from members that hold them, and removes now and then what
//! no image needs any more. One task does both: what is being copied is not removed.
//!
//! Level-triggered: it compares the state with what is held whenever the state changes, and does
//! the rest anew after a failure. What was fetched before stays.

use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, stream};
use novacron_controlplane_core::command::{Actor, Command, Envelope};
use novacron_controlplane_core::image::Image;
use novacron_protocol::limits::BLOB_BYTES_MAX;
use novacron_protocol::wire::Class;
use novacron_protocol::wire::call::{CallRefusal, Request, Response};
use novacron_protocol::wire::hello::Peer;
use novacron_protocol::{Digest, ImageId, MemberId};
use novacron_transport::SessionError;
use tokio::time::{Instant, timeout_at};

use super::collect::Collected;
use super::{BlobError, BlobStore};
use crate::clock::Clock;
use crate::cluster::{Cluster, ClusterError, Consistency};
use crate::peers::{PeerError, Peers};

/// Why a blob was not copied.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error("no member that holds it could give it")]
    NoHolder,
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("the holder refused: {0}")]
    Refused(CallRefusal),
    #[error("the holder's answer makes no sense")]
    BadAnswer,
    #[error("the holder fell silent")]
    Silent,
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("the copy could not be announced: {0}")]
    Announce(#[from] ClusterError),
}

/// Blobs fetched at once: enough to hide a round trip behind a 1 MiB chunk.
const PARALLEL: usize = 4;
/// How long a holder may say nothing in the middle of a blob.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Changes of the state within this time are looked at together.
const GATHER: Duration = Duration::from_millis(100);
/// Pause after an image could not be copied.
const RETRY: Duration = Duration::from_secs(2);
/// How often blobs that no image needs are looked for.
const COLLECT_INTERVAL: Duration = Duration::from_secs(3600);
/// Blobs that were stored or promised within this time stay: their import may still go on, over a
/// slow line for hours.
const IMPORT_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Keeps this member's store complete. Runs until the member stops.
pub async fn replicate(blobs: BlobStore, cluster: Cluster, peers: Peers, clock: Clock) {
    let mut states = cluster.watch();
    let copier = Copier { cluster, peers, blobs, clock };
    let mut last_failure = None;
    let mut collect_at = Instant::now() + COLLECT_INTERVAL;
    loop {
        let mut failure = None;
        for (image, holders) in copier.lacking() {
            if let Err(error) = copier.copy(image, &holders).await {
                failure = Some(format!("image {image} is not copied yet: {error}"));
            }
        }
        // Said once, not at every try: a member may be away for days.
        if let Some(failure) = failure.as_ref().filter(|_| failure != last_failure) {
            tracing::warn!("{failure}");
        }
        last_failure = failure;
        if last_failure.is_some() {
            tokio::time::sleep(RETRY).await;
        } else if let Ok(changed) = timeout_at(collect_at, states.changed()).await {
            if changed.is_err() {
                return;
            }
        } else {
            copier.collect().await;
            collect_at = Instant::now() + COLLECT_INTERVAL;
        }
        tokio::time::sleep(GATHER).await;
        states.mark_unchanged();
    }
}

struct Copier {
    cluster: Cluster,
    peers: Peers,
    blobs: BlobStore,
    clock: Clock,
}

impl Copier {
    /// Images that this member does not hold, with those that do.
    fn lacking(&self) -> Vec<(ImageId, Vec<MemberId>)> {
        let (state, this) = (self.cluster.state(), self.cluster.status().member);
        if state.member(this).is_none() {
            return Vec::new();
        }
        let lacks = |image: &&Image| !image.holders.contains(&this);
        state.images().filter(lacks).map(|image| (image.id, image.holders.clone())).collect()
    }

    async fn copy(&self, image: ImageId, holders: &[MemberId]) -> Result<(), CopyError> {
        self.fetch_from_any(image.0, holders).await?;
        let manifest = self.blobs.manifest(image).await?;
        let digests = manifest.chunks().map(|chunk| chunk.digest).collect();
        let missing = self.blobs.missing(digests).await?;
        let fetches = missing.into_iter().map(|digest| self.fetch_from_any(digest, holders));
        let mut fetches = stream::iter(fetches).buffer_unordered(PARALLEL);
        while let Some(fetched) = fetches.next().await {
            fetched?;
        }
        // Every chunk was checked against its digest when it was stored, and the manifest against
        // the image's id: the content is what its first holder checked as a whole.
        let member = self.cluster.status().member;
        let command = Command::HoldImage { image, member };
        let envelope = Envelope::from_actor(self.clock.timestamp(), Actor::Member(member), command);
        match self.cluster.propose(envelope).await?.applied {
            Ok(_) => tracing::info!("image {image} is copied"),
            Err(refusal) => tracing::info!("image {image} is no longer wanted: {refusal}"),
        }
        Ok(())
    }

    /// Removes what no image needs. Whether one does is asked of the leader: a member that lags
    /// behind, or has just started, does not know of the newest.
    async fn collect(&self) {
        let Ok(view) = self.cluster.read(Consistency::Linearizable).await else { return };
        let images: Vec<ImageId> = view.state.images().map(|image| image.id).collect();
        let now = Duration::from_millis(self.clock.timestamp().0);
        let collected = async {
            let needed = self.blobs.blobs_of(images).await?;
            let since = SystemTime::UNIX_EPOCH + now.saturating_sub(IMPORT_LIFE);
            self.blobs.collect(needed, since).await
        };
        match collected.await {
            Ok(Collected { blobs: 0, .. }) => {}
            Ok(Collected { blobs, size }) => {
                tracing::info!(blobs, %size, "removed blobs that no image needs");
            }
            Err(error) => tracing::warn!(%error, "cannot look for unneeded blobs"),
        }
    }

    async fn fetch_from_any(&self, digest: Digest, holders: &[MemberId]) -> Result<(), CopyError> {
        if self.blobs.size(digest).await?.is_some() {
            return Ok(());
        }
        let mut last = CopyError::NoHolder;
        for holder in holders {
            match self.fetch(digest, *holder).await {
                Ok(()) => return Ok(()),
                Err(error @ CopyError::Blob(BlobError::Full | BlobError::Disk(_))) => {
                    return Err(error);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn fetch(&self, digest: Digest, holder: MemberId) -> Result<(), CopyError> {
        let request = Request::Blob { digest };
        let call = self.peers.call(Peer::Member(holder), Class::Bulk, &request);
        let (response, mut body) = call.await?;
        let len = match response {
            Response::Blob { stored_len } if stored_len <= BLOB_BYTES_MAX as u64 => stored_len,
            Response::Refused(refusal) => return Err(CopyError::Refused(refusal)),
            _ => return Err(CopyError::BadAnswer),
        };
        let mut upload = self.blobs.upload(digest).await?;
        let mut received = 0;
        loop {
            let piece = tokio::time::timeout(SILENCE_MAX, body.chunk()).await;
            let Some(piece) = piece.map_err(|_| CopyError::Silent)?? else { break };
            received += piece.len() as u64;
            if received > len {
                return Err(CopyError::BadAnswer);
            }
            upload.write(piece).await?;
        }
        upload.finish().await?;
        Ok(())
    }
}
