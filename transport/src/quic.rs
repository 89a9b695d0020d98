//! How QUIC is set up: windows, streams, timeouts, and the secrets that outlive a restart.
//!
//! The windows follow one sum. What may stall for long are the seven class streams and
//! [`BODIES_MAX`] bodies, each holding at most [`STREAM_WINDOW`] unread bytes. The connection's
//! windows are larger than all of them together, so frames of other streams always get through: a
//! stalled bulk reader never blocks a command. Nothing is set aside for a window; it bounds what a
//! peer with a certificate can make us hold if all of these streams stall at once.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::{AckFrequencyConfig, Dir, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use ring::{digest, hmac};
use socket2::{Domain, Protocol, Socket, Type};

use crate::driver::{self, AcpFactory};
use crate::tls;
use crate::{Identity, IdentityStore};

/// Bodies that one side sends at once on a session; one more waits for its turn.
pub(crate) const BODIES_MAX: usize = 8;
/// Calls that one side may have open on a session; one more waits for its turn. Proposals that a
/// follower forwards wait a commit each, so there must be room for a burst.
pub(crate) const CALLS_MAX: u32 = 256;
/// Unread bytes of one stream. A lost packet holds up those behind it for a round trip, so one
/// stream takes two bandwidth-delay products and more: 500 Mbit/s at 300 ms.
const STREAM_WINDOW: u32 = 48 << 20;
/// Unread bytes of one connection. See the module's sum.
const CONNECTION_WINDOW: u32 = 736 << 20;
/// Unacknowledged bytes of one connection; what is written beyond waits with the driver.
const SEND_WINDOW: u64 = 64 << 20;
/// Most that a peer may wait with an acknowledgement. Shorter than QUIC's 25 ms, so that a lost
/// command that nothing follows is repeated sooner.
const ACK_DELAY_MAX: Duration = Duration::from_millis(5);
/// Second copies of urgent messages that wait on either side; older ones give way.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// Payload of the largest packet to look for: what fits 1,500 bytes with IPv4 and UDP.
const MTU_MAX: u16 = 1_472;
/// The same before the hello: a newcomer's frames fit.
const STRANGER_WINDOW: u32 = 64 << 10;
/// Class streams, and certificate updates in between.
const ONE_WAY_STREAMS_MAX: u32 = 16;
/// Longest round trip to assume before one was measured; shorter than QUIC's 333 ms, so that a lost first
/// packet is repeated soon. On slower paths it costs one repeated packet.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// UDP buffers to ask for; the kernel may give less.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Connection attempts that wait for the acceptor; more are refused.
const INCOMING_MAX: usize = 1024;
/// Early bytes kept for each of those, and for all.
const INCOMING_BYTES_MAX: u64 = 16 << 10;
const INCOMING_BYTES_TOTAL_MAX: u64 = 4 << 20;

/// A UDP socket with room for bursts.
pub(crate) fn socket(listen: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
    if listen.is_ipv6() && listen.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // Smaller buffers than asked for only cost speed.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.bind(&listen.into())?;
    Ok(socket.into())
}

/// Connection ids and stateless resets that a restarted endpoint of the same identity still
/// recognises: its peers learn with their next packet that their sessions are gone.
pub(crate) fn endpoint_config(identity: &Identity) -> quinn::EndpointConfig {
    let secret = identity.endpoint_secret();
    let mut config =
        quinn::EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)));
    let digest = digest::digest(&digest::SHA256, secret);
    let id_key = digest.as_ref().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)));
    // Ids are checked, so strangers cannot provoke resets; hundreds of agents may need one each.
    config.min_reset_interval(Duration::from_millis(1));
    config
}

/// For accepted connections: narrow until [`open_up`].
pub(crate) fn server_config(
    identity: &Arc<IdentityStore>,
    idle_timeout: Duration,
) -> quinn::ServerConfig {
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(tls::acceptor(identity))
        .expect("the provider has QUIC's initial suite");
    let mut transport = transport(idle_timeout);
    transport
        .receive_window(VarInt::from_u32(STRANGER_WINDOW))
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0));
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport))
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES_MAX)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL_MAX);
    config
}

/// For dialled connections. Only this side keeps the path alive; its peer hears of it.
pub(crate) fn client_config(
    tls: rustls::ClientConfig,
    idle_timeout: Duration,
) -> quinn::ClientConfig {
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls)
        .expect("the provider has QUIC's initial suite");
    let mut transport = transport(idle_timeout);
    transport
        .keep_alive_interval(Some(idle_timeout / 4))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .max_concurrent_bidi_streams(VarInt::from_u32(CALLS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(ONE_WAY_STREAMS_MAX));
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    config
}

/// Gives an accepted connection the room of a session, once the peer has proven who it is.
pub(crate) fn open_up(connection: &driver::Connection) {
    connection.set_receive_window(VarInt::from_u32(CONNECTION_WINDOW));
    // One more: the hello's stream counts until both sides have let go of it.
    connection.set_max_concurrent_streams(Dir::Bi, VarInt::from_u32(CALLS_MAX + 1));
    connection.set_max_concurrent_streams(Dir::Uni, VarInt::from_u32(ONE_WAY_STREAMS_MAX));
}

fn transport(idle_timeout: Duration) -> TransportConfig {
    let mut config = TransportConfig::default();
    let idle = IdleTimeout::try_from(idle_timeout).expect("an idle timeout is below 2^62 ms");
    let mut acks = AckFrequencyConfig::default();
    acks.max_ack_delay(Some(ACK_DELAY_MAX));
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(MTU_MAX);
    config
        .max_idle_timeout(Some(idle))
        .initial_rtt(INITIAL_RTT)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .send_window(SEND_WINDOW)
        .ack_frequency_config(Some(acks))
        .mtu_discovery_config(Some(mtu))
        .congestion_controller_factory(Arc::new(AcpFactory))
        .datagram_receive_buffer_size(Some(DATAGRAM_BYTES_MAX))
        .datagram_send_buffer_size(DATAGRAM_BYTES_MAX);
    config
}
