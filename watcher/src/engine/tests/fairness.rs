//! Who is spared, who is asked about, and how far a ban reaches.

use super::*;

const FAIR: &str = r#"
about = "guessing passwords"
on = ["auth-failed"]
threshold = 3
within = "10m"
distinct = "password"
forgive = "auth-ok"
patience = 2.0
spare_owner = true
[ban]
for = "1h"
"#;

/// An hour is over: what was done before is a history.
const LATER: i64 = 4000;

/// That many failures of an address, one a second, each with a password of its own.
fn failures(count: i64, from: i64, address: &str, user: &str) -> String {
    (0..count).map(|n| format!("{} auth-failed {address} user={user} password={n}\n", from + n)).collect()
}

fn ends(jail: &str, ending: &str) -> String {
    format!("{jail}{ending}\n")
}

#[track_caller]
fn check_told(jail: &str, story: &str, expected: &[&str]) {
    let told = play(&mut engine(jail), story);
    let lines: Vec<&str> = told.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(lines, expected);
}

#[test]
fn an_owner_is_never_counted_for_his_own_account() {
    let story = format!("0 auth-ok 192.0.2.7 user=a\n{}", failures(20, 1, "192.0.2.7", "a"));
    check_told(FAIR, &story, &[]);
}

#[test]
fn who_got_in_a_moment_ago_has_no_history() {
    let story = format!("0 auth-ok 192.0.2.7 user=a\n{}", failures(3, 1, "192.0.2.7", "b"));
    check_told(FAIR, &story, &["enforce j 192.0.2.7 3..3603 before 0", "kernel: 192.0.2.7 all until 3603"]);
}

#[test]
fn a_known_client_is_banned_later_and_banned_all_the_same() {
    for credit in ["0 auth-ok 192.0.2.7 user=a", "0 message-accepted 192.0.2.7"] {
        let five = format!("{credit}\n{}", failures(5, LATER, "192.0.2.7", "b"));
        check_told(FAIR, &five, &[]);
        let six = format!("{credit}\n{}", failures(6, LATER, "192.0.2.7", "b"));
        let expected = ["enforce j 192.0.2.7 4005..7605 before 0", "kernel: 192.0.2.7 all until 7605"];
        check_told(FAIR, &six, &expected);
    }
}

#[test]
fn a_history_is_forgotten_after_thirty_days() {
    let month = 31 * 86_400;
    let story = format!("0 auth-ok 192.0.2.7 user=a\n{}", failures(3, month, "192.0.2.7", "b"));
    let mut engine = engine(FAIR);
    assert!(play(&mut engine, &story).starts_with("enforce j 192.0.2.7"));
    play(&mut engine, &format!("{month} tick"));
    assert_eq!(engine.known_len(), 0);
}

#[test]
fn a_temporary_failure_is_nobodys_offence() {
    let story: String =
        (0..9).map(|n| format!("{n} auth-failed 192.0.2.7 user=a password={n} code=454\n")).collect();
    check_told(FAIR, &story, &[]);
}

#[test]
fn a_ban_is_narrowed_where_accounts_log_in() {
    let jail = ends(FAIR, "[shared]\naction = \"narrow\"\nfor = \"10m\"\nports = [\"smtp\"]");
    let story = format!("0 auth-ok 192.0.2.7 user=a\n{}", failures(6, LATER, "192.0.2.7", "b"));
    let expected = ["enforce j 192.0.2.7 4005..4605 before 0", "kernel: 192.0.2.7 25 until 4605"];
    check_told(&jail, &story, &expected);
    let stranger = failures(3, LATER, "192.0.2.8", "b");
    let expected = ["enforce j 192.0.2.8 4002..7602 before 0", "kernel: 192.0.2.8 all until 7602"];
    check_told(&jail, &stranger, &expected);
}

#[test]
fn the_administrator_is_asked_where_the_jail_says_so() {
    let jail = ends(FAIR, "[shared]\naction = \"ask\"\naccounts = 2");
    let logins = "0 auth-ok 192.0.2.7 user=a\n0 auth-ok 192.0.2.7 user=c\n";
    let asked = format!("{logins}{}", failures(9, LATER, "192.0.2.7", "b"));
    check_told(&jail, &asked, &["asked j 192.0.2.7: 2 accounts"]);
    let confirmed = format!("{asked}4100 confirm 192.0.2.7");
    let ban = ["enforce j 192.0.2.7 4100..7700 before 0", "kernel: 192.0.2.7 all until 7700"];
    check_told(&jail, &confirmed, &[&["asked j 192.0.2.7: 2 accounts"], &ban[..]].concat());
    check_told(&jail, &format!("{asked}4100 spare 192.0.2.7"), &["asked j 192.0.2.7: 2 accounts"]);
    // One account is too few to ask.
    let one = format!("0 auth-ok 192.0.2.7 user=a\n{}", failures(6, LATER, "192.0.2.7", "b"));
    check_told(&jail, &one, &["enforce j 192.0.2.7 4005..7605 before 0", "kernel: 192.0.2.7 all until 7605"]);
}

#[test]
fn an_exemption_by_hand_lifts_what_stands_and_wins_over_what_comes() {
    let story = format!(
        "{}3 allow 192.0.2.0/24\n{}20 disallow 192.0.2.0/24\n{}",
        failures(3, 0, "192.0.2.7", "b"),
        failures(3, 4, "192.0.2.8", "b"),
        failures(3, 21, "192.0.2.8", "b")
    );
    check_told(
        FAIR,
        &story,
        &[
            "enforce j 192.0.2.7 2..3602 before 0",
            "kernel: 192.0.2.7 all until 3602",
            "allowed 192.0.2.0/24",
            "ended j 192.0.2.7 Exempted at 3",
            "kernel: 192.0.2.7 all admitted",
            "spared j 192.0.2.8: allowed by hand",
            "disallowed 192.0.2.0/24",
            "enforce j 192.0.2.8 23..3623 before 0",
            "kernel: 192.0.2.8 all until 3623",
        ],
    );
}

#[test]
fn former_bans_are_forgotten_one_by_one() {
    let jail = r#"
about = "x"
on = ["spam"]
threshold = 1
within = "1m"
[ban]
for = "1h"
growth = 2.0
decay = "1d"
"#;
    // Three bans in a row; then two days without one take two of them away.
    let story = "0 spam 192.0.2.7\n4000 spam 192.0.2.7\n12000 spam 192.0.2.7\n200000 spam 192.0.2.7";
    let told = play(&mut engine(jail), story);
    let before: Vec<&str> =
        told.lines().filter(|line| line.starts_with("enforce")).map(|line| &line[line.len() - 1..]).collect();
    assert_eq!(before, ["0", "1", "2", "1"]);
}

#[test]
fn the_spread_is_another_for_each_ban_and_the_same_in_every_run() {
    let jail = "about = \"x\"\non = [\"spam\"]\nthreshold = 1\nwithin = \"1m\"\n[ban]\nfor = \"1h\"\nspread = \"1h\"";
    let story = "0 spam 192.0.2.7\n0 spam 192.0.2.8\n0 spam 192.0.2.9";
    let told = play(&mut engine(jail), story);
    assert_eq!(told, play(&mut engine(jail).with_seed(7), story));
    let until: std::collections::BTreeSet<i64> = told
        .lines()
        .filter_map(|line| line.strip_prefix("kernel: ")?.rsplit(' ').next()?.parse().ok())
        .collect();
    assert_eq!(until.len(), 3, "{told}");
    assert!(until.iter().all(|end| (3600..=7200).contains(end)), "{told}");
}

const ROLLUP: &str = "about = \"x\"\non = [\"spam\"]\nthreshold = 1\nwithin = \"1m\"\n[rollup]\nmembers = 3\nwithin = \"1h\"\nipv4 = 24\nipv6 = [56, 48]\n[ban]\nfor = \"1h\"\n";

#[test]
fn a_network_is_banned_for_its_members() {
    let told = play(&mut engine(ROLLUP), "0 spam 192.0.2.1\n1 spam 192.0.2.2\n2 spam 192.0.2.3");
    assert!(told.contains("enforce j 192.0.2.0/24 2..3602 before 0"), "{told}");
    assert!(told.contains("banned 192.0.2.1: j"), "{told}");
    // Nine networks of three /56 make the /48.
    let story: String =
        (0..9).map(|n| format!("{n} spam 2001:db8:7:{:x}{:02x}::1\n", n / 3 + 1, n % 3)).collect();
    let told = play(&mut engine(ROLLUP), &story);
    assert!(told.contains("enforce j 2001:db8:7:100::/56 2.."), "{told}");
    assert!(told.contains("enforce j 2001:db8:7::/48 8.."), "{told}");
}

#[test]
fn a_network_in_which_somebody_is_known_is_not_banned_for_its_members() {
    let story = "0 auth-ok 192.0.2.200 user=a
                 4000 spam 192.0.2.1\n4001 spam 192.0.2.2\n4002 spam 192.0.2.3\n4003 spam 192.0.2.4";
    let told = play(&mut engine(ROLLUP), story);
    assert!(!told.contains("/24"), "{told}");
}

#[test]
fn bans_are_events_for_the_jail_that_counts_them() {
    let jails = ["spam", "virus"].map(|kind| {
        let text =
            format!("about = \"x\"\non = [\"{kind}\"]\nthreshold = 1\nwithin = \"1m\"\n[ban]\nfor = \"1m\"");
        Jails::single(kind, &text).unwrap()
    });
    let again = "about = \"x\"\non = [\"ban\"]\nthreshold = 3\nwithin = \"1d\"\n[ban]\nfor = \"7d\"";
    let [spam, virus] = jails;
    let all = Jails::of([spam, virus, Jails::single("again", again).unwrap()]);
    let mut engine = Engine::new(all, Exemptions::default());
    let told =
        play(&mut engine, "0 spam 192.0.2.7\n10 virus 192.0.2.7\n20 spam 192.0.2.7\n100 spam 192.0.2.7");
    assert!(told.contains("enforce again 192.0.2.7 100..604900 before 0\n    banned 192.0.2.7: spam\n    banned 192.0.2.7: virus\n    banned 192.0.2.7: spam\n"), "{told}");
}

#[test]
fn what_a_list_caught_alone_is_still_known_after_a_restart() {
    let listed = |second: i64, zone: &str| format!("{second} dnsbl-listed 192.0.2.7 zone={zone}");
    let alone = |engine: &Engine| -> Vec<(String, u64)> {
        engine
            .book()
            .view(Timestamp::from_seconds(60))
            .into_iter()
            .map(|zone| (zone.zone, zone.alone))
            .collect()
    };
    let mut before = engine(FAIR);
    play(&mut before, &listed(0, "one.example"));
    let mut after = engine(FAIR);
    for (key, row) in before.take_state_changes() {
        after.restore_state(&key, &row.unwrap());
    }
    assert_eq!(alone(&after), [("one.example".to_owned(), 1)]);
    play(&mut after, &format!("{}\n{}", listed(10, "one.example"), listed(20, "two.example")));
    assert_eq!(alone(&after), [("one.example".to_owned(), 0), ("two.example".to_owned(), 0)]);
}

#[test]
fn who_is_known_survives_a_restart() {
    let mut before = engine(FAIR);
    play(&mut before, "0 auth-ok 192.0.2.7 user=a\n10 allow 198.51.100.0/24\n20 message-accepted 192.0.2.9");
    let mut after = engine(FAIR);
    for (key, row) in before.take_state_changes() {
        after.restore_state(&key, &row.unwrap());
    }
    for address in ["192.0.2.7", "192.0.2.9"] {
        let network = address.parse().unwrap();
        let now = Timestamp::from_seconds(LATER);
        assert_eq!(after.credit(network, now), before.credit(network, now));
        assert!(after.credit(network, now).good);
    }
    assert_eq!(after.exemptions().allowed().count(), 1);
    assert_eq!(play(&mut after, &failures(9, LATER, "192.0.2.7", "a")), "");
}

#[test]
fn every_jail_says_why_an_event_counts_or_not() {
    let mut engine = engine(FAIR);
    play(&mut engine, "0 auth-ok 192.0.2.7 user=a\n1 auth-failed 192.0.2.8 user=a password=1");
    let now = Timestamp::from_seconds(2);
    let explain = |kind: Kind, address: &str, user: &'static str| {
        let fields = vec![("user", user.into()), ("password", "9".into())];
        let address = Some(address.parse().unwrap());
        let event = Event { kind, at: now, address, weight: 1, fields, line: b"" };
        engine.explain(now, &event).remove(0).outcome
    };
    assert_eq!(explain(Kind::Spam, "192.0.2.8", "a"), Err(Reason::OtherKind));
    assert_eq!(explain(Kind::AuthFailed, "192.0.2.7", "a"), Err(Reason::OwnAccount));
    let counted = explain(Kind::AuthFailed, "192.0.2.8", "a").unwrap();
    assert_eq!((counted.count, counted.threshold), (2, 3));
    let standing = engine.standing(&"192.0.2.8".parse().unwrap(), now);
    assert_eq!(standing.iter().map(|s| (s.count, s.threshold)).collect::<Vec<_>>(), [(1, 3)]);
}
