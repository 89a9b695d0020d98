//! Why a class sends, and why another one does not.

use std::fmt;
use std::time::Duration;

use novacron_protocol::ByteCount;
use novacron_protocol::wire::Class;

/// What may be sent next. Prints as a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    pub class: Class,
    pub bytes: u64,
    pub reason: Reason,
}

/// Why this class and not another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// `lease` and `command` go before everything else.
    Urgent,
    /// `lease` has used up its run before a waiting `command`.
    AfterLeases { run: ByteCount },
    /// The urgent classes have used up their run before the waiting others.
    AfterUrgent { run: ByteCount },
    /// Classes with due messages have used up their run before the others.
    AfterDue { run: ByteCount },
    /// A message would not be in time if it waited for its share.
    Deadline { slack: Duration },
    /// A message is late already.
    Overdue { by: Duration },
    /// Of the classes that share the link, it has had the least for its weight.
    Share { weight: u32, of: u32 },
    /// Nobody else can use the link now.
    Alone,
}

/// Why a class sends nothing at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It has nothing to send.
    Idle,
    /// The peer takes no more of it.
    FlowControl,
    /// Its own cap, until then; `None` when the cap is nothing at all.
    Cap { until: Option<Duration> },
    /// The cap of the whole site link, until then.
    SiteCap { until: Option<Duration> },
    /// None: it is served when its turn comes.
    Turn,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sends {} bytes: {}", self.class, self.bytes, self.reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Urgent => f.write_str("it is urgent and goes first"),
            Self::AfterLeases { run } => {
                write!(f, "lease has gone first for {run} and makes room")
            }
            Self::AfterUrgent { run } => {
                write!(f, "urgent classes have gone first for {run} and make room")
            }
            Self::AfterDue { run } => {
                write!(f, "due messages have gone first for {run} and make room")
            }
            Self::Deadline { slack } => {
                write!(f, "a message is due in {slack:.1?} and cannot wait for its share")
            }
            Self::Overdue { by } => write!(f, "a message is {by:.1?} late"),
            Self::Share { weight, of } => {
                write!(f, "it has had the least of its share, {weight} parts of {of}")
            }
            Self::Alone => f.write_str("no other class can use the link"),
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("nothing to send"),
            Self::FlowControl => f.write_str("the peer takes no more of it"),
            Self::Cap { until: Some(_) } => f.write_str("its cap is used up for the moment"),
            Self::Cap { until: None } => f.write_str("its cap lets nothing pass"),
            Self::SiteCap { until: Some(_) } => {
                f.write_str("the site link's cap is used up for the moment")
            }
            Self::SiteCap { until: None } => f.write_str("the site link's cap lets nothing pass"),
            Self::Turn => f.write_str("it waits for its turn"),
        }
    }
}
