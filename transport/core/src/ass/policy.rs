//! What an operator, or a prediction of bandwidth, says about classes.

use std::num::NonZeroU16;

use novacron_protocol::Bitrate;
use novacron_protocol::wire::Class;

/// What one class may claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassPolicy {
    /// Its part of what the urgent classes leave, against the weights of the others that have
    /// something to send. Without meaning for `lease` and `command`, which go first.
    pub weight: NonZeroU16,
    /// Most that it may send; no limit when `None`. Kept within 2 % in every second.
    pub cap: Option<Bitrate>,
}

/// How the classes of a connection share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    classes: [ClassPolicy; Class::ALL.len()],
    /// Most that all classes together may send, for links that are metered or shared with others.
    pub site_cap: Option<Bitrate>,
}

impl Policy {
    pub const fn class(&self, class: Class) -> ClassPolicy {
        self.classes[class as usize]
    }

    #[must_use]
    pub const fn with_class(mut self, class: Class, policy: ClassPolicy) -> Self {
        self.classes[class as usize] = policy;
        self
    }

    #[must_use]
    pub const fn with_weight(mut self, class: Class, weight: NonZeroU16) -> Self {
        self.classes[class as usize].weight = weight;
        self
    }

    #[must_use]
    pub const fn with_cap(mut self, class: Class, cap: Option<Bitrate>) -> Self {
        self.classes[class as usize].cap = cap;
        self
    }

    #[must_use]
    pub const fn with_site_cap(mut self, cap: Option<Bitrate>) -> Self {
        self.site_cap = cap;
        self
    }
}

impl Default for Policy {
    /// No caps, and weights that read as percent while all five are busy:
    ///
    /// | class | weight | why |
    /// |---|---|---|
    /// | `event` | 20 | small, and operators watch them |
    /// | `console` | 20 | somebody types and waits |
    /// | `telemetry` | 15 | its deadlines protect it beyond its share |
    /// | `migration` | 30 | a guest's memory must move faster than the guest writes it |
    /// | `bulk` | 15 | nobody waits for it, but it has to end |
    fn default() -> Self {
        let classes = Class::ALL.map(|class| {
            let weight = match class {
                // Never weighed.
                Class::Lease | Class::Command => 1,
                Class::Event | Class::Console => 20,
                Class::Telemetry | Class::Bulk => 15,
                Class::Migration => 30,
            };
            ClassPolicy { weight: NonZeroU16::new(weight).expect("not zero"), cap: None }
        });
        Self { classes, site_cap: None }
    }
}
