//! Cheap looks at content before anything is spent on it: runs of one byte, and noise.

/// A block whose sampled bytes carry more than this many bits each is noise: compressed data
/// measures 7.9 and more, machine code and memory 7.2 at most.
const NOISE_BITS: f64 = 7.75;
const SAMPLES: usize = 16;
const SAMPLE_BYTES: usize = 256;
/// Blocks of noise that are believed to go on being noise without a look, at most: 16 MiB in blocks
/// of 256 KiB. So a look, 5 us, costs below 0.1 % of what sending these takes.
const TRUST_MAX: u32 = 64;

/// Remembers how often it was noise, to look less often.
#[derive(Debug, Clone, Default)]
pub(crate) struct NoiseProbe {
    /// Blocks that go unlooked at.
    trusted: u32,
    /// How many the next finding of noise is trusted for.
    trust: u32,
}

impl NoiseProbe {
    /// Whether trying to compress `block` is a waste.
    pub(crate) fn is_noise(&mut self, block: &[u8]) -> bool {
        if self.trusted > 0 {
            self.trusted -= 1;
            return true;
        }
        if looks_like_noise(block) {
            self.trusted = self.trust;
            self.trust = (2 * self.trust + 1).min(TRUST_MAX);
            return true;
        }
        self.trust = 0;
        false
    }
}

/// Entropy of bytes from all over the block, without context: what has repeats at a distance only
/// is taken for noise, what has none is never taken for anything else.
fn looks_like_noise(block: &[u8]) -> bool {
    if block.len() < SAMPLES * SAMPLE_BYTES {
        return false;
    }
    let stride = block.len() / SAMPLES;
    let mut counts = [0_u32; 256];
    for sample in block.chunks(stride).take(SAMPLES) {
        for byte in &sample[..SAMPLE_BYTES] {
            counts[usize::from(*byte)] += 1;
        }
    }
    let total = (SAMPLES * SAMPLE_BYTES) as f64;
    let bits = |count: u32| {
        let count = f64::from(count);
        if count == 0.0 { 0.0 } else { count * (total / count).log2() }
    };
    counts.iter().map(|count| bits(*count)).sum::<f64>() / total > NOISE_BITS
}

/// Length of the run of one byte that `content` begins with, in whole units of `unit` bytes.
pub(crate) fn run(content: &[u8], unit: usize) -> usize {
    let Some(first) = content.first() else { return 0 };
    let whole = |piece: &&[u8]| piece.len() == unit && is_run(piece) && piece[0] == *first;
    unit * content.chunks(unit).take_while(whole).count()
}

/// Where the first unit that is a run of one byte begins, after the first unit.
pub(crate) fn next_run(content: &[u8], unit: usize) -> Option<usize> {
    let found = content.chunks_exact(unit).skip(1).position(is_run)?;
    Some(unit * (found + 1))
}

fn is_run(piece: &[u8]) -> bool {
    // A comparison with itself, shifted by one: as fast as memory, and over at the first difference.
    piece[1..] == piece[..piece.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut out);
        out
    }

    #[test]
    fn noise_is_told_from_text_and_from_memory() {
        assert!(looks_like_noise(&noise(256 << 10)));
        let text = "<domain type='kvm'><name>vm</name></domain>".repeat(4000);
        assert!(!looks_like_noise(text.as_bytes()));
        let words: Vec<u8> = (0..64_000_u64).flat_map(|n| (n * n * 77).to_le_bytes()).collect();
        assert!(!looks_like_noise(&words));
        assert!(!looks_like_noise(&noise(1000)), "too short to tell");
    }

    #[test]
    fn noise_that_goes_on_is_looked_at_less_often_and_its_end_is_found() {
        let (noise, zeros) = (noise(64 << 10), vec![0; 64 << 10]);
        let mut probe = NoiseProbe::default();
        assert!((0..1000).all(|_| probe.is_noise(&noise)));
        let until_found = (0..1000).take_while(|_| probe.is_noise(&zeros)).count();
        assert!(until_found <= TRUST_MAX as usize, "{until_found}");
        assert!(!probe.is_noise(&zeros) && probe.trust == 0);
    }

    #[test]
    fn runs_are_found_where_they_are() {
        let mut content = vec![0; 4096];
        content.extend(noise(1000));
        content.resize(3 * 4096, 7);
        assert_eq!(run(&content, 1024), 4096);
        assert_eq!(run(&content[4096..], 1024), 0);
        assert_eq!(next_run(&content[4096..], 1024), Some(1024));
        assert_eq!(run(&[], 1024), 0);
        assert_eq!(next_run(&noise(4096), 1024), None);
    }
}
