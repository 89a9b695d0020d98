//! `novacron vm`: the machines themselves.

mod view;

use std::io::{self, IsTerminal as _};

use clap::{Args, Subcommand, ValueEnum};
use novacron_protocol::api::ProblemCode;
use novacron_protocol::api::image::ImageView;
use novacron_protocol::api::vm::{
    CreateVm, Explanation, StartChoice, StopVm, VmAccepted, VmDryRun, VmView,
};
use novacron_protocol::limits::{CONSOLE_TAIL_BYTES_MAX, VCPUS_MAX, VCPUS_MIN};
use novacron_protocol::vm::{StopMode, VmSpec};
use novacron_protocol::{ByteCount, Labels, Name, VcpuCount};

use super::metrics;
use crate::client::{Answer, Call, Client, encode};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output::sanitize;
use crate::resolve;
use crate::wait::{self, Detach};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Create a VM, place it and start it
    #[command(after_help = "Examples:
  novacron vm create web1 --image debian
  novacron vm create db1 --image debian --cpus 4 --memory 8GiB --disk 40GiB --host-label disk=nvme
  novacron vm create web1 --image debian --dry-run")]
    Create(Create),
    /// List VMs
    #[command(after_help = "Examples:
  novacron vm list --state failed
  novacron vm list --host rack1-a --label tier=web -o yaml")]
    List(Filter),
    /// Show one VM: what it should be, and what was last seen of it
    Show {
        /// Name or id of the VM
        vm: String,
    },
    /// Start a VM
    Start {
        /// Name or id of the VM
        vm: String,
        #[command(flatten)]
        detach: Detach,
    },
    /// Stop a VM: press its power button, and pull the cord 10 s later
    Stop {
        /// Name or id of the VM
        vm: String,
        #[command(flatten)]
        stop: Halt,
    },
    /// Stop a VM and start it again
    Restart {
        /// Name or id of the VM
        vm: String,
        #[command(flatten)]
        stop: Halt,
    },
    /// Delete a VM and its disks
    Delete {
        /// Name or id of the VM
        vm: String,
        #[command(flatten)]
        detach: Detach,
    },
    /// Say why a VM is where it is, or why it waits: each host's reasons for and against
    Explain {
        /// Name or id of the VM
        vm: String,
    },
    /// Show what a VM uses now, and the shape of the last hour
    Metrics {
        /// Name or id of the VM
        vm: String,
    },
    /// Print the newest part of a VM's serial console
    ///
    /// On a terminal, control characters are shown and not obeyed, because the guest writes them.
    #[command(after_help = "Examples:
  novacron vm console web1 --tail 4KiB
  novacron vm console web1 --raw > web1.log")]
    Console {
        /// Name or id of the VM
        vm: String,
        /// How much of it, at most 256KiB
        #[arg(long, value_name = "BYTES", default_value = "64KiB", value_parser = tail)]
        tail: ByteCount,
        /// Pass every byte to the terminal as it is
        #[arg(long)]
        raw: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Name of the VM: lower-case letters, digits and inner hyphens
    name: Name,
    /// Name or id of the image it boots from
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// Virtual CPUs
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(i64::from(VCPUS_MIN)..=i64::from(VCPUS_MAX)))]
    cpus: u32,
    /// Memory, such as 512MiB or 2GiB
    #[arg(long, value_name = "SIZE", default_value = "512MiB")]
    memory: ByteCount,
    /// Size of the root disk, not below the image's [default: that of the image's disk]
    #[arg(long, value_name = "SIZE")]
    disk: Option<ByteCount>,
    /// Label of the VM; may be given again
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<String>,
    /// Label that a host must have to run it; may be given again
    #[arg(long = "host-label", value_name = "KEY=VALUE", value_parser = pair)]
    host_labels: Vec<String>,
    /// Place it, and do not start it
    #[arg(long)]
    stopped: bool,
    /// Say where it would go, and change nothing
    #[arg(long, conflicts_with = "detach")]
    dry_run: bool,
    #[command(flatten)]
    detach: Detach,
}

#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Only those on this host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Only those in this state, such as running, failed or unknown
    #[arg(long)]
    state: Option<State>,
    /// Only those with this label; may be given again
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum State {
    Pending,
    Placed,
    Preparing,
    Stopped,
    Running,
    Paused,
    Stopping,
    Failed,
    Deleting,
    Unknown,
}

#[derive(Debug, Args)]
pub(crate) struct Halt {
    /// Pull the cord at once
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    detach: Detach,
}

/// A label as it was typed; what a label may be is checked for all of them together.
fn pair(text: &str) -> Result<String, String> {
    Labels::from_pairs([text]).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn tail(text: &str) -> Result<ByteCount, String> {
    let bytes: ByteCount =
        text.parse().map_err(|error: novacron_protocol::unit::SizeError| error.to_string())?;
    match usize::try_from(bytes.0) {
        Ok(1..=CONSOLE_TAIL_BYTES_MAX) => Ok(bytes),
        _ => Err(format!("1 B to {} can be had", ByteCount(CONSOLE_TAIL_BYTES_MAX as u64))),
    }
}

pub(crate) fn run(invocation: &Invocation, verb: Verb) -> Result<(), Failure> {
    let client = invocation.client()?;
    match verb {
        Verb::Create(create) => self::create(invocation, &client, create),
        Verb::List(filter) => {
            let vms = client.list::<VmView>(&filter.target())?;
            invocation.output.show(&vms.value, || Ok(view::list(invocation, &vms.view)))
        }
        Verb::Show { vm } => {
            let vm = resolve::find::<VmView>(&client, &vm)?;
            invocation.output.show(&vm.value, || Ok(view::show(invocation, &vm.view)))
        }
        Verb::Start { vm, detach } => {
            let change = |target: &str| client.post_empty(&format!("{target}/start"));
            self::change(invocation, &client, &vm, detach, change)
        }
        Verb::Stop { vm, stop } => {
            let change = |target: &str| client.post(&format!("{target}/stop"), &stop.request());
            self::change(invocation, &client, &vm, stop.detach, change)
        }
        Verb::Restart { vm, stop } => {
            let change = |target: &str| client.post(&format!("{target}/restart"), &stop.request());
            self::change(invocation, &client, &vm, stop.detach, change)
        }
        Verb::Delete { vm, detach } => {
            let change = |target: &str| client.delete(target)?.json();
            self::change(invocation, &client, &vm, detach, change)
        }
        Verb::Explain { vm } => {
            let vm = resolve::find::<VmView>(&client, &vm)?;
            let target = format!("/vms/{}/explain", vm.view.id);
            let explanation: Answer<Explanation> = client.get(&target)?;
            let people = || Ok(view::explain(invocation, &vm.view.name, &explanation.view));
            invocation.output.show(&explanation.value, people)
        }
        Verb::Metrics { vm } => metrics::vm(invocation, &client, &vm),
        Verb::Console { vm, tail, raw } => console(invocation, &client, &vm, tail, raw),
    }
}

impl Filter {
    fn target(&self) -> String {
        let state = self.state.as_ref().and_then(State::to_possible_value);
        let labels = self.labels.iter().map(|label| ("label", label.clone()));
        let query: Vec<String> = labels
            .chain(self.host.iter().map(|host| ("host", host.clone())))
            .chain(state.iter().map(|state| ("state", state.get_name().to_owned())))
            .map(|(key, value)| format!("{key}={}", encode(&value)))
            .collect();
        if query.is_empty() { "/vms".to_owned() } else { format!("/vms?{}", query.join("&")) }
    }
}

impl Halt {
    fn request(&self) -> StopVm {
        StopVm { mode: if self.force { StopMode::Force } else { StopMode::Graceful } }
    }
}

fn create(invocation: &Invocation, client: &Client, create: Create) -> Result<(), Failure> {
    let labels = |option: &str, pairs: &[String]| {
        Labels::from_pairs(pairs.iter().map(String::as_str))
            .map_err(|error| Failure::new(format!("{option}: {error}")))
    };
    let image = resolve::find::<ImageView>(client, &create.image)?;
    let spec = VmSpec {
        cpus: VcpuCount(create.cpus),
        memory: create.memory,
        image: image.view.id,
        disk: create.disk,
        labels: labels("--label", &create.labels)?,
        host_labels: labels("--host-label", &create.host_labels)?,
    };
    let start = if create.stopped { StartChoice::LeaveStopped } else { StartChoice::Start };
    let request = CreateVm { name: create.name, spec, start };
    if create.dry_run {
        let run: Answer<VmDryRun> = client.post("/vms?dry_run=true", &request)?;
        let people = || Ok(view::dry_run(invocation, &request.name, &run.view));
        return invocation.output.show(&run.value, people);
    }
    let accepted: Answer<VmAccepted> = client.post("/vms", &request)?;
    see_through(invocation, client, &request.name, accepted, create.detach)
}

/// Resolves a VM, asks for a change of it, and sees that through.
fn change(
    invocation: &Invocation,
    client: &Client,
    vm: &str,
    detach: Detach,
    ask: impl FnOnce(&str) -> Result<Answer<VmAccepted>, crate::client::ClientError>,
) -> Result<(), Failure> {
    let vm = resolve::find::<VmView>(client, vm)?;
    let accepted = ask(&format!("/vms/{}", vm.view.id))?;
    see_through(invocation, client, &vm.view.name, accepted, detach)
}

fn see_through(
    invocation: &Invocation,
    client: &Client,
    name: &Name,
    accepted: Answer<VmAccepted>,
    detach: Detach,
) -> Result<(), Failure> {
    let operation = wait::part(&accepted.value, accepted.view.operation);
    wait::conclude(invocation, client, operation, detach, |operation| {
        let took = invocation.took();
        match client.get::<VmView>(&format!("/vms/{}", encode(&operation.subject.id))) {
            Ok(vm) => Ok(format!("{} ({took})\n", view::sentence(&vm.view))),
            Err(error) if error.is(ProblemCode::NotFound) => {
                Ok(format!("{name} is deleted ({took})\n"))
            }
            Err(error) => Err(error.into()),
        }
    })
}

fn console(
    invocation: &Invocation,
    client: &Client,
    vm: &str,
    tail: ByteCount,
    raw: bool,
) -> Result<(), Failure> {
    let vm = resolve::find::<VmView>(client, vm)?;
    let target = format!("/vms/{}/console?tail_bytes={}", vm.view.id, tail.0);
    let reply = client
        .call(&Call::get(&target).accept("application/octet-stream, application/problem+json"))?;
    if raw || !io::stdout().is_terminal() {
        return invocation.output.bytes(&reply.body);
    }
    invocation.output.text(&sanitize::lines(&String::from_utf8_lossy(&reply.body)))
}
