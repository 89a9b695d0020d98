//! A set of classes in one byte.

use novacron_protocol::wire::Class;

/// Some of the seven classes; iterates most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClassSet(u8);

impl ClassSet {
    pub(super) const EMPTY: Self = Self(0);
    /// `lease` and `command`.
    pub(super) const URGENT: Self = Self::EMPTY.with(Class::Lease).with(Class::Command);
    /// Those that divide what the urgent ones leave.
    pub(super) const SHARED: Self = Self(0b111_1111).without(Self::URGENT);

    #[must_use]
    pub(super) const fn with(self, class: Class) -> Self {
        Self(self.0 | 1 << class as u8)
    }

    #[must_use]
    pub(super) const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    #[must_use]
    pub(super) const fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    pub(super) const fn has(self, class: Class) -> bool {
        self.0 & 1 << class as u8 != 0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn insert(&mut self, class: Class) {
        *self = self.with(class);
    }

    pub(super) fn remove(&mut self, class: Class) {
        *self = self.without(Self::EMPTY.with(class));
    }
}

impl Iterator for ClassSet {
    type Item = Class;

    fn next(&mut self) -> Option<Class> {
        let class = *Class::ALL.get(self.0.trailing_zeros() as usize)?;
        self.0 &= self.0 - 1;
        Some(class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urgent_and_shared_classes_are_all_classes_in_order() {
        let urgent: Vec<_> = ClassSet::URGENT.collect();
        assert_eq!(urgent, [Class::Lease, Class::Command]);
        let all: Vec<_> = ClassSet::URGENT.chain(ClassSet::SHARED).collect();
        assert_eq!(all, Class::ALL);
        let mut nobody = ClassSet::EMPTY;
        assert_eq!(nobody.next(), None);
    }

    #[test]
    fn a_removed_class_is_gone_and_the_others_stay() {
        let mut set = ClassSet::SHARED;
        set.remove(Class::Telemetry);
        assert!(!set.has(Class::Telemetry) && set.has(Class::Bulk));
        set.insert(Class::Telemetry);
        assert_eq!(set, ClassSet::SHARED);
        assert!(set.and(ClassSet::URGENT).is_empty());
    }
}
