//! One client: a connection, one request under way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::grpc::Grpc;
use super::https::{Admin, Https};
use super::quic::{Dialler, Quic};
use crate::fleet::cluster::Cluster;

/// Bytes of a value.
pub(super) const VALUE_BYTES: usize = 256;

/// What is asked, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Quic,
    Https,
    HttpsRead,
    Grpc,
    GrpcRead,
}

impl Door {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::Https | Self::HttpsRead => "https",
            Self::Grpc | Self::GrpcRead => "grpc",
        }
    }

    pub(super) fn kind(self) -> &'static str {
        if self.is_read() { "read" } else { "write" }
    }

    pub(super) fn system(self) -> &'static str {
        match self {
            Self::Quic | Self::Https | Self::HttpsRead => "novacron",
            Self::Grpc | Self::GrpcRead => "etcd",
        }
    }

    pub(super) fn is_read(self) -> bool {
        matches!(self, Self::HttpsRead | Self::GrpcRead)
    }
}

/// Where the requests go.
pub(super) struct Target {
    pub(super) door: Door,
    /// Of one member for writes, of all for reads.
    addresses: Vec<SocketAddr>,
    admin: Option<Arc<Admin>>,
    dialler: Option<Dialler>,
}

impl Target {
    pub(super) fn ours(cluster: &Cluster, leader: usize, door: Door) -> Result<Self> {
        let site = &cluster.sites[leader];
        let addresses = match door {
            Door::HttpsRead => cluster.sites.iter().map(|site| site.api).collect(),
            Door::Quic => vec![site.quic],
            _ => vec![site.api],
        };
        let data = &cluster.sites[0].data;
        let admin = Arc::new(Admin::read(data, site.api)?);
        let dialler = match door {
            Door::Quic => Some(Dialler::new(data, admin.host)?),
            _ => None,
        };
        Ok(Self { door, addresses, admin: Some(admin), dialler })
    }

    pub(super) fn etcd(clients: &[SocketAddr], leader: usize, door: Door) -> Self {
        let addresses = match door {
            Door::GrpcRead => clients.to_vec(),
            _ => vec![clients[leader]],
        };
        Self { door, addresses, admin: None, dialler: None }
    }

    /// As many clients, each with its own connection, or its share of one where a protocol is made
    /// for sharing.
    pub(super) async fn connect(&self, count: usize) -> Result<Vec<Client>> {
        let mut clients = Vec::new();
        for number in 0..count {
            let address = self.addresses[number % self.addresses.len()];
            let link = match (self.door, &self.admin, &self.dialler) {
                (Door::Quic, _, Some(dialler)) => {
                    Link::Quic(dialler.client(address, number).await?)
                }
                (Door::Https | Door::HttpsRead, Some(admin), _) => {
                    Link::Https(Box::new(Https::connect(admin, address).await?))
                }
                _ => Link::Grpc(Grpc::connect(address, number).await?),
            };
            clients.push(Client { door: self.door, link, number: number as u64 });
        }
        Ok(clients)
    }
}

enum Link {
    Quic(Quic),
    Https(Box<Https>),
    Grpc(Grpc),
}

pub(super) struct Client {
    door: Door,
    link: Link,
    number: u64,
}

/// What a client got done.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) latencies: Vec<Duration>,
    pub(super) failed: u64,
}

impl Client {
    /// One request after the other.
    pub(super) async fn work(mut self, until: Instant) -> (Self, Done) {
        let mut done = Done::default();
        let mut round = 0_u64;
        while Instant::now() < until {
            let began = Instant::now();
            match self.once(round).await {
                Ok(()) => done.latencies.push(began.elapsed()),
                Err(error) => {
                    done.failed += 1;
                    eprintln!("bench: {error:#}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            round += 1;
        }
        (self, done)
    }

    async fn once(&mut self, round: u64) -> Result<()> {
        let is_read = self.door.is_read();
        let value = if is_read { String::new() } else { value(self.number, round) };
        match &mut self.link {
            Link::Quic(quic) => quic.write(&value).await,
            Link::Https(https) if is_read => https.read().await,
            Link::Https(https) => https.write(&value).await,
            Link::Grpc(grpc) if is_read => grpc.range().await,
            Link::Grpc(grpc) => grpc.put(value.as_bytes()).await,
        }
    }
}

/// 256 bytes that are not the same twice.
fn value(client: u64, round: u64) -> String {
    format!("{client:08}-{round:012}-{:x<1$}", "", VALUE_BYTES - 22)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_same_length_and_differ() {
        assert_eq!(value(0, 0).len(), VALUE_BYTES);
        assert_eq!(value(255, 1_000_000).len(), VALUE_BYTES);
        assert_ne!(value(1, 2), value(2, 1));
    }
}
