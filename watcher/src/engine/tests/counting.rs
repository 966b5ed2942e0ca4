//! What counts, and when it is too much.

use super::*;

/// A jail that bans by this rule for an hour.
fn jail(rule: &str) -> String {
    format!("about = \"x\"\n{rule}\n[ban]\nfor = \"1h\"\n")
}

/// When each ban fell, and on whom: `SECOND SUBJECT`.
fn bans(engine: &mut Engine, story: &str) -> Vec<String> {
    let told = play(engine, story);
    let of = |line: &str| {
        let mut words = line.strip_prefix("enforce ")?.split(' ').skip(1);
        let (subject, span) = (words.next()?, words.next()?);
        Some(format!("{} {subject}", span.split("..").next()?))
    };
    told.lines().filter_map(of).collect()
}

#[track_caller]
fn check_bans(rule: &str, story: &str, expected: &[&str]) {
    assert_eq!(bans(&mut engine(&jail(rule)), story), expected);
}

#[test]
fn several_windows_count_the_same_events() {
    let rule = "on = [\"spam\"]\nthreshold = 3\nwithin = \"1m\"\n[[also]]\nthreshold = 5\nwithin = \"1h\"";
    check_bans(rule, "0 spam 192.0.2.7\n1 spam 192.0.2.7\n2 spam 192.0.2.7", &["2 192.0.2.7"]);
    let drip: String = (0..5).map(|n| format!("{} spam 192.0.2.7\n", n * 600)).collect();
    check_bans(rule, &drip, &["2400 192.0.2.7"]);
    let slower: String = (0..9).map(|n| format!("{} spam 192.0.2.7\n", n * 900)).collect();
    check_bans(rule, &slower, &[]);
}

#[test]
fn kinds_have_their_weights() {
    let rule = "on = [\"spam\", \"virus\", \"uri-listed\"]\nthreshold = 4\nwithin = \"1m\"\nweights = { virus = 3, uri-listed = 0 }";
    check_bans(rule, "0 virus 192.0.2.7\n1 uri-listed 192.0.2.7\n2 spam 192.0.2.7", &["2 192.0.2.7"]);
    check_bans(rule, "0 spam 192.0.2.7\n1 spam 192.0.2.7\n2 spam 192.0.2.7", &[]);
}

#[test]
fn a_line_that_tells_of_several_attempts_counts_for_each() {
    let mut engine = engine(&jail("on = [\"auth-failed\"]\nthreshold = 5\nwithin = \"1m\""));
    let mut out = Vec::new();
    let at = Timestamp::from_seconds(10);
    let address = Some("192.0.2.7".parse().unwrap());
    let event = Event { kind: Kind::AuthFailed, at, address, weight: 5, fields: Vec::new(), line: b"x" };
    engine.handle(at, Input::Event(&event), &mut out);
    assert!(matches!(out.first(), Some(Output::Banned(_))), "{out:?}");
}

#[test]
fn a_bucket_takes_a_burst_and_never_a_drip() {
    let rule = "on = [\"connect\"]\ncount = \"bucket\"\nthreshold = 10\nwithin = \"100s\"";
    let burst: String = (0..10).map(|_| "5 connect 192.0.2.7\n").collect();
    check_bans(rule, &burst, &["5 192.0.2.7"]);
    let drip: String = (0..100).map(|n| format!("{} connect 192.0.2.7\n", n * 10)).collect();
    check_bans(rule, &drip, &[]);
    // Twice as fast as it runs empty: it gains a half each time.
    let faster: String = (0..40).map(|n| format!("{} connect 192.0.2.7\n", n * 5)).collect();
    check_bans(rule, &faster, &["90 192.0.2.7"]);
}

#[test]
fn addresses_at_one_account_can_be_counted() {
    let rule =
        "on = [\"auth-failed\"]\nper = \"user\"\nthreshold = 3\nwithin = \"1h\"\ndistinct = \"address\"";
    let story = "0 auth-failed 192.0.2.1 user=a
                 1 auth-failed 192.0.2.1 user=a
                 2 auth-failed 192.0.2.2 user=a
                 3 auth-failed 192.0.2.3 user=b
                 4 auth-failed 192.0.2.4 user=a";
    check_bans(rule, story, &["4 user:a"]);
}

#[test]
fn lines_of_two_sources_count_in_the_order_in_which_they_were_written() {
    let rule = "on = [\"spam\"]\nthreshold = 3\nwithin = \"1m\"";
    let mut engine = engine(&jail(rule));
    let mut out = Vec::new();
    // One source is an hour behind.
    for second in [3600, 0, 50, 3610, 59] {
        let at = Timestamp::from_seconds(second);
        let address = Some("192.0.2.7".parse().unwrap());
        let event = Event { kind: Kind::Spam, at, address, weight: 1, fields: Vec::new(), line: b"x" };
        engine.handle(Timestamp::from_seconds(3700), Input::Event(&event), &mut out);
    }
    let Some(Output::Banned(ban)) = out.first() else { panic!("{out:?}") };
    assert_eq!(ban.lease.from.seconds(), 59);
    assert_eq!(ban.evidence.iter().map(|line| line.at.seconds()).collect::<Vec<_>>(), [0, 50, 59]);
}

#[test]
fn one_who_keeps_offending_is_banned_in_the_middle_of_a_flood_of_new_addresses() {
    let rule = "on = [\"auth-failed\"]\nthreshold = 5\nwithin = \"1h\"";
    let jails = Jails::single("j", &jail(rule)).unwrap();
    let mut engine = Engine::new(jails, Exemptions::default()).with_counters_max(1000).unsaved();
    let mut out = Vec::new();
    let mut fail = |address: u32, second: i64, out: &mut Vec<Output>| {
        let at = Timestamp::from_seconds(second);
        let address = Some(IpAddr::V4(address.into()));
        let (kind, fields) = (Kind::AuthFailed, Vec::new());
        let event = Event { kind, at, address, weight: 1, fields, line: b"x" };
        engine.handle(at, Input::Event(&event), out);
        engine.counters_len()
    };
    let mut spoofed = 0x0a00_0000u32;
    // Once would be as good as any of the others; twice is more.
    fail(0xc000_0207, 0, &mut out);
    for second in 0..4 {
        fail(0xc000_0207, second, &mut out);
        for _ in 0..20_000 {
            spoofed += 1;
            assert!(fail(spoofed, second, &mut out) <= 1000);
        }
    }
    assert_eq!(out.iter().filter(|output| matches!(output, Output::Banned(_))).count(), 1, "{out:?}");
}

/// What happened in a property: who, with what, when.
type Happening = (u8, u8, u16);

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    prop::collection::vec((0u8..4, 0u8..6, 0u16..400), 1..150).prop_map(|mut happenings| {
        let mut at = 0u16;
        for (_, _, gap) in &mut happenings {
            at = at.saturating_add(*gap % 40);
            *gap = at;
        }
        happenings
    })
}

fn happen(engine: &mut Engine, (host, password, at): Happening, out: &mut Vec<Output>) {
    let at = Timestamp::from_seconds(i64::from(at));
    let fields = vec![("user", "a".into()), ("password", password.to_string().into())];
    let address = Some(format!("192.0.2.{host}").parse().unwrap());
    let line = format!("{host} {password}");
    let event = Event { kind: Kind::AuthFailed, at, address, weight: 1, fields, line: line.as_bytes() };
    engine.handle(at, Input::Event(&event), out);
}

const EXACT: &str = "on = [\"auth-failed\"]\nthreshold = 3\nwithin = \"1m\"\ndistinct = \"password\"\n[[also]]\nthreshold = 5\nwithin = \"5m\"";

proptest! {
    /// Bans fall exactly when a model that forgets nothing says so.
    #[test]
    fn counting_is_that_of_a_model_that_forgets_nothing(happenings in happenings()) {
        let mut engine = engine(&jail(EXACT));
        let mut model: std::collections::BTreeMap<u8, Vec<(u8, u16)>> = std::collections::BTreeMap::new();
        let mut banned: std::collections::BTreeMap<u8, u32> = std::collections::BTreeMap::new();
        for happening in happenings {
            let (host, password, at) = happening;
            let mut out = Vec::new();
            happen(&mut engine, happening, &mut out);
            if banned.get(&host).is_some_and(|until| *until > u32::from(at)) {
                prop_assert!(out.is_empty());
                continue;
            }
            let seen = model.entry(host).or_default();
            seen.push((password, at));
            let different = |within: u16| {
                let lately = seen.iter().filter(|(_, then)| then + within > at);
                lately.map(|(password, _)| password).collect::<std::collections::BTreeSet<_>>().len()
            };
            let expected = different(60) >= 3 || different(300) >= 5;
            prop_assert_eq!(out.iter().any(|o| matches!(o, Output::Banned(_))), expected);
            if expected {
                seen.clear();
                banned.insert(host, u32::from(at) + 3600);
            }
        }
    }

    /// Whatever was saved, and whenever the watcher went, the bans are the same.
    #[test]
    fn a_restart_anywhere_changes_nothing(happenings in happenings(), restarts in prop::collection::vec(any::<bool>(), 150)) {
        let (mut whole, mut out) = (engine(&jail(EXACT)), Vec::new());
        happenings.iter().for_each(|happening| happen(&mut whole, *happening, &mut out));
        let (mut parts, mut told) = (engine(&jail(EXACT)), Vec::new());
        let mut rows: std::collections::BTreeMap<CounterKey, CounterRow> = std::collections::BTreeMap::new();
        for (happening, restart) in happenings.iter().zip(restarts) {
            happen(&mut parts, *happening, &mut told);
            for (key, row) in parts.take_counter_changes() {
                match row {
                    Some(row) => rows.insert(key, row),
                    None => rows.remove(&key),
                };
            }
            if restart {
                let now = Timestamp::from_seconds(i64::from(happening.2));
                let mut new = engine(&jail(EXACT));
                let mut bans = Bans::default();
                parts.bans(now).for_each(|(subject, lease)| bans.restore(now, subject.clone(), lease.clone()));
                new.restore_bans(now, bans);
                rows.iter().for_each(|(key, row)| new.restore_counter(key, row.clone()));
                parts = new;
            }
        }
        prop_assert_eq!(out, told);
    }
}
