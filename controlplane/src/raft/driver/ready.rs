//! What raft-rs wants done: send, keep, apply.
//!
//! Keeping is begun here and ends in [`Driver::handle_persisted`]. raft-rs applies nothing that is not
//! durable on this member as well.

use bytes::Bytes;
use novacron_controlplane_core::Envelope;
use novacron_controlplane_core::apply::Configuration;
use novacron_protocol::LogIndex;
use novacron_protocol::wire::raft::Message;
use raft::{SnapshotStatus, eraftpb};
use std::time::Instant;

use super::{Driver, DriverError, Outbound, restore_state};
use crate::raft::store::StoredSnapshot;
use crate::raft::{configuration, convert};

impl<O: Outbound> Driver<O> {
    pub(super) fn handle_ready(&mut self) -> Result<(), DriverError> {
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            self.send(ready.take_messages());
            for read in ready.take_read_states() {
                self.waiters.read_ready(&read.request_ctx, LogIndex(read.index));
            }
            let committed = ready.take_committed_entries();
            let brings_snapshot = !ready.snapshot().is_empty();
            self.keep(&mut ready)?;
            self.node.advance_append_async(ready);
            if brings_snapshot {
                // It counts as applied at once, and only what is durable may.
                let hard_state = self.node.store().hard_state();
                self.log.flush(convert::hard_state_to_wire(hard_state))?;
                self.handle_persisted()?;
            }
            self.apply(committed)?;
            self.node.advance_apply();
            // Where nothing is in flight, what needs no disk counts as kept at once.
            self.handle_persisted()?;
        }
        self.make_snapshot_when_due();
        self.publish();
        self.waiters.answer_applied();
        Ok(())
    }

    /// Tells raft-rs what has become durable, and sends what waited for it.
    pub(super) fn handle_persisted(&mut self) -> Result<(), DriverError> {
        let persisted = self.log.progress()?;
        while let Some(done) = self.in_flight.pop_done(persisted) {
            self.node.on_persist_ready(done.number);
            self.send(done.messages);
        }
        Ok(())
    }

    /// Has everything of `ready` kept. Raft reads from memory what the disk does not have yet.
    fn keep(&mut self, ready: &mut raft::Ready) -> Result<(), DriverError> {
        if !ready.snapshot().is_empty() {
            self.install(ready)?;
        }
        let number = ready.number();
        let messages = ready.take_persisted_messages();
        // A commit index alone needs no sync: it is learned again from the leader.
        let needs_disk = ready.must_sync();
        let hard_state = ready.hs().cloned();
        let memory = self.node.mut_store();
        let changes_vote = hard_state.as_ref().is_some_and(|state| {
            let before = memory.hard_state();
            (state.term, state.vote) != (before.term, before.vote)
        });
        if let Some(state) = &hard_state {
            memory.set_hard_state(state.clone());
        }
        let entries = ready.take_entries();
        memory.append(&entries);
        let messages = match changes_vote || self.in_flight.has_vote() {
            true => messages,
            false => self.send_what_promises_nothing(messages),
        };
        if needs_disk {
            let hard_state = hard_state.as_ref().map(convert::hard_state_to_wire);
            self.log.append(number, entries, hard_state);
        }
        self.in_flight.push(number, messages, needs_disk, changes_vote);
        Ok(())
    }

    /// Answers to heartbeats speak of the term alone. While that is durable they need not wait for
    /// entries: a disk that stalls on two members would cost the third its lead.
    fn send_what_promises_nothing(
        &mut self,
        messages: Vec<eraftpb::Message>,
    ) -> Vec<eraftpb::Message> {
        let is_alive = |message: &eraftpb::Message| {
            message.get_msg_type() == eraftpb::MessageType::MsgHeartbeatResponse
        };
        let (now, later) = messages.into_iter().partition(is_alive);
        self.send(now);
        later
    }

    /// Puts a snapshot from the leader in the place of everything this member knew.
    fn install(&mut self, ready: &raft::Ready) -> Result<(), DriverError> {
        let snapshot = StoredSnapshot {
            meta: convert::snapshot_to_wire(ready.snapshot().get_metadata()),
            state: ready.snapshot().data.clone(),
        };
        let hard_state = ready.hs().unwrap_or(self.node.store().hard_state());
        let mut hard_state = convert::hard_state_to_wire(hard_state);
        // Entries beyond it come with the next sync: nothing durable may speak of them before.
        hard_state.commit = snapshot.meta.index;
        self.log.install(snapshot.clone(), hard_state)?;
        self.state = restore_state(&snapshot.state)?;
        tracing::info!(index = %snapshot.meta.index, "installed a snapshot from the leader");
        self.snapshots.note_installed(&snapshot);
        self.node.mut_store().install(snapshot);
        Ok(())
    }

    fn apply(&mut self, entries: Vec<eraftpb::Entry>) -> Result<(), DriverError> {
        for entry in entries {
            let index = LogIndex(entry.index);
            if index <= self.state.applied() {
                continue;
            }
            match entry.get_entry_type() {
                eraftpb::EntryType::EntryNormal if entry.data.is_empty() => {
                    self.state.advance(index);
                }
                eraftpb::EntryType::EntryNormal => {
                    let envelope = Envelope::decode(&entry.data)
                        .map_err(|source| DriverError::Entry { index, source })?;
                    let applied = self.state.apply(index, &envelope);
                    if let Some(took) = self.waiters.applied(&entry.context, index, applied) {
                        self.metrics.commits.observe(took);
                    }
                }
                eraftpb::EntryType::EntryConfChange | eraftpb::EntryType::EntryConfChangeV2 => {
                    self.apply_configuration(index, &entry.context)?;
                }
            }
        }
        Ok(())
    }

    fn apply_configuration(&mut self, index: LogIndex, context: &[u8]) -> Result<(), DriverError> {
        let change = configuration::change_from_context(context)
            .map_err(|source| DriverError::Entry { index, source: source.into() })?;
        self.persist_commit(index)?;
        let configuration = self
            .node
            .apply_conf_change(&change)
            .map_err(|error| DriverError::Raft(error.to_string()))?;
        let wire = convert::configuration_to_wire(&configuration);
        self.node.mut_store().set_configuration(configuration);
        let mut voters = wire.voters.clone();
        voters.extend(wire.voters_outgoing);
        let mut learners = wire.learners.clone();
        learners.extend(wire.learners_next);
        tracing::info!(%index, voters = ?wire.voters, learners = ?wire.learners, "members changed");
        self.state.apply_configuration(index, &Configuration { voters, learners });
        Ok(())
    }

    /// Makes it durable that the log is committed up to `index`. A configuration takes effect only
    /// then: a member that forgot one could, after a restart, elect itself by an older one.
    fn persist_commit(&mut self, index: LogIndex) -> Result<(), DriverError> {
        let mut hard_state = convert::hard_state_to_wire(self.node.store().hard_state());
        hard_state.commit = hard_state.commit.max(index);
        Ok(self.log.flush(hard_state)?)
    }

    fn send(&mut self, messages: Vec<eraftpb::Message>) {
        for message in messages {
            let to = message.to;
            let state = message.get_snapshot().data.clone();
            let message = convert::message_to_wire(message);
            if message.snapshot.is_some() {
                self.send_snapshot(message, state);
            } else if !self.outbound.send(message) {
                self.node.report_unreachable(to);
            }
        }
    }

    fn send_snapshot(&mut self, message: Message, state: Bytes) {
        let to = message.to.0;
        match self.deliveries.begin(Instant::now(), message, state) {
            Some(delivery) => self.outbound.send_snapshot(delivery),
            // Raft comes back to it when it hears from that member.
            None => self.node.report_snapshot(to, SnapshotStatus::Failure),
        }
    }
}
