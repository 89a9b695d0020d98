//! Carries the core's actions out, away from the event loop, and tells it how they ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use novacron_agent_core::{Action, Outcome, Persist, Task};
use novacron_protocol::vm::DesiredVm;
use novacron_protocol::{Digest, VmId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Input;
use super::calls::Calls;
use crate::hypervisor::HypervisorError;
use crate::images::{ImageError, ImageStore};
use crate::journal::JournalStore;
use crate::uplink::{MemberBlobs, Uplink};
use crate::vm_files::VmFiles;

/// Hands work to threads and tasks.
pub(super) struct Executor {
    pub(super) calls: Calls,
    needs_images: bool,
    images: Arc<ImageStore>,
    vms: VmFiles,
    blobs: Arc<MemberBlobs>,
    journal: Arc<Mutex<JournalStore>>,
    inputs_tx: mpsc::Sender<Input>,
    /// Preparations in flight, each with what gives it up.
    preparing: BTreeMap<VmId, CancellationToken>,
}

impl Executor {
    pub(super) fn new(
        calls: Calls,
        needs_images: bool,
        images: ImageStore,
        vms: VmFiles,
        uplink: &Uplink,
        journal: JournalStore,
        inputs_tx: mpsc::Sender<Input>,
    ) -> Self {
        Self {
            calls,
            needs_images,
            images: Arc::new(images),
            vms,
            blobs: Arc::new(uplink.blobs()),
            journal: Arc::new(Mutex::new(journal)),
            inputs_tx,
            preparing: BTreeMap::new(),
        }
    }

    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Persist(change) => self.persist(change),
            Action::Observe => self.calls.look(),
            Action::Perform { vm, task } => self.begin(vm, task),
            Action::Abandon { vm } => {
                if let Some(preparation) = self.preparing.get(&vm) {
                    preparation.cancel();
                }
            }
        }
    }

    /// A task of `vm` has ended.
    pub(super) fn handle_task_done(&mut self, vm: VmId) {
        self.preparing.remove(&vm);
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
        match task {
            Task::Prepare(desired) if self.needs_images => self.prepare(desired),
            Task::Prepare(_) => self.calls.task(vm, |_| Ok(())),
            Task::Define(desired) => {
                let spec = self.vms.domain_spec(&desired, &self.images);
                self.calls.task(vm, move |hypervisor| hypervisor.define(&spec));
            }
            Task::Start => self.calls.task(vm, move |hypervisor| hypervisor.start(vm)),
            Task::Shutdown => self.calls.task(vm, move |hypervisor| hypervisor.shutdown(vm)),
            Task::Destroy => self.calls.task(vm, move |hypervisor| hypervisor.destroy(vm)),
            Task::Remove => {
                let vms = self.vms.clone();
                self.calls.task(vm, move |hypervisor| {
                    hypervisor.undefine(vm)?;
                    vms.remove(vm).map_err(|error| {
                        HypervisorError::Refused(format!("cannot remove the VM's files: {error}"))
                    })
                });
            }
        }
    }

    fn prepare(&mut self, desired: Arc<DesiredVm>) {
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
            let _ = inputs_tx.send(Input::TaskDone { vm, outcome }).await;
        });
    }

    fn persist(&self, change: Persist) {
        let (journal, inputs_tx) = (Arc::clone(&self.journal), self.inputs_tx.clone());
        tokio::task::spawn_blocking(move || {
            let result = journal.lock().unwrap_or_else(PoisonError::into_inner).persist(&change);
            let _ = inputs_tx.blocking_send(Input::Persisted(result));
        });
    }
}
