//! What another member may say to this one.
//!
//! raft-rs trusts its peers: some messages that no honest member sends would end the process, or
//! leave a log with holes. Messages become raft-rs's here and nowhere else, by functions that refuse
//! those. Lies that are well formed are another matter: Raft is not made to bear them.

use bytes::Bytes;
use novacron_protocol::limits::MEMBERS_MAX;
use novacron_protocol::wire::raft::{Configuration, Kind, Message, SnapshotMeta};
use novacron_protocol::{LogIndex, MemberId, Term};
use raft::eraftpb::{self, MessageType};

use super::convert;

/// A term may be so far ahead of ours at most: 4 billion elections.
const TERM_STEP_MAX: u64 = 1 << 32;
/// Members in one configuration: on top of those of the state, some that are on their way out.
const CONFIGURED_MAX: usize = 2 * MEMBERS_MAX;

/// Whom a message reaches, as far as it decides what may reach it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Receiver {
    pub(super) member: MemberId,
    pub(super) term: Term,
    /// Last entry of its log, durable or not.
    pub(super) last: LogIndex,
}

/// A message that no honest member sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {kind:?} message that {why}")]
pub(super) struct MessageRefusal {
    kind: Kind,
    why: &'static str,
}

impl Receiver {
    /// A message from another member that is no snapshot.
    pub(super) fn message(&self, message: Message) -> Result<eraftpb::Message, MessageRefusal> {
        let kind = message.kind;
        let refuse = |why| MessageRefusal { kind, why };
        ensure(message.snapshot.is_none(), "brings a snapshot without its body").map_err(refuse)?;
        self.check(&message).map_err(refuse)?;
        let Some(raft_kind) = kind_from_wire(kind) else {
            return Err(refuse("does not come over the network"));
        };
        Ok(message_from_wire(message, raft_kind))
    }

    /// A snapshot from another member, with the body that travelled beside its message.
    pub(super) fn snapshot(
        &self,
        message: Message,
        state: Bytes,
    ) -> Result<eraftpb::Message, MessageRefusal> {
        let kind = message.kind;
        let refuse = |why| MessageRefusal { kind, why };
        ensure(kind == Kind::Snapshot, "is no snapshot but brings one").map_err(refuse)?;
        self.check(&message).map_err(refuse)?;
        let Some(meta) = message.snapshot.clone() else {
            return Err(refuse("does not say where it stands"));
        };
        check_snapshot(&meta, message.term).map_err(refuse)?;
        let mut out = message_from_wire(message, MessageType::MsgSnapshot);
        out.set_snapshot(convert::snapshot_from_wire(&meta, state));
        Ok(out)
    }

    fn check(&self, message: &Message) -> Result<(), &'static str> {
        let Message { kind, to, from, term, .. } = *message;
        ensure(to == self.member, "is for another member")?;
        ensure(from != self.member && from != MemberId(0), "is from no other member")?;
        ensure(term.0 <= self.term.0.saturating_add(TERM_STEP_MAX), "is of an absurd term")?;
        // To raft-rs, a message without a term is one of its own.
        ensure((term == Term(0)) == (kind == Kind::ReadIndex), "lacks its term, or has one")?;
        let is_plain = message.request_snapshot == LogIndex(0) && message.priority == 0;
        ensure(is_plain, "asks for what this program never does")?;
        match kind {
            Kind::Append => check_entries(message),
            Kind::AppendResponse => {
                let is_known = message.reject_hint <= message.index && message.index <= self.last;
                ensure(is_known, "is about entries that do not exist")
            }
            Kind::Heartbeat => ensure(message.commit <= self.last, "commits what is not here"),
            Kind::ReadIndex => ensure(message.entries.len() == 1, "asks for no read, or several"),
            _ => Ok(()),
        }
    }
}

fn ensure(holds: bool, why: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(why) }
}

/// Entries follow the one the message builds on: index by index, in terms that never go back.
fn check_entries(message: &Message) -> Result<(), &'static str> {
    let (mut index, mut term) = (message.index, message.log_term);
    ensure((index == LogIndex(0)) == (term == Term(0)), "builds on no entry")?;
    for entry in &message.entries {
        ensure(index.0.checked_add(1) == Some(entry.index.0), "has entries with gaps")?;
        ensure(term <= entry.term && entry.term <= message.term, "has entries of wrong terms")?;
        (index, term) = (entry.index, entry.term);
    }
    Ok(())
}

fn check_snapshot(meta: &SnapshotMeta, term: Term) -> Result<(), &'static str> {
    let stands = meta.index > LogIndex(0) && meta.term > Term(0) && meta.term <= term;
    ensure(stands, "stands nowhere in the log")?;
    check_configuration(&meta.configuration)
}

/// Members are changed one at a time, so a configuration is never joint.
fn check_configuration(configuration: &Configuration) -> Result<(), &'static str> {
    let Configuration { voters, learners, voters_outgoing, learners_next, auto_leave } =
        configuration;
    let is_joint = *auto_leave || !voters_outgoing.is_empty() || !learners_next.is_empty();
    ensure(!is_joint, "is of a joint configuration")?;
    let count = voters.len() + learners.len();
    ensure(!voters.is_empty() && count <= CONFIGURED_MAX, "is of too few or too many members")?;
    let mut ids: Vec<MemberId> = voters.iter().chain(learners).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    ensure(ids.len() == count && ids[0] != MemberId(0), "names a member twice, or nobody")
}

/// Everything of `message` but its snapshot.
fn message_from_wire(message: Message, kind: MessageType) -> eraftpb::Message {
    let mut out = eraftpb::Message::default();
    out.set_msg_type(kind);
    out.to = message.to.0;
    out.from = message.from.0;
    out.term = message.term.0;
    out.log_term = message.log_term.0;
    out.index = message.index.0;
    out.set_entries(message.entries.into_iter().map(convert::entry_from_wire).collect());
    out.commit = message.commit.0;
    out.commit_term = message.commit_term.0;
    out.request_snapshot = message.request_snapshot.0;
    out.reject = message.reject;
    out.reject_hint = message.reject_hint.0;
    out.context = message.context.into();
    out.priority = message.priority;
    out
}

/// Only what one member sends another: the rest is how a member talks to its own raft-rs. A
/// forwarded proposal would make raft-rs parse protobuf from the network.
fn kind_from_wire(kind: Kind) -> Option<MessageType> {
    use MessageType as M;
    Some(match kind {
        Kind::Append => M::MsgAppend,
        Kind::AppendResponse => M::MsgAppendResponse,
        Kind::RequestVote => M::MsgRequestVote,
        Kind::RequestVoteResponse => M::MsgRequestVoteResponse,
        Kind::Heartbeat => M::MsgHeartbeat,
        Kind::HeartbeatResponse => M::MsgHeartbeatResponse,
        Kind::TimeoutNow => M::MsgTimeoutNow,
        Kind::ReadIndex => M::MsgReadIndex,
        Kind::ReadIndexResponse => M::MsgReadIndexResp,
        Kind::RequestPreVote => M::MsgRequestPreVote,
        Kind::RequestPreVoteResponse => M::MsgRequestPreVoteResponse,
        Kind::Hup
        | Kind::Beat
        | Kind::Propose
        | Kind::Snapshot
        | Kind::Unreachable
        | Kind::SnapStatus
        | Kind::CheckQuorum
        | Kind::TransferLeader => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use novacron_protocol::wire::raft::{Entry, EntryKind};

    const RECEIVER: Receiver = Receiver { member: MemberId(1), term: Term(3), last: LogIndex(10) };

    fn message(kind: Kind) -> Message {
        Message {
            kind,
            to: MemberId(1),
            from: MemberId(2),
            term: if kind == Kind::ReadIndex { Term(0) } else { Term(3) },
            log_term: Term(2),
            index: LogIndex(10),
            entries: vec![],
            commit: LogIndex(10),
            commit_term: Term(2),
            snapshot: None,
            request_snapshot: LogIndex(0),
            reject: false,
            reject_hint: LogIndex(0),
            context: vec![],
            priority: 0,
        }
    }

    fn entry(index: u64, term: u64) -> Entry {
        Entry {
            kind: EntryKind::Normal,
            term: Term(term),
            index: LogIndex(index),
            data: vec![],
            context: vec![],
        }
    }

    fn append(entries: Vec<Entry>) -> Message {
        Message { entries, ..message(Kind::Append) }
    }

    fn snapshot(voters: &[u64], learners: &[u64]) -> Message {
        let ids = |ids: &[u64]| ids.iter().copied().map(MemberId).collect();
        let configuration = Configuration {
            voters: ids(voters),
            learners: ids(learners),
            ..Configuration::default()
        };
        let meta = SnapshotMeta { index: LogIndex(20), term: Term(3), configuration };
        Message { snapshot: Some(meta), ..message(Kind::Snapshot) }
    }

    #[test]
    fn what_members_say_passes() {
        use Kind as K;
        let said = [
            message(K::RequestVote),
            message(K::RequestPreVoteResponse),
            message(K::Heartbeat),
            message(K::TimeoutNow),
            Message { reject: true, reject_hint: LogIndex(4), ..message(K::AppendResponse) },
            append(vec![]),
            append(vec![entry(11, 2), entry(12, 3)]),
            Message { index: LogIndex(0), log_term: Term(0), ..append(vec![entry(1, 1)]) },
            Message { term: Term(TERM_STEP_MAX), ..message(K::RequestVote) },
            Message { entries: vec![entry(0, 0)], ..message(K::ReadIndex) },
        ];
        for message in said {
            let kind = message.kind;
            assert!(RECEIVER.message(message).is_ok(), "{kind:?}");
        }
        let state = Bytes::from_static(b"state");
        let taken = RECEIVER.snapshot(snapshot(&[2, 3], &[1]), state.clone()).unwrap();
        assert_eq!(taken.get_snapshot().data, state);
    }

    #[test]
    fn what_no_member_says_is_refused() {
        use Kind as K;
        let far = Term(3 + TERM_STEP_MAX + 1);
        let hostile = [
            ("another member", Message { to: MemberId(2), ..message(K::Heartbeat) }),
            ("no other member", Message { from: MemberId(1), ..message(K::Heartbeat) }),
            ("no other member", Message { from: MemberId(0), ..message(K::Heartbeat) }),
            ("absurd term", Message { term: far, ..message(K::RequestVote) }),
            ("lacks its term", Message { term: Term(0), ..message(K::Heartbeat) }),
            ("never does", Message { priority: -1, ..message(K::RequestPreVote) }),
            ("never does", Message { request_snapshot: LogIndex(5), ..message(K::AppendResponse) }),
            ("without its body", Message { kind: K::Append, ..snapshot(&[1], &[]) }),
            ("without its body", snapshot(&[1], &[])),
            ("not come over", message(K::Snapshot)),
            ("not come over", message(K::Hup)),
            ("not come over", message(K::Propose)),
            ("not come over", message(K::TransferLeader)),
            ("commits what", Message { commit: LogIndex(11), ..message(K::Heartbeat) }),
            ("do not exist", Message { index: LogIndex(11), ..message(K::AppendResponse) }),
            ("do not exist", Message { reject_hint: LogIndex(11), ..message(K::AppendResponse) }),
            ("gaps", append(vec![entry(12, 3)])),
            ("gaps", append(vec![entry(11, 3), entry(11, 3)])),
            ("gaps", Message { index: LogIndex(u64::MAX), ..append(vec![entry(0, 3)]) }),
            ("wrong terms", append(vec![entry(11, 1)])),
            ("wrong terms", append(vec![entry(11, 4)])),
            ("builds on no", Message { log_term: Term(0), ..append(vec![entry(11, 3)]) }),
            ("no read, or several", message(K::ReadIndex)),
        ];
        for (why, message) in hostile {
            let text = format!("{message:?}");
            let refusal = RECEIVER.message(message).unwrap_err().why;
            assert!(refusal.contains(why), "{refusal:?} for {text}");
        }
    }

    #[test]
    fn a_snapshot_that_raft_could_not_restore_is_refused() {
        let standing = |index, term| {
            let mut message = snapshot(&[1, 2], &[]);
            let meta = message.snapshot.as_mut().unwrap();
            (meta.index, meta.term) = (LogIndex(index), Term(term));
            message
        };
        let mut joint = snapshot(&[1, 2], &[]);
        joint.snapshot.as_mut().unwrap().configuration.voters_outgoing = vec![MemberId(1)];
        let many: Vec<u64> = (1..=1 + CONFIGURED_MAX as u64).collect();
        let hostile = [
            ("no snapshot", append(vec![])),
            ("where it stands", message(Kind::Snapshot)),
            ("stands nowhere", standing(0, 3)),
            ("stands nowhere", standing(20, 0)),
            ("stands nowhere", standing(20, 4)),
            ("joint", joint),
            ("too few", snapshot(&[], &[1])),
            ("too many", snapshot(&many, &[])),
            ("twice", snapshot(&[1, 2], &[2])),
            ("nobody", snapshot(&[0, 1], &[])),
        ];
        for (why, message) in hostile {
            let refusal = RECEIVER.snapshot(message, Bytes::new()).unwrap_err().why;
            assert!(refusal.contains(why), "{refusal:?} instead of {why:?}");
        }
    }
}
