//! The round-trip time of a link beside whatever uses it, measured with small datagrams that
//! belong to none of the systems under test.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Subcommand;
use novacron_workload::Event;
use novacron_workload::clock::now_us;

use super::exchange::{Teller, Told};
use super::place::Places;
use super::programs::Programs;
use crate::samples::Samples;

/// One end of a ping.
#[derive(Debug, Subcommand)]
pub(crate) enum End {
    /// Send back what comes
    Serve {
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Send a datagram every 20 ms
    Send {
        #[arg(long)]
        to: SocketAddr,
        #[arg(long)]
        seconds: f64,
    },
}

pub(crate) fn run(end: &End) -> Result<()> {
    match end {
        End::Serve { listen } => serve(*listen),
        End::Send { to, seconds } => send(*to, Duration::try_from_secs_f64(*seconds)?),
    }
}

fn serve(listen: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind(listen).with_context(|| format!("listen on {listen}"))?;
    Event::Listening { address: socket.local_addr()? }.tell();
    let mut datagram = [0; DATAGRAM_BYTES];
    loop {
        let (len, from) = socket.recv_from(&mut datagram)?;
        socket.send_to(&datagram[..len], from)?;
    }
}

fn send(to: SocketAddr, length: Duration) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("bind a socket")?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let open = Arc::new(Mutex::new(BTreeSet::new()));
    let (receiving, waiting) = (socket.try_clone()?, Arc::clone(&open));
    let receiver = thread::spawn(move || receive(&receiving, &waiting));
    Event::Connected { at_us: now_us() }.tell();
    let began = Instant::now();
    let mut due = began;
    while due < began + length {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut datagram = [0; DATAGRAM_BYTES];
        let sent_us = now_us();
        datagram[..8].copy_from_slice(&sent_us.to_be_bytes());
        open.lock().unwrap_or_else(PoisonError::into_inner).insert(sent_us);
        socket.send(&datagram)?;
        due += PING_EVERY;
    }
    // It ends when nothing comes any more.
    let _ = receiver.join();
    let lost = open.lock().unwrap_or_else(PoisonError::into_inner);
    lost.iter().for_each(|sent_us| Event::Unanswered { sent_us: *sent_us }.tell());
    Event::Done { at_us: now_us() }.tell();
    Ok(())
}

fn receive(socket: &UdpSocket, open: &Mutex<BTreeSet<u64>>) {
    let mut datagram = [0; DATAGRAM_BYTES];
    while let Ok(len) = socket.recv(&mut datagram) {
        let Some(stamp) = datagram[..len].first_chunk() else { continue };
        let sent_us = u64::from_be_bytes(*stamp);
        if open.lock().unwrap_or_else(PoisonError::into_inner).remove(&sent_us) {
            let round_trip_us = now_us().saturating_sub(sent_us);
            Event::Command { sent_us, one_way_us: round_trip_us / 2, round_trip_us }.tell();
        }
    }
}

/// A ping that runs beside a measurement.
#[derive(Debug)]
pub(crate) struct Ping {
    _server: Teller,
    sender: Teller,
}

impl Ping {
    pub(super) fn start(
        programs: &Programs,
        places: &Places,
        dir: &Path,
        length: Duration,
    ) -> Result<Self> {
        let argv = |end: &str, rest: [String; 2]| {
            let mut argv = vec![programs.own.to_string_lossy().into_owned()];
            argv.extend(["dwcp-ping".to_owned(), end.to_owned()]);
            argv.extend(rest);
            argv
        };
        let listen = SocketAddr::new(places.far.address, 0).to_string();
        let serve = argv("serve", ["--listen".to_owned(), listen]);
        let mut server = Teller::start(&places.far, serve, None, &dir.join("pong.log"))?;
        let address = server.wait_for(START_LIMIT, |event| match event {
            Event::Listening { address } => Some(*address),
            _ => None,
        })?;
        let mut send = argv("send", ["--to".to_owned(), address.to_string()]);
        send.extend(["--seconds".to_owned(), length.as_secs_f64().to_string()]);
        let sender = Teller::start(&places.near, send, None, &dir.join("ping.log"))?;
        Ok(Self { _server: server, sender })
    }

    /// Round-trip times of what was sent within the window and came back; what a link loses has
    /// none.
    pub(super) fn round_trips(&self, from_us: u64, to_us: u64) -> Result<Samples> {
        let told = Told { events: self.sender.events()? };
        let answered = told.events.iter().filter_map(|event| match event {
            Event::Command { sent_us, round_trip_us, .. } if (from_us..to_us).contains(sent_us) => {
                Some(Duration::from_micros(*round_trip_us))
            }
            _ => None,
        });
        Ok(answered.collect())
    }
}

const DATAGRAM_BYTES: usize = 64;
const PING_EVERY: Duration = Duration::from_millis(20);
/// No queue that is measured here is longer.
const PATIENCE: Duration = Duration::from_secs(5);
const START_LIMIT: Duration = Duration::from_secs(20);
