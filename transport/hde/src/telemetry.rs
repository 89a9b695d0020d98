//! Samples as differences to the batch before, column by column, entropy coded.
//!
//! One encoder and one decoder for each session, in step: both remember the last batch and what they
//! have learnt of each column. A message is its number, a check of the batch that it stands for, and
//! the range coder's bytes. Number 0 begins anew and needs no other before it; it comes every
//! [`RENEWED_EVERY`] messages, so that two sides out of step, which the number or the check tells at
//! once, are in step again soon.

mod model;
mod range;

use novacron_protocol::wire::telemetry::{Batch, HostSample, VmSample};
use novacron_protocol::{Timestamp, VmId};

use crate::limits::BATCH_VMS_MAX;
use model::{Column, Number};
use range::{Coder, Odds, RangeDecoder, RangeEncoder};

/// Encodes the batches of one session.
#[derive(Debug, Clone, Default)]
pub struct BatchEncoder {
    state: Box<State>,
    /// Of the next message.
    number: u8,
}

/// Decodes the batches of one session. Memory: 5 KiB, and 120 bytes for each VM.
#[derive(Debug, Clone, Default)]
pub struct BatchDecoder {
    state: Box<State>,
    /// Of the message that it understands, beside 0.
    number: Option<u8>,
}

/// A batch that was not understood, or cannot be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("a batch of {0} VMs; at most {BATCH_VMS_MAX} are on a host")]
    TooManyVms(usize),
    /// Only a sorted batch has an encoding.
    #[error("a batch whose VMs are not in order, or not unique")]
    Unsorted,
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// A message before this one was lost, or another encoder made it. One that begins anew will
    /// come; until then there is nothing to have.
    #[error("the two sides are out of step")]
    OutOfStep,
}

/// What both sides remember.
#[derive(Debug, Clone, Default)]
struct State {
    at: Number,
    /// Between the last two batches.
    interval: u64,
    host: [Number; HOST_COLUMNS],
    /// In order of their ids.
    vms: Vec<Vm>,
    columns: Columns,
}

#[derive(Debug, Clone, Copy)]
struct Vm {
    id: VmId,
    row: [Number; VM_COLUMNS],
}

/// Odds of everything.
#[derive(Debug, Clone, Default)]
struct Columns {
    at: Column,
    host: [Column; HOST_COLUMNS],
    vm: [Column; VM_COLUMNS],
    same_vms: Odds,
    stays: Odds,
    joining: Column,
}

const HOST_COLUMNS: usize = 8;
const VM_COLUMNS: usize = 6;
const HEAD_BYTES: usize = 3;
/// Messages from one that begins anew to the next. One of 10 VMs that begins anew takes some 250
/// bytes more than one that does not, so this costs some 4 bytes a message.
pub const RENEWED_EVERY: u8 = 64;

impl BatchEncoder {
    /// The message for `batch`. The next one needs it, unless that begins anew.
    pub fn encode(&mut self, batch: &Batch) -> Result<Vec<u8>, BatchError> {
        if batch.vms.len() > BATCH_VMS_MAX {
            return Err(BatchError::TooManyVms(batch.vms.len()));
        }
        if !batch.vms.is_sorted_by(|a, b| a.vm < b.vm) {
            return Err(BatchError::Unsorted);
        }
        if self.number == 0 {
            *self.state = State::default();
        }
        let mut coder = RangeEncoder::new();
        self.state.code(&mut coder, Some(batch))?;
        let [low, high] = self.state.check();
        let mut message = vec![self.number, low, high];
        message.extend(coder.finish());
        self.number = (self.number + 1) % RENEWED_EVERY;
        Ok(message)
    }

    /// Has the next message begin anew: the last one was not sent.
    pub fn renew(&mut self) {
        self.number = 0;
    }
}

impl BatchDecoder {
    /// The batch of the next message.
    pub fn decode(&mut self, message: &[u8]) -> Result<Batch, BatchError> {
        let ([number, check @ ..], coded) =
            message.split_first_chunk::<HEAD_BYTES>().ok_or(BatchError::Malformed("no head"))?;
        let expected = self.number.take();
        if *number == 0 {
            *self.state = State::default();
        } else if expected != Some(*number) {
            return Err(BatchError::OutOfStep);
        }
        let mut coder = RangeDecoder::new(coded);
        self.state.code(&mut coder, None)?;
        if *check != self.state.check() || coder.unread() > 0 {
            return Err(BatchError::OutOfStep);
        }
        self.number = number.checked_add(1);
        self.state.batch()
    }
}

impl State {
    /// Codes the next batch and becomes it: `next` is what to say, or `None` to hear.
    fn code(&mut self, coder: &mut impl Coder, next: Option<&Batch>) -> Result<(), BatchError> {
        const MALFORMED: BatchError = BatchError::Malformed("a number of more than 64 bits");
        self.code_vms(coder, next)?;
        let before = self.at.value;
        self.at.value = before.wrapping_add(self.interval);
        let at = next.map_or(0, |batch| batch.at.0);
        self.columns.at.code(coder, &mut self.at, at).ok_or(MALFORMED)?;
        self.interval = self.at.value.wrapping_sub(before);
        let host = next.map_or([0; HOST_COLUMNS], |batch| host_row(&batch.host));
        for ((column, number), value) in self.columns.host.iter_mut().zip(&mut self.host).zip(host)
        {
            column.code(coder, number, value).ok_or(MALFORMED)?;
        }
        let rows: Option<Vec<[u64; VM_COLUMNS]>> =
            next.map(|batch| batch.vms.iter().map(vm_row).collect());
        for (at, column) in self.columns.vm.iter_mut().enumerate() {
            for (index, vm) in self.vms.iter_mut().enumerate() {
                let value = rows.as_ref().map_or(0, |rows| rows[index][at]);
                column.code(coder, &mut vm.row[at], value).ok_or(MALFORMED)?;
            }
        }
        Ok(())
    }

    /// Codes which VMs there are; those that are new begin at zero.
    fn code_vms(&mut self, coder: &mut impl Coder, next: Option<&Batch>) -> Result<(), BatchError> {
        let has = |id: VmId| {
            let found = |batch: &Batch| batch.vms.binary_search_by_key(&id, |vm| vm.vm).is_ok();
            next.is_some_and(found)
        };
        let same = next.is_some_and(|batch| {
            batch.vms.iter().map(|vm| vm.vm).eq(self.vms.iter().map(|vm| vm.id))
        });
        if coder.bit(&mut self.columns.same_vms, u32::from(!same)) == 0 {
            return Ok(());
        }
        let stays = &mut self.columns.stays;
        self.vms.retain(|vm| coder.bit(stays, u32::from(!has(vm.id))) == 0);
        let joining: Vec<VmId> = next.map_or(Vec::new(), |batch| {
            let known = |id: &VmId| self.vms.binary_search_by_key(id, |vm| vm.id).is_ok();
            batch.vms.iter().map(|vm| vm.vm).filter(|id| !known(id)).collect()
        });
        let mut count = Number::default();
        let said = self.columns.joining.code(coder, &mut count, joining.len() as u64);
        said.ok_or(BatchError::Malformed("a count of VMs"))?;
        let count = usize::try_from(count.value).unwrap_or(usize::MAX);
        let total = self.vms.len().saturating_add(count);
        if total > BATCH_VMS_MAX {
            return Err(BatchError::TooManyVms(total));
        }
        for at in 0..count {
            let id = joining.get(at).map_or(0, |id| id.as_uuid().as_u128());
            let high = coder.plain(64, (id >> 64) as u64);
            let id = u128::from(high) << 64 | u128::from(coder.plain(64, id as u64));
            self.vms.push(Vm { id: vm_id(id), row: [Number::default(); VM_COLUMNS] });
        }
        self.vms.sort_unstable_by_key(|vm| vm.id);
        match self.vms.is_sorted_by(|a, b| a.id < b.id) {
            true => Ok(()),
            false => Err(BatchError::Malformed("a VM twice")),
        }
    }

    /// A short check of all numbers.
    fn check(&self) -> [u8; 2] {
        let host = self.host.iter();
        let numbers = host.chain(self.vms.iter().flat_map(|vm| &vm.row));
        let crc = |crc, value: u64| crc32c::crc32c_append(crc, &value.to_le_bytes());
        let check = numbers.fold(crc(0, self.at.value), |sum, number| crc(sum, number.value));
        (check as u16 ^ (check >> 16) as u16).to_le_bytes()
    }

    fn batch(&self) -> Result<Batch, BatchError> {
        let host = host_sample(self.host.map(|number| number.value))?;
        let vms: Result<_, _> = self.vms.iter().map(vm_sample).collect();
        Ok(Batch { at: Timestamp(self.at.value), host, vms: vms? })
    }
}

fn vm_id(id: u128) -> VmId {
    VmId::from_uuid(uuid::Uuid::from_u128(id))
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

fn host_sample(row: [u64; HOST_COLUMNS]) -> Result<HostSample, BatchError> {
    const RANGE: BatchError = BatchError::Malformed("a value outside its range");
    let [busy, load, memory_used, memory_total, disk_used, disk_total, rx, tx] = row;
    Ok(HostSample {
        cpu_busy_permille: busy.try_into().map_err(|_| RANGE)?,
        load1_milli: load.try_into().map_err(|_| RANGE)?,
        memory_used_bytes: memory_used,
        memory_total_bytes: memory_total,
        disk_used_bytes: disk_used,
        disk_total_bytes: disk_total,
        net_rx_bytes_per_s: rx,
        net_tx_bytes_per_s: tx,
    })
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

fn vm_sample(vm: &Vm) -> Result<VmSample, BatchError> {
    let [cpu, memory, read, write, rx, tx] = vm.row.map(|number| number.value);
    Ok(VmSample {
        vm: vm.id,
        cpu_milli: cpu
            .try_into()
            .map_err(|_| BatchError::Malformed("a value outside its range"))?,
        memory_bytes: memory,
        disk_read_bytes_per_s: read,
        disk_write_bytes_per_s: write,
        net_rx_bytes_per_s: rx,
        net_tx_bytes_per_s: tx,
    })
}

#[cfg(test)]
mod tests;
