//! An agent in a thread of its own, as its program runs it.

use std::path::Path;
use std::thread::JoinHandle;

use novacron_agent::config::Config;
use novacron_agent::join::{Entry, Joined, join};
use novacron_agent::runtime::{self, RunError};
use novacron_protocol::image::{FileRole, ImageBoot, ImageFile};
use novacron_protocol::join_token::JoinToken;
use novacron_protocol::vm::{DesiredVm, StopMode, Target, VmSpec};
use novacron_protocol::{ByteCount, Digest, Generation, ImageId, Labels, VcpuCount};
use tokio::sync::oneshot;

use crate::member::{HOST, Member};

/// A running agent.
pub(crate) struct Running {
    stop_tx: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), RunError>>,
}

impl Running {
    pub(crate) fn start(config: Config) -> Self {
        let (stop_tx, stop_rx) = oneshot::channel();
        let thread = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let stop = async { drop(stop_rx.await) };
            runtime.unwrap().block_on(Box::pin(runtime::run(config, stop)))
        });
        Self { stop_tx, thread }
    }

    pub(crate) fn stop(self) {
        self.stop_tx.send(()).unwrap();
        self.thread.join().unwrap().unwrap();
    }
}

pub(crate) fn config(dir: &Path, hypervisor: &str) -> Config {
    let path = dir.join("agent.toml");
    let text = format!(
        "data_dir = '{}'\nname = 'h1'\nhypervisor = '{hypervisor}'\n\
         metrics_interval_ms = 100\nheartbeat_interval_ms = 100\nlabels = {{ rack = 'r1' }}\n",
        dir.join("data").display()
    );
    std::fs::write(&path, text).unwrap();
    Config::load(&path, []).unwrap()
}

/// Enrols and says who it became.
pub(crate) async fn enrol(config: &Config, member: &Member) -> Joined {
    let token: JoinToken = member.token();
    let (joined, ()) = tokio::join!(join(config, &token, Entry::First), member.let_in(HOST));
    joined.unwrap()
}

pub(crate) fn desired_vm(id: u64) -> DesiredVm {
    let image = ImageId(Digest::of(b"manifest"));
    let file = ImageFile {
        role: FileRole::Kernel,
        digest: Digest::of(b"kernel"),
        size: ByteCount(6),
        virtual_size: ByteCount(0),
    };
    DesiredVm {
        id: format!("00000000-0000-4000-8000-{id:012x}").parse().unwrap(),
        name: format!("vm{id}").parse().unwrap(),
        revision: Generation(1),
        target: Target::Running,
        stop_mode: StopMode::Graceful,
        restarts: 0,
        spec: VmSpec {
            cpus: VcpuCount(1),
            memory: ByteCount::mib(64),
            image,
            disk: None,
            labels: Labels::default(),
            host_labels: Labels::default(),
        },
        boot: ImageBoot { image, files: vec![file], cmdline: String::new() },
    }
}
