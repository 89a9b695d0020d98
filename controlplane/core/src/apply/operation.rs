//! Operations begin with a command and end exactly once.

use novacron_protocol::OperationId;
use novacron_protocol::limits::{OPERATIONS_KEPT, OPERATIONS_OPEN_MAX};
use novacron_protocol::vm::{StopMode, Target};

use super::{Context, check_room};
use crate::event::{EventKind, Object};
use crate::operation::{OPERATION_LIFE, Operation, OperationKind, OperationStatus, Subject};
use crate::outcome::{Applied, Outcome, Refusal};
use crate::state::State;

impl State {
    /// Begins an operation. An open one on the same VM is superseded: its wish is no longer wanted.
    pub(super) fn begin_operation(
        &mut self,
        context: &mut Context,
        id: OperationId,
        kind: OperationKind,
        subject: Subject,
    ) -> Result<(), Refusal> {
        let supersedes =
            matches!(subject, Subject::Vm(vm) if self.index.open_by_vm.contains_key(&vm));
        if !supersedes {
            check_room(self.index.open.len(), OPERATIONS_OPEN_MAX, "open operations")?;
        }
        if self.operations.contains_key(&id) {
            return Err(Refusal::conflict(format!("operation {id} exists already")));
        }
        let reason = format!("superseded by {kind} {id}");
        self.end_operations_of(context, subject, &OperationStatus::Cancelled { reason });
        let operation = Operation {
            id,
            kind,
            subject,
            actor: context.actor.clone(),
            status: OperationStatus::Running,
            created_at: self.clock,
            deadline: self.clock + OPERATION_LIFE,
            finished_at: None,
            changed: self.applied,
        };
        self.operations.insert(id, operation);
        self.index.insert_open(id, subject);
        Ok(())
    }

    pub(super) fn end_operations_of(
        &mut self,
        context: &mut Context,
        subject: Subject,
        status: &OperationStatus,
    ) {
        let open: Vec<OperationId> = match subject {
            Subject::Vm(vm) => self.index.open_by_vm.get(&vm).copied().into_iter().collect(),
            Subject::Image(_) => {
                let of_subject = |operation: &&Operation| operation.subject == subject;
                self.open_operations().filter(of_subject).map(|operation| operation.id).collect()
            }
        };
        for id in open {
            self.end_operation(context, id, status.clone());
        }
    }

    /// Ends an open operation; one that has ended stays as it ended.
    pub(super) fn end_operation(
        &mut self,
        context: &mut Context,
        id: OperationId,
        status: OperationStatus,
    ) {
        let (applied, clock) = (self.applied, self.clock);
        let Some(operation) = self.operations.get_mut(&id).filter(|entry| entry.is_open()) else {
            return;
        };
        operation.status = status;
        operation.finished_at = Some(clock);
        operation.changed = applied;
        let (subject, kind) = (operation.subject, operation.kind);
        let mut message = format!("{kind} {}", operation.status.as_str());
        if let Some(reason) = operation.status.reason() {
            message = format!("{message}: {reason}");
        }
        self.index.open.remove(&id);
        if let Subject::Vm(vm) = subject {
            self.index.open_by_vm.remove(&vm);
        }
        self.finished.insert((applied, id));
        self.emit(context, EventKind::OperationEnded, Object::Operation(id), message);
        self.forget_old_operations();
    }

    pub(super) fn cancel_operation(&mut self, context: &mut Context, id: OperationId) -> Applied {
        let operation = self
            .operations
            .get(&id)
            .ok_or_else(|| Refusal::not_found(format!("operation {id}")))?;
        if !operation.is_open() {
            let message = format!("the operation has ended: {}", operation.status.as_str());
            return Err(Refusal::conflict(message));
        }
        let target = match (operation.kind, operation.subject) {
            (OperationKind::CreateVm, Subject::Vm(vm)) => (vm, Target::Absent),
            (OperationKind::StartVm, Subject::Vm(vm)) => (vm, Target::Stopped),
            (kind, _) => {
                let message = format!("{kind} cannot be undone half-way; wait for its end");
                return Err(Refusal::conflict(message));
            }
        };
        let reason = format!("cancelled by {}", context.actor);
        self.end_operation(context, id, OperationStatus::Cancelled { reason });
        self.retarget(context, target.0, target.1, StopMode::Force);
        Ok(Outcome::Done)
    }

    /// Ends those of the named operations whose deadline has passed, with what they wait for.
    pub(super) fn expire_operations(
        &mut self,
        context: &mut Context,
        operations: &[OperationId],
    ) -> Applied {
        for id in operations {
            let Some(operation) = self.operations.get(id) else { continue };
            if operation.is_open() && operation.deadline <= self.clock {
                let reason = format!("not done in time: {}", self.waits_for(operation));
                self.end_operation(context, *id, OperationStatus::Failed { reason });
            }
        }
        Ok(Outcome::Done)
    }

    /// What an open operation waits for, as a clause for people.
    pub fn waits_for(&self, operation: &Operation) -> String {
        let vm = match operation.subject {
            Subject::Image(_) => return "members copy the image".to_owned(),
            Subject::Vm(vm) => match self.vms.get(&vm) {
                Some(vm) => vm,
                None => return "the VM is gone".to_owned(),
            },
        };
        let Some(host) = vm.host.and_then(|host| self.hosts.get(&host)) else {
            return "no host can take the VM yet (see `vm explain`)".to_owned();
        };
        match self.observed(vm) {
            crate::vm::Observed::Unknown { .. } => {
                format!("host {} is {}", host.name, host.connectivity)
            }
            crate::vm::Observed::Known { state, reason, .. } if reason.is_empty() => {
                format!("the VM is {state} on host {}", host.name)
            }
            crate::vm::Observed::Known { state, reason, .. } => {
                format!("the VM is {state} on host {}: {reason}", host.name)
            }
            crate::vm::Observed::Absent => format!("host {} has not begun yet", host.name),
        }
    }

    fn forget_old_operations(&mut self) {
        while self.finished.len() > OPERATIONS_KEPT {
            let Some(oldest) = self.finished.get_min().copied() else { return };
            self.finished.remove(&oldest);
            self.operations.remove(&oldest.1);
        }
    }
}
