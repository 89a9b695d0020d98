//! Random histories: what must hold after every command, whatever came before.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod fixture;

use fixture::{Fixture, host, operation, vm};
use novacron_controlplane_core::command::VmAction;
use novacron_controlplane_core::host::Usage;
use novacron_controlplane_core::{Command, State, placement};
use novacron_protocol::Generation;
use novacron_protocol::host::Connectivity;
use novacron_protocol::vm::{StopMode, Target, VmState};
use proptest::prelude::*;
use std::collections::BTreeMap;

const HOSTS: u128 = 3;
const VMS: u128 = 8;

#[derive(Debug, Clone)]
enum Move {
    Create(u128),
    Act(u128, u8),
    Place(u128, u128),
    Report(u128, usize),
    Connectivity(u128, bool),
    Cordon(u128, bool),
    Cancel(u128),
    Expire(u64),
}

fn a_move() -> impl Strategy<Value = Move> {
    let (vms, hosts) = (1..=VMS, 1..=HOSTS);
    prop_oneof![
        vms.clone().prop_map(Move::Create),
        (vms.clone(), 0..5_u8).prop_map(|(vm, action)| Move::Act(vm, action)),
        (vms.clone(), hosts.clone()).prop_map(|(vm, host)| Move::Place(vm, host)),
        (vms.clone(), 0..VmState::ALL.len()).prop_map(|(vm, state)| Move::Report(vm, state)),
        (hosts.clone(), any::<bool>()).prop_map(|(host, up)| Move::Connectivity(host, up)),
        (hosts, any::<bool>()).prop_map(|(host, on)| Move::Cordon(host, on)),
        (0..60_u128).prop_map(Move::Cancel),
        (0..1_000_u64).prop_map(Move::Expire),
    ]
}

fn play(lab: &mut Fixture, step: usize, a_move: &Move) {
    let op = 1_000 + step as u128;
    let _ = match *a_move {
        Move::Create(n) => {
            let mut new = fixture::new_vm(n, &format!("vm-{n}"));
            new.operation = operation(op);
            lab.apply(Command::CreateVm(new))
        }
        Move::Act(n, action) => {
            let action = match action {
                0 => VmAction::Start,
                1 => VmAction::Stop(StopMode::Graceful),
                2 => VmAction::Stop(StopMode::Force),
                3 => VmAction::Restart(StopMode::Graceful),
                _ => VmAction::Delete,
            };
            lab.act(n, action, op)
        }
        Move::Place(n, on) => lab.apply(Command::Place { vm: vm(n), host: host(on) }),
        Move::Report(n, state) => match lab.state.vm(vm(n)).is_some_and(|vm| vm.host.is_some()) {
            true => lab.report(n, VmState::ALL[state], "because"),
            false => return,
        },
        Move::Connectivity(n, up) => {
            let to = if up { Connectivity::Connected } else { Connectivity::Disconnected };
            lab.apply(Command::SetConnectivity { hosts: vec![(host(n), to)] })
        }
        Move::Cordon(n, true) => {
            lab.apply(Command::Cordon { host: host(n), reason: "work".into() })
        }
        Move::Cordon(n, false) => lab.apply(Command::Uncordon { host: host(n) }),
        Move::Cancel(back) => {
            let operation = operation(op.saturating_sub(back));
            lab.apply(Command::CancelOperation { operation })
        }
        Move::Expire(later) => {
            lab.now += later;
            let operations = lab.state.open_operations().map(|operation| operation.id).collect();
            lab.apply(Command::ExpireOperations { operations })
        }
    };
}

fn check(state: &State, generations: &mut BTreeMap<u128, Generation>) {
    for n in 1..=HOSTS {
        let host = state.host(host(n)).unwrap();
        let used = state.vms_on(host.id).fold(Usage::default(), |sum, vm| sum.plus(vm.usage()));
        assert_eq!(host.allocated, used, "allocation is what its VMs use");
        let capacity = host.capacity();
        assert!(used.cpus <= capacity.cpus && used.memory <= capacity.memory);
        let before = generations.insert(n, host.generation).unwrap_or_default();
        assert!(host.generation >= before, "a generation went back");
        let set = state.desired_set(host.id).unwrap();
        assert!(set.vms.iter().all(|vm| vm.revision <= set.generation));
        assert!(set.vms.is_sorted_by_key(|vm| vm.id));
    }
    for vm in state.vms() {
        let waits = state.unplaced().any(|other| other.id == vm.id);
        assert_eq!(waits, vm.host.is_none(), "{} waits or is placed", vm.name);
        assert!(vm.host.is_some() || vm.target != Target::Absent, "nothing absent waits");
        assert_eq!(state.vm_by_name(&vm.name).map(|vm| vm.id), Some(vm.id));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_history_keeps_the_invariants(moves in prop::collection::vec(a_move(), 1..120)) {
        let mut lab = Fixture::new();
        for n in 1..=HOSTS {
            lab.add_host(n, 6, 4);
        }
        let mut generations = BTreeMap::new();
        for (step, a_move) in moves.iter().enumerate() {
            play(&mut lab, step, a_move);
            check(&lab.state, &mut generations);
        }
        let restored = State::from_snapshot(&lab.state.to_snapshot().unwrap()).unwrap();
        prop_assert_eq!(&restored, &lab.state, "a snapshot loses nothing, derived maps included");
        prop_assert_eq!(restored.digest(), lab.state.digest());
    }

    #[test]
    fn choose_agrees_with_explain_and_with_brute_force(
        sizes in prop::collection::vec((1..12_u32, 1..8_u64), 3),
        placed in prop::collection::vec(1..=3_u128, 0..6),
    ) {
        let mut lab = Fixture::new();
        for (n, (cpus, memory)) in sizes.iter().enumerate() {
            lab.add_host(n as u128 + 1, *cpus, *memory);
        }
        for (n, on) in placed.iter().enumerate() {
            let n = n as u128 + 10;
            lab.create_vm(n, &format!("vm-{n}")).unwrap();
            let _ = lab.apply(Command::Place { vm: vm(n), host: host(*on) });
        }
        lab.create_vm(1, "new-1").unwrap();
        let new = lab.state.vm(vm(1)).unwrap().clone();
        let chosen = placement::choose(&lab.state, &new);
        let fits = |n: u128| {
            let host = lab.state.host(host(n)).unwrap();
            host.allocated.cpus.0 + 2 <= host.capacity().cpus.0
                && host.allocated.memory.0 + (1 << 30) <= host.capacity().memory.0
        };
        prop_assert_eq!(chosen.is_some(), (1..=3).any(fits));
        let explained = placement::explain(&lab.state, &new);
        let best = match explained.hosts.first() {
            Some((id, placement::Verdict::Feasible(_))) => Some(*id),
            _ => None,
        };
        prop_assert_eq!(chosen, best);
        if let Some(id) = chosen {
            lab.apply(Command::Place { vm: vm(1), host: id }).unwrap();
        }
    }
}
