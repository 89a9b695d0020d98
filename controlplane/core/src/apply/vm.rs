//! VMs: made, told what to be, placed, seen, and gone.

use novacron_protocol::limits::VMS_MAX;
use novacron_protocol::vm::{ObservedVm, StopMode, Target, VmState};
use novacron_protocol::{ByteCount, Generation, HostId, LogIndex, OperationId, VmId};

use super::{Context, check_room};
use crate::command::{NewVm, StartPolicy, VmAction};
use crate::event::{EventKind, Object};
use crate::operation::{OperationKind, OperationStatus, Subject};
use crate::outcome::{Applied, Outcome, Refusal, RefusalCode};
use crate::placement;
use crate::state::State;
use crate::vm::{Seen, Vm};

impl State {
    pub(super) fn create_vm(&mut self, context: &mut Context, new: &NewVm) -> Applied {
        check_room(self.vms.len(), VMS_MAX, "VMs")?;
        if let Some(error) = new.spec.errors().first() {
            let message = format!("{} {}", error.field, error.message);
            return Err(Refusal::new(RefusalCode::Invalid, message).on(error.field));
        }
        if self.index.vms_by_name.contains_key(&new.name) {
            let message = format!("there is a VM {} already", new.name);
            return Err(Refusal::new(RefusalCode::NameTaken, message).on("name"));
        }
        if self.vms.contains_key(&new.id) {
            return Err(Refusal::conflict("this VM id is in use"));
        }
        let image = self
            .images
            .get(&new.spec.image)
            .ok_or_else(|| Refusal::not_found(format!("image {}", new.spec.image)).on("image"))?;
        let image_disk = image.boot.disk().map_or(ByteCount::ZERO, |disk| disk.virtual_size);
        if let Some(disk) = new.spec.disk.filter(|disk| *disk < image_disk) {
            let message = format!("a disk of {disk} cannot hold the image's {image_disk}");
            return Err(Refusal::new(RefusalCode::Invalid, message).on("disk"));
        }
        let boot = image.boot.clone();
        self.begin_operation(context, new.operation, OperationKind::CreateVm, Subject::Vm(new.id))?;
        let vm = Vm {
            id: new.id,
            name: new.name.clone(),
            spec: new.spec.clone(),
            boot,
            target: match new.start {
                StartPolicy::Start => Target::Running,
                StartPolicy::LeaveStopped => Target::Stopped,
            },
            stop_mode: StopMode::Graceful,
            restarts: 0,
            host: None,
            revision: Generation(0),
            seen: None,
            created_at: self.clock,
            changed: self.applied,
        };
        self.index.insert_name(&vm);
        self.vms.insert(new.id, vm);
        self.index.unplaced.insert(new.id);
        let message = format!("VM {} accepted", new.name);
        self.emit(context, EventKind::VmCreated, Object::Vm(new.id), message);
        Ok(Outcome::Vm { vm: new.id, operation: new.operation })
    }

    pub(super) fn set_target(
        &mut self,
        context: &mut Context,
        id: VmId,
        action: VmAction,
        operation: OperationId,
        expected: Option<LogIndex>,
    ) -> Applied {
        let vm = self.vms.get(&id).ok_or_else(|| Refusal::not_found(format!("VM {id}")))?;
        if expected.is_some_and(|expected| expected != vm.changed) {
            let message = format!("VM {} has changed since you read it", vm.name);
            return Err(Refusal::new(RefusalCode::PreconditionFailed, message));
        }
        if vm.target == Target::Absent && action != VmAction::Delete {
            return Err(Refusal::conflict(format!("VM {} is being deleted", vm.name)));
        }
        let (kind, target, stop_mode) = match action {
            VmAction::Start => (OperationKind::StartVm, Target::Running, vm.stop_mode),
            VmAction::Stop(mode) => (OperationKind::StopVm, Target::Stopped, mode),
            VmAction::Restart(mode) => (OperationKind::RestartVm, Target::Running, mode),
            VmAction::Delete => (OperationKind::DeleteVm, Target::Absent, StopMode::Force),
        };
        if matches!(action, VmAction::Restart(_)) && vm.target != Target::Running {
            return Err(Refusal::conflict(format!("VM {} is stopped; start it instead", vm.name)));
        }
        let name = vm.name.clone();
        self.begin_operation(context, operation, kind, Subject::Vm(id))?;
        if matches!(action, VmAction::Restart(_))
            && let Some(vm) = self.vms.get_mut(&id)
        {
            vm.restarts = vm.restarts.saturating_add(1);
        }
        let message = format!("VM {name}: {kind} accepted");
        self.emit(context, EventKind::VmChanged, Object::Vm(id), message);
        self.retarget(context, id, target, stop_mode);
        Ok(Outcome::Vm { vm: id, operation })
    }

    /// Gives a VM a new target and tells its host by a new revision. One that no host has yet
    /// is dropped at once when it should be absent.
    pub(super) fn retarget(
        &mut self,
        context: &mut Context,
        id: VmId,
        target: Target,
        stop_mode: StopMode,
    ) {
        let applied = self.applied;
        let Some(vm) = self.vms.get_mut(&id) else { return };
        vm.target = target;
        vm.stop_mode = stop_mode;
        vm.changed = applied;
        match vm.host {
            Some(host) => self.touch(id, host),
            None if target == Target::Absent => self.forget_vm(context, id),
            None => {}
        }
    }

    pub(super) fn place(&mut self, context: &mut Context, id: VmId, host_id: HostId) -> Applied {
        let vm = self.vms.get(&id).ok_or_else(|| Refusal::not_found(format!("VM {id}")))?;
        if vm.host.is_some() {
            return Err(Refusal::conflict(format!("VM {} is placed already", vm.name)));
        }
        let host = self
            .hosts
            .get(&host_id)
            .ok_or_else(|| Refusal::not_found(format!("host {host_id}")))?;
        let reasons = placement::reasons_against(vm, host);
        if !reasons.is_empty() {
            let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            let message = format!("host {} cannot take it: {}", host.name, reasons.join("; "));
            return Err(Refusal::new(RefusalCode::Infeasible, message));
        }
        let (usage, name) = (vm.usage(), vm.name.clone());
        let message = format!("VM {name} goes to host {}", host.name);
        if let Some(host) = self.hosts.get_mut(&host_id) {
            host.allocated = host.allocated.plus(usage);
        }
        if let Some(vm) = self.vms.get_mut(&id) {
            vm.host = Some(host_id);
            vm.changed = self.applied;
        }
        self.index.unplaced.remove(&id);
        self.index.vms_by_host.entry(host_id).or_default().insert(id);
        self.touch(id, host_id);
        self.emit(context, EventKind::VmPlaced, Object::Vm(id), message);
        Ok(Outcome::Done)
    }

    /// Takes in what an agent reported. Words about VMs placed elsewhere, or older than what is
    /// known, are passed over.
    pub(super) fn observe(
        &mut self,
        context: &mut Context,
        host_id: HostId,
        generation: Generation,
        reports: &[ObservedVm],
    ) -> Applied {
        let host = self.host_mut(host_id)?;
        host.accepted = host.accepted.max(generation.min(host.generation));
        for report in reports {
            self.observe_vm(context, host_id, report);
        }
        Ok(Outcome::Done)
    }

    fn observe_vm(&mut self, context: &mut Context, host: HostId, report: &ObservedVm) {
        let (applied, clock) = (self.applied, self.clock);
        let Some(vm) = self.vms.get_mut(&report.id).filter(|vm| vm.host == Some(host)) else {
            return;
        };
        let stale = vm.seen.as_ref().is_some_and(|seen| report.revision < seen.revision);
        if stale || report.revision > vm.revision {
            return;
        }
        let changed = vm
            .seen
            .as_ref()
            .is_none_or(|seen| seen.state != report.state || seen.reason != report.reason);
        vm.seen = Some(Seen {
            state: report.state,
            revision: report.revision,
            restarts: report.restarts,
            reason: report.reason.clone(),
            at: clock,
        });
        vm.changed = applied;
        let current = report.revision == vm.revision;
        let (target, restarts) = (vm.target, vm.restarts);
        let mut message = format!("VM {} is {}", vm.name, report.state);
        if !report.reason.is_empty() {
            message = format!("{message}: {}", report.reason);
        }
        if changed {
            self.emit(context, EventKind::VmObserved, Object::Vm(report.id), message);
        }
        if !current {
            return;
        }
        if target.is_met_by(report.state) && report.restarts == restarts {
            self.end_operations_of(context, Subject::Vm(report.id), &OperationStatus::Done);
        } else if report.state == VmState::Failed {
            let failed = OperationStatus::Failed { reason: report.reason.clone() };
            self.end_operations_of(context, Subject::Vm(report.id), &failed);
        }
        if target == Target::Absent && report.state == VmState::Absent {
            self.forget_vm(context, report.id);
        }
    }

    /// Marks a VM's entry in its host's desired set as changed.
    fn touch(&mut self, id: VmId, host_id: HostId) {
        let applied = self.applied;
        let Some(host) = self.hosts.get_mut(&host_id) else { return };
        host.generation = host.generation.next();
        host.changed = applied;
        let generation = host.generation;
        if let Some(vm) = self.vms.get_mut(&id) {
            vm.revision = generation;
        }
    }

    /// Removes the last trace of a VM, and its entry from the host's set.
    fn forget_vm(&mut self, context: &mut Context, id: VmId) {
        let Some(vm) = self.vms.remove(&id) else { return };
        self.index.remove_name(&vm);
        self.index.unplaced.remove(&id);
        if let Some(host_id) = vm.host {
            if let Some(ids) = self.index.vms_by_host.get_mut(&host_id) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.index.vms_by_host.remove(&host_id);
                }
            }
            if let Some(host) = self.hosts.get_mut(&host_id) {
                host.allocated = host.allocated.minus(vm.usage());
            }
            self.touch(id, host_id);
        }
        self.end_operations_of(context, Subject::Vm(id), &OperationStatus::Done);
        let message = format!("VM {} is gone", vm.name);
        self.emit(context, EventKind::VmDeleted, Object::Vm(id), message);
    }
}
