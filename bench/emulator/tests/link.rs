//! What the emulated link does to real sockets of the kernel. Root and `/dev/net/tun`, or nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use novacron_emulator::calibration::{Cell, Measured};
use novacron_emulator::{Alias, Direction, Emulator, Setup, Udp};
use novacron_link::{LinkConfig, Loss, Rate, Reorder};
use novacron_tests::lab::privilege::{Privilege, acquire_for_test};
use novacron_tests::wait;
use rustix::process::{Pid, Signal, kill_process};

const MS: fn(u64) -> Duration = Duration::from_millis;
const NOTHING: [u8; 0] = [];
const LIMIT: Duration = Duration::from_secs(20);

/// The turn of the test called `name`, if it can and should run in this process. One at a time: they
/// measure, and a machine busy with the others is not what they are to measure.
fn turn(name: &str) -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    if !Path::new("/dev/net/tun").exists() {
        eprintln!("{name}: skipped: there is no /dev/net/tun");
        return None;
    }
    match acquire_for_test(name) {
        Ok(Privilege::Root) => Some(TURN.lock().unwrap_or_else(PoisonError::into_inner)),
        Ok(Privilege::Delegated) => None,
        Err(error) => {
            eprintln!("{name}: skipped: {error:#}");
            None
        }
    }
}

fn link(config: LinkConfig) -> Emulator {
    Setup::symmetric(config, 1).create().expect("root can make a link")
}

/// A socket at each end that knows the other's address.
fn udp_pair(link: &Emulator) -> (UdpSocket, UdpSocket) {
    let bind = |end: &novacron_emulator::End| {
        let address = end.address();
        let socket = end.enter(|| UdpSocket::bind((address, 0))).expect("the end is there");
        let socket = socket.expect("the address is the end's");
        socket.set_read_timeout(Some(MS(500))).expect("it can wait");
        socket
    };
    let (a, b) = (bind(link.a()), bind(link.b()));
    a.connect(b.local_addr().expect("it is bound")).expect("there is a route");
    (a, b)
}

/// Sends `datagrams` from `from`, and says which arrive until none has for half a second.
fn arrivals(from: &UdpSocket, to: &UdpSocket, datagrams: u8, bytes: usize) -> Vec<u8> {
    for number in 0..datagrams {
        from.send(&vec![number; bytes]).expect("the device takes it");
    }
    let mut buffer = [0; 65_536];
    std::iter::from_fn(|| to.recv(&mut buffer).ok().map(|_| buffer[0])).collect()
}

fn namespaces() -> Vec<String> {
    let entries = fs::read_dir("/run/netns").into_iter().flatten();
    entries.map(|entry| entry.expect("it lists").file_name().to_string_lossy().into()).collect()
}

#[test]
fn bytes_cross_a_bad_link_unchanged() {
    let Some(_turn) = turn("bytes_cross_a_bad_link_unchanged") else { return };
    let mut config =
        LinkConfig::path(Rate::mbps(200.0), MS(10), Loss::Random { probability: 0.005 }, 2.0);
    config.reorder = Reorder { probability: 0.01, by: MS(1) };
    config.duplicate = 0.01;
    let link = link(config);
    let listener = link.b().enter(|| TcpListener::bind((link.b().address(), 0)));
    let listener = listener.expect("the end is there").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let sent: Vec<u8> =
        (0..4_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let received = thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let (mut stream, _) = listener.accept().expect("a client comes");
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).expect("it reads to the end");
            bytes
        });
        let stream = link.a().enter(|| TcpStream::connect(address)).expect("the end is there");
        stream.expect("it connects").write_all(&sent).expect("it sends all");
        receiver.join().expect("the receiver does not panic")
    });
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    let traffic = link.traffic(Direction::AToB);
    assert!(traffic.link.lost > 0 && traffic.link.duplicated > 0, "{traffic:?}");
    assert!(traffic.reads < traffic.link.entered / 2, "offloads work: {traffic:?}");
}

#[test]
fn a_round_trip_takes_the_delays_of_both_directions() {
    let Some(_turn) = turn("a_round_trip_takes_the_delays_of_both_directions") else { return };
    let there = LinkConfig { delay: MS(30), ..LinkConfig::default() };
    let back = LinkConfig { delay: MS(10), ..LinkConfig::default() };
    let setup = Setup { b_to_a: back, ..Setup::symmetric(there, 1) };
    let link = setup.create().expect("root can make a link");
    let (a, b) = udp_pair(&link);
    for socket in [&a, &b] {
        socket.set_read_timeout(Some(LIMIT)).expect("it can wait");
    }
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            let start = Instant::now();
            a.send(b"there").expect("the device takes it");
            let (_, from) = b.recv_from(&mut [0; 9]).expect("it arrives");
            b.send_to(b"back", from).expect("the device takes it");
            a.recv(&mut [0; 9]).expect("it comes back");
            start.elapsed()
        })
        .collect();
    times.sort();
    // Their median: other work on the machine makes some late, and none early.
    let error = times[10].as_secs_f64() / 0.040 - 1.0;
    assert!(error.abs() < 0.02, "{times:?}");
}

#[test]
fn blocked_udp_vanishes_while_tcp_works() {
    let Some(_turn) = turn("blocked_udp_vanishes_while_tcp_works") else { return };
    let link = link(LinkConfig::default());
    let (a, b) = udp_pair(&link);
    assert_eq!(arrivals(&a, &b, 3, 100), [0, 1, 2]);
    link.set_udp(Udp::Blocked);
    assert_eq!(arrivals(&a, &b, 3, 100), NOTHING);
    assert_eq!(link.traffic(Direction::AToB).blocked, 3);
    let listener = link.b().enter(|| TcpListener::bind((link.b().address(), 0)));
    let listener = listener.expect("the end is there").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let tcp = link.a().enter(|| TcpStream::connect(address)).expect("the end is there");
    assert!(tcp.is_ok(), "{tcp:?}");
    link.set_udp(Udp::Open);
    assert_eq!(arrivals(&a, &b, 2, 100), [0, 1]);
}

#[test]
fn large_packets_vanish_in_an_mtu_black_hole_and_all_in_a_blackout() {
    let Some(_turn) = turn("large_packets_vanish_in_an_mtu_black_hole_and_all_in_a_blackout")
    else {
        return;
    };
    let link = link(LinkConfig::default());
    let (a, b) = udp_pair(&link);
    assert_eq!(arrivals(&a, &b, 2, 1_472), [0, 1], "1,500 with its headers");
    link.shrink_mtu(1_280);
    assert_eq!(arrivals(&a, &b, 2, 1_253), NOTHING);
    assert_eq!(arrivals(&a, &b, 2, 1_252), [0, 1]);
    assert_eq!(link.traffic(Direction::AToB).link.too_big, 2);
    link.black_out(Duration::from_secs(3_600));
    assert_eq!(arrivals(&a, &b, 4, 100), NOTHING);
    link.configure(Direction::AToB, |config| config.blackouts.clear());
    assert_eq!(arrivals(&a, &b, 1, 100), [0]);
    assert_eq!(link.traffic(Direction::AToB).link.blacked_out, 4);
}

#[test]
fn a_rebinding_shows_a_from_elsewhere_and_forgets_where_it_was() {
    let Some(_turn) = turn("a_rebinding_shows_a_from_elsewhere_and_forgets_where_it_was") else {
        return;
    };
    let link = link(LinkConfig::default());
    let (a, b) = udp_pair(&link);
    let own = a.local_addr().expect("it is bound");
    let seen = |link: &Emulator, alias: Option<Alias>| {
        link.set_alias(alias);
        a.send(b"where am I").expect("the device takes it");
        let (_, from) = b.recv_from(&mut [0; 16]).expect("it arrives");
        b.send_to(b"there", from).expect("the device takes it");
        a.recv(&mut [0; 16]).expect("the answer finds back");
        from
    };
    assert_eq!(seen(&link, None), own);
    let first = Alias { address: Ipv4Addr::new(10, 78, 0, 50), port_shift: 1_000 };
    let shifted = SocketAddr::from((first.address, own.port().wrapping_add(1_000)));
    assert_eq!(seen(&link, Some(first)), shifted);
    let second = Alias { address: own_v4(own), port_shift: 1 };
    assert_eq!(seen(&link, Some(second)), SocketAddr::from((own.ip(), own.port().wrapping_add(1))));
    b.send_to(b"too late", shifted).expect("the device takes it");
    let unmapped = || Ok(link.traffic(Direction::BToA).unmapped == 1);
    wait::for_true("the old mapping to take a datagram", LIMIT, unmapped).expect("it is gone");
}

fn own_v4(address: SocketAddr) -> Ipv4Addr {
    match address {
        SocketAddr::V4(address) => *address.ip(),
        SocketAddr::V6(address) => panic!("{address}"),
    }
}

#[test]
fn nothing_is_left_of_a_link() {
    let Some(_turn) = turn("nothing_is_left_of_a_link") else { return };
    let ours = format!("nclink-{}-", std::process::id());
    let link = link(LinkConfig::default());
    let mut child =
        link.a().command("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("it starts");
    wait::for_true("the child to be at its end of the link", LIMIT, || {
        let inside = fs::read_link(format!("/proc/{}/ns/net", child.id()))?;
        Ok(inside != fs::read_link("/proc/self/ns/net")?)
    })
    .expect("it enters");
    assert!(namespaces().iter().any(|name| name.starts_with(&ours)));
    drop(link);
    assert!(!child.wait().expect("it is ours").success(), "it was killed");
}

#[test]
fn what_a_killed_program_left_is_swept() {
    let Some(_turn) = turn("what_a_killed_program_left_is_swept") else { return };
    // A pid that is no more, and stays so while its zombie is not reaped.
    let mut dead = std::process::Command::new("true").spawn().expect("it starts");
    dead.wait().expect("it is ours");
    let orphan = format!("nclink-{}-0a", dead.id());
    novacron_tests::lab::namespace::NetNamespace::create(&orphan).expect("root can make one");
    assert!(namespaces().contains(&orphan));
    drop(link(LinkConfig::default()));
    assert!(!namespaces().contains(&orphan));
}

#[test]
fn rate_delay_and_loss_are_what_was_asked_for() {
    let Some(_turn) = turn("rate_delay_and_loss_are_what_was_asked_for") else { return };
    for (mbps, rtt, loss_percent) in [(20.0, 50, 1.0), (100.0, 150, 5.0), (200.0, 10, 0.0)] {
        let cell = Cell { mbps, rtt: MS(rtt), loss_percent };
        // Whatever else runs on the machine disturbs one measurement, but not each.
        let mut attempts: Vec<Measured> = Vec::new();
        while attempts.len() < 4 && !attempts.last().is_some_and(|last| last.is_within(0.02)) {
            attempts.push(cell.measure(MS(1_000)).expect("it is measured"));
        }
        assert!(attempts.last().is_some_and(|last| last.is_within(0.02)), "{attempts:#?}");
    }
}

#[test]
fn an_end_that_changes_its_address_is_reached_at_the_new_one() {
    let Some(_turn) = turn("an_end_that_changes_its_address_is_reached_at_the_new_one") else {
        return;
    };
    let link = link(LinkConfig::default());
    let any = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0));
    let a = link.a().enter(any).expect("the end is there").expect("a port is free");
    let (_, b) = udp_pair(&link);
    let to = b.local_addr().expect("it is bound");
    let seen_from = || {
        a.send_to(b"here I am", to).expect("there is a route");
        let (_, from) = b.recv_from(&mut [0; 16]).expect("it arrives");
        b.send_to(b"I see", from).expect("there is a route");
        a.set_read_timeout(Some(MS(500))).expect("it can wait");
        a.recv(&mut [0; 16]).expect("the answer finds back");
        from.ip()
    };
    assert_eq!(seen_from(), link.a().address());
    let other = Ipv4Addr::new(10, 78, 0, 33);
    link.a().add_address(other).expect("it is free");
    link.a().remove_address(link.a().address()).expect("it was there");
    assert_eq!(seen_from(), other);
}

#[test]
fn ctrl_c_takes_the_link_down() {
    let Some(_turn) = turn("ctrl_c_takes_the_link_down") else { return };
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_novacron-link"))
        .args(["run", "--rate", "10"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut said = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    // The second line is the last thing that it says before it waits.
    let line = said.nth(1).expect("it tells of both ends").expect("it is text");
    let ours = format!("nclink-{}-", child.id());
    assert!(line.contains(&ours), "{line}");
    assert_eq!(namespaces().iter().filter(|name| name.starts_with(&ours)).count(), 2);
    let pid =
        Pid::from_raw(i32::try_from(child.id()).expect("a pid fits")).expect("it is not zero");
    kill_process(pid, Signal::INT).expect("it runs");
    assert_eq!(child.wait().expect("it is ours").code(), Some(130));
    assert!(!namespaces().iter().any(|name| name.starts_with(&ours)));
}
