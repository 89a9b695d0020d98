//! Acceptance 3: random requests while the leader, a follower, an agent or a libvirtd is killed
//! at a random moment. `NOVACRON_ROUNDS` says how many rounds, `NOVACRON_SEED` replays a run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, Result, bail};
use novacron_protocol::api::operation::OperationStatus;
use novacron_protocol::api::vm::VmStatus;
use novacron_tests::chaos::{self, Answer, Findings, Found, Model, Request, Round, Verb, Victim};
use novacron_tests::lab::cli::Cli;
use novacron_tests::lab::fleet::{Fleet, SMALL};
use novacron_tests::lab::hypervisor::Driver;
use novacron_tests::lab::privilege::{Privilege, acquire_for_test};
use novacron_tests::lab::{Lab, Plan, guest};
use novacron_tests::wait;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

#[test]
fn nothing_acknowledged_is_lost_or_done_twice_under_kills() -> Result<()> {
    let name = "nothing_acknowledged_is_lost_or_done_twice_under_kills";
    if acquire_for_test(name)? == Privilege::Delegated {
        return Ok(());
    }
    let rounds = number("NOVACRON_ROUNDS")?.unwrap_or(6);
    let seed = number("NOVACRON_SEED")?.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    println!("chaos: {rounds} rounds, seed {seed}; replay with NOVACRON_SEED={seed}");
    let plan = Plan { name: "chaos".to_owned(), members: 3, hosts: HOSTS, driver: Driver::Qemu };
    let mut lab = Lab::for_test(plan)?;
    let fleet = lab.fleet();
    fleet.import_linux(IMAGE, &lab.guest)?;
    wait_idle(&fleet)?;
    let before = fleet.operations()?.len();

    let mut rng = StdRng::seed_from_u64(seed);
    let mut model = Model::default();
    for number in 1..=rounds {
        let round = Round::draw(&mut rng, &model, usize::from(HOSTS));
        let begun = Instant::now();
        play(&mut lab, &round, &mut model)?;
        let replay = format!("replay with NOVACRON_SEED={seed} NOVACRON_ROUNDS={number}");
        settle(&lab, &fleet, &mut model, before)
            .with_context(|| format!("round {number}: {}; {replay}", shown(&round)))?;
        let took = begun.elapsed().as_secs_f64();
        println!("round {number:>2}: {}; settled after {took:.1} s", shown(&round));
    }
    println!("chaos: {} acknowledged, {} without answer", model.acknowledged(), model.lost());
    assert!(model.acknowledged() > model.lost(), "most requests should be answered");
    lab.take_down()
}

/// Sends the round's requests, kills meanwhile, and starts again what was killed.
fn play(lab: &mut Lab, round: &Round, model: &mut Model) -> Result<()> {
    let cli = lab.cli();
    let answers = thread::scope(|scope| -> Result<Vec<Answer>> {
        let asked: Vec<_> =
            round.requests.iter().map(|request| scope.spawn(|| ask(&cli, request))).collect();
        thread::sleep(round.kill_after);
        let killed = kill(lab, round.victim)?;
        let on_two_hosts = chaos::twice(&domains(lab));
        thread::sleep(round.dead_for);
        revive(lab, killed)?;
        if !on_two_hosts.is_empty() {
            bail!("{}", on_two_hosts.join("\n"));
        }
        Ok(asked.into_iter().map(|thread| thread.join().unwrap_or(Answer::Lost)).collect())
    })?;
    for (request, answer) in round.requests.iter().zip(answers) {
        model.record(request, answer);
    }
    Ok(())
}

fn ask(cli: &Cli, request: &Request) -> Answer {
    let vm = request.vm.as_str();
    let create = [&["vm", "create", vm, "--image", IMAGE], SMALL.as_slice()].concat();
    let args = match request.verb {
        Verb::Create => create,
        Verb::Start => vec!["vm", "start", vm],
        Verb::Stop => vec!["vm", "stop", vm],
        Verb::ForceStop => vec!["vm", "stop", "--force", vm],
        Verb::Restart => vec!["vm", "restart", vm],
        Verb::Delete => vec!["vm", "delete", vm],
    };
    match cli.run(&[args.as_slice(), &["--detach"]].concat()) {
        Ok(_) => Answer::Acknowledged,
        Err(error) => {
            println!("  {request}: {error:#}");
            Answer::Lost
        }
    }
}

/// What has to be started again.
enum Killed {
    Member(usize),
    Agent(usize),
    Libvirtd(usize),
}

fn kill(lab: &mut Lab, victim: Victim) -> Result<Killed> {
    let at_role = |lab: &Lab, is_leader: bool| -> Result<usize> {
        let leader = wait::until("a leader", LIMIT, || Ok(Some(lab.fleet().leader()?)))?;
        let found = lab.members.iter().position(|m| (m.name() == leader) == is_leader);
        found.context("the leader is one of ours")
    };
    match victim {
        Victim::Leader | Victim::Follower => {
            let at = at_role(lab, victim == Victim::Leader)?;
            lab.members[at].daemon.kill()?;
            Ok(Killed::Member(at))
        }
        Victim::Agent(at) => {
            lab.hosts[at].agent.kill()?;
            Ok(Killed::Agent(at))
        }
        Victim::Libvirtd(at) => {
            lab.hosts[at].libvirtd.as_mut().context("it runs")?.kill()?;
            Ok(Killed::Libvirtd(at))
        }
    }
}

fn revive(lab: &mut Lab, killed: Killed) -> Result<()> {
    match killed {
        Killed::Member(at) => lab.members[at].daemon.start(),
        Killed::Agent(at) => lab.hosts[at].agent.start(),
        Killed::Libvirtd(at) => lab.hosts[at].start_libvirtd(),
    }
}

/// Waits until nothing is wrong any more, and fails with what still is. What must never be, a
/// request done twice or a VM on two hosts, does not go away by waiting.
fn settle(lab: &Lab, fleet: &Fleet, model: &mut Model, operations_before: usize) -> Result<()> {
    let settled = wait::until("the fleet to be as asked", LIMIT, || {
        let mut judge = model.clone();
        let wrong = judge.judge(&look(lab, fleet, operations_before)?);
        if wrong.is_empty() { Ok(Some(judge)) } else { bail!("\n{}", wrong.join("\n")) }
    })?;
    *model = settled;
    Ok(())
}

fn wait_idle(fleet: &Fleet) -> Result<()> {
    wait::for_true("every operation to end", LIMIT, || {
        Ok(fleet.operations()?.iter().all(|op| op.status != OperationStatus::Running))
    })
}

fn look(lab: &Lab, fleet: &Fleet, operations_before: usize) -> Result<Findings> {
    let mut vms = BTreeMap::new();
    for vm in fleet.vms()? {
        let uuid = vm.id.to_string();
        let console = fleet.console(vm.name.as_str()).ok();
        let boots = console.map(|console| guest::boots(&console, &uuid));
        let boots = boots.and_then(|boots| u32::try_from(boots).ok());
        let is_running = vm.state == VmStatus::Running;
        vms.insert(vm.name.to_string(), Found { uuid, is_running, boots });
    }
    let (ended, open): (Vec<_>, Vec<_>) =
        fleet.operations()?.into_iter().partition(|op| op.status != OperationStatus::Running);
    Ok(Findings {
        vms,
        domains: domains(lab),
        operations_ended: ended.len().saturating_sub(operations_before),
        leaders: fleet.leaders(&[1, 2, 3]),
        operations_open: open.into_iter().map(|op| op.id.to_string()).collect(),
    })
}

/// Domains by host, from libvirt itself; a host whose libvirtd is dead right now shows none.
fn domains(lab: &Lab) -> Vec<BTreeMap<String, bool>> {
    let of_host = |host: &novacron_tests::lab::agent::Host| {
        let domains = host.domains().unwrap_or_default();
        domains.into_iter().map(|domain| (domain.uuid, domain.is_running)).collect()
    };
    lab.hosts.iter().map(of_host).collect()
}

fn shown(round: &Round) -> String {
    let requests: Vec<String> = round.requests.iter().map(ToString::to_string).collect();
    format!("{}; {:?} dies at {:?}", requests.join(", "), round.victim, round.kill_after)
}

fn number(variable: &str) -> Result<Option<u64>> {
    match env::var(variable) {
        Ok(text) => Ok(Some(text.parse().with_context(|| format!("read {variable}={text}"))?)),
        Err(_) => Ok(None),
    }
}

const IMAGE: &str = "tiny";
const HOSTS: u8 = 3;
/// Longer than an election, an agent's reconnect and a guest that does not hear its power button,
/// one after the other, on a machine that also builds.
const LIMIT: Duration = Duration::from_secs(90);
