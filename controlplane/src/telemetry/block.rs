//! A few batches packed by column: each number as its difference to the one before, in as many
//! bytes as it needs. What does not change takes one byte.

use std::mem::size_of;

use novacron_protocol::wire::telemetry::{Batch, HostSample, VmSample};
use novacron_protocol::{Timestamp, VmId};

/// Batches of one host, oldest first.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) last: Timestamp,
    /// VM samples in it.
    pub(super) samples: usize,
    batches: usize,
    vms: Box<[VmId]>,
    packed: Box<[u8]>,
}

const HOST_COLUMNS: usize = 8;
const VM_COLUMNS: usize = 6;

impl Block {
    /// Packs batches in order of time; `None` when there are none. VMs are in order in each.
    pub(super) fn pack(batches: &[Batch]) -> Option<Self> {
        let last = batches.last()?.at;
        let mut vms: Vec<VmId> =
            batches.iter().flat_map(|batch| &batch.vms).map(|sample| sample.vm).collect();
        let samples = vms.len();
        vms.sort_unstable();
        vms.dedup();
        let mut packer = Packer::default();
        packer.column(batches.iter().map(|batch| batch.at.0));
        for column in 0..HOST_COLUMNS {
            packer.column(batches.iter().map(|batch| host_row(&batch.host)[column]));
        }
        for vm in &vms {
            packer.vm(*vm, batches);
        }
        Some(Self {
            last,
            samples,
            batches: batches.len(),
            vms: vms.into_boxed_slice(),
            packed: packer.bytes.into_boxed_slice(),
        })
    }

    pub(super) fn unpack(&self) -> Vec<Batch> {
        let mut unpacker = Unpacker { bytes: &self.packed };
        let at = unpacker.column(self.batches);
        let columns: [Vec<u64>; HOST_COLUMNS] =
            std::array::from_fn(|_| unpacker.column(self.batches));
        let batch = |row: usize| Batch {
            at: Timestamp(at[row]),
            host: host_sample(std::array::from_fn(|column| columns[column][row])),
            vms: Vec::new(),
        };
        let mut batches: Vec<Batch> = (0..self.batches).map(batch).collect();
        for vm in &self.vms {
            unpacker.vm(*vm, &mut batches);
        }
        batches
    }

    /// Memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.packed.len() + self.vms.len() * size_of::<VmId>()
    }
}

#[derive(Debug, Default)]
struct Packer {
    bytes: Vec<u8>,
}

impl Packer {
    fn column(&mut self, values: impl Iterator<Item = u64>) {
        let mut before = 0_u64;
        for value in values {
            self.difference(value.wrapping_sub(before).cast_signed());
            before = value;
        }
    }

    /// Which batches have the VM, then its columns.
    fn vm(&mut self, vm: VmId, batches: &[Batch]) {
        let find = |batch: &Batch| {
            let at = batch.vms.binary_search_by_key(&vm, |sample| sample.vm).ok()?;
            Some(vm_row(&batch.vms[at]))
        };
        let rows: Vec<Option<[u64; VM_COLUMNS]>> = batches.iter().map(find).collect();
        for eight in rows.chunks(8) {
            let bits = eight.iter().enumerate();
            self.bytes.push(bits.fold(0, |bits, (at, row)| bits | u8::from(row.is_some()) << at));
        }
        for column in 0..VM_COLUMNS {
            self.column(rows.iter().flatten().map(|row| row[column]));
        }
    }

    /// Zigzag, then seven bits to a byte: small differences of either sign take one byte.
    fn difference(&mut self, difference: i64) {
        let mut rest = (difference << 1 ^ difference >> 63).cast_unsigned();
        while rest >= 0x80 {
            self.bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.bytes.push(rest as u8);
    }
}

/// Reads what [`Packer`] wrote in this process; it never sees bytes from outside.
#[derive(Debug)]
struct Unpacker<'a> {
    bytes: &'a [u8],
}

impl Unpacker<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.bytes.split_first().expect("a block is unpacked as it was packed");
        self.bytes = rest;
        *first
    }

    fn column(&mut self, len: usize) -> Vec<u64> {
        let mut value = 0_u64;
        (0..len)
            .map(|_| {
                value = value.wrapping_add(self.difference().cast_unsigned());
                value
            })
            .collect()
    }

    fn vm(&mut self, vm: VmId, batches: &mut [Batch]) {
        let bits: Vec<u8> = (0..batches.len().div_ceil(8)).map(|_| self.byte()).collect();
        let present = |at: &usize| bits[at / 8] >> (at % 8) & 1 == 1;
        let rows: Vec<usize> = (0..batches.len()).filter(present).collect();
        let columns: [Vec<u64>; VM_COLUMNS] = std::array::from_fn(|_| self.column(rows.len()));
        for (row, at) in rows.into_iter().enumerate() {
            let sample = vm_sample(vm, std::array::from_fn(|column| columns[column][row]));
            batches[at].vms.push(sample);
        }
    }

    fn difference(&mut self) -> i64 {
        let (mut zigzag, mut shift) = (0_u64, 0);
        loop {
            let byte = self.byte();
            zigzag |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
            }
            shift += 7;
        }
    }
}

fn host_row(sample: &HostSample) -> [u64; HOST_COLUMNS] {
    [
        sample.cpu_busy_permille.into(),
        sample.load1_milli.into(),
        sample.memory_used_bytes,
        sample.memory_total_bytes,
        sample.disk_used_bytes,
        sample.disk_total_bytes,
        sample.net_rx_bytes_per_s,
        sample.net_tx_bytes_per_s,
    ]
}

fn host_sample(row: [u64; HOST_COLUMNS]) -> HostSample {
    let [busy, load, memory_used, memory_total, disk_used, disk_total, rx, tx] = row;
    HostSample {
        cpu_busy_permille: busy as u16,
        load1_milli: load as u32,
        memory_used_bytes: memory_used,
        memory_total_bytes: memory_total,
        disk_used_bytes: disk_used,
        disk_total_bytes: disk_total,
        net_rx_bytes_per_s: rx,
        net_tx_bytes_per_s: tx,
    }
}

fn vm_row(sample: &VmSample) -> [u64; VM_COLUMNS] {
    [
        sample.cpu_milli.into(),
        sample.memory_bytes,
        sample.disk_read_bytes_per_s,
        sample.disk_write_bytes_per_s,
        sample.net_rx_bytes_per_s,
        sample.net_tx_bytes_per_s,
    ]
}

fn vm_sample(vm: VmId, row: [u64; VM_COLUMNS]) -> VmSample {
    let [cpu, memory, read, write, rx, tx] = row;
    VmSample {
        vm,
        cpu_milli: cpu as u32,
        memory_bytes: memory,
        disk_read_bytes_per_s: read,
        disk_write_bytes_per_s: write,
        net_rx_bytes_per_s: rx,
        net_tx_bytes_per_s: tx,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn value() -> impl Strategy<Value = u64> {
        prop_oneof![Just(0), Just(u64::MAX), 0..1000_u64, any::<u64>()]
    }

    prop_compose! {
        fn host()(row: [u64; HOST_COLUMNS]) -> HostSample { host_sample(row) }
    }

    prop_compose! {
        fn vms()(rows in prop::collection::btree_map(0..12_u128, prop::array::uniform6(value()), 0..8))
            -> Vec<VmSample>
        {
            let sample = |(id, row)| vm_sample(VmId::from_uuid(Uuid::from_u128(id)), row);
            rows.into_iter().map(sample).collect()
        }
    }

    prop_compose! {
        fn batches()(
            times in prop::collection::btree_set(any::<u64>(), 1..20),
            parts in prop::collection::vec((host(), vms()), 20),
        ) -> Vec<Batch> {
            let batch = |(at, (host, vms))| Batch { at: Timestamp(at), host, vms };
            times.into_iter().zip(parts).map(batch).collect()
        }
    }

    proptest! {
        // Each case has up to 20 batches of 8 VMs; 64 of them take a second.
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_packed_is_what_is_unpacked(batches in batches()) {
            let block = Block::pack(&batches).unwrap();
            prop_assert_eq!(block.last, batches.last().unwrap().at);
            prop_assert_eq!(block.unpack(), batches);
        }
    }
}
