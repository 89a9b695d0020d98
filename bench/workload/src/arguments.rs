//! The command line that every system under test understands.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The end that receives bulk and answers commands.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArguments {
    /// Where to listen; port 0 picks one
    #[arg(long)]
    pub listen: SocketAddr,
    /// Where senders find the certificates that this end makes
    #[arg(long)]
    pub dir: PathBuf,
    #[command(flatten)]
    pub tuning: Tuning,
}

/// The end that sends.
#[derive(Debug, Clone, clap::Args)]
pub struct SendArguments {
    /// The serving end
    #[arg(long)]
    pub to: SocketAddr,
    /// Where the serving end left certificates
    #[arg(long)]
    pub dir: PathBuf,
    #[command(flatten)]
    pub tuning: Tuning,
    /// Number of this sender, to tell it from others at the same serving end
    #[arg(long, default_value_t = 0)]
    pub flow: u8,
    /// Bulk streams, and from when to when they send: `4@2-12`
    #[arg(long)]
    pub bulk: Option<Bulk>,
    /// From when to when commands are sent, in seconds: `0-2,6-12`
    #[arg(long, value_delimiter = ',')]
    pub commands: Vec<Span>,
}

/// What a system may be told of its task.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Tuning {
    /// Flow-control windows and send buffers; the system's own defaults when it is not given
    #[arg(long)]
    pub window_bytes: Option<u32>,
}

/// Bulk streams during a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bulk {
    pub streams: u8,
    pub span: Span,
}

/// Part of a plan, counted from when the sender is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from: Duration,
    pub to: Duration,
}

impl Span {
    pub fn new(from: Duration, to: Duration) -> Self {
        Self { from, to }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = |text: &str| {
            let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds <= SECONDS_MAX);
            seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        };
        let parts =
            text.split_once('-').and_then(|(from, to)| Some((seconds(from)?, seconds(to)?)));
        let (from, to) = parts.ok_or_else(|| format!("`{text}` is not FROM-TO in seconds"))?;
        if from < to {
            Ok(Self { from, to })
        } else {
            Err(format!("`{text}` ends before it begins"))
        }
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.from.as_secs_f64(), self.to.as_secs_f64())
    }
}

impl FromStr for Bulk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (streams, span) = text.split_once('@').ok_or("not STREAMS@FROM-TO")?;
        let streams = streams.parse().map_err(|error| format!("streams: {error}"))?;
        Ok(Self { streams, span: span.parse()? })
    }
}

impl std::fmt::Display for Bulk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.streams, self.span)
    }
}

/// A day: no measurement takes longer.
const SECONDS_MAX: f64 = 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_read_back_what_they_print() {
        for text in ["4@0-12.5", "1@2-3"] {
            assert_eq!(text.parse::<Bulk>().unwrap().to_string(), text);
        }
        for text in ["", "1", "2-1", "a-b", "0-1e9", "-1-2"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
