//! The lab's network: one bridge, members on it, each host behind a cable of its own.
//!
//! Everything is inside the lab's namespaces, so two labs may use the same addresses and nothing
//! of it is seen by the machine around them.

use std::net::Ipv4Addr;

use anyhow::Result;

use super::namespace::NetNamespace;

/// The lab's namespace with the bridge `br0`, where the members live.
#[derive(Debug)]
pub struct Network {
    pub net: NetNamespace,
}

impl Network {
    pub fn create(lab: &str, members: u8) -> Result<Self> {
        let net = NetNamespace::create(&namespace_name(lab))?;
        net.ip(&["link", "add", BRIDGE, "type", "bridge"])?;
        for member in 1..=members {
            net.ip(&["addr", "add", &format!("{}/24", member_address(member)), "dev", BRIDGE])?;
        }
        net.ip(&["link", "set", BRIDGE, "up"])?;
        Ok(Self { net })
    }

    /// Makes the namespace of host `host` and plugs its cable into the bridge.
    pub fn attach_host(&self, lab: &str, host: u8) -> Result<NetNamespace> {
        let net = NetNamespace::create(&host_namespace_name(lab, host))?;
        let port = port(host);
        let peer = ["type", "veth", "peer", "name", "eth0", "netns", net.name()];
        self.net.ip(&[&["link", "add", &port], peer.as_slice()].concat())?;
        self.net.ip(&["link", "set", &port, "master", BRIDGE, "up"])?;
        net.ip(&["addr", "add", &format!("{}/24", host_address(host)), "dev", "eth0"])?;
        net.ip(&["link", "set", "eth0", "up"])?;
        Ok(net)
    }

    /// Pulls the host's cable: no packet gets in or out.
    pub fn cut(&self, host: u8) -> Result<()> {
        self.net.ip(&["link", "set", &port(host), "down"]).map(drop)
    }

    /// Plugs the cable in again.
    pub fn heal(&self, host: u8) -> Result<()> {
        self.net.ip(&["link", "set", &port(host), "up"]).map(drop)
    }
}

pub fn member_address(member: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 10 + member)
}

pub fn host_address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 100 + host)
}

pub fn namespace_name(lab: &str) -> String {
    format!("nc-{lab}")
}

pub fn host_namespace_name(lab: &str, host: u8) -> String {
    format!("nc-{lab}-h{host}")
}

/// The lab that a namespace belongs to, if it is one of a lab.
pub fn lab_of(namespace: &str) -> Option<&str> {
    let rest = namespace.strip_prefix("nc-")?;
    let (lab, host) = rest.split_once('-').unwrap_or((rest, "h0"));
    let numbered = host.strip_prefix('h').is_some_and(|number| number.parse::<u8>().is_ok());
    (super::is_lab_name(lab) && numbered).then_some(lab)
}

fn port(host: u8) -> String {
    format!("h{host}")
}

const BRIDGE: &str = "br0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_names_its_lab_and_foreign_ones_do_not() {
        assert_eq!(lab_of(&namespace_name("demo")), Some("demo"));
        assert_eq!(lab_of(&host_namespace_name("demo", 3)), Some("demo"));
        for foreign in ["demo", "nc-", "nc-demo-x", "nc-demo-h", "nc-de.mo", "cni-demo", "nc-D"] {
            assert_eq!(lab_of(foreign), None, "{foreign}");
        }
    }
}
