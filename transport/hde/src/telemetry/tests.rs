//! Batches through encoder and decoder, and what hostile bytes do to a decoder.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(u64::MAX),
        0..1000_u64,
        (0..64_u64).prop_map(|n| n << 20),
        any::<u64>()
    ]
}

prop_compose! {
    fn host()(busy in 0..=1000_u16, load in any::<u32>(), rest in prop::array::uniform6(number()))
        -> HostSample
    {
        let [memory, total, disk, disk_total, rx, tx] = rest;
        let row = [busy.into(), load.into(), memory, total, disk, disk_total, rx, tx];
        host_sample(row).unwrap()
    }
}

prop_compose! {
    fn vms()(rows in prop::collection::btree_map(
        0..12_u128, (any::<u32>(), prop::array::uniform5(number())), 0..8)) -> Vec<VmSample>
    {
        let sample = |(id, (cpu, [memory, read, write, rx, tx])): (u128, (u32, [u64; 5]))| VmSample {
            vm: vm_id(id * 0x1234_5678_9abc_def0_1122_3344_5566_7788),
            cpu_milli: cpu,
            memory_bytes: memory,
            disk_read_bytes_per_s: read,
            disk_write_bytes_per_s: write,
            net_rx_bytes_per_s: rx,
            net_tx_bytes_per_s: tx,
        };
        rows.into_iter().map(sample).collect::<Vec<_>>().into_iter().collect()
    }
}

prop_compose! {
    fn batches()(parts in prop::collection::vec((any::<u64>(), host(), vms()), 1..12)) -> Vec<Batch> {
        let batch = |(at, host, mut vms): (u64, HostSample, Vec<VmSample>)| {
            vms.sort_by_key(|vm| vm.vm);
            Batch { at: Timestamp(at), host, vms }
        };
        parts.into_iter().map(batch).collect()
    }
}

proptest! {
    #[test]
    fn every_batch_comes_back_in_turn(batches in batches()) {
        let (mut encoder, mut decoder) = (BatchEncoder::default(), BatchDecoder::default());
        for batch in &batches {
            let message = encoder.encode(batch).unwrap();
            prop_assert_eq!(&decoder.decode(&message).unwrap(), batch);
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(messages in prop::collection::vec(
        prop::collection::vec(any::<u8>(), 0..80), 1..5))
    {
        let mut decoder = BatchDecoder::default();
        for message in messages {
            let _ = decoder.decode(&message);
            prop_assert!(decoder.state.vms.len() <= BATCH_VMS_MAX);
        }
    }
}

fn quiet_batch(at: u64, vms: u128) -> Batch {
    let vm = |id| VmSample {
        vm: vm_id(id),
        cpu_milli: 3,
        memory_bytes: 512 << 20,
        disk_read_bytes_per_s: 0,
        disk_write_bytes_per_s: 0,
        net_rx_bytes_per_s: 40,
        net_tx_bytes_per_s: 0,
    };
    Batch { at: Timestamp(at), host: HostSample::default(), vms: (0..vms).map(vm).collect() }
}

#[test]
fn vms_at_rest_cost_next_to_nothing() {
    let mut encoder = BatchEncoder::default();
    let sizes: Vec<usize> = (0..40)
        .map(|n| encoder.encode(&quiet_batch(1_700_000_000_000 + n * 10_000, 50)).unwrap().len())
        .collect();
    assert!(sizes[39] <= 13, "300 numbers at rest: {sizes:?}");
}

#[test]
fn a_lost_message_is_noticed_and_made_up_for() {
    let (mut encoder, mut decoder) = (BatchEncoder::default(), BatchDecoder::default());
    let mut busy = quiet_batch(1000, 3);
    decoder.decode(&encoder.encode(&busy).unwrap()).unwrap();
    busy.vms[1].cpu_milli = 700;
    encoder.encode(&busy).unwrap();
    for number in 2..RENEWED_EVERY {
        let message = encoder.encode(&busy).unwrap();
        assert_eq!(decoder.decode(&message), Err(BatchError::OutOfStep), "{number}");
    }
    let message = encoder.encode(&busy).unwrap();
    assert_eq!(decoder.decode(&message).as_ref(), Ok(&busy));
    encoder.encode(&busy).unwrap();
    encoder.renew();
    let message = encoder.encode(&busy).unwrap();
    assert_eq!(decoder.decode(&message), Ok(busy));
}

#[test]
fn a_host_has_no_more_vms_than_the_limit_says() {
    let mut encoder = BatchEncoder::default();
    let full = quiet_batch(0, BATCH_VMS_MAX as u128);
    let message = encoder.clone().encode(&full).unwrap();
    assert_eq!(BatchDecoder::default().decode(&message).unwrap(), full);
    let over = quiet_batch(0, BATCH_VMS_MAX as u128 + 1);
    assert_eq!(encoder.encode(&over), Err(BatchError::TooManyVms(BATCH_VMS_MAX + 1)));
    let mut twice = quiet_batch(0, 2);
    twice.vms[1].vm = VmId::from_uuid(Uuid::from_u128(0));
    assert_eq!(encoder.encode(&twice), Err(BatchError::Unsorted));
}
