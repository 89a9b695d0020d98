//! The samples of one host, by time.

use std::collections::VecDeque;
use std::mem::size_of;

use novacron_protocol::Timestamp;
use novacron_protocol::wire::telemetry::{Batch, VmSample};

use super::block::Block;

/// Batches kept as they came before they are packed: late ones find their place among them. 16 of
/// 10 VMs take 11 kB.
const TAIL_BATCHES: usize = 16;
/// Blocks of one host: an hour at one batch every 3.75 s. An agent that sends more often keeps
/// less than an hour.
const BLOCKS_MAX: usize = 60;

/// Samples in order: packed blocks, then the newest as they came.
#[derive(Debug, Default)]
pub(super) struct Series {
    blocks: VecDeque<Block>,
    tail: Vec<Batch>,
    bytes: usize,
}

impl Series {
    /// Takes a batch. A repeat is dropped, and one older than what is packed already.
    pub(super) fn push(&mut self, batch: Batch) {
        if self.blocks.back().is_some_and(|block| batch.at <= block.last) {
            return;
        }
        let Err(place) = self.tail.binary_search_by_key(&batch.at, |kept| kept.at) else { return };
        self.bytes += batch_bytes(&batch);
        self.tail.insert(place, batch);
        if self.tail.len() >= TAIL_BATCHES {
            self.pack();
        }
    }

    /// Batches from `since` on, oldest first, thinned evenly to about `samples_max` VM samples. The
    /// newest is always among them.
    pub(super) fn range(&self, since: Timestamp, samples_max: usize) -> Vec<Batch> {
        let blocks = self.blocks.iter().filter(|block| block.last >= since);
        let packed: usize = blocks.clone().map(|block| block.samples).sum();
        let loose: usize = self.tail.iter().map(|batch| batch.vms.len()).sum();
        let stride = (packed + loose).div_ceil(samples_max).max(1);
        let mut batches = Vec::new();
        let mut at = 0_usize;
        let mut take = |batch: Batch| {
            if at.is_multiple_of(stride) {
                batches.push(batch);
            }
            at += 1;
        };
        // Newest first, so that thinning keeps the newest.
        self.tail.iter().rev().filter(|batch| batch.at >= since).cloned().for_each(&mut take);
        for block in blocks.rev() {
            let unpacked = block.unpack();
            unpacked.into_iter().rev().filter(|batch| batch.at >= since).for_each(&mut take);
        }
        batches.reverse();
        batches
    }

    pub(super) fn forget_before(&mut self, oldest: Timestamp) {
        while self.blocks.front().is_some_and(|block| block.last < oldest) {
            self.forget_oldest();
        }
        if self.blocks.is_empty() {
            self.tail.retain(|batch| batch.at >= oldest);
            self.recount();
        }
    }

    /// Drops the oldest block, or else the tail. `false` when there is nothing to drop.
    pub(super) fn forget_oldest(&mut self) -> bool {
        let dropped =
            self.blocks.pop_front().is_some() || !std::mem::take(&mut self.tail).is_empty();
        self.recount();
        dropped
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.tail.is_empty()
    }

    /// Memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn pack(&mut self) {
        let tail = std::mem::take(&mut self.tail);
        self.blocks.extend(Block::pack(&tail));
        while self.blocks.len() > BLOCKS_MAX {
            self.blocks.pop_front();
        }
        self.recount();
    }

    fn recount(&mut self) {
        let blocks: usize = self.blocks.iter().map(Block::bytes).sum();
        self.bytes = blocks + self.tail.iter().map(batch_bytes).sum::<usize>();
    }
}

fn batch_bytes(batch: &Batch) -> usize {
    size_of::<Batch>() + batch.vms.len() * size_of::<VmSample>()
}
