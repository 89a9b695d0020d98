//! What is asked of the hypervisor, one question of a kind at a time. Each is answered: one that
//! hangs is given up, as if the hypervisor were not there.

use novacron_agent_core::Outcome;
use novacron_protocol::VmId;
use tokio::sync::mpsc;

use super::Input;
use crate::hypervisor::{Hypervisor, HypervisorError};
use crate::pool::Pool;

/// Asks the hypervisor, and remembers what is not answered yet.
pub(super) struct Calls {
    pool: Pool,
    inputs_tx: mpsc::Sender<Input>,
    is_describing: bool,
    is_counting: bool,
}

impl Calls {
    pub(super) fn new(pool: Pool, inputs_tx: mpsc::Sender<Input>) -> Self {
        Self { pool, inputs_tx, is_describing: false, is_counting: false }
    }

    /// Ends with [`Input::Observed`]. The core asks for one at a time.
    pub(super) fn look(&self) {
        self.ask(Input::Observed(Err(hangs("list its domains"))), |hypervisor| {
            Input::Observed(hypervisor.domains())
        });
    }

    /// Ends with [`Input::About`].
    pub(super) fn describe(&mut self) {
        if !std::mem::replace(&mut self.is_describing, true) {
            self.ask(Input::About(Err(hangs("describe itself"))), |hypervisor| {
                Input::About(hypervisor.about())
            });
        }
    }

    pub(super) fn handle_described(&mut self) {
        self.is_describing = false;
    }

    /// Ends with [`Input::Counters`], unless the last such question is not answered yet.
    pub(super) fn count(&mut self) -> Question {
        if std::mem::replace(&mut self.is_counting, true) {
            return Question::Unanswered;
        }
        self.ask(Input::Counters(Err(hangs("count"))), |hypervisor| {
            Input::Counters(hypervisor.counters())
        });
        Question::Asked
    }

    pub(super) fn handle_counted(&mut self) {
        self.is_counting = false;
    }

    /// Ends with [`Input::TaskDone`]. The core gives a VM one task at a time.
    pub(super) fn task(
        &self,
        vm: VmId,
        task: impl FnOnce(&dyn Hypervisor) -> Result<(), HypervisorError> + Send + 'static,
    ) {
        // What it did or did not do is found by looking.
        let given_up = Input::TaskDone { vm, outcome: Outcome::Unreachable };
        self.ask(given_up, move |hypervisor| {
            let outcome = match task(hypervisor) {
                Ok(()) => Outcome::Done,
                Err(error) => error.into_outcome(),
            };
            Input::TaskDone { vm, outcome }
        });
    }

    fn ask(&self, given_up: Input, call: impl FnOnce(&dyn Hypervisor) -> Input + Send + 'static) {
        self.pool.submit(&self.inputs_tx, given_up, call);
    }
}

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Asked,
    /// It was not asked: the one before is still open.
    Unanswered,
}

fn hangs(what: &str) -> HypervisorError {
    HypervisorError::Unreachable(format!("a call that makes it {what} hangs"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};

    use novacron_agent_core::Domain;
    use novacron_agent_core::telemetry::VmCounters;

    use super::*;
    use crate::hypervisor::{About, DomainSpec};
    use crate::testing::vm_id;

    /// A hypervisor that answers nothing as long as the sender lives.
    #[derive(Debug)]
    struct Silent(Mutex<Receiver<()>>);

    impl Silent {
        fn hang<T>(&self) -> Result<T, HypervisorError> {
            let _ = self.0.lock().unwrap().recv();
            Err(HypervisorError::NotFound)
        }
    }

    impl Hypervisor for Silent {
        fn about(&self) -> Result<About, HypervisorError> {
            self.hang()
        }

        fn domains(&self) -> Result<Vec<Domain>, HypervisorError> {
            self.hang()
        }

        fn counters(&self) -> Result<BTreeMap<VmId, VmCounters>, HypervisorError> {
            self.hang()
        }

        fn define(&self, _: &DomainSpec) -> Result<(), HypervisorError> {
            self.hang()
        }

        fn start(&self, _: VmId) -> Result<(), HypervisorError> {
            self.hang()
        }

        fn shutdown(&self, _: VmId) -> Result<(), HypervisorError> {
            self.hang()
        }

        fn destroy(&self, _: VmId) -> Result<(), HypervisorError> {
            self.hang()
        }

        fn undefine(&self, _: VmId) -> Result<(), HypervisorError> {
            self.hang()
        }

        fn needs_images(&self) -> bool {
            false
        }
    }

    /// Calls to a silent hypervisor, and where their ends go.
    fn silent() -> (Calls, mpsc::Receiver<Input>, Sender<()>) {
        let (silence_tx, silence_rx) = channel();
        let hypervisor: Arc<dyn Hypervisor> = Arc::new(Silent(Mutex::new(silence_rx)));
        let (inputs_tx, inputs_rx) = mpsc::channel(10);
        (Calls::new(Pool::start(&hypervisor).unwrap(), inputs_tx), inputs_rx, silence_tx)
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_hangs_is_answered_as_if_the_hypervisor_were_not_there() {
        let (mut calls, mut inputs_rx, _silence) = silent();
        let unreachable = |error| matches!(error, HypervisorError::Unreachable(_));
        calls.look();
        let Some(Input::Observed(Err(error))) = inputs_rx.recv().await else { panic!("no look") };
        assert!(unreachable(error));
        calls.describe();
        let Some(Input::About(Err(error))) = inputs_rx.recv().await else { panic!("no about") };
        assert!(unreachable(error));
        assert_eq!(calls.count(), Question::Asked);
        let Some(Input::Counters(Err(error))) = inputs_rx.recv().await else { panic!("no count") };
        assert!(unreachable(error));
        calls.task(vm_id(1), |hypervisor| hypervisor.start(vm_id(1)));
        let Some(Input::TaskDone { vm, outcome }) = inputs_rx.recv().await else {
            panic!("no task")
        };
        assert_eq!((vm, outcome), (vm_id(1), Outcome::Unreachable));
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_is_open_is_not_asked_again() {
        let (mut calls, mut inputs_rx, _silence) = silent();
        assert_eq!(calls.count(), Question::Asked);
        assert_eq!(calls.count(), Question::Unanswered);
        calls.describe();
        calls.describe();
        let mut ends = [inputs_rx.recv().await.unwrap(), inputs_rx.recv().await.unwrap()];
        ends.sort_by_key(|end| matches!(end, Input::About(_)));
        assert!(matches!(ends, [Input::Counters(_), Input::About(_)]));
        calls.handle_counted();
        assert_eq!(calls.count(), Question::Asked);
        assert!(matches!(inputs_rx.recv().await, Some(Input::Counters(_))));
        assert!(inputs_rx.try_recv().is_err(), "a second description");
    }
}
