//! How the demo speaks: one line a step, with the time it took, and the tables in between.
//!
//! On a terminal the line of the step under way ticks; elsewhere only finished steps are printed.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::lab::interrupt;

/// Prints the demo's story to standard output.
#[derive(Debug)]
pub struct Narrator {
    is_terminal: bool,
    step: Option<Step>,
    /// Whether the last thing said was a table, which wants air around it.
    is_after_table: bool,
}

/// The step under way.
#[derive(Debug)]
struct Step {
    label: String,
    begun: Instant,
    ticker: Option<(Sender<String>, JoinHandle<()>)>,
}

impl Default for Narrator {
    fn default() -> Self {
        Self::new()
    }
}

impl Narrator {
    pub fn new() -> Self {
        Self { is_terminal: io::stdout().is_terminal(), step: None, is_after_table: false }
    }

    pub fn title(&mut self, text: &str) {
        self.say(&format!("\n{} {text}\n", self.strong("NovaCron")));
    }

    pub fn note(&mut self, text: &str) {
        self.say(&format!("  ! {text}\n"));
    }

    /// Begins a step; `doing` says what happens now.
    pub fn step(&mut self, label: &str, doing: &str) {
        let begun = Instant::now();
        let ticker = self.is_terminal.then(|| {
            let (doing_tx, doing_rx) = mpsc::channel();
            let (label, doing) = (label.to_owned(), doing.to_owned());
            (doing_tx, thread::spawn(move || tick(&label, doing, begun, &doing_rx)))
        });
        self.step = Some(Step { label: label.to_owned(), begun, ticker });
    }

    /// Says what the step under way has come to.
    pub fn progress(&mut self, doing: &str) {
        if let Some(Step { ticker: Some((doing_tx, _)), .. }) = &self.step {
            // The ticker may be gone only when the step is.
            let _ = doing_tx.send(doing.to_owned());
        }
    }

    /// Ends the step with what was done.
    pub fn done(&mut self, what: &str) {
        let Some(step) = self.step.take() else { return };
        let took = self.faint(&format!("{:.1} s", step.begun.elapsed().as_secs_f64()));
        let label = step.label.clone();
        step.end();
        if std::mem::take(&mut self.is_after_table) {
            self.say("");
        }
        let mark = if self.is_terminal { "\x1b[32m✓\x1b[0m" } else { "✓" };
        self.say(&format!("  {mark} {label:<10} {what}  {took}"));
    }

    /// A command and what it answered.
    pub fn shows(&mut self, command: &str, answer: &str) {
        self.say(&format!("\n    {}", self.strong(&format!("$ {command}"))));
        for line in answer.trim_end().lines() {
            self.say(&format!("    {line}"));
        }
        self.is_after_table = true;
    }

    pub fn closing(&mut self, text: &str) {
        self.say(&format!("\n{text}\n"));
    }

    fn strong(&self, text: &str) -> String {
        if self.is_terminal { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn faint(&self, text: &str) -> String {
        if self.is_terminal { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn say(&self, text: &str) {
        let mut out = io::stdout().lock();
        // A reader that has closed the pipe misses the story, not the demo.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}

impl Step {
    fn end(self) {
        if let Some((doing_tx, ticker)) = self.ticker {
            drop(doing_tx);
            let _ = ticker.join();
        }
    }
}

impl Drop for Narrator {
    /// A step that failed leaves its line on the terminal.
    fn drop(&mut self) {
        if let Some(step) = self.step.take() {
            let label = step.label.clone();
            step.end();
            if !interrupt::is_interrupted() {
                self.say(&format!("  ✗ {label}"));
            }
        }
    }
}

fn tick(label: &str, mut doing: String, begun: Instant, doing_rx: &mpsc::Receiver<String>) {
    let mut out = io::stdout();
    loop {
        let seconds = begun.elapsed().as_secs_f64();
        let line = format!("\r\x1b[K  · {label:<10} {doing}  \x1b[2m{seconds:.1} s\x1b[0m");
        let _ = write!(out, "{line}").and_then(|()| out.flush());
        match doing_rx.recv_timeout(TICK) {
            Ok(next) => doing = next,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let _ = write!(out, "\r\x1b[K").and_then(|()| out.flush());
}

/// Often enough to look alive.
const TICK: Duration = Duration::from_millis(100);
