//! Desired VMs for tests.

use novacron_protocol::image::{FileRole, ImageBoot, ImageFile};
use novacron_protocol::vm::{DesiredVm, StopMode, Target, VmSpec};
use novacron_protocol::{ByteCount, Digest, Generation, ImageId, Labels, VcpuCount};

pub(crate) use crate::hypervisor::testing::vm_id;

pub(crate) fn desired_vm(id: u64) -> DesiredVm {
    let image = ImageId(Digest::of(b"manifest"));
    let file = ImageFile {
        role: FileRole::Kernel,
        digest: Digest::of(b"kernel"),
        size: ByteCount(6),
        virtual_size: ByteCount(0),
    };
    DesiredVm {
        id: vm_id(id),
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
