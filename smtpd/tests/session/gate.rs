//! The policies of the gate, each in a session of its own.

mod greeting;
mod limits;
mod lists;
mod names;
mod naughty;
mod order;
mod relay;
mod sender;

use expect_test::Expect;
use smtpd::rules::{Pattern, Patterns, Rules};
use smtpd::session::{Grant, Input, Policy, Service, Session};

use crate::opening::{after_mail, after_opening};
use crate::world::{NOON, World, converse, peer, policy};

/// One of those that may relay.
const OURS: &str = "198.51.100.7:1";

const CLIENT: &str = "203.0.113.7:40000";

fn under(rules: Rules) -> Policy {
    Policy { rules, ..policy() }
}

/// A connection of a client of which this is known.
fn granted(policy: Policy, grant: Grant) -> World {
    let mut world = World::closed(policy.clone(), Service::Smtp, CLIENT);
    let peer = smtpd::session::Peer { grant, ..peer(Service::Smtp, CLIENT) };
    world.session = Session::new(std::sync::Arc::new(policy), peer, NOON);
    world.feed(Input::Connected);
    world
}

fn patterns(entries: &[&str]) -> Patterns {
    Patterns::new(entries.iter().map(|entry| entry.parse().unwrap()).collect::<Vec<Pattern>>())
}

/// Replies, and the lines of the journal but for what every recipient writes.
fn shown(remote: &str, rules: Rules, script: &str) -> String {
    let transcript = converse(World::under(under(rules), Service::Smtp, remote), script);
    let shown = transcript.lines().filter(|line| !line.starts_with("M: ")).map(|line| {
        // The end of a qlog line says what every test says.
        let line = line.split(" sslverified=").next().unwrap_or(line);
        format!("{line}\n")
    });
    shown.collect()
}

#[track_caller]
fn check_whole(remote: &str, rules: Rules, script: &str, expected: &Expect) {
    expected.assert_eq(&shown(remote, rules, script));
}

/// From what follows the greeting, HELO and the first MAIL.
#[track_caller]
fn check_from(remote: &str, rules: Rules, script: &str, expected: &Expect) {
    expected.assert_eq(&after_mail(remote, &after_opening(&shown(remote, rules, script))));
}

#[track_caller]
fn check(rules: Rules, script: &str, expected: &Expect) {
    check_from(CLIENT, rules, script, expected);
}
