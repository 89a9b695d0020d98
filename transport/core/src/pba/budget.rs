//! Turns a prediction into bytes per class for the next span, usually a second.
//!
//! Two promises of different strength: what is *expected* fills the link, by the median; what is
//! *assured* is what classes still get at the low edge of the band, for promises that others build
//! on, as the time a migration will take. Urgent classes come first in both. The rest is shared by
//! weight, and what a class does not want goes to the others (max-min fairness; Bertsekas and
//! Gallager, "Data Networks", section 6.5.2).
//!
//! Budgets are plans and reports, not gates: the scheduler goes on to send whatever the link takes.

use std::time::Duration;

use novacron_protocol::wire::Class;
use novacron_protocol::{Bitrate, ByteCount};

use super::prediction::Prediction;
use crate::ass::Policy;

/// One number of bytes for each class, by [`Class::ALL`].
pub type PerClass = [ByteCount; Class::ALL.len()];

/// Bytes of each class for one span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    expected: PerClass,
    assured: PerClass,
}

impl Budgets {
    /// Shares what `prediction` holds for `span` between classes that want to send `demand` bytes
    /// each. Weights, caps per class and the site's cap are those of `policy`; `cap` is what
    /// [`Caps`](super::Caps) allow at this hour.
    pub fn new(
        prediction: &Prediction,
        span: Duration,
        demand: &PerClass,
        policy: &Policy,
        cap: Option<Bitrate>,
    ) -> Self {
        let share = |rate: Bitrate| {
            let caps = [cap, policy.site_cap].into_iter().flatten();
            let rate = caps.fold(rate, Ord::min);
            share_out(rate * span, span, demand, policy)
        };
        Self { expected: share(prediction.bandwidth), assured: share(prediction.low) }
    }

    /// What the class will most likely get to send.
    pub fn expected(&self, class: Class) -> ByteCount {
        self.expected[class as usize]
    }

    /// What the class gets in nine spans of ten.
    pub fn assured(&self, class: Class) -> ByteCount {
        self.assured[class as usize]
    }
}

fn is_urgent(class: Class) -> bool {
    matches!(class, Class::Lease | Class::Command)
}

fn share_out(bytes: ByteCount, span: Duration, demand: &PerClass, policy: &Policy) -> PerClass {
    let wanted = Class::ALL.map(|class| {
        let wanted = demand[class as usize];
        policy.class(class).cap.map_or(wanted, |cap| wanted.min(cap * span))
    });
    let mut shares = [ByteCount::ZERO; Class::ALL.len()];
    let mut left = bytes;
    for class in Class::ALL.into_iter().filter(|class| is_urgent(*class)) {
        shares[class as usize] = wanted[class as usize].min(left);
        left = left.saturating_sub(shares[class as usize]);
    }
    fill(left, &wanted, policy, &mut shares);
    shares
}

/// Water-filling: in each round, who wants less than its share gets all it wants, and the others
/// share the rest by weight. Ends after at most as many rounds as there are classes.
fn fill(mut left: ByteCount, wanted: &PerClass, policy: &Policy, shares: &mut PerClass) {
    let weight = |class: Class| u128::from(policy.class(class).weight.get());
    let mut open: Vec<Class> = Class::ALL.into_iter().filter(|class| !is_urgent(*class)).collect();
    loop {
        let weights: u128 = open.iter().map(|class| weight(*class)).sum();
        let part = |class: Class| match (u128::from(left.0) * weight(class)).checked_div(weights) {
            Some(part) => ByteCount(part as u64),
            None => ByteCount::ZERO,
        };
        let (modest, greedy): (Vec<Class>, Vec<Class>) =
            open.iter().partition(|class| wanted[**class as usize] <= part(**class));
        for class in &open {
            shares[*class as usize] = wanted[*class as usize].min(part(*class));
        }
        if modest.is_empty() {
            return;
        }
        let given: ByteCount = modest.iter().map(|class| wanted[*class as usize]).sum();
        left = left.saturating_sub(given);
        open = greedy;
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::num::NonZeroU16;

    use super::*;
    use crate::pba::Reason;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn prediction(low: u64, bandwidth: u64, high: u64) -> Prediction {
        let [low, bandwidth, high] = [low, bandwidth, high].map(Bitrate::mbit);
        Prediction { bandwidth, low, high, reason: Reason::Usual }
    }

    fn demand(wanted: [(Class, u64); 4]) -> PerClass {
        let mut demand = [ByteCount::ZERO; 7];
        for (class, bytes) in wanted {
            demand[class as usize] = ByteCount(bytes);
        }
        demand
    }

    #[test]
    fn budgets_are_as_printed() {
        let demand = demand([
            (Class::Command, 100_000),
            (Class::Telemetry, 500_000),
            (Class::Migration, u64::MAX),
            (Class::Bulk, u64::MAX),
        ]);
        let slow_bulk = Policy::default().with_cap(Class::Bulk, Some(Bitrate::mbit(8)));
        let mut shown = String::new();
        for (case, prediction, policy, cap) in [
            ("80 Mbit/s, low 24", prediction(24, 80, 99), Policy::default(), None),
            ("bulk capped at 8", prediction(24, 80, 99), slow_bulk, None),
            (
                "site capped at 40",
                prediction(24, 80, 99),
                Policy::default(),
                Some(Bitrate::mbit(40)),
            ),
            ("outage near", prediction(0, 4, 99), Policy::default(), None),
        ] {
            let budgets = Budgets::new(&prediction, SECOND, &demand, &policy, cap);
            writeln!(shown, "{case}").unwrap();
            for class in Class::ALL {
                let (expected, assured) = (budgets.expected(class).0, budgets.assured(class).0);
                if demand[class as usize] > ByteCount::ZERO {
                    writeln!(shown, "  {class:<10} {expected:>9} expected {assured:>9} assured")
                        .unwrap();
                }
            }
        }
        insta::assert_snapshot!(shown);
    }

    proptest! {
        #[test]
        fn budgets_never_exceed_the_link_nor_the_demand_and_leave_nothing_that_is_wanted(
            low in 0..=u64::MAX, over in 0..=u64::MAX, millis in 0_u64..100_000,
            demand in prop::array::uniform7(any::<u64>()), weights in prop::array::uniform7(1_u16..),
        ) {
            let (low, bandwidth) = (Bitrate(low), Bitrate(low.saturating_add(over)));
            let prediction = Prediction { bandwidth, low, high: bandwidth, reason: Reason::Usual };
            let demand = demand.map(|bytes| ByteCount(bytes / 8));
            let policy = Class::ALL.into_iter().fold(Policy::default(), |policy, class| {
                policy.with_weight(class, NonZeroU16::new(weights[class as usize]).unwrap())
            });
            let span = Duration::from_millis(millis);
            let budgets = Budgets::new(&prediction, span, &demand, &policy, None);
            for (shares, rate) in [(budgets.expected, bandwidth), (budgets.assured, low)] {
                let total: ByteCount = shares.into_iter().sum();
                let wanted: ByteCount = demand.into_iter().sum();
                prop_assert!(total <= rate * span);
                // Each class's share is rounded down to a byte.
                prop_assert!(total.0 + 7 >= (rate * span).min(wanted).0);
                for class in Class::ALL {
                    prop_assert!(shares[class as usize] <= demand[class as usize]);
                }
            }
            for class in [Class::Lease, Class::Command] {
                prop_assert!(budgets.assured(class) <= budgets.expected(class));
            }
        }
    }
}
