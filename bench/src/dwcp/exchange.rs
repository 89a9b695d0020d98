//! One measurement: a serving end, its senders, and what both told.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use novacron_protocol::wire::Class;
use novacron_workload::arguments::Bulk;
use novacron_workload::{Event, Span};

use super::Bench;
use super::place::{Place, Places};
use super::system::System;
use crate::program::Program;
use crate::samples::Samples;
use crate::usage::Cpu;

/// What a sender does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// Tells senders at one serving end apart.
    pub(super) flow: u8,
    pub(super) bulk: Option<Bulk>,
    pub(super) commands: Vec<Span>,
    /// What bulk is sent as, for who knows classes.
    pub(super) class: Option<Class>,
}

impl Plan {
    pub(super) fn bulk(streams: u8, from: Duration, to: Duration) -> Self {
        Self { bulk: Some(Bulk { streams, span: Span::new(from, to) }), ..Self::default() }
    }
}

/// A system's ends on a network.
#[derive(Debug)]
pub(crate) struct Exchange {
    system: System,
    places: Places,
    window_bytes: Option<u32>,
    address: SocketAddr,
    dir: PathBuf,
    server: Teller,
    senders: Vec<Teller>,
}

/// A program whose log is its events.
#[derive(Debug)]
pub(crate) struct Teller {
    program: Program,
    log: PathBuf,
}

impl Exchange {
    /// Starts the serving end.
    pub(super) fn start(
        bench: &Bench,
        system: System,
        places: &Places,
        window_bytes: Option<u32>,
    ) -> Result<Self> {
        let dir = bench.new_dir(system.as_str())?;
        let listen = SocketAddr::new(places.far.address, 0);
        let argv = system.serve(&bench.programs, listen, &dir);
        let server = Teller::start(&places.far, argv, window_bytes, &dir.join("serve.log"))?;
        let mut this = Self {
            system,
            places: places.clone(),
            window_bytes,
            address: listen,
            dir,
            server,
            senders: Vec::new(),
        };
        this.address = this.server.wait_for(START_LIMIT, |event| match event {
            Event::Listening { address } => Some(*address),
            _ => None,
        })?;
        Ok(this)
    }

    /// Starts a sender; gives when its plan began, on the clock of the events.
    pub(super) fn send(&mut self, bench: &Bench, plan: &Plan) -> Result<u64> {
        let argv = self.system.send(&bench.programs, self.address, &self.dir, plan);
        let log = self.dir.join(format!("send-{}.log", plan.flow));
        let sender = Teller::start(&self.places.near, argv, self.window_bytes, &log)?;
        self.senders.push(sender);
        let sender = self.senders.last_mut().expect("it was just added");
        sender.wait_for(CONNECT_LIMIT, |event| match event {
            Event::Connected { at_us } => Some(*at_us),
            _ => None,
        })
    }

    /// Waits until every sender's plan is over, `plan_length` after the last was started.
    pub(super) fn finish(&mut self, plan_length: Duration) -> Result<Told> {
        for sender in &mut self.senders {
            sender.wait_for(plan_length + END_LIMIT, |event| match event {
                Event::Done { .. } => Some(()),
                _ => None,
            })?;
        }
        let mut events = self.server.events()?;
        for sender in &self.senders {
            events.extend(sender.events()?);
        }
        Ok(Told { events })
    }

    /// Processor time of all ends so far.
    pub(super) fn cpu(&self) -> Result<Vec<Cpu>> {
        self.senders.iter().chain([&self.server]).map(|teller| teller.program.cpu()).collect()
    }
}

impl Teller {
    /// Starts `argv` at `place`.
    pub(super) fn start(
        place: &Place,
        argv: Vec<String>,
        window_bytes: Option<u32>,
        log: &Path,
    ) -> Result<Self> {
        let mut all = place.entry.clone();
        all.extend(argv);
        if let Some(window) = window_bytes {
            all.extend(["--window-bytes".to_owned(), window.to_string()]);
        }
        let program = Program::start("an end of a measurement", &all, &[], log)?;
        Ok(Self { program, log: log.to_owned() })
    }

    /// Waits for the first event that `wanted` takes.
    pub(super) fn wait_for<T>(
        &mut self,
        limit: Duration,
        wanted: impl Fn(&Event) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = self.events()?.iter().find_map(&wanted) {
                return Ok(found);
            }
            // Its last words may have come since.
            if let Err(error) = self.program.expect_running() {
                return self.events()?.iter().find_map(&wanted).ok_or(error);
            }
            if Instant::now() > deadline {
                bail!(
                    "nothing was heard within {limit:?}; see the end of the log:\n{}",
                    self.tail()
                );
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    pub(super) fn events(&self) -> Result<Vec<Event>> {
        let text = fs::read_to_string(&self.log)
            .with_context(|| format!("read {}", self.log.display()))?;
        // What is not an event is a complaint; a line that is being written is not one yet.
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    fn tail(&self) -> String {
        novacron_tests::lab::process::tail(&self.log, 1024).unwrap_or_default()
    }
}

/// What the ends of a measurement told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(super) events: Vec<Event>,
}

impl Told {
    /// Bytes that arrived of a sender within a window, and the seconds that they were counted for:
    /// whole intervals of the serving end.
    pub(super) fn received(&self, flow: u8, from_us: u64, to_us: u64) -> (u64, f64) {
        let marks: Vec<(u64, u64)> = self.arrivals(flow);
        let mut counted = marks.iter().filter(|(at, _)| (from_us..=to_us).contains(at));
        // The first mark's bytes came before it.
        let Some((began, _)) = counted.next() else { return (0, 0.0) };
        let (mut bytes, mut end) = (0, *began);
        for (at, more) in counted {
            bytes += more;
            end = *at;
        }
        (bytes, (end - began) as f64 / 1e6)
    }

    /// Megabits a second of a sender within a window; nothing at all when nothing came.
    pub(super) fn mbps(&self, flow: u8, from_us: u64, to_us: u64) -> f64 {
        let (bytes, seconds) = self.received(flow, from_us, to_us);
        if seconds > 0.0 { bytes as f64 * 8.0 / 1e6 / seconds } else { 0.0 }
    }

    /// When how many bytes had come of a sender since the time before.
    pub(super) fn arrivals(&self, flow: u8) -> Vec<(u64, u64)> {
        let of_flow = |event: &Event| match event {
            Event::Bytes { at_us, flow: of, bytes } if *of == flow => Some((*at_us, *bytes)),
            _ => None,
        };
        self.events.iter().filter_map(of_flow).collect()
    }

    /// Latencies of the commands that were sent within a window.
    pub(super) fn commands(&self, from_us: u64, to_us: u64) -> Commands {
        let mut commands = Commands::default();
        let (mut one_way, mut round_trip) = (Vec::new(), Vec::new());
        for event in &self.events {
            match event {
                Event::Command { sent_us, one_way_us, round_trip_us }
                    if (from_us..to_us).contains(sent_us) =>
                {
                    one_way.push(Duration::from_micros(*one_way_us));
                    round_trip.push(Duration::from_micros(*round_trip_us));
                }
                Event::Unanswered { sent_us } if (from_us..to_us).contains(sent_us) => {
                    commands.unanswered += 1;
                    // They took at least this long.
                    one_way.push(UNANSWERED);
                    round_trip.push(UNANSWERED);
                }
                _ => {}
            }
        }
        commands.one_way = one_way.into_iter().collect();
        commands.round_trip = round_trip.into_iter().collect();
        commands
    }
}

/// Latencies of commands.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    pub(super) one_way: Samples,
    pub(super) round_trip: Samples,
    pub(super) unanswered: usize,
}

const LOOK_EVERY: Duration = Duration::from_millis(20);
const START_LIMIT: Duration = Duration::from_secs(20);
/// At 5 % loss and 300 ms a handshake may need several tries.
const CONNECT_LIMIT: Duration = Duration::from_secs(40);
/// From the end of a plan to the end of its sender, unanswered commands included.
const END_LIMIT: Duration = Duration::from_secs(20);
/// How long a command counts for that was not answered: as long as was waited.
const UNANSWERED: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told {
        let bytes = |tenth: u64, bytes| Event::Bytes { at_us: tenth * 100_000, flow: 1, bytes };
        Told { events: vec![bytes(1, 9), bytes(2, 10), bytes(3, 20), bytes(4, 30), bytes(5, 99)] }
    }

    #[test]
    fn bytes_count_for_the_intervals_that_are_inside_the_window() {
        let (bytes, seconds) = told().received(1, 150_000, 450_000);
        assert_eq!(bytes, 50, "those that came from 0.2 to 0.4");
        assert!((seconds - 0.2).abs() < 1e-9);
        assert_eq!(told().received(2, 0, 500_000).0, 0);
    }

    #[test]
    fn a_command_without_an_answer_is_a_slow_one() {
        let answered = Event::Command { sent_us: 5, one_way_us: 10, round_trip_us: 20 };
        let told = Told { events: vec![answered, Event::Unanswered { sent_us: 6 }] };
        let commands = told.commands(0, 10);
        assert_eq!((commands.one_way.max(), commands.unanswered), (UNANSWERED, 1));
        assert_eq!(told.commands(0, 6).one_way.max(), Duration::from_micros(10));
    }
}
