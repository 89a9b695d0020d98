//! Carries the core's actions out, away from the event loop, and tells it how they ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use novacron_agent_core::{Action, Outcome, Persist, Task};
use novacron_protocol::vm::DesiredVm;
use novacron_protocol::{Digest, VmId};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Input;
use crate::hypervisor::{Hypervisor, HypervisorError};
use crate::images::{ImageError, ImageStore};
use crate::journal::JournalStore;
use crate::pool::Pool;
use crate::uplink::{MemberBlobs, Uplink};
use crate::vm_files::VmFiles;

/// Hands work to threads and tasks.
pub(super) struct Executor {
    pool: Pool,
    needs_images: bool,
    images: Arc<ImageStore>,
    vms: VmFiles,
    blobs: Arc<MemberBlobs>,
    journal: Arc<Mutex<JournalStore>>,
    inputs_tx: mpsc::Sender<Input>,
    /// Preparations in flight, each with what gives it up.
    preparing: BTreeMap<VmId, CancellationToken>,
    /// Tasks in flight.
    tickets: BTreeMap<VmId, Ticket>,
    last_ticket: u64,
}

/// Tells one task of a VM from the next: a task that was given up may still end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// A hypervisor call that has begun and not ended after this long is given up. libvirt's client can
/// leave a call hanging for ever when its daemon is killed at the wrong moment; what the call did or
/// did not do is found by looking. Stopping a guest by force takes libvirt up to 15 s.
const CALL_PATIENCE: Duration = Duration::from_secs(30);

impl Executor {
    pub(super) fn new(
        pool: Pool,
        needs_images: bool,
        images: ImageStore,
        vms: VmFiles,
        uplink: &Uplink,
        journal: JournalStore,
        inputs_tx: mpsc::Sender<Input>,
    ) -> Self {
        Self {
            pool,
            needs_images,
            images: Arc::new(images),
            vms,
            blobs: Arc::new(uplink.blobs()),
            journal: Arc::new(Mutex::new(journal)),
            inputs_tx,
            preparing: BTreeMap::new(),
            tickets: BTreeMap::new(),
            last_ticket: 0,
        }
    }

    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Persist(change) => self.persist(change),
            Action::Observe => self.call(|hypervisor| Input::Observed(hypervisor.domains())),
            Action::Perform { vm, task } => self.begin(vm, task),
            Action::Abandon { vm } => {
                if let Some(preparation) = self.preparing.get(&vm) {
                    preparation.cancel();
                }
            }
        }
    }

    /// Whether what ended is the task of `vm` that is in flight, and not one that was given up.
    pub(super) fn handle_task_done(&mut self, vm: VmId, ticket: Ticket) -> bool {
        if self.tickets.get(&vm) != Some(&ticket) {
            return false;
        }
        self.tickets.remove(&vm);
        self.preparing.remove(&vm);
        true
    }

    pub(super) fn begin_about(&self) {
        self.call(|hypervisor| Input::About(hypervisor.about()));
    }

    pub(super) fn begin_counters(&self) {
        self.call(|hypervisor| Input::Counters(hypervisor.counters()));
    }

    /// Removes image files that no VM needs, neither one of `in_use` nor one that is on disk.
    pub(super) fn collect(&self, mut in_use: Vec<Digest>) {
        let (images, vms) = (Arc::clone(&self.images), self.vms.clone());
        tokio::task::spawn_blocking(move || {
            // When it is not known what VMs stand on, nothing is removed.
            let collected = vms.bases().and_then(|bases| {
                in_use.extend(bases);
                images.collect(&in_use)
            });
            match collected {
                Ok(0) => {}
                Ok(files) => tracing::info!(files, "removed image files that no VM needs"),
                Err(error) => tracing::warn!(%error, "cannot look for unneeded image files"),
            }
        });
    }

    fn begin(&mut self, vm: VmId, task: Task) {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.tickets.insert(vm, ticket);
        match task {
            Task::Prepare(desired) if self.needs_images => self.prepare(desired, ticket),
            Task::Prepare(_) => self.task(vm, ticket, |_| Ok(())),
            Task::Define(desired) => {
                let spec = self.vms.domain_spec(&desired, &self.images);
                self.task(vm, ticket, move |hypervisor| hypervisor.define(&spec));
            }
            Task::Start => self.task(vm, ticket, move |hypervisor| hypervisor.start(vm)),
            Task::Shutdown => self.task(vm, ticket, move |hypervisor| hypervisor.shutdown(vm)),
            Task::Destroy => self.task(vm, ticket, move |hypervisor| hypervisor.destroy(vm)),
            Task::Remove => {
                let vms = self.vms.clone();
                self.task(vm, ticket, move |hypervisor| {
                    hypervisor.undefine(vm)?;
                    vms.remove(vm).map_err(|error| {
                        HypervisorError::Refused(format!("cannot remove the VM's files: {error}"))
                    })
                });
            }
        }
    }

    fn prepare(&mut self, desired: Arc<DesiredVm>, ticket: Ticket) {
        let (vm, given_up) = (desired.id, CancellationToken::new());
        self.preparing.insert(vm, given_up.clone());
        let (images, vms, blobs) =
            (Arc::clone(&self.images), self.vms.clone(), Arc::clone(&self.blobs));
        let inputs_tx = self.inputs_tx.clone();
        tokio::spawn(async move {
            let prepared = vms.prepare(&desired, &images, &*blobs);
            let outcome = match given_up.run_until_cancelled(Box::pin(prepared)).await {
                None => Outcome::Abandoned,
                Some(Ok(())) => Outcome::Done,
                Some(Err(ImageError::Unavailable(reason))) => Outcome::Unavailable(reason),
                Some(Err(ImageError::Refused(reason))) => Outcome::Refused(reason),
            };
            let _ = inputs_tx.send(Input::TaskDone { vm, ticket, outcome }).await;
        });
    }

    fn persist(&self, change: Persist) {
        let (journal, inputs_tx) = (Arc::clone(&self.journal), self.inputs_tx.clone());
        tokio::task::spawn_blocking(move || {
            let result = journal.lock().unwrap_or_else(PoisonError::into_inner).persist(&change);
            let _ = inputs_tx.blocking_send(Input::Persisted(result));
        });
    }

    fn task(
        &self,
        vm: VmId,
        ticket: Ticket,
        task: impl FnOnce(&dyn Hypervisor) -> Result<(), HypervisorError> + Send + 'static,
    ) {
        let (runtime, inputs_tx) = (Handle::current(), self.inputs_tx.clone());
        let spare = self.pool.spare();
        self.call(move |hypervisor| {
            // From here on: a task that waits for a thread is not late.
            let given_up = runtime.spawn(async move {
                tokio::time::sleep(CALL_PATIENCE).await;
                tracing::warn!(%vm, "the hypervisor does not answer a call; looking what it did");
                spare.replace_one();
                let outcome = Outcome::Unreachable;
                let _ = inputs_tx.send(Input::TaskDone { vm, ticket, outcome }).await;
            });
            let outcome = match task(hypervisor) {
                Ok(()) => Outcome::Done,
                Err(error) => error.into_outcome(),
            };
            given_up.abort();
            Input::TaskDone { vm, ticket, outcome }
        });
    }

    fn call(&self, call: impl FnOnce(&dyn Hypervisor) -> Input + Send + 'static) {
        let inputs_tx = self.inputs_tx.clone();
        self.pool.submit(move |hypervisor| {
            // Nobody waits for it any more when the agent stops.
            let _ = inputs_tx.blocking_send(call(hypervisor));
        });
    }
}
