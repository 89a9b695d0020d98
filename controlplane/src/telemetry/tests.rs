//! How much is kept, for how long, and what it costs.

use novacron_protocol::VmId;
use novacron_protocol::wire::call::Response;
use novacron_protocol::wire::telemetry::{HostSample, VmSample};
use uuid::Uuid;

use super::*;

fn host(n: u128) -> HostId {
    HostId::from_uuid(Uuid::from_u128(n))
}

/// A batch whose figures wander as real ones do.
fn batch(at: u64, vms: u128) -> Batch {
    let wander =
        |salt: u64, span: u64| at.wrapping_mul(2_654_435_761).wrapping_add(salt * 40_503) % span;
    let vm = |n: u128| VmSample {
        vm: VmId::from_uuid(Uuid::from_u128(n)),
        cpu_milli: wander(n as u64, 900) as u32,
        memory_bytes: (512 << 20) + wander(n as u64, 1 << 22),
        disk_read_bytes_per_s: wander(n as u64 + 1, 100_000),
        disk_write_bytes_per_s: wander(n as u64 + 2, 100_000),
        net_rx_bytes_per_s: wander(n as u64 + 3, 1_000_000),
        net_tx_bytes_per_s: wander(n as u64 + 4, 1_000_000),
    };
    Batch { at: Timestamp(at), host: HostSample::default(), vms: (0..vms).map(vm).collect() }
}

fn store_and_now() -> (MetricStore, u64) {
    let clock = Clock::start();
    (MetricStore::new(clock), clock.timestamp().0)
}

#[test]
fn an_hour_of_a_hundred_hosts_with_ten_vms_takes_under_12_mib() {
    let (store, now) = store_and_now();
    for host_number in 0..100 {
        for step in 0..360_u64 {
            store.push(host(host_number), batch(now - 3_590_000 + step * 10_000, 10));
        }
    }
    assert!(store.bytes() < 12 << 20, "{}", store.bytes());
    let held = store.range(host(7), Timestamp(0)).unwrap().batches;
    assert!(held.len() >= 340, "{}", held.len());
    assert_eq!(held.last().unwrap().vms.len(), 10);
    assert!(held.windows(2).all(|pair| pair[0].at < pair[1].at));
}

#[test]
fn what_is_older_than_an_hour_is_not_given_and_in_time_forgotten() {
    let (store, now) = store_and_now();
    store.push(host(1), batch(now - KEPT.0 - 60_000, 1));
    store.push(host(1), batch(now - 1_000, 1));
    let times = |since| -> Vec<u64> {
        let held = store.range(host(1), Timestamp(since)).unwrap();
        held.batches.iter().map(|batch| now - batch.at.0).collect()
    };
    assert_eq!(times(0), [1_000]);
    assert_eq!(times(now), [] as [u64; 0]);
    assert_eq!(store.range(host(2), Timestamp(0)), None);
}

#[test]
fn late_batches_find_their_place_and_repeats_change_nothing() {
    let (store, now) = store_and_now();
    for back in [3_000, 1_000, 2_000, 3_000, 1_000] {
        store.push(host(1), batch(now - back, 1));
    }
    let held = store.range(host(1), Timestamp(0)).unwrap().batches;
    let back: Vec<u64> = held.iter().map(|batch| now - batch.at.0).collect();
    assert_eq!(back, [3_000, 2_000, 1_000]);
}

#[test]
fn a_clock_far_ahead_does_not_push_out_what_is_held() {
    let (store, now) = store_and_now();
    store.push(host(1), batch(now - 1_000, 1));
    store.push(host(1), batch(u64::MAX, 1));
    store.push(host(1), batch(now + 30_000, 1));
    let held = store.range(host(1), Timestamp(0)).unwrap().batches;
    assert_eq!(held.len(), 3);
}

#[test]
fn hosts_that_are_gone_leave_nothing() {
    let (store, now) = store_and_now();
    store.push(host(1), batch(now, 10));
    store.push(host(2), batch(now, 10));
    store.retain(|kept| kept == host(2));
    assert_eq!(store.range(host(1), Timestamp(0)), None);
    let left = store.bytes();
    assert!(left > 0);
    store.retain(|_| false);
    assert_eq!(store.bytes(), 0);
}

#[test]
fn a_large_answer_is_thinned_and_keeps_the_newest() {
    let (store, now) = store_and_now();
    for step in (0..200_u64).rev() {
        store.push(host(1), batch(now - step * 10_000, 1_000));
    }
    let held = store.range(host(1), Timestamp(0)).unwrap();
    let samples: usize = held.batches.iter().map(|batch| batch.vms.len()).sum();
    assert!(samples <= ANSWER_SAMPLES_MAX + 1_000, "{samples}");
    assert_eq!(held.batches.last().unwrap().at, Timestamp(now));
    let frame = novacron_protocol::codec::encode(&Response::Metrics(Some(held))).unwrap();
    assert!(frame.len() <= novacron_protocol::limits::FRAME_BYTES_MAX);
}

#[test]
fn a_host_that_floods_keeps_to_its_bound() {
    let (store, now) = store_and_now();
    for step in 0..5_000_u64 {
        store.push(host(1), batch(now - 5_000 + step, 3));
    }
    let held = store.range(host(1), Timestamp(0)).unwrap().batches;
    assert!(held.len() <= 61 * 16, "{}", held.len());
    assert_eq!(held.last().unwrap().at, Timestamp(now - 1));
}

#[test]
fn the_bound_of_all_memory_costs_the_host_that_pushes() {
    let mut inner = Inner { hosts: BTreeMap::new(), bytes: BYTES_MAX };
    for step in 0..40 {
        inner.push(host(1), batch(1_000 + step, 10), Timestamp(0));
        assert!(inner.bytes <= BYTES_MAX);
    }
}
