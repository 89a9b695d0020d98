//! The socket's receiver and the list of its connections.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quinn::{ClientConfig, ConnectError, ConnectionError, EndpointConfig, ServerConfig, VarInt};
use quinn_proto::{
    ConnectionEvent, ConnectionHandle, DatagramEvent, EcnCodepoint, EndpointEvent, Transmit,
};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::connection::{self, Connecting, Connection};
use super::socket::{Received, Socket, ecn};
use super::tunnels::{self, Dialler};
use super::ways::Ways;

pub(super) use novacron_transport_core::fallback::Way;

/// A bound socket and what is connected through it. Clones are handles to the same one. When the
/// last is dropped nobody new is let in, and the socket goes when the last connection has gone.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

/// Somebody who wants to connect.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// Always there until it is decided.
    quic: Option<quinn_proto::Incoming>,
    endpoint: Arc<Shared>,
}

/// What handles, connections and the receiver share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) ways: Ways,
    /// Somebody wants to connect, or nobody is let in any more.
    arrived: Notify,
    /// The last connection has gone.
    idle: Notify,
    /// Nobody needs the endpoint any more, perhaps.
    left: Notify,
}

struct State {
    quic: quinn_proto::Endpoint,
    connections: HashMap<ConnectionHandle, Arc<connection::Shared>>,
    incoming: VecDeque<quinn_proto::Incoming>,
    closed: Option<(VarInt, Bytes)>,
    abandoned: bool,
    ipv6: bool,
}

/// Receive calls in a row before other tasks get their turn.
const RECEIVES_PER_TURN: usize = 8;
/// After an error of the socket that is not about one packet.
const RETRY_AFTER: Duration = Duration::from_millis(10);

impl Endpoint {
    /// Takes a socket. Must be called inside a tokio runtime.
    pub(crate) fn new(
        config: EndpointConfig,
        server: Option<ServerConfig>,
        socket: std::net::UdpSocket,
    ) -> io::Result<Self> {
        let socket = Socket::new(socket)?;
        let quic = quinn_proto::Endpoint::new(
            Arc::new(config),
            server.map(Arc::new),
            !socket.may_fragment(),
            None,
        );
        let state = State {
            quic,
            connections: HashMap::new(),
            incoming: VecDeque::new(),
            closed: None,
            abandoned: false,
            ipv6: socket.local_addr()?.is_ipv6(),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            ways: Ways::new(socket),
            arrived: Notify::new(),
            idle: Notify::new(),
            left: Notify::new(),
        });
        tokio::spawn(Arc::clone(&shared).receive());
        Ok(Self(Arc::new(Handle { shared })))
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.shared.ways.udp.local_addr()
    }

    /// Starts to dial over UDP, and with `tunnel` over TCP where UDP stays silent.
    pub(crate) fn connect(
        &self,
        config: ClientConfig,
        addr: SocketAddr,
        name: &str,
        tunnel: rustls::ClientConfig,
    ) -> Result<Connecting, ConnectError> {
        let shared = &self.0.shared;
        let mut state = shared.lock();
        if state.closed.is_some() {
            return Err(ConnectError::EndpointStopping);
        }
        if addr.is_ipv6() && !state.ipv6 {
            return Err(ConnectError::InvalidRemoteAddress(addr));
        }
        let addr = if state.ipv6 { mapped(addr) } else { addr };
        let (handle, quic) = state.quic.connect(Instant::now(), config, addr, name)?;
        let dialler = Dialler::new(addr, tunnel);
        Ok(Connecting(shared.admit(&mut state, handle, quic, Some(dialler))))
    }

    /// The next who wants to connect; `None` after [`Self::close`].
    pub(crate) async fn accept(&self) -> Option<Incoming> {
        let shared = &self.0.shared;
        loop {
            let mut arrived = std::pin::pin!(shared.arrived.notified());
            arrived.as_mut().enable();
            {
                let mut state = shared.lock();
                if let Some(quic) = state.incoming.pop_front() {
                    return Some(Incoming { quic: Some(quic), endpoint: Arc::clone(shared) });
                }
                if state.closed.is_some() {
                    return None;
                }
            }
            arrived.await;
        }
    }

    /// Also lets sessions in through TCP, for peers whose network blocks UDP.
    pub(crate) fn serve_tunnels(
        &self,
        listener: std::net::TcpListener,
        tls: rustls::ServerConfig,
    ) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        tokio::spawn(tunnels::accept(Arc::clone(&self.0.shared), listener, tls));
        Ok(())
    }

    /// Ends all connections and lets nobody in any more.
    pub(crate) fn close(&self, code: VarInt, reason: &[u8]) {
        let shared = &self.0.shared;
        let reason = Bytes::copy_from_slice(reason);
        let connections: Vec<_> = {
            let mut state = shared.lock();
            state.closed.get_or_insert((code, reason.clone()));
            state.connections.values().cloned().collect()
        };
        shared.arrived.notify_waiters();
        for connection in connections {
            connection.close(code, reason.clone());
        }
    }

    /// Waits until all connections have gone, last packets included.
    pub(crate) async fn wait_idle(&self) {
        let shared = &self.0.shared;
        loop {
            let mut idle = std::pin::pin!(shared.idle.notified());
            idle.as_mut().enable();
            if shared.lock().connections.is_empty() {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().abandoned = true;
        self.shared.left.notify_waiters();
    }
}

impl Incoming {
    pub(crate) fn remote_address(&self) -> SocketAddr {
        self.endpoint.ways.real_address(self.quic().remote_address())
    }

    /// Whether the newcomer can be asked to prove its address.
    pub(crate) fn may_retry(&self) -> bool {
        self.quic().may_retry()
    }

    /// Lets the newcomer in, as far as the handshake.
    pub(crate) fn accept(mut self) -> Result<Connecting, ConnectionError> {
        let mut answer = Vec::new();
        let mut state = self.endpoint.lock();
        let quic = self.quic.take().expect("it is decided once");
        match state.quic.accept(quic, Instant::now(), &mut answer, None) {
            Ok((handle, quic)) => {
                Ok(Connecting(self.endpoint.admit(&mut state, handle, quic, None)))
            }
            Err(error) => {
                if let Some(transmit) = error.response {
                    self.endpoint.respond(&transmit, &answer);
                }
                Err(error.cause)
            }
        }
    }

    /// Has the newcomer prove its address first. Only if it [may](Self::may_retry) be asked;
    /// otherwise it is refused.
    pub(crate) fn retry(mut self) {
        let mut answer = Vec::new();
        let mut state = self.endpoint.lock();
        let quic = self.quic.take().expect("it is decided once");
        let transmit = match state.quic.retry(quic, &mut answer) {
            Ok(transmit) => transmit,
            Err(error) => state.quic.refuse(error.into_incoming(), &mut answer),
        };
        self.endpoint.respond(&transmit, &answer);
    }

    fn quic(&self) -> &quinn_proto::Incoming {
        self.quic.as_ref().expect("it is decided once, and then gone")
    }
}

/// Nobody has decided: the newcomer is refused.
impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(quic) = self.quic.take() {
            let mut answer = Vec::new();
            let transmit = self.endpoint.lock().quic.refuse(quic, &mut answer);
            self.endpoint.respond(&transmit, &answer);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when the last handle and the last connection have gone.
    pub(super) async fn gone(&self) {
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            left.as_mut().enable();
            {
                let state = self.lock();
                if state.abandoned && state.connections.is_empty() {
                    return;
                }
            }
            left.await;
        }
    }

    /// Takes in what a connection has for the endpoint; the answers are for that connection.
    pub(super) fn handle_events(
        &self,
        handle: ConnectionHandle,
        events: Vec<EndpointEvent>,
    ) -> Vec<ConnectionEvent> {
        if events.is_empty() {
            return Vec::new();
        }
        let mut state = self.lock();
        let mut answers = Vec::new();
        for event in events {
            if event.is_drained() {
                self.remove(&mut state, handle);
            }
            answers.extend(state.quic.handle_event(handle, event));
        }
        answers
    }

    /// A connection's driver has ended.
    pub(super) fn forget(&self, handle: ConnectionHandle) {
        let mut state = self.lock();
        if self.remove(&mut state, handle) {
            state.quic.handle_event(handle, EndpointEvent::drained());
        }
    }

    fn remove(&self, state: &mut State, handle: ConnectionHandle) -> bool {
        let removed = state.connections.remove(&handle).is_some();
        if state.connections.is_empty() {
            self.idle.notify_waiters();
            self.left.notify_waiters();
        }
        removed
    }

    fn admit(
        self: &Arc<Self>,
        state: &mut State,
        handle: ConnectionHandle,
        quic: quinn_proto::Connection,
        dialler: Option<Dialler>,
    ) -> Connection {
        let connection = Connection::start(quic, handle, Arc::clone(self), dialler);
        state.connections.insert(handle, Arc::clone(connection.shared()));
        if let Some((code, reason)) = &state.closed {
            connection.close(*code, reason);
        }
        connection
    }

    /// An answer to somebody who is not connected. When the socket is full it is dropped, as on
    /// the way: who asks will ask again.
    fn respond(&self, transmit: &Transmit, bytes: &[u8]) {
        if let Err(error) = self.ways.try_send(transmit, bytes) {
            tracing::debug!(to = %transmit.destination, "an answer was not sent: {error}");
        }
    }

    /// Receives until nobody needs the endpoint any more.
    async fn receive(self: Arc<Self>) {
        tokio::select! {
            () = self.gone() => {}
            never = self.receive_all() => match never {},
        }
    }

    async fn receive_all(&self) -> Infallible {
        let socket = &self.ways.udp;
        let mut received = Received::new();
        let mut events = Vec::new();
        loop {
            let mut taken = socket.receive(&mut received).await;
            for _ in 0..RECEIVES_PER_TURN {
                match taken {
                    Ok(()) => self.route(&received, &mut events),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // What ICMP says about one peer is no reason to stop listening.
                    Err(error) => {
                        tracing::debug!("cannot receive: {error}");
                        tokio::time::sleep(RETRY_AFTER).await;
                        break;
                    }
                }
                taken = socket.try_receive(&mut received);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Hands what the socket has brought to its connections.
    fn route(&self, received: &Received, events: &mut Events) {
        let now = Instant::now();
        let mut state = self.lock();
        for (meta, bytes) in received.runs() {
            let mut run = BytesMut::from(bytes);
            while !run.is_empty() {
                let packet = run.split_to(meta.stride.min(run.len()));
                let from = Origin { addr: meta.addr, to: meta.dst_ip, mark: meta.ecn.map(ecn) };
                events.extend(self.route_packet(&mut state, now, from, packet));
            }
        }
        deliver(state, Way::Udp, events);
    }

    /// Hands a packet that came through a tunnel to its connection.
    pub(super) fn route_one(&self, way: Way, addr: SocketAddr, packet: BytesMut) {
        let mut state = self.lock();
        let from = Origin { addr, to: None, mark: None };
        let event = self.route_packet(&mut state, Instant::now(), from, packet);
        deliver(state, way, &mut event.into_iter().collect());
    }

    /// Finds whom a packet is for, and answers those whom nobody knows.
    fn route_packet(
        &self,
        state: &mut State,
        now: Instant,
        from: Origin,
        packet: BytesMut,
    ) -> Option<(ConnectionHandle, ConnectionEvent)> {
        let mut answer = Vec::new();
        match state.quic.handle(now, from.addr, from.to, from.mark, packet, &mut answer) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => return Some((handle, event)),
            Some(DatagramEvent::NewConnection(incoming)) if state.closed.is_none() => {
                state.incoming.push_back(incoming);
                self.arrived.notify_waiters();
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                let transmit = state.quic.refuse(incoming, &mut answer);
                self.respond(&transmit, &answer);
            }
            Some(DatagramEvent::Response(transmit)) => self.respond(&transmit, &answer),
            None => {}
        }
        None
    }
}

/// Where a packet came from.
struct Origin {
    addr: SocketAddr,
    /// Which of our addresses it was sent to.
    to: Option<IpAddr>,
    mark: Option<EcnCodepoint>,
}

type Events = Vec<(ConnectionHandle, ConnectionEvent)>;

/// Hands events to their connections, those of one connection in a row at once.
fn deliver(state: MutexGuard<'_, State>, way: Way, events: &mut Events) {
    let runs: Vec<_> = events
        .chunk_by(|left, right| left.0 == right.0)
        .map(|run| (state.connections.get(&run[0].0).cloned(), run.len()))
        .collect();
    drop(state);
    let mut events = events.drain(..).map(|(_, event)| event);
    for (connection, count) in runs {
        let run = events.by_ref().take(count);
        match connection {
            Some(connection) => connection.handle_events(way, run),
            // It has drained in between.
            None => run.for_each(drop),
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        for incoming in self.incoming.drain(..) {
            self.quic.ignore(incoming);
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("connections", &self.connections.len())
            .finish_non_exhaustive()
    }
}

/// An address as a dual-stack socket knows it.
fn mapped(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V4(v4) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into(),
        SocketAddr::V6(_) => addr,
    }
}
