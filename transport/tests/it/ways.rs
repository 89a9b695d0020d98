//! One session, whatever way its packets take: through TCP where UDP is blocked, over UDP again when
//! that works, from another port after a NAT has forgotten us. Nothing is lost, repeated or turned
//! around on the way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use novacron_protocol::codec;
use novacron_protocol::limits::FRAME_BYTES_MAX;
use novacron_protocol::wire::Class;
use novacron_transport::{Endpoint, EndpointOptions, IdentityStore, Session, Tcp, Way};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::cluster::{Cluster, accept_session, endpoint, endpoint_of, member, soon, until};

/// A network between a host and a member: one port for UDP and TCP, each of which can be blocked.
struct Network {
    addr: SocketAddr,
    udp_open: Arc<AtomicBool>,
    /// Of a thousand packets so many are lost, each way.
    lost_of_thousand: Arc<AtomicU64>,
    tcp_connections: Arc<AtomicU64>,
    /// Changing it makes the network use another port towards the member, as a NAT does that has
    /// forgotten a binding.
    rebind_tx: watch::Sender<()>,
}

impl Network {
    async fn to(member: SocketAddr) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(addr).await.unwrap();
        let network = Self {
            addr,
            udp_open: Arc::new(AtomicBool::new(true)),
            lost_of_thousand: Arc::default(),
            tcp_connections: Arc::default(),
            rebind_tx: watch::Sender::new(()),
        };
        let rebind_rx = network.rebind_tx.subscribe();
        let fate = Fate {
            open: Arc::clone(&network.udp_open),
            lost_of_thousand: Arc::clone(&network.lost_of_thousand),
            random: StdRng::seed_from_u64(7),
        };
        tokio::spawn(carry_udp(udp, member, fate, rebind_rx));
        tokio::spawn(carry_tcp(tcp, member, Arc::clone(&network.tcp_connections)));
        network
    }

    fn block_udp(&self) {
        self.udp_open.store(false, Ordering::Relaxed);
    }

    fn open_udp(&self) {
        self.udp_open.store(true, Ordering::Relaxed);
    }
}

/// What becomes of packets.
struct Fate {
    open: Arc<AtomicBool>,
    lost_of_thousand: Arc<AtomicU64>,
    random: StdRng,
}

impl Fate {
    fn lets_pass(&mut self) -> bool {
        let survives =
            self.random.random_range(0..1_000) >= self.lost_of_thousand.load(Ordering::Relaxed);
        survives && self.open.load(Ordering::Relaxed)
    }
}

async fn carry_udp(
    inside: UdpSocket,
    member: SocketAddr,
    mut fate: Fate,
    mut rebind_rx: watch::Receiver<()>,
) {
    let mut outside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut host = None;
    let (mut in_buffer, mut out_buffer) = ([0; 2_048], [0; 2_048]);
    loop {
        tokio::select! {
            Ok(()) = rebind_rx.changed() => {
                outside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            }
            Ok((length, from)) = inside.recv_from(&mut in_buffer) => {
                host = Some(from);
                if fate.lets_pass() {
                    let _ = outside.send_to(&in_buffer[..length], member).await;
                }
            }
            Ok((length, _)) = outside.recv_from(&mut out_buffer) => {
                if let Some(host) = host && fate.lets_pass() {
                    let _ = inside.send_to(&out_buffer[..length], host).await;
                }
            }
            else => return,
        }
    }
}

async fn carry_tcp(listener: TcpListener, member: SocketAddr, count: Arc<AtomicU64>) {
    while let Ok((mut host, _)) = listener.accept().await {
        count.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let mut member = TcpStream::connect(member).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut host, &mut member).await;
        });
    }
}

struct Setting {
    network: Network,
    host: Session,
    member: Session,
    _endpoints: [Endpoint; 2],
}

impl Setting {
    async fn new(prepare: impl FnOnce(&Network)) -> Self {
        let cluster = Cluster::new();
        let options = EndpointOptions { tcp: Tcp::Served, ..EndpointOptions::default() };
        let serving = endpoint_of(&IdentityStore::new(cluster.member(1)), options);
        let network = Network::to(serving.local_addr()).await;
        prepare(&network);
        let dialling = endpoint(cluster.host(1));
        let dial = dialling.connect(network.addr, member(1));
        let (host, member) = tokio::join!(dial, accept_session(&serving));
        Self { network, host: host.unwrap(), member, _endpoints: [dialling, serving] }
    }
}

/// Sends numbers both ways while `events` happen; all arrive, each once, in order.
async fn numbers_survive(setting: &Setting, class: Class, events: impl Future<Output = ()>) {
    let over = AtomicBool::new(false);
    let stream = async |from: &Session, to: &Session| {
        let send = async {
            let mut number = 0_u64;
            while !over.load(Ordering::Relaxed) {
                from.send(class, &(Some(number), vec![0_u8; 900])).await.unwrap();
                number += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            from.send(class, &(None::<u64>, Vec::<u8>::new())).await.unwrap();
        };
        let receive = async {
            for expected in 0.. {
                let frame = to.recv_class(class).await.unwrap();
                let message = codec::decode::<(Option<u64>, Vec<u8>)>(&frame, FRAME_BYTES_MAX);
                match message.unwrap().0 {
                    Some(number) => assert_eq!(number, expected),
                    None => return,
                }
            }
        };
        tokio::join!(send, receive);
    };
    let end = async {
        events.await;
        over.store(true, Ordering::Relaxed);
    };
    soon(async {
        tokio::join!(
            stream(&setting.host, &setting.member),
            stream(&setting.member, &setting.host),
            end
        )
    })
    .await;
}

#[tokio::test]
async fn where_udp_is_blocked_a_session_comes_up_through_tcp() {
    let setting = Setting::new(Network::block_udp).await;
    assert_eq!(setting.network.tcp_connections.load(Ordering::Relaxed), 1);
    numbers_survive(&setting, Class::Event, async {}).await;
    // The member knows where its peer really is.
    assert!(setting.member.remote_addr().is_ipv4());
}

#[tokio::test]
async fn a_session_changes_to_tcp_and_back_without_losing_a_message() {
    let setting = Setting::new(|_| ()).await;
    numbers_survive(&setting, Class::Event, async {
        assert_eq!(setting.network.tcp_connections.load(Ordering::Relaxed), 0);
        setting.network.block_udp();
        let sent = setting.host.stats().received_bytes;
        until(|| setting.network.tcp_connections.load(Ordering::Relaxed) == 1).await;
        until(|| setting.host.stats().received_bytes > sent + 20_000).await;
        setting.network.open_udp();
        // UDP is found to work when it is probed; the peer follows.
        let through_udp = setting.network.addr.ip();
        until(|| setting.host.stats().way == Way::Udp).await;
        until(|| setting.member.remote_addr().ip() == through_udp).await;
    })
    .await;
}

#[tokio::test]
async fn a_forgotten_nat_binding_costs_no_message() {
    let setting = Setting::new(|_| ()).await;
    numbers_survive(&setting, Class::Event, async {
        for _ in 0..5 {
            let before = setting.member.remote_addr();
            setting.network.rebind_tx.send_replace(());
            until(|| setting.member.remote_addr() != before).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_outage_shorter_than_the_idle_timeout_costs_no_message() {
    let setting = Setting::new(|_| ()).await;
    numbers_survive(&setting, Class::Event, async {
        setting.network.block_udp();
        // The network is down: waiting is the event.
        tokio::time::sleep(Duration::from_secs(2)).await;
        setting.network.open_udp();
    })
    .await;
}

#[tokio::test]
async fn commands_that_travel_twice_arrive_once_and_in_order() {
    let setting = Setting::new(|_| ()).await;
    numbers_survive(&setting, Class::Command, async {
        setting.network.lost_of_thousand.store(150, Ordering::Relaxed);
        until(|| setting.member.stats().lost_packets > 100).await;
        setting.network.lost_of_thousand.store(0, Ordering::Relaxed);
    })
    .await;
}
