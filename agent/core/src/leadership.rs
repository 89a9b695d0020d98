//! Who leads, as far as members said so. The highest term wins; within a term there is one leader.

use novacron_protocol::{MemberId, Term};

/// What is known of the control plane's leader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leadership {
    term: Term,
    leader: Option<MemberId>,
}

impl Leadership {
    /// Takes one member's word; tells whether the leader is another one now. A member that knows
    /// of a newer term and of no leader yet ends the old leader's time.
    pub fn handle_word(&mut self, term: Term, leader: Option<MemberId>) -> bool {
        let before = self.leader;
        if term > self.term {
            *self = Self { term, leader };
        } else if term == self.term {
            self.leader = self.leader.or(leader);
        }
        self.leader != before
    }

    pub fn term(&self) -> Term {
        self.term
    }

    pub fn leader(&self) -> Option<MemberId> {
        self.leader
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_term_wins_whatever_order_words_arrive_in() {
        let mut leadership = Leadership::default();
        let (one, two) = (Some(MemberId(1)), Some(MemberId(2)));
        assert!(leadership.handle_word(Term(3), one));
        assert!(!leadership.handle_word(Term(2), two), "an old term");
        assert!(!leadership.handle_word(Term(3), None), "a follower that has not heard yet");
        assert_eq!(leadership.leader(), one);
        assert!(leadership.handle_word(Term(4), None), "an election");
        assert!(leadership.handle_word(Term(4), two));
        assert_eq!(leadership.leader(), two);
    }
}
