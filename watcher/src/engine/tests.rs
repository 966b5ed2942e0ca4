//! Scenarios: what happened, line by line, and what the engine did about it.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::event::{Event, Kind};

mod counting;
mod fairness;
mod hand;
mod shipped;

const GUESSING: &str = r#"
about = "guessing passwords"
on = ["auth-failed"]
threshold = 3
within = "10m"
distinct = "password"
forgive = "auth-ok"
[ban]
for = "1h"
growth = 2.0
max = "3h"
"#;

fn engine(jail: &str) -> Engine {
    Engine::new(
        Jails::single("j", jail).unwrap(),
        Exemptions::new(&["203.0.113.0/28".parse().unwrap()], &[], true),
    )
}

/// Plays `SECOND KIND ADDRESS user=… password=…`, `SECOND tick`, `SECOND ban|unban NETWORK` and shows what came out.
fn play(engine: &mut Engine, story: &str) -> String {
    let mut told = String::new();
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let now = Timestamp::from_seconds(words.next().unwrap().parse().unwrap());
        let what = words.next().unwrap();
        let whom = words.next();
        let network = || -> Network { whom.unwrap().parse().unwrap() };
        let mut out = Vec::new();
        match what {
            "tick" => engine.handle(now, Input::Tick, &mut out),
            "unban" => {
                let wanted = vec![Subject::Network(network())];
                engine.handle(now, Input::Unban(Release::Subjects(wanted)), &mut out);
            }
            "allow" => {
                let input = Input::Allow { networks: vec![network()], until: None, note: None };
                engine.handle(now, input, &mut out);
            }
            "disallow" => engine.handle(now, Input::Disallow(network()), &mut out),
            "confirm" | "spare" => {
                let subject = Subject::Network(network());
                engine.handle(now, Input::Confirm { subject, ban: what == "confirm" }, &mut out);
            }
            "ban" => {
                let until = now + Duration::from_secs(60);
                let (network, jail) = (network(), MANUAL.into());
                engine.handle(
                    now,
                    Input::Ban(Order { network, jail, until, reason: None, ports: Ports::All }),
                    &mut out,
                );
            }
            kind => {
                let fields =
                    words.filter_map(|word| word.split_once('=')).map(|(n, v)| (n, v.into())).collect();
                let kind: Kind = kind.trim_start_matches('=').parse().unwrap();
                let address = Some(whom.unwrap().parse().unwrap());
                let event = Event { kind, at: now, address, weight: 1, fields, line: line.as_bytes() };
                engine.handle(now, Input::Event(&event), &mut out);
            }
        }
        for output in out {
            told += &tell(&output);
        }
    }
    told
}

fn tell(output: &Output) -> String {
    match output {
        Output::Banned(Ban { subject, lease, evidence }) => {
            let (Lease { from, until, before, .. }, Terms { jail, mode, .. }) = (lease, &*lease.terms);
            let (from, until, mode) = (from.seconds(), until.seconds(), mode.name());
            let lines: String = evidence.iter().map(|e| format!("    {}\n", e.line)).collect();
            format!("{mode} {jail} {subject} {from}..{until} before {before}\n{lines}")
        }
        Output::Enforce { network, ports, until } => {
            format!("kernel: {network} {ports} until {}\n", until.seconds())
        }
        Output::Admit { network, ports } => format!("kernel: {network} {ports} admitted\n"),
        Output::Ended { subject, jail, why, at } => {
            format!("ended {jail} {subject} {why:?} at {}\n", at.seconds())
        }
        Output::Spared { subject, jail, exemption } => format!("spared {jail} {subject}: {exemption}\n"),
        Output::Asked(asked) => {
            format!("asked {} {}: {} accounts\n", asked.lease.jail, asked.subject, asked.accounts)
        }
        Output::Allowed { network } => format!("allowed {network}\n"),
        Output::Disallowed { network } => format!("disallowed {network}\n"),
        Output::Zone(notice) => format!("{notice:?}\n"),
    }
}

#[track_caller]
fn check(jail: &str, story: &str, expected: &Expect) {
    expected.assert_eq(&play(&mut engine(jail), story));
}

#[test]
fn the_threshold_bans_and_one_below_does_not() {
    check(
        GUESSING,
        "0 auth-failed 192.0.2.7 user=a password=1
         1 auth-failed 192.0.2.7 user=a password=2
         1 auth-failed 192.0.2.8 user=a password=2
         2 auth-failed 192.0.2.7 user=b password=2
         3 auth-failed 192.0.2.7 user=b password=3",
        &expect![[r"
            enforce j 192.0.2.7 2..3602 before 0
                0 auth-failed 192.0.2.7 user=a password=1
                1 auth-failed 192.0.2.7 user=a password=2
                2 auth-failed 192.0.2.7 user=b password=2
            kernel: 192.0.2.7 all until 3602
        "]],
    );
}

#[test]
fn the_same_wrong_password_again_is_one() {
    check(
        GUESSING,
        "0 auth-failed 192.0.2.7 user=a password=1
         1 auth-failed 192.0.2.7 user=a password=1
         2 auth-failed 192.0.2.7 user=a password=1
         3 auth-failed 192.0.2.7 user=a password=1",
        &expect![""],
    );
}

#[test]
fn a_failure_without_a_fingerprint_counts_as_a_different_one() {
    check(
        GUESSING,
        "1 auth-failed 192.0.2.7 user=a
         1 auth-failed 192.0.2.7 user=a
         1 auth-failed 192.0.2.7 user=a",
        &expect![[r"
            enforce j 192.0.2.7 1..3601 before 0
                1 auth-failed 192.0.2.7 user=a
                1 auth-failed 192.0.2.7 user=a
                1 auth-failed 192.0.2.7 user=a
            kernel: 192.0.2.7 all until 3601
        "]],
    );
}

#[test]
fn the_window_slides() {
    check(
        GUESSING,
        "0 auth-failed 192.0.2.7 user=a password=1
         1 auth-failed 192.0.2.7 user=a password=2
         600 auth-failed 192.0.2.7 user=a password=3
         601 auth-failed 192.0.2.7 user=a password=4
         602 auth-failed 192.0.2.7 user=a password=5",
        &expect![[r"
            enforce j 192.0.2.7 602..4202 before 0
                600 auth-failed 192.0.2.7 user=a password=3
                601 auth-failed 192.0.2.7 user=a password=4
                602 auth-failed 192.0.2.7 user=a password=5
            kernel: 192.0.2.7 all until 4202
        "]],
    );
}

#[test]
fn a_success_takes_that_users_failures_away_and_no_others() {
    check(
        GUESSING,
        "0 auth-failed 192.0.2.7 user=a password=1
         1 auth-failed 192.0.2.7 user=b password=2
         2 auth-ok 192.0.2.7 user=a
         3 auth-failed 192.0.2.7 user=a password=3
         4 auth-ok 192.0.2.8 user=b
         5 auth-failed 192.0.2.7 user=a password=4",
        &expect![[r"
            enforce j 192.0.2.7 5..3605 before 0
                1 auth-failed 192.0.2.7 user=b password=2
                3 auth-failed 192.0.2.7 user=a password=3
                5 auth-failed 192.0.2.7 user=a password=4
            kernel: 192.0.2.7 all until 3605
        "]],
    );
}

#[test]
fn an_ipv6_client_is_counted_and_banned_by_its_64() {
    check(
        GUESSING,
        "0 auth-failed 2001:db8::1 user=a password=1
         1 auth-failed 2001:db8::2 user=a password=2
         2 auth-failed 2001:db8::3 user=a password=3
         3 auth-failed 2001:db8::4 user=a password=4
         4 unban 2001:db8::9",
        &expect![[r"
            enforce j 2001:db8::/64 2..3602 before 0
                0 auth-failed 2001:db8::1 user=a password=1
                1 auth-failed 2001:db8::2 user=a password=2
                2 auth-failed 2001:db8::3 user=a password=3
            kernel: 2001:db8::/64 all until 3602
            ended j 2001:db8::/64 Lifted at 4
            kernel: 2001:db8::/64 all admitted
        "]],
    );
}

#[test]
fn bans_end_grow_and_are_forgotten() {
    let one = "about = \"x\"\non = [\"spam\"]\nthreshold = 1\nwithin = \"1m\"\n[ban]\nfor = \"1h\"\ngrowth = 2.0\nmax = \"3h\"";
    check(
        one,
        "0 spam 192.0.2.7
         10 spam 192.0.2.7
         3600 tick
         3601 spam 192.0.2.7
         10802 spam 192.0.2.7
         21603 tick
         2613603 spam 192.0.2.7",
        &expect![[r"
            enforce j 192.0.2.7 0..3600 before 0
                0 spam 192.0.2.7
            kernel: 192.0.2.7 all until 3600
            ended j 192.0.2.7 Expired at 3600
            enforce j 192.0.2.7 3601..10801 before 1
                3601 spam 192.0.2.7
            kernel: 192.0.2.7 all until 10801
            enforce j 192.0.2.7 10802..21602 before 2
                10802 spam 192.0.2.7
            kernel: 192.0.2.7 all until 21602
            ended j 192.0.2.7 Expired at 21602
            enforce j 192.0.2.7 2613603..2617203 before 0
                2613603 spam 192.0.2.7
            kernel: 192.0.2.7 all until 2617203
        "]],
    );
}

#[test]
fn the_exempt_are_never_banned_by_jail_or_hand() {
    check(
        GUESSING,
        "0 auth-failed 203.0.113.9 user=a password=1
         1 auth-failed 203.0.113.9 user=a password=2
         2 auth-failed 203.0.113.9 user=a password=3
         3 ban 203.0.113.9
         4 ban 203.0.113.0/24
         5 ban 127.0.0.1",
        &expect![[r"
            spared j 203.0.113.9: exempt by the configuration
            spared manual 203.0.113.9: exempt by the configuration
            spared manual 203.0.113.0/24: exempt by the configuration
            spared manual 127.0.0.1: loopback
        "]],
    );
}

#[test]
fn what_is_lifted_begins_anew() {
    check(
        GUESSING,
        "0 auth-failed 192.0.2.7 user=a password=1
         1 auth-failed 192.0.2.7 user=a password=2
         2 auth-failed 192.0.2.7 user=a password=3
         3 ban 192.0.2.7
         4 unban 192.0.2.7
         5 auth-failed 192.0.2.7 user=a password=4
         6 auth-failed 192.0.2.7 user=a password=5",
        &expect![[r"
            enforce j 192.0.2.7 2..3602 before 0
                0 auth-failed 192.0.2.7 user=a password=1
                1 auth-failed 192.0.2.7 user=a password=2
                2 auth-failed 192.0.2.7 user=a password=3
            kernel: 192.0.2.7 all until 3602
            enforce manual 192.0.2.7 3..63 before 0
            kernel: 192.0.2.7 all until 3602
            ended j 192.0.2.7 Lifted at 4
            kernel: 192.0.2.7 all until 63
            ended manual 192.0.2.7 Lifted at 4
            kernel: 192.0.2.7 all admitted
        "]],
    );
}

#[test]
fn a_counter_whose_window_is_over_is_forgotten() {
    let mut engine = engine(GUESSING);
    play(
        &mut engine,
        "0 auth-failed 192.0.2.7 user=a password=1\n500 auth-failed 192.0.2.8 user=a password=1",
    );
    engine.take_counter_changes();
    play(&mut engine, "700 tick");
    assert_eq!(engine.counters_len(), 1);
    let gone = engine.take_counter_changes();
    assert!(matches!(gone.as_slice(), [(_, None)]), "{gone:?}");
}

#[test]
fn a_watching_jail_tells_and_bans_nobody() {
    check(
        "about = \"x\"\non = [\"spam\"]\nthreshold = 1\nwithin = \"1m\"\nmode = \"watch\"\n[ban]\nfor = \"1h\"",
        "0 spam 192.0.2.7
         1 unban 192.0.2.7",
        &expect![[r"
            watch j 192.0.2.7 0..3600 before 0
                0 spam 192.0.2.7
            ended j 192.0.2.7 Lifted at 1
        "]],
    );
}

#[test]
fn a_stamp_from_the_future_counts_as_now() {
    let mut engine = engine(GUESSING);
    let mut out = Vec::new();
    for password in ["1", "2", "3"] {
        let fields = vec![("user", "a".into()), ("password", password.into())];
        let at = Timestamp::from_seconds(1_000_000);
        let address = Some("192.0.2.7".parse().unwrap());
        let event = Event { kind: Kind::AuthFailed, at, address, weight: 1, fields, line: b"x" };
        engine.handle(Timestamp::from_seconds(100), Input::Event(&event), &mut out);
    }
    let Some(Output::Banned(ban)) = out.first() else { panic!("{out:?}") };
    assert_eq!(ban.lease.until.seconds(), 3700);
}

#[test]
fn counters_and_bans_come_back_as_they_were_saved() {
    let story = "0 auth-failed 192.0.2.7 user=a password=1
                 1 auth-failed 192.0.2.7 user=a password=2
                 1 auth-failed 192.0.2.8 user=a password=2
                 1 ban 192.0.2.9";
    let mut before = engine(GUESSING);
    play(&mut before, story);
    let mut after = engine(GUESSING);
    for (key, row) in before.take_counter_changes() {
        let saved = serde_json::to_string(&row.unwrap()).unwrap();
        after.restore_counter(&key, serde_json::from_str(&saved).unwrap());
    }
    let now = Timestamp::from_seconds(2);
    let mut bans = Bans::default();
    before.bans(now).for_each(|(subject, lease)| bans.restore(now, subject.clone(), lease.clone()));
    after.restore_bans(now, bans);
    let rest = "2 auth-failed 192.0.2.7 user=a password=2
                3 auth-failed 192.0.2.7 user=a password=3
                99 tick";
    assert_eq!(play(&mut after, rest), play(&mut before, rest));
}

#[test]
fn a_reload_keeps_what_stays_and_frees_who_is_exempt_now() {
    let mut engine = engine(GUESSING);
    play(
        &mut engine,
        "0 auth-failed 192.0.2.7 user=a password=1\n1 auth-failed 192.0.2.7 user=a password=2\n1 ban 192.0.2.9",
    );
    let mut out = Vec::new();
    let exemptions = Exemptions::new(&["192.0.2.9".parse().unwrap()], &[], true);
    engine.reconfigure(
        Timestamp::from_seconds(2),
        Jails::single("j", GUESSING).unwrap(),
        exemptions,
        &mut out,
    );
    let told: String = out.iter().map(tell).collect();
    assert_eq!(told, "ended manual 192.0.2.9 Exempted at 2\nkernel: 192.0.2.9 all admitted\n");
    assert!(
        play(&mut engine, "3 auth-failed 192.0.2.7 user=a password=3")
            .starts_with("enforce j 192.0.2.7 3..3603")
    );
}

proptest! {
    /// Whatever happens, no exempt address comes out as banned, every ban ends, and the kernel is told of each.
    #[test]
    fn every_ban_ends_and_no_exempt_is_banned(events in prop::collection::vec((0u8..32, 0u8..4, 0i64..5000), 1..200)) {
        let mut engine = engine(GUESSING);
        let mut out = Vec::new();
        let mut events = events;
        events.sort_by_key(|(_, _, at)| *at);
        for (host, password, at) in &events {
            let at = Timestamp::from_seconds(*at);
            let fields = vec![("user", "a".into()), ("password", password.to_string().into())];
            let address = Some(format!("203.0.113.{host}").parse().unwrap());
            let event = Event { kind: Kind::AuthFailed, at, address, weight: 1, fields, line: b"x" };
            engine.handle(at, Input::Event(&event), &mut out);
        }
        if let Some((_, _, last)) = events.last() {
            let last = Timestamp::from_seconds(*last);
            engine.handle(last, Input::Tick, &mut out);
            let in_force: usize = engine.bans_in_force().iter().map(InForce::total).sum();
            prop_assert_eq!((in_force, engine.bans_len(last)), (engine.bans(last).count(), in_force));
        }
        engine.handle(Timestamp::from_seconds(1_000_000), Input::Tick, &mut out);
        prop_assert_eq!(engine.bans_len(Timestamp::from_seconds(1_000_000)), 0);
        for output in &out {
            if let Output::Enforce { network, .. } = output {
                prop_assert!(!"203.0.113.0/28".parse::<Network>().unwrap().overlaps(*network));
            }
        }
        let count = |f: fn(&Output) -> bool| out.iter().filter(|o| f(o)).count();
        prop_assert_eq!(count(|o| matches!(o, Output::Banned(_))), count(|o| matches!(o, Output::Enforce { .. })));
    }
}
