//! `novacron host`: the machines that VMs run on.

use clap::Subcommand;
use novacron_protocol::api::host::{CordonHost, HostView, Resources};
use novacron_protocol::host::Connectivity;

use super::metrics;
use crate::client::Answer;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output::age;
use crate::output::table::{Cell, Fields, Table, Tone};
use crate::resolve;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List hosts
    List,
    /// Show one host
    Show {
        /// Name or id of the host
        host: String,
    },
    /// Place no new VMs on a host; those on it stay
    Cordon {
        /// Name or id of the host
        host: String,
        /// Why, for whoever wonders
        #[arg(long, default_value = "cordoned by an operator")]
        reason: String,
    },
    /// Place new VMs on a host again
    Uncordon {
        /// Name or id of the host
        host: String,
    },
    /// Forget a host that has no VMs; its agent is refused from then on
    Remove {
        /// Name or id of the host
        host: String,
    },
    /// Show what a host uses now, and the shape of the last hour
    Metrics {
        /// Name or id of the host
        host: String,
    },
}

pub(crate) fn run(invocation: &Invocation, verb: Verb) -> Result<(), Failure> {
    let client = invocation.client()?;
    match verb {
        Verb::List => {
            let hosts = client.list::<HostView>("/hosts")?;
            invocation.output.show(&hosts.value, || Ok(list(invocation, &hosts.view)))
        }
        Verb::Show { host } => {
            let host = resolve::find::<HostView>(&client, &host)?;
            invocation.output.show(&host.value, || Ok(show(invocation, &host.view)))
        }
        Verb::Cordon { host, reason } => {
            let host = resolve::find::<HostView>(&client, &host)?;
            let target = format!("/hosts/{}/cordon", host.view.id);
            let host: Answer<HostView> = client.post(&target, &CordonHost { reason })?;
            let people = || Ok(format!("{} takes no new VMs\n", host.view.name));
            invocation.output.show(&host.value, people)
        }
        Verb::Uncordon { host } => {
            let host = resolve::find::<HostView>(&client, &host)?;
            let target = format!("/hosts/{}/uncordon", host.view.id);
            let host: Answer<HostView> = client.post_empty(&target)?;
            invocation
                .output
                .show(&host.value, || Ok(format!("{} takes VMs again\n", host.view.name)))
        }
        Verb::Remove { host } => {
            let host = resolve::find::<HostView>(&client, &host)?;
            client.delete(&format!("/hosts/{}", host.view.id))?;
            invocation.output.show(&host.value, || Ok(format!("{} is removed\n", host.view.name)))
        }
        Verb::Metrics { host } => metrics::host(invocation, &client, &host),
    }
}

pub(crate) fn tone(connectivity: Connectivity) -> Tone {
    match connectivity {
        Connectivity::Joining => Tone::Plain,
        Connectivity::Connected => Tone::Good,
        Connectivity::Disconnected => Tone::Warn,
        Connectivity::Down => Tone::Bad,
    }
}

/// `3/16`, of what may be handed out.
fn share(capacity: Option<&Resources>, used: String, of: impl Fn(&Resources) -> String) -> Cell {
    Cell::new(capacity.map_or(used.clone(), |capacity| format!("{used}/{}", of(capacity))))
}

fn list(invocation: &Invocation, hosts: &[HostView]) -> String {
    let mut table = Table::new(&[
        "NAME", "STATE", ">SINCE", "CORDON", ">VMS", ">CPUS", ">MEMORY", ">DISK", "ID",
    ]);
    let ids: Vec<String> = hosts.iter().map(|host| host.id.to_string()).collect();
    for (host, id) in hosts.iter().zip(resolve::short_ids(&ids)) {
        let (capacity, used) = (host.capacity.as_ref(), &host.allocated);
        table.row(vec![
            Cell::new(&host.name),
            Cell::toned(host.connectivity, tone(host.connectivity)),
            Cell::new(age::since(host.connectivity_since, invocation.now)),
            match host.cordon {
                Some(_) => Cell::toned("cordoned", Tone::Warn),
                None => Cell::dim("-"),
            },
            Cell::new(host.vms),
            share(capacity, used.cpus.to_string(), |capacity| capacity.cpus.to_string()),
            share(capacity, used.memory.to_string(), |capacity| capacity.memory.to_string()),
            share(capacity, used.disk.to_string(), |capacity| capacity.disk.to_string()),
            Cell::dim(id),
        ]);
    }
    invocation.output.table_or(&table, "no hosts; `novacron token create --role host` begins one")
}

fn show(invocation: &Invocation, host: &HostView) -> String {
    let now = invocation.now;
    let mut fields = Fields::default();
    let state = format!("{} for {}", host.connectivity, age::since(host.connectivity_since, now));
    let amounts = |of: &Resources| format!("{} CPUs, {}, {} disk", of.cpus, of.memory, of.disk);
    fields
        .push("name", Cell::new(&host.name))
        .push("id", Cell::new(host.id))
        .push("state", Cell::toned(state, tone(host.connectivity)))
        .push("cordon", Cell::or_dash(host.cordon.as_ref()))
        .push("hypervisor", Cell::or_dash(host.hypervisor.as_ref()))
        .push("agent", Cell::or_dash(host.agent_version.as_ref()))
        .push("labels", Cell::or_dash(Some(&host.labels)))
        .push("VMs", Cell::new(host.vms))
        .push("capacity", Cell::or_dash(host.capacity.as_ref().map(amounts)))
        .push("allocated", Cell::new(amounts(&host.allocated)))
        .push("free", Cell::new(amounts(&host.free)))
        .push("joined", Cell::new(host.joined_at));
    invocation.output.fields(&fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::fixture::invocation;
    use serde_json::json;

    fn host(name: &str, id: u32, connectivity: &str) -> HostView {
        let amounts =
            |cpus: u32, gib: u64| json!({ "cpus": cpus, "memory": gib << 30, "disk": gib << 33 });
        let is_known = connectivity != "joining";
        serde_json::from_value(json!({
            "id": format!("0192ab{id:02}-0000-7000-8000-000000000000"),
            "name": name,
            "connectivity": connectivity,
            "connectivity_since": "2026-11-21T08:37:00.000Z",
            "cordon": is_known.then_some("new disks"),
            "agent_version": is_known.then_some("0.1.0"),
            "hypervisor": is_known.then_some("QEMU 7.2.0 via libvirt 9.0.0 (tcg)"),
            "capacity": is_known.then(|| amounts(16, 32)),
            "allocated": amounts(3, 2),
            "free": amounts(13, 30),
            "labels": { "zone": "a" },
            "vms": 2,
            "joined_at": "2026-11-20T08:37:00.000Z",
            "etag": 9,
        }))
        .unwrap()
    }

    #[test]
    fn a_list_tells_disconnected_from_down_and_used_from_offered() {
        let hosts =
            [host("h1", 1, "connected"), host("h2", 2, "disconnected"), host("h3", 3, "joining")];
        insta::assert_snapshot!(list(&invocation(), &hosts), @r"
        NAME  STATE         SINCE  CORDON    VMS  CPUS        MEMORY            DISK  ID
        h1    connected        3m  cordoned    2  3/16  2 GiB/32 GiB  16 GiB/256 GiB  0192ab01
        h2    disconnected     3m  cordoned    2  3/16  2 GiB/32 GiB  16 GiB/256 GiB  0192ab02
        h3    joining          3m  -           2     3         2 GiB          16 GiB  0192ab03
        ");
        insta::assert_snapshot!(show(&invocation(), &hosts[0]), @r"
        name:        h1
        id:          0192ab01-0000-7000-8000-000000000000
        state:       connected for 3m
        cordon:      new disks
        hypervisor:  QEMU 7.2.0 via libvirt 9.0.0 (tcg)
        agent:       0.1.0
        labels:      zone=a
        VMs:         2
        capacity:    16 CPUs, 32 GiB, 256 GiB disk
        allocated:   3 CPUs, 2 GiB, 16 GiB disk
        free:        13 CPUs, 30 GiB, 240 GiB disk
        joined:      2026-11-20T08:37:00.000Z
        ");
    }
}
