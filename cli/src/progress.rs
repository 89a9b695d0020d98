//! How far long work is: one line that changes on a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use terminal_size::terminal_size_of;

use crate::output::sanitize;

/// Shows what is being done until it is dropped. Threads may share it.
#[derive(Debug)]
pub(crate) struct Progress {
    steps_tx: Option<Sender<Step>>,
    painter: Option<JoinHandle<()>>,
}

/// What is done, and how far it is. A new phase is worth a line of its own, a detail is not.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    phase: String,
    detail: String,
}

/// Time between two paintings of a terminal's line.
const FRAME: Duration = Duration::from_millis(120);
/// Least time between two lines of the same phase where there is no terminal.
const LINE_PAUSE: Duration = Duration::from_secs(5);
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/// Width of a terminal that does not tell.
const WIDTH_DEFAULT: usize = 80;

impl Progress {
    pub(crate) fn start() -> Self {
        let (steps_tx, steps_rx) = mpsc::channel();
        let mut painter = Painter::new(io::stderr().is_terminal());
        let thread = thread::spawn(move || {
            loop {
                match steps_rx.recv_timeout(painter.pause()) {
                    Ok(step) => painter.take(step),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                painter.paint();
            }
            painter.clear();
        });
        Self { steps_tx: Some(steps_tx), painter: Some(thread) }
    }

    pub(crate) fn set(&self, phase: impl Into<String>, detail: impl Into<String>) {
        let step = Step { phase: phase.into(), detail: detail.into() };
        if let Some(steps_tx) = &self.steps_tx {
            // The painter ends after us, never before.
            let _ = steps_tx.send(step);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.steps_tx = None;
        if let Some(painter) = self.painter.take() {
            let _ = painter.join();
        }
    }
}

/// Owns the line on stderr.
struct Painter {
    is_terminal: bool,
    started: Instant,
    step: Option<Step>,
    frame: usize,
    /// The last line that was printed, and when, where there is no terminal.
    printed: Option<(Step, Instant)>,
}

impl Painter {
    fn new(is_terminal: bool) -> Self {
        Self { is_terminal, started: Instant::now(), step: None, frame: 0, printed: None }
    }

    fn pause(&self) -> Duration {
        if self.is_terminal { FRAME } else { LINE_PAUSE }
    }

    fn take(&mut self, step: Step) {
        self.step = Some(step);
    }

    fn paint(&mut self) {
        let Some(step) = self.step.clone() else { return };
        let text = if self.is_terminal {
            self.frame += 1;
            let line = terminal_line(&step, self.frame, self.started.elapsed());
            let width = terminal_size_of(io::stderr()).map_or(WIDTH_DEFAULT, |(w, _)| w.0.into());
            format!("\r{}\x1b[K", line.chars().take(width.saturating_sub(1)).collect::<String>())
        } else {
            if !is_due(self.printed.as_ref(), &step, Instant::now()) {
                return;
            }
            self.printed = Some((step.clone(), Instant::now()));
            format!("{}\n", plain_line(&step))
        };
        let _ = io::stderr().write_all(text.as_bytes());
    }

    fn clear(&self) {
        if self.is_terminal && self.step.is_some() {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

/// Whether a step is worth a line of its own now.
fn is_due(printed: Option<&(Step, Instant)>, step: &Step, now: Instant) -> bool {
    match printed {
        None => true,
        Some((last, _)) if last.phase != step.phase => true,
        Some((last, at)) => last.detail != step.detail && now - *at >= LINE_PAUSE,
    }
}

fn terminal_line(step: &Step, frame: usize, elapsed: Duration) -> String {
    let spinner = SPINNER[frame % SPINNER.len()];
    format!("{spinner} {} ({} s)", plain_line(step), elapsed.as_secs())
}

fn plain_line(step: &Step) -> String {
    let phase = sanitize::one_line(&step.phase);
    match step.detail.as_str() {
        "" => phase,
        detail => format!("{phase}: {}", sanitize::one_line(detail)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(phase: &str, detail: &str) -> Step {
        Step { phase: phase.to_owned(), detail: detail.to_owned() }
    }

    #[test]
    fn a_new_phase_is_a_line_at_once_and_a_detail_only_now_and_then() {
        let begin = Instant::now();
        let printed = (step("uploading", "1 of 9"), begin);
        let soon = begin + Duration::from_secs(1);
        let later = begin + LINE_PAUSE;
        assert!(is_due(None, &step("a", ""), begin));
        assert!(is_due(Some(&printed), &step("storing", ""), soon));
        assert!(!is_due(Some(&printed), &step("uploading", "2 of 9"), soon));
        assert!(is_due(Some(&printed), &step("uploading", "2 of 9"), later));
        assert!(!is_due(Some(&printed), &step("uploading", "1 of 9"), later));
    }

    #[test]
    fn a_line_has_the_phase_the_detail_and_the_time() {
        let line = terminal_line(&step("create-vm web1", "fetching\x1b[2J"), 0, FRAME * 100);
        assert_eq!(line, "⠋ create-vm web1: fetching\\x1b[2J (12 s)");
        assert_eq!(plain_line(&step("hashing", "")), "hashing");
    }
}
