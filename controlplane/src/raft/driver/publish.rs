//! What the rest of the member, and its operator, get to see.

use std::time::{Duration, Instant};

use novacron_controlplane_core::membership::Progress;
use novacron_protocol::{LogIndex, MemberId, Term};
use raft::StateRole;

use super::{Driver, Outbound};
use crate::cluster::Status;
use crate::raft::proposals::ProposeRefusal;

/// A change of the leader, as its three lines in the log tell it: it fell silent, somebody else
/// leads, writes go on.
#[derive(Debug)]
pub(super) struct Story {
    role: StateRole,
    /// When there was a leader that could do its work last.
    led_until: Instant,
}

impl Story {
    pub(super) fn begin(now: Instant) -> Self {
        Self { role: StateRole::Follower, led_until: now }
    }
}

impl<O: Outbound> Driver<O> {
    /// The members of the group as this one sees them, if it leads.
    pub(super) fn progress(&self) -> Vec<Progress> {
        if !self.leads() {
            return Vec::new();
        }
        let group = self.node.raft.prs();
        let silence_max = self.tick * self.options.election_ticks as u32;
        let is_active = |id| {
            let heard = self.heard.get(&id);
            id == self.options.member || heard.is_some_and(|at| at.elapsed() < silence_max)
        };
        let mut progress: Vec<Progress> = group
            .iter()
            .map(|(id, progress)| Progress {
                member: MemberId(*id),
                matched: LogIndex(progress.matched),
                votes: group.conf().voters().contains(*id),
                is_active: is_active(MemberId(*id)),
            })
            .collect();
        progress.sort_unstable_by_key(|progress| progress.member);
        progress
    }

    /// Shows the outside what has changed, and lets go of who waits when the lead is lost.
    pub(super) fn publish(&mut self) {
        let (raft, leads) = (&self.node.raft, self.leads());
        let status = Status {
            member: self.options.member,
            term: Term(raft.term),
            leader: self.leader(),
            applied: self.state.applied(),
            committed: LogIndex(raft.raft_log.committed),
            // A leader is one to the outside once it has applied all that its forerunners committed.
            ready: leads && raft.apply_to_current_term(),
            leader_heard: self.leader_heard.duration_since(self.started),
        };
        let before = *self.status_tx.borrow();
        if before.leader == Some(self.options.member) && !leads {
            self.waiters.abandon(&ProposeRefusal::Lost);
        }
        self.tell_story(before, status);
        let applied = self.state.applied();
        self.heard.retain(|id, _| self.node.raft.prs().get(id.0).is_some());
        let progress = self.progress();
        self.progress_tx.send_if_modified(|current| {
            let changed = *current != progress;
            *current = progress;
            changed
        });
        if self.state_tx.borrow().applied() != applied {
            self.state_tx.send_replace(self.state.clone());
        }
        self.status_tx.send_if_modified(|current| {
            let changed = *current != status;
            *current = status;
            changed
        });
    }

    fn tell_story(&mut self, before: Status, now: Status) {
        let role = self.node.raft.state;
        let stands = matches!(role, StateRole::PreCandidate | StateRole::Candidate);
        let stood = matches!(self.story.role, StateRole::PreCandidate | StateRole::Candidate);
        let term = now.term;
        if stands && !stood {
            self.metrics.elections.increment();
            let silent_ms = millis(self.leader_heard.elapsed());
            let leader = before.leader.map(|id| id.0);
            tracing::info!(%term, ?leader, silent_ms, "no word from the leader: an election begins");
        }
        if before.leader != now.leader {
            self.metrics.leader_changes.increment();
            match now.leader {
                Some(leader) => tracing::info!(%term, %leader, "a leader is elected"),
                // The election that follows tells what came of it.
                None if stands => {}
                None => tracing::info!(%term, "there is no leader"),
            }
        }
        if now.ready && !before.ready {
            let gap_ms = millis(self.story.led_until.elapsed());
            let applied = now.applied;
            tracing::info!(%term, %applied, gap_ms, "this member leads and takes writes");
        }
        if now.leader.is_some() && before.leader == now.leader {
            self.story.led_until = if now.leads() { Instant::now() } else { self.leader_heard };
        }
        self.story.role = role;
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
