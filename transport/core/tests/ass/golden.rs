//! Scripts with every decision and its reason.
//!
//! ```text
//! queue CLASS SIZE [due MS]     the application gives bytes
//! drop CLASS SIZE               and takes them back
//! block CLASS / unblock CLASS   the peer's flow control
//! cap CLASS|site RATE|none      an operator's cap
//! weight CLASS N
//! bandwidth RATE                what the path is believed to carry
//! at MS                         time goes on
//! send SIZE                     so many bytes may leave now: who sends them?
//! wait                          time goes on until poll_timeout
//! hold                          what keeps each waiting class
//! ```

use std::fmt::Write as _;
use std::num::NonZeroU16;
use std::time::Duration;

use novacron_protocol::wire::Class;
use novacron_protocol::{Bitrate, ByteCount};
use novacron_transport_core::ass::{Ass, Hold, Policy};

struct Script {
    ass: Ass,
    policy: Policy,
    now: Duration,
    output: String,
}

fn run(script: &str) -> String {
    let policy = Policy::default();
    let ass = Ass::new(policy.clone(), Duration::ZERO);
    let mut state = Script { ass, policy, now: Duration::ZERO, output: String::new() };
    for line in script.lines().map(str::trim) {
        if line.starts_with('#') || line.is_empty() {
            writeln!(state.output, "{line}").unwrap();
            continue;
        }
        writeln!(state.output, "> {line}").unwrap();
        state.line(&line.split_whitespace().collect::<Vec<_>>());
    }
    state.output
}

impl Script {
    fn line(&mut self, words: &[&str]) {
        match *words {
            ["queue", name, size] => {
                self.ass.handle_queued(self.now, class(name), bytes(size), None);
            }
            ["queue", name, size, "due", at] => {
                let due = Some(instant(at));
                self.ass.handle_queued(self.now, class(name), bytes(size), due);
            }
            ["drop", name, size] => self.ass.handle_dropped(class(name), bytes(size)),
            ["block", name] => self.ass.handle_blocked(class(name)),
            ["unblock", name] => self.ass.handle_unblocked(class(name)),
            ["cap", name, rate] => {
                let rate = (rate != "none").then(|| rate.parse::<Bitrate>().unwrap());
                let policy = self.policy.clone();
                self.repolicy(match name {
                    "site" => policy.with_site_cap(rate),
                    name => policy.with_cap(class(name), rate),
                });
            }
            ["weight", name, weight] => {
                let weight = weight.parse::<NonZeroU16>().unwrap();
                self.repolicy(self.policy.clone().with_weight(class(name), weight));
            }
            ["bandwidth", rate] => self.ass.handle_bandwidth(rate.parse().unwrap()),
            ["at", at] => self.now = instant(at),
            ["send", size] => self.send(bytes(size)),
            ["wait"] => match self.ass.poll_timeout() {
                Some(at) => {
                    self.now = at;
                    writeln!(self.output, "  it is {:.3} ms", at.as_secs_f64() * 1e3).unwrap();
                }
                None => writeln!(self.output, "  nothing to wait for").unwrap(),
            },
            ["hold"] => self.hold(),
            _ => panic!("no such line: {words:?}"),
        }
    }

    fn repolicy(&mut self, policy: Policy) {
        self.policy = policy.clone();
        self.ass.handle_policy(self.now, policy);
    }

    fn send(&mut self, mut budget: u64) {
        while let Some(grant) = self.ass.poll_grant(self.now, budget) {
            writeln!(self.output, "  {grant}").unwrap();
            self.ass.handle_sent(self.now, grant.class, grant.bytes);
            budget -= grant.bytes;
        }
        if budget > 0 {
            writeln!(self.output, "  nobody sends the other {budget} bytes").unwrap();
        }
    }

    fn hold(&mut self) {
        for class in Class::ALL {
            let hold = self.ass.hold(self.now, class);
            if hold != Hold::Idle {
                writeln!(self.output, "  {class}: {hold}").unwrap();
            }
        }
    }
}

fn class(name: &str) -> Class {
    Class::ALL.into_iter().find(|class| class.as_str() == name).unwrap()
}

fn bytes(text: &str) -> u64 {
    text.parse::<ByteCount>().unwrap().0
}

fn instant(text: &str) -> Duration {
    Duration::from_millis(text.strip_suffix("ms").unwrap().parse().unwrap())
}

#[test]
fn urgent_classes_go_first_and_make_room() {
    let output = run("
        # A command overtakes bulk at the next grant, and a lease overtakes the command.
        queue bulk 1MiB
        send 60KiB
        queue command 400
        queue lease 120
        send 60KiB

        # A flood of commands leaves a fifth for the others, and the leases wait for nobody.
        queue command 1MiB
        queue migration 1MiB
        send 160KiB
        queue lease 120
        send 16KiB

        # A flood of leases does not silence commands either.
        queue lease 1MiB
        send 256KiB
    ");
    insta::assert_snapshot!(output);
}

#[test]
fn shares_follow_weights_and_unused_ones_go_to_the_others() {
    let output = run("
        # Everybody is busy: one round.
        queue event 1MiB
        queue console 1MiB
        queue telemetry 1MiB
        queue migration 1MiB
        queue bulk 1MiB
        send 54KiB

        # The peer stops one, another has nothing left: the rest divide what they leave.
        block migration
        drop event 1MiB
        drop console 1MiB
        hold
        send 32KiB

        # Who comes back starts where the others are, with one quantum saved up.
        unblock migration
        send 48KiB

        weight bulk 60
        send 64KiB
    ");
    insta::assert_snapshot!(output);
}

#[test]
fn messages_with_short_slack_go_ahead_of_the_shares() {
    let output = run("
        bandwidth 8Mbit
        queue bulk 1MiB
        queue telemetry 8000 due 1000ms
        # There is time: it goes with its share.
        send 16KiB
        at 100ms
        # 16 kB take 16 ms here; twice that and 5 ms before they are due, they go ahead.
        queue telemetry 16000 due 160ms
        send 4KiB
        at 132ms
        send 4KiB
        at 134ms
        send 16KiB

        # Two classes with due messages: the earlier deadline first.
        at 200ms
        queue telemetry 2000 due 208ms
        queue event 2000 due 204ms
        send 5KiB

        # Late is still better than never.
        at 300ms
        queue telemetry 1000 due 290ms
        send 2KiB

        # Deadlines for everything are not the end of the others.
        queue telemetry 1MiB due 310ms
        send 300KiB
    ");
    insta::assert_snapshot!(output);
}

#[test]
fn caps_hold_and_the_rest_goes_to_who_may() {
    let output = run("
        cap bulk 8Mbit
        queue bulk 1MiB
        send 1MiB
        hold
        wait
        send 1MiB
        # Others are not held up by it.
        queue migration 20kB
        send 1MiB

        cap bulk none
        cap site 8Mbit
        send 1MiB
        hold
        # Whose turn it is keeps it while the site's bucket fills; a command comes first.
        queue command 300
        wait
        send 1MiB
        send 1MiB
        cap site 0
        at 1000ms
        send 1MiB
        hold
        wait
    ");
    insta::assert_snapshot!(output);
}
