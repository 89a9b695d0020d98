//! Which choice the next block is coded with, and how much content goes into it.
//!
//! Coding, sending and expanding run at the same time, so the slowest of them sets the pace. With
//! `c` seconds of processor and `r / L` seconds of link per byte, the best pace is where a mix of two
//! choices keeps both just busy: the point of the lower hull of all `(c, r / L)` on the diagonal
//! (the optimum of a linear program with two constraints). That pair has one exchange rate, the
//! *price* of a processor second in link seconds. Each block takes the choice that is cheapest at
//! that price, raised while the link is about to run dry and lowered while much waits for it: the
//! queue corrects what estimates get wrong, and makes the mix.

use std::time::Duration;

use crate::choice::{COUNT, Choice, PRIORS, RAW};
use crate::estimate::{Estimate, Estimates};
use crate::limits::{BLOCK_BYTES_MAX, COMPRESSOR_BYTES_MAX, QUEUE_BYTES_MAX};

/// What is known of the way to the peer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// What it takes, in bytes per second; `None` while unknown.
    pub bytes_per_s: Option<f64>,
    /// Coded bytes that still wait for it.
    pub queued_bytes: usize,
}

/// What one sender may use.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Threads that run jobs.
    pub threads: usize,
    /// Memory of one thread's compressor, at most [`COMPRESSOR_BYTES_MAX`].
    pub compressor_bytes_max: usize,
    /// Only this choice: for comparisons.
    pub fixed: Option<Choice>,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: 1, compressor_bytes_max: COMPRESSOR_BYTES_MAX, fixed: None }
    }
}

/// How the next block is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) choice: Choice,
    pub(crate) len: usize,
}

/// Plans blocks, and learns from those that were coded.
#[derive(Debug, Clone)]
pub(crate) struct Planner {
    estimates: Estimates,
    options: Options,
}

/// Lengths of blocks. The first is so short that a link of any speed soon has something to do.
pub(crate) const LENS: [usize; 4] = [128 << 10, 256 << 10, 1 << 20, BLOCK_BYTES_MAX];
/// Levels up to here find what there is within 256 KiB, and zstd has tables fit for that length.
const NEAR_LEVEL_MAX: i8 = 1;
/// The first block on a link that nobody has measured: next to nothing on a fast link, and enough of
/// it on a slow one to measure it by.
const FIRST: Plan = Plan { choice: Choice::Zstd(1), len: 32 << 10 };
/// Until a link is measured nothing but the first block is coded.
const UNKNOWN_BYTES_PER_S: f64 = 12.5e6;
/// The queue is full with this share of the time that the stream has kept the link busy for: short
/// streams have no time to fill a long one,
const QUEUE_SHARE: f64 = 0.25;
/// and long ones need it for slow levels to work behind.
const QUEUE_SECONDS_MIN: f64 = 0.02;
const QUEUE_SECONDS_MAX: f64 = 2.0;
/// The price rises by this much from a queue at its aim to an empty one, and falls as much to a full
/// one.
const PRICE_SWING: f64 = 3.0;
/// The price of processor time that is left over: a tie goes to the faster.
const PRICE_MIN: f64 = 0.01;

impl Planner {
    pub(crate) fn new(options: Options) -> Self {
        Self { estimates: Estimates::default(), options }
    }

    /// Coded bytes that may wait for the link before coding pauses, after `sent_bytes`.
    pub(crate) fn queue_bytes_max(link: Link, sent_bytes: u64) -> usize {
        let bytes_per_s = link.bytes_per_s.unwrap_or(UNKNOWN_BYTES_PER_S);
        let seconds = QUEUE_SHARE * sent_bytes as f64 / bytes_per_s;
        let bytes = bytes_per_s * seconds.clamp(QUEUE_SECONDS_MIN, QUEUE_SECONDS_MAX);
        (bytes as usize).clamp(128 << 10, QUEUE_BYTES_MAX)
    }

    /// Plans a block of at most `pending` bytes, after `sent_bytes`; `whole` when nothing follows.
    pub(crate) fn plan(&self, pending: usize, whole: Whole, link: Link, sent_bytes: u64) -> Plan {
        if let Some(choice) = self.options.fixed {
            return Plan { choice, len: pending.min(len_of(choice)) };
        }
        if link.bytes_per_s.is_none() {
            return Plan { len: pending.min(FIRST.len), ..FIRST };
        }
        let view = View::new(&self.estimates, link, sent_bytes, &self.options);
        if whole == Whole::Yes && pending <= BLOCK_BYTES_MAX {
            return self.plan_last(pending, &view);
        }
        let price = view.price();
        let mut best = (f64::INFINITY, Plan { choice: Choice::Raw, len: pending.min(LENS[1]) });
        for at in self.usable() {
            let longest = len_of(PRIORS[at].choice);
            for len in LENS.into_iter().filter(|len| *len <= longest) {
                let len = len.min(pending);
                let point = view.point(at, len);
                // While this block is coded the link works off its queue, and then nothing.
                let idle = (point.processor * len as f64 - view.queue_seconds).max(0.0);
                let cost = price * point.processor + point.link + idle / len as f64;
                if cost < best.0 {
                    best = (cost, Plan { choice: PRIORS[at].choice, len });
                }
            }
        }
        best.1
    }

    /// The content's end is in sight: the least time until the receiver has all of it, over all ways
    /// to cut it into equal blocks.
    fn plan_last(&self, pending: usize, view: &View<'_>) -> Plan {
        let mut best = (f64::INFINITY, Plan { choice: Choice::Raw, len: pending });
        for at in self.usable() {
            for len in LENS.into_iter().map(|len| len.min(pending)) {
                let (point, len_bytes) = (view.point(at, len), len as f64);
                let first = (point.processor * len_bytes).max(view.queue_seconds);
                let rest = point.processor.max(point.link) * (pending - len) as f64;
                let expanding = PRIORS[at].expanding_seconds_per_byte() * len_bytes;
                let done = first + rest + point.link * len_bytes + expanding;
                if done < best.0 {
                    best = (done, Plan { choice: PRIORS[at].choice, len });
                }
            }
        }
        best.1
    }

    /// Learns what coding `len` bytes took and left.
    pub(crate) fn handle(&mut self, choice: Choice, len: usize, coded_len: usize, took: Duration) {
        // A shorter piece tells more of what was around it than of its kind.
        let Some(at) = choice.index().filter(|_| len >= FIRST.len / 2) else { return };
        self.estimates.handle_ratio(at, coded_len as f64 / len as f64 / shortness(choice, len));
        // And the first of a compressor more of making its tables.
        if len >= LENS[0] {
            self.estimates.handle_seconds(at, took.as_secs_f64() / len as f64);
        }
    }

    fn usable(&self) -> impl Iterator<Item = usize> {
        let max = self.options.compressor_bytes_max.min(COMPRESSOR_BYTES_MAX);
        (0..COUNT).filter(move |at| PRIORS[*at].choice.compressor_bytes() <= max)
    }
}

/// Whether more content may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whole {
    Yes,
    No,
}

/// Where one choice stands on this link: seconds per byte of content.
#[derive(Debug, Clone, Copy)]
struct Point {
    processor: f64,
    /// Of the link or of the receiver, whichever is slower.
    link: f64,
}

/// The estimates on one link at one moment.
struct View<'a> {
    estimates: &'a Estimates,
    bytes_per_s: f64,
    queue_seconds: f64,
    /// How full the queue is, 0 to 1.
    fullness: f64,
    threads: f64,
    compressor_bytes_max: usize,
}

impl<'a> View<'a> {
    fn new(estimates: &'a Estimates, link: Link, sent_bytes: u64, options: &Options) -> Self {
        let bytes_per_s = link.bytes_per_s.unwrap_or(UNKNOWN_BYTES_PER_S).max(1.0);
        let max = Planner::queue_bytes_max(link, sent_bytes);
        Self {
            estimates,
            bytes_per_s,
            queue_seconds: link.queued_bytes as f64 / bytes_per_s,
            fullness: (link.queued_bytes as f64 / max as f64).min(1.0),
            threads: options.threads.max(1) as f64,
            compressor_bytes_max: options.compressor_bytes_max.min(COMPRESSOR_BYTES_MAX),
        }
    }

    fn point(&self, at: usize, len: usize) -> Point {
        let Estimate { seconds_per_byte, ratio } = self.estimates.of(at);
        let ratio = (ratio * shortness(PRIORS[at].choice, len)).min(1.0);
        let link = ratio / self.bytes_per_s;
        let expanding = PRIORS[at].expanding_seconds_per_byte();
        Point { processor: seconds_per_byte / self.threads, link: link.max(expanding) }
    }

    /// What a processor second is worth in link seconds, now.
    fn price(&self) -> f64 {
        let swing = PRICE_SWING.powf(1.0 - 2.0 * self.fullness);
        (self.balance() * swing).max(PRICE_MIN)
    }

    /// The exchange rate of the two choices whose mix keeps processor and link just busy.
    fn balance(&self) -> f64 {
        let usable =
            |at: &usize| PRIORS[*at].choice.compressor_bytes() <= self.compressor_bytes_max;
        let point = |at| self.point(at, len_of(PRIORS[at].choice));
        let points: Vec<Point> = (0..COUNT).filter(usable).map(point).collect();
        let (waiting, working): (Vec<Point>, Vec<Point>) =
            points.into_iter().partition(|point| point.processor <= point.link);
        let mut best = (f64::INFINITY, PRICE_MIN);
        for a in &waiting {
            // Alone, if nothing stronger helps.
            if a.link < best.0 {
                best = (a.link, PRICE_MIN);
            }
            for b in &working {
                let (gain, cost) = (a.link - b.link, b.processor - a.processor);
                if gain <= 0.0 {
                    continue;
                }
                let share = (a.link - a.processor) / (gain + cost);
                let pace = a.processor + share * cost;
                if pace < best.0 {
                    best = (pace, gain / cost);
                }
            }
        }
        best.1
    }
}

/// The length of block that suits a choice.
pub(crate) fn len_of(choice: Choice) -> usize {
    match choice {
        Choice::Raw | Choice::Lz4 => LENS[1],
        Choice::Zstd(..=NEAR_LEVEL_MAX) => LENS[1],
        Choice::Zstd(2..=5) => LENS[2],
        Choice::Zstd(_) => LENS[3],
    }
}

/// How much larger blocks of `len` come out than those of the length that suits the choice: measured
/// on memory and disk images.
fn shortness(choice: Choice, len: usize) -> f64 {
    let lost = match len {
        len if len < LENS[0] => [1.08, 1.13, 1.16],
        len if len < LENS[1] => [1.03, 1.08, 1.12],
        len if len < LENS[2] => [1.0, 1.05, 1.08],
        len if len < LENS[3] => [1.0, 1.0, 1.04],
        _ => [1.0; 3],
    };
    match choice {
        Choice::Raw => 1.0,
        Choice::Lz4 | Choice::Zstd(..=NEAR_LEVEL_MAX) => lost[0],
        Choice::Zstd(2..=5) => lost[1],
        Choice::Zstd(_) => lost[2],
    }
}

const _: () = assert!(RAW == 0);
