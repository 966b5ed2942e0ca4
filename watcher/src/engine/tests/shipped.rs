//! The shipped jails: just below, just above, forgiven, exempt, without an address.

use std::fmt::Write as _;

use super::*;

fn shipped(name: &str) -> Engine {
    let jails = Jails::read(None).unwrap().only(&[name.to_owned()]).unwrap();
    Engine::new(jails, Exemptions::new(&["203.0.113.0/28".parse().unwrap()], &[], true))
}

/// Bans that were made: `JAIL SUBJECT`.
fn bans(engine: &mut Engine, story: &str) -> Vec<String> {
    let told = play(engine, story);
    let of = |line: &str| line.strip_prefix("enforce ").map(str::to_owned);
    let subject = |line: String| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    told.lines().filter_map(of).map(subject).collect()
}

/// So many events with this end ban, one fewer do not, and none bans who is exempt.
#[track_caller]
fn check(jail: &str, threshold: usize, event: impl Fn(usize, &str) -> String) {
    let story = |count: usize, address: &str| {
        (0..count).fold(String::new(), |mut story, n| {
            let _ = writeln!(story, "{}", event(n, address));
            story
        })
    };
    assert_eq!(bans(&mut shipped(jail), &story(threshold - 1, "192.0.2.7")), [""; 0]);
    assert_eq!(bans(&mut shipped(jail), &story(threshold, "192.0.2.7")), [format!("{jail} 192.0.2.7")]);
    assert_eq!(bans(&mut shipped(jail), &story(threshold, "203.0.113.7")), [""; 0]);
    // Who was known an hour before has patience, where the jail has any.
    let known = format!("0 message-accepted 192.0.2.7\n{}", story(threshold, "192.0.2.7"));
    let patient = shipped(jail).jails().get(0).is_some_and(|jail| jail.patience > 1.0);
    assert_eq!(bans(&mut shipped(jail), &known).is_empty(), patient);
}

const LATER: usize = 4000;

#[test]
fn five_guesses_in_ten_minutes() {
    check("password-guessing", 5, |n, a| format!("{} auth-failed {a} user=a password={n}", LATER + n * 149));
}

#[test]
fn thirty_guesses_in_a_day() {
    check("slow-guessing", 30, |n, a| format!("{} auth-failed {a} user=a password={n}", LATER + n * 2900));
}

#[test]
fn sixty_guesses_in_a_week() {
    check("slow-guessing", 60, |n, a| format!("{} auth-failed {a} user=a password={n}", LATER + n * 10_000));
}

#[test]
fn ten_names() {
    check("recipient-harvest", 10, |n, a| format!("{} rcpt-unknown {a} recipient=r{n}", LATER + n * 180));
}

#[test]
fn ten_times_the_same_name_is_one() {
    let story: String =
        (0..50).map(|n| format!("{n} rcpt-unknown 192.0.2.7 recipient=dead@example.org\n")).collect();
    assert_eq!(bans(&mut shipped("recipient-harvest"), &story), [""; 0]);
}

#[test]
fn three_listings_in_an_hour() {
    check("dnsbl-listed", 3, |n, a| format!("{} dnsbl-listed {a} zone=list.example", LATER + n * 1700));
}

/// Visits of a client that a list has, told in these words; whether they get him banned, and for how long.
#[track_caller]
fn check_listed(before: &str, visits: usize, words: &str, banned: Option<u64>) {
    let story = (0..visits).fold(before.to_owned(), |mut story, n| {
        let _ = writeln!(story, "{} dnsbl-listed 192.0.2.7 {words}", LATER + n * 1000);
        story
    });
    let told = play(&mut shipped("dnsbl-listed"), &story);
    let span = told.lines().find_map(|line| line.strip_prefix("enforce dnsbl-listed 192.0.2.7 "));
    let seconds = span.and_then(|span| {
        let (from, until) = span.split(' ').next()?.split_once("..")?;
        Some(until.parse::<u64>().ok()? - from.parse::<u64>().ok()?)
    });
    assert_eq!(seconds, banned, "{words}: {told}");
}

const A_DAY: Option<u64> = Some(86_400);

#[test]
fn one_listing_is_enough_where_a_list_says_that_no_mail_server_is_there() {
    for words in [
        "message=http://www.spamhaus.org/query/bl?ip=192.0.2.7",
        "text=https://www.spamhaus.org/query/ip/192.0.2.7",
        "zone=xbl.spamhaus.org",
        "zone=pbl.spamhaus.org",
        "zone=zen.spamhaus.org answer=127.0.0.4",
        "query=7.2.0.192.abcdefghijklmnopqrstuvwxyz.zen.dq.spamhaus.net answer=127.0.0.11",
    ] {
        check_listed("", 1, words, A_DAY);
    }
}

#[test]
fn of_senders_and_networks_that_are_listed_three_listings_in_an_hour_are_too_many() {
    for words in [
        "message=https://www.spamhaus.org/sbl/query/SBLCSS",
        "message=https://check.spamhaus.org/sbl/query/SBL2",
        "zone=zen.spamhaus.org",
        "zone=zen.spamhaus.org answer=127.0.0.3",
        "zone=list.example answer=127.0.0.4",
        // The answer is known, and is another one: what the text seems to say does not count.
        "zone=zen.spamhaus.org answer=127.0.0.2 message=https://www.spamhaus.org/query/ip/192.0.2.7",
    ] {
        check_listed("", 2, words, None);
        check_listed("", 3, words, Some(3600));
    }
}

#[test]
fn who_has_a_good_history_is_not_banned_for_one_listing_whatever_the_list() {
    const LISTED: &str = "zone=pbl.spamhaus.org";
    let known = "0 message-accepted 192.0.2.7\n";
    check_listed(known, 3, LISTED, None);
    let story: String =
        (0..12).map(|n| format!("{} dnsbl-listed 192.0.2.7 {LISTED}\n", LATER + n * 60)).collect();
    assert_eq!(bans(&mut shipped("dnsbl-listed"), &(known.to_owned() + &story)), ["dnsbl-listed 192.0.2.7"]);
    // Who brings his first mail while he attacks has none.
    check_listed(&format!("{} message-accepted 192.0.2.7\n", LATER - 60), 1, LISTED, A_DAY);
}

#[test]
fn one_listing_bans_neither_the_exempt_nor_a_neighbour_and_closes_port_25_alone() {
    let listed = |address: &str| format!("{LATER} dnsbl-listed {address} zone=pbl.spamhaus.org\n");
    assert_eq!(bans(&mut shipped("dnsbl-listed"), &listed("203.0.113.7")), [""; 0]);
    let told: String = (1..100).map(|host| listed(&format!("192.0.2.{host}"))).collect();
    let told = play(&mut shipped("dnsbl-listed"), &told);
    let kernel: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("kernel: ")).collect();
    assert_eq!(kernel.len(), 99);
    assert!(kernel.iter().all(|line| !line.contains('/') && line.contains(" 25 until ")), "{told}");
}

#[test]
fn a_refusal_is_no_listing_whatever_else_its_text_says() {
    check_listed(
        "",
        5,
        "message=https://check.spamhaus.org/returnc/vol/www.spamhaus.org/query/ip/192.0.2.7",
        None,
    );
}

#[test]
fn an_event_says_beforehand_that_one_listing_is_enough() {
    let engine = shipped("dnsbl-listed");
    let at = Timestamp::from_seconds(9000);
    let (address, fields) = ("192.0.2.7".parse().ok(), vec![("zone", "pbl.spamhaus.org".into())]);
    let event = Event { kind: Kind::DnsblListed, at, address, weight: 1, fields, line: b"x" };
    let explained = engine.explain(at, &event);
    let standing = explained[0].outcome.clone().unwrap();
    assert_eq!((standing.count, standing.threshold), (1, 1));
}

#[test]
fn three_who_talk_first() {
    check("pregreet", 3, |n, a| format!("{} pregreet {a}", LATER + n * 1700));
}

#[test]
fn five_foreign_recipients() {
    check("relay-probe", 5, |n, a| format!("{} relay-denied {a} recipient=r{n}", LATER + n * 800));
}

#[test]
fn thirty_bad_commands_at_once() {
    check("protocol-abuse", 30, |_, a| format!("{LATER} protocol-error {a}"));
}

#[test]
fn fifteen_spams() {
    check("spam-source", 15, |n, a| format!("{} spam {a}", LATER + n * 200));
    check("spam-source", 5, |n, a| format!("{} virus {a}", LATER + n * 200));
}

#[test]
fn three_hundred_connections_at_once() {
    check("connection-flood", 300, |_, a| format!("{LATER} connect {a}"));
}

#[test]
fn thirty_broken_handshakes() {
    check("tls-probe", 30, |_, a| format!("{LATER} tls-failed {a}"));
}

#[test]
fn five_bans_in_a_week() {
    check("recidive", 5, |n, a| format!("{} =ban {a}", LATER + n * 100_000));
}

#[test]
fn nobody_is_banned_for_an_event_without_an_address() {
    for jail in Jails::read(None).unwrap().iter() {
        let mut engine = shipped(&jail.name);
        let mut out = Vec::new();
        for second in 0..1000 {
            let at = Timestamp::from_seconds(second);
            let (kind, fields) = (jail.on[0], vec![("user", "a".into()), ("recipient", "b".into())]);
            let event = Event { kind, at, address: None, weight: 1, fields, line: b"x" };
            engine.handle(at, Input::Event(&event), &mut out);
        }
        assert_eq!(out, [], "{}", jail.name);
    }
}

/// Failures at an account, each from an address of its own, with passwords of which so many are different.
fn campaign(count: u32, user: &str, passwords: u32) -> String {
    (0..count).fold(String::new(), |mut story, n| {
        let (second, password) = (4000 + n, n % passwords);
        let _ = writeln!(story, "{second} auth-failed 198.51.100.{n} user={user} password={password}");
        story
    })
}

#[track_caller]
fn check_campaign(story: &str, expected: &[&str]) {
    assert_eq!(bans(&mut shipped("campaign"), story), expected);
}

#[test]
fn ten_strangers_at_one_account_are_a_campaign_and_who_follows_is_banned_at_once() {
    check_campaign(&campaign(9, "alice", 9), &[]);
    check_campaign(&campaign(10, "alice", 9), &["campaign 198.51.100.9"]);
    let followed = campaign(10, "alice", 9) + "4100 auth-failed 192.0.2.7 user=alice password=77\n";
    check_campaign(&followed, &["campaign 198.51.100.9", "campaign 192.0.2.7"]);
    // It is over an hour after the last of them but nine.
    let late = campaign(10, "alice", 9) + "9000 auth-failed 192.0.2.7 user=alice password=77\n";
    check_campaign(&late, &["campaign 198.51.100.9"]);
}

#[test]
fn one_password_on_ten_accounts_is_a_campaign() {
    let story = |count: u32, addresses: u32| {
        (0..count).fold(String::new(), |mut story, n| {
            let _ =
                writeln!(story, "{} auth-failed 198.51.100.{} user=u{n} password=7", 4000 + n, n % addresses);
            story
        })
    };
    check_campaign(&story(9, 9), &[]);
    check_campaign(&story(10, 10), &["campaign 198.51.100.9"]);
    // One address alone is what other jails are for.
    check_campaign(&story(10, 1), &[]);
}

#[test]
fn no_campaign_can_have_the_owner_banned() {
    let attack = campaign(10, "alice", 9);
    let owner = |login: &str, failure: &str| format!("0 auth-ok {login} user=alice\n{attack}{failure}\n");
    let banned = &["campaign 198.51.100.9"][..];
    // From where he always is, and from elsewhere in his provider's network.
    check_campaign(&owner("192.0.2.7", "4100 auth-failed 192.0.2.7 user=alice password=99"), banned);
    check_campaign(&owner("192.0.2.7", "4100 auth-failed 192.0.2.200 user=alice password=99"), banned);
    check_campaign(&owner("2001:db8::1", "4100 auth-failed 2001:db8:0:7::1 user=alice password=99"), banned);
    // With a password that he has mistyped at home, from wherever.
    let slip = "3000 auth-failed 192.0.2.7 user=alice password=99\n4100 auth-failed 233.252.0.9 user=alice password=99";
    let story = format!("0 auth-ok 192.0.2.7 user=alice\n{slip}");
    let (first, last) = story.rsplit_once('\n').unwrap();
    check_campaign(&format!("{first}\n{attack}{last}\n"), banned);
    // Another customer, whose mail was accepted before.
    let other =
        format!("0 message-accepted 192.0.2.9\n{attack}4100 auth-failed 192.0.2.9 user=alice password=99\n");
    check_campaign(&other, banned);
}

#[test]
fn one_old_telephone_in_many_networks_is_no_campaign() {
    check_campaign(&campaign(40, "alice", 1), &[]);
}

#[test]
fn without_fingerprints_a_campaign_needs_twice_as_many() {
    let story = |count: u32| {
        (0..count).fold(String::new(), |mut story, n| {
            let _ = writeln!(story, "{} auth-failed 198.51.100.{n} user=alice", 4000 + n);
            story
        })
    };
    check_campaign(&story(19), &[]);
    check_campaign(&story(20), &["campaign 198.51.100.19"]);
}

#[test]
fn a_listing_by_a_list_that_refuses_to_answer_is_none() {
    let refusal = "message=https://check.spamhaus.org/returnc/vol/";
    let story: String = (0..20)
        .map(|n| format!("{n} dnsbl-listed 192.0.2.{n} zone=zen.spamhaus.org {refusal}\n{n} dnsbl-listed 192.0.2.99 zone=zen.spamhaus.org\n"))
        .collect();
    let mut engine = shipped("dnsbl-listed");
    let told = play(&mut engine, &story);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.starts_with("Off { zone: \"zen.spamhaus.org\""), "{told}");
    // One who is not listed proves that it answers again.
    let again = "30 dnsbl-query 192.0.2.7 zone=zen.spamhaus.org result=pass
                 31 dnsbl-listed 192.0.2.8 zone=zen.spamhaus.org\n32 dnsbl-listed 192.0.2.8 zone=zen.spamhaus.org
                 33 dnsbl-listed 192.0.2.8 zone=zen.spamhaus.org";
    let told = play(&mut engine, again);
    assert!(told.contains("enforce dnsbl-listed 192.0.2.8"), "{told}");
}

#[test]
fn as_the_budget_runs_out_the_first_listing_is_enough_and_bans_are_longer() {
    let quota = Quota {
        zone: "zen.spamhaus.org".into(),
        limit: 100,
        period: Duration::from_secs(86_400),
        reset: Duration::ZERO,
        counted: crate::quota::Counted::Queries,
    };
    let mut engine = shipped("dnsbl-listed").with_quotas(&[quota]);
    let listed = |second: u32, host: u32| {
        format!("{second} dnsbl-listed 192.0.2.{host} zone=zen.spamhaus.org result=delay\n")
    };
    assert_eq!(bans(&mut engine, &listed(10, 1)), [""; 0]);
    let queries: String = (0..100)
        .map(|n| format!("{} dnsbl-query 198.51.100.{n} zone=zen.spamhaus.org result=pass\n", 60 + n))
        .collect();
    let told = play(&mut engine, &queries);
    assert!(told.contains("Spent"), "{told}");
    let told = play(&mut engine, &listed(3600, 2));
    assert!(told.starts_with("enforce dnsbl-listed 192.0.2.2 3600..90000 before 0"), "{told}");
    // And four of a network are the network.
    let more: String = (3..6).map(|host| listed(3700 + host, host)).collect();
    assert!(bans(&mut engine, &more).contains(&"dnsbl-listed 192.0.2.0/24".to_owned()));
}
