//! What hosts and VMs go through, from a leader's point of view.

use novacron_agent::join::{EnrolError, Entry, join};
use novacron_protocol::host::HypervisorHealth;
use novacron_protocol::join_token::JoinToken;
use novacron_protocol::vm::{Target, VmState};
use novacron_protocol::wire::Class;
use novacron_protocol::wire::agent::FromAgent;
use novacron_protocol::wire::call::{CallRefusal, Request, Response};
use novacron_protocol::{ClusterId, Generation, VcpuCount};
use novacron_transport::{CloseReason, Identity};
use uuid::Uuid;

use crate::agent::{Running, config, desired_vm, enrol};
use crate::member::{HOST, Member};

/// A test hypervisor with nothing on it.
fn libvirt(dir: &std::path::Path) -> String {
    let file = dir.join("node.xml");
    std::fs::write(&file, "<node/>").unwrap();
    format!("test://{}", file.display())
}

#[tokio::test]
async fn a_host_comes_back_as_itself_with_a_new_certificate_and_as_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start();
    let config = config(dir.path(), "sim://");
    let joined = enrol(&config, &member).await;
    let serial = || Identity::load(&config.data_dir).unwrap().serial();
    let first = serial();

    let token = member.token();
    let (other, ()) = tokio::join!(join(&config, &token, Entry::Again), member.let_in(HOST + 1));
    assert!(matches!(other, Err(EnrolError::OtherHost { .. })), "{other:?}");
    assert_eq!(serial(), first, "it stays who it was");

    let (back, ()) = tokio::join!(join(&config, &token, Entry::Again), member.let_in(HOST));
    assert_eq!(back.unwrap(), joined);
    assert_ne!(serial(), first);

    let elsewhere = JoinToken { cluster: ClusterId::from_uuid(Uuid::nil()), ..member.token() };
    let elsewhere = join(&config, &elsewhere, Entry::Again).await;
    assert!(matches!(elsewhere, Err(EnrolError::OtherCluster)), "{elsewhere:?}");

    let _running = Running::start(config);
    member.accept(1).await;
}

#[tokio::test]
async fn a_host_joins_and_tells_its_leader_about_itself() {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start();
    let config = config(dir.path(), "sim://?cpus=3&memory=8GiB");
    let joined = enrol(&config, &member).await;
    assert_eq!(joined.name.as_str(), "h1");
    let again = join(&config, &member.token(), Entry::First).await;
    assert!(matches!(again, Err(EnrolError::Already { .. })), "{again:?}");

    let running = Running::start(config);
    let agent = member.accept(1).await;
    let inventory = agent
        .hear(|message| match message {
            FromAgent::Inventory(inventory) => Some(inventory),
            _ => None,
        })
        .await;
    assert_eq!((inventory.name.as_str(), inventory.hypervisor.as_str()), ("h1", "simulated"));
    assert_eq!(inventory.capacity.cpus, VcpuCount(12));
    assert_eq!(inventory.labels.value("rack"), Some("r1"));
    let heartbeat = agent
        .hear(|message| match message {
            FromAgent::Heartbeat(heartbeat) => Some(heartbeat),
            _ => None,
        })
        .await;
    assert_eq!(heartbeat.hypervisor, HypervisorHealth::Ready);
    running.stop();
}

#[tokio::test]
async fn vms_live_and_die_on_libvirt_as_desired() {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start();
    let config = config(dir.path(), &libvirt(dir.path()));
    enrol(&config, &member).await;
    let running = Running::start(config);
    let agent = member.accept(1).await;

    let mut vm = desired_vm(1);
    agent.desire(1, &[vm.clone()]).await;
    agent.report(1, |vm| vm.state == VmState::Running).await;
    let batch = agent
        .hear(|message| match message {
            FromAgent::Telemetry(batch) if !batch.vms.is_empty() => Some(batch),
            _ => None,
        })
        .await;
    assert_eq!(batch.vms[0].vm, vm.id);
    assert!(batch.host.memory_total_bytes > 0);

    for (generation, target, state) in [
        (2, Target::Stopped, VmState::Stopped),
        (3, Target::Running, VmState::Running),
        (4, Target::Absent, VmState::Absent),
    ] {
        vm.target = target;
        vm.revision = Generation(generation);
        agent.desire(generation, &[vm.clone()]).await;
        let report = agent.report(generation, |vm| vm.state == state).await;
        assert_eq!(report.vms[0].revision, vm.revision);
    }
    agent.desire(3, &[desired_vm(1)]).await;
    agent.desire(5, &[]).await;
    let generation = agent
        .hear(|message| match message {
            FromAgent::Report(report) if report.vms.is_empty() => Some(report.generation),
            _ => None,
        })
        .await;
    assert_eq!(generation, Generation(5), "a lower generation is refused");
    running.stop();
}

#[tokio::test]
async fn an_agent_that_starts_anew_touches_no_vm_and_repeats_no_restart() {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start();
    let config = config(dir.path(), "sim://");
    enrol(&config, &member).await;
    let running = Running::start(config.clone());
    let agent = member.accept(1).await;
    let mut vm = desired_vm(1);
    agent.desire(1, &[vm.clone()]).await;
    agent.report(1, |vm| vm.state == VmState::Running).await;
    vm.restarts = 1;
    vm.revision = Generation(2);
    agent.desire(2, &[vm]).await;
    agent.report(2, |vm| vm.state == VmState::Running && vm.restarts == 1).await;
    running.stop();

    let domains = config.data_dir.join("simulated.bin");
    let untouched = std::fs::metadata(&domains).unwrap().modified().unwrap();
    let running = Running::start(config);
    let agent = member.accept(1).await;
    let report = agent.report(2, |_| true).await;
    assert_eq!((report.vms[0].state, report.vms[0].restarts), (VmState::Running, 1));
    agent.hear(|message| matches!(message, FromAgent::Telemetry(_)).then_some(())).await;
    assert_eq!(std::fs::metadata(&domains).unwrap().modified().unwrap(), untouched);
    running.stop();
}

#[tokio::test]
async fn a_leader_that_comes_back_hears_everything_again() {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start();
    let config = config(dir.path(), "sim://");
    enrol(&config, &member).await;
    let running = Running::start(config);
    let agent = member.accept(1).await;
    agent.desire(1, &[desired_vm(1)]).await;
    agent.report(1, |vm| vm.state == VmState::Running).await;

    agent.session.close(CloseReason::ShuttingDown);
    let agent = member.accept(2).await;
    let report = agent.report(1, |_| true).await;
    assert_eq!(report.vms[0].state, VmState::Running);
    agent.hear(|message| matches!(message, FromAgent::Inventory(_)).then_some(())).await;
    running.stop();
}

#[tokio::test]
async fn a_console_is_read_from_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start();
    let config = config(dir.path(), "sim://");
    enrol(&config, &member).await;
    let running = Running::start(config.clone());
    let agent = member.accept(1).await;
    let vm = desired_vm(1).id;
    let request = Request::ConsoleTail { vm, bytes_max: 6 };
    let (none, _) = agent.session.call(Class::Console, &request).await.unwrap();
    assert!(matches!(none, Response::Refused(CallRefusal::NotFound(_))), "{none:?}");
    let vm_dir = config.vms_dir().join(vm.to_string());
    std::fs::create_dir_all(&vm_dir).unwrap();
    std::fs::write(vm_dir.join("console.log"), "booting\nlogin:").unwrap();
    let (tail, _) = agent.session.call(Class::Console, &request).await.unwrap();
    assert_eq!(tail, Response::Console(b"login:".to_vec()));
    let (refused, _) = agent
        .session
        .call(Class::Command, &Request::RenewCertificate { csr: Vec::new() })
        .await
        .unwrap();
    assert!(matches!(refused, Response::Refused(_)), "{refused:?}");
    running.stop();
}

#[tokio::test]
async fn a_hypervisor_that_is_away_is_said_and_nothing_is_guessed() {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start();
    let uri = format!("qemu+unix:///system?socket={}/none", dir.path().display());
    let config = config(dir.path(), &uri);
    enrol(&config, &member).await;
    let running = Running::start(config);
    let agent = member.accept(1).await;
    agent.desire(1, &[desired_vm(1)]).await;
    agent
        .hear(|message| match message {
            FromAgent::Heartbeat(heartbeat) => (heartbeat.hypervisor
                == HypervisorHealth::Unreachable
                && heartbeat.generation == Generation(1))
            .then_some(()),
            FromAgent::Report(report) => panic!("reports what it cannot know: {report:?}"),
            _ => None,
        })
        .await;
    running.stop();
}
