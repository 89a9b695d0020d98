//! One end of the link: a network namespace with an address on the link's device.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};
use novacron_tests::lab::namespace::NetNamespace;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::tun::Tun;

/// One end of the link. What runs there sees a loopback and one device, `link0`.
#[derive(Debug)]
pub struct End {
    namespace: NetNamespace,
    handle: File,
    address: Ipv4Addr,
}

impl End {
    /// Makes the namespace; no device yet.
    pub(crate) fn create(namespace: &str, address: Ipv4Addr) -> Result<Self> {
        let namespace = NetNamespace::create(namespace)?;
        let path = format!("/run/netns/{}", namespace.name());
        let handle = File::open(&path).with_context(|| format!("open {path}"))?;
        Ok(Self { namespace, handle, address })
    }

    /// Makes the link's device.
    pub(crate) fn plug(&self, device_mtu_bytes: usize) -> Result<Tun> {
        let tun = self.enter(|| -> Result<Tun> {
            for (name, value) in SETTINGS {
                // What this kernel does not have, it does not do either.
                if fs::metadata(name).is_ok() {
                    fs::write(name, value).with_context(|| format!("set {name}"))?;
                }
            }
            Tun::create(DEVICE).context("make a TUN device")
        })??;
        self.add_address(self.address)?;
        let (mtu, queue) = (device_mtu_bytes.to_string(), DEVICE_QUEUE_PACKETS.to_string());
        self.namespace.ip(&["link", "set", DEVICE, "mtu", &mtu, "txqueuelen", &queue, "up"])?;
        Ok(tun)
    }

    /// The address that it was made with.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Of its namespace, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        self.namespace.name()
    }

    /// `ip -n <this namespace> <args>`.
    pub fn ip(&self, args: &[&str]) -> Result<String> {
        self.namespace.ip(args)
    }

    /// Gives the device one more address, as a second interface would.
    pub fn add_address(&self, address: Ipv4Addr) -> Result<()> {
        self.ip(&["addr", "add", &format!("{address}/24"), "dev", DEVICE]).map(drop)
    }

    /// Takes an address away, as when an interface is left.
    pub fn remove_address(&self, address: Ipv4Addr) -> Result<()> {
        self.ip(&["addr", "del", &format!("{address}/24"), "dev", DEVICE]).map(drop)
    }

    /// A command that runs at this end. It is killed when the emulator goes.
    pub fn command(&self, program: &str) -> Command {
        let entry = self.namespace.entry();
        let mut command = Command::new(&entry[0]);
        command.args(&entry[1..]).arg(program);
        command
    }

    /// Runs `work` on a thread at this end, and waits for it. Sockets made there stay there, whoever
    /// uses them later.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| self.join_thread().map(|()| work()));
            match inside.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Moves the calling thread to this end for good, as for a runtime's own threads. Not the main
    /// thread: the program's children would be there too, and killed with the namespace.
    pub fn join_thread(&self) -> Result<()> {
        let is_main = rustix::thread::gettid() == rustix::process::getpid();
        ensure!(!is_main, "the main thread cannot move to an end of a link");
        move_into_link_name_space(self.handle.as_fd(), Some(LinkNameSpaceType::Network))
            .context("enter a network namespace")
    }

    /// Packets that the kernel dropped before the emulator saw them: any is a machine too slow.
    pub fn overrun(&self) -> Result<u64> {
        let table = self.enter(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
        overrun_in(&table).context("find the link in the table of devices")
    }

    pub(crate) fn remove(&self) -> Result<()> {
        self.namespace.remove()
    }
}

/// The column of dropped packets on their way out, in `/proc/net/dev`.
fn overrun_in(table: &str) -> Option<u64> {
    let fields = table.lines().find_map(|line| line.trim().strip_prefix(DEVICE)?.strip_prefix(':'));
    fields?.split_whitespace().nth(11)?.parse().ok()
}

const DEVICE: &str = "link0";
/// The model's queue is to be the only one that drops: this one takes a second of a sender's
/// bursts on a stalled machine.
const DEVICE_QUEUE_PACKETS: u32 = 20_000;
const SETTINGS: [(&str, &str); 5] = [
    // Taking the first address away leaves the others, as an interface's switch does.
    ("/proc/sys/net/ipv4/conf/all/promote_secondaries", "1"),
    // Neighbour discovery would be traffic that nobody sent.
    ("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"),
    ("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"),
    // 500 Mbit/s at 300 ms keep 19 MB under way, and TCP wants thrice that in its buffers; with the
    // defaults its own limit would be measured instead of its congestion control.
    ("/proc/sys/net/ipv4/tcp_rmem", "4096 131072 134217728"),
    ("/proc/sys/net/ipv4/tcp_wmem", "4096 131072 134217728"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_on_the_way_out_are_found_in_the_table() {
        let table = "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame \
                     compressed multicast|bytes packets errs drop fifo colls carrier compressed\n\
                     \x20   lo:  1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n\
                     \x20link0: 1 2 3 4 5 6 7 8 9 10 11 42 13 14 15 16\n";
        assert_eq!(overrun_in(table), Some(42));
        assert_eq!(overrun_in("link0 down"), None);
    }
}
