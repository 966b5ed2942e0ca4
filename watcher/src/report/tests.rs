use logline::Text;
use serde_json::{Value, json};

use super::network::Networks;
use super::user::Users;
use super::zone::Zones;
use super::*;
use crate::event::{Event, Kind};

/// Two zones: `a.example` is asked first, `b.example` only of whom `a.example` does not list, but for one client.
const LOG: &str = r#"
10:00:00 tcpserver: pid 1 from 198.51.100.7
10:00:00 qmail-smtpd[1]: rbl: ip=198.51.100.7 query=7.100.51.198.a.example result=reject message='no'
10:00:00 rblsmtpd: 198.51.100.7 pid 1: 553 no
10:00:00 rblsmtpd: 198.51.100.7 pid 1: EHLO mail.example.com
10:00:00 rblsmtpd: 198.51.100.7 pid 1: MAIL FROM:<carol@example.com>
10:00:00 rblsmtpd: 198.51.100.7 pid 1: RCPT TO:<alice@example.org>
10:00:01 rblsmtpd: 198.51.100.7 pid 1: QUIT
10:00:01 tcpserver: end 1 status 0
10:10:00 tcpserver: pid 2 from 198.51.100.8
10:10:00 qmail-smtpd[2]: rbl: ip=198.51.100.8 query=8.100.51.198.a.example result=pass message=''
10:10:00 qmail-smtpd[2]: rbl: ip=198.51.100.8 query=8.100.51.198.b.example result=delay message='later'
10:10:00 rblsmtpd: 198.51.100.8 pid 2: 451 later
10:10:00 rblsmtpd: 198.51.100.8 pid 2: HELO [198.51.100.8]
10:10:00 rblsmtpd: 198.51.100.8 pid 2: RCPT TO:<alice@example.org>
10:10:01 tcpserver: end 2 status 0
10:20:00 tcpserver: pid 3 from 198.51.100.9
10:20:00 qmail-smtpd[3]: rbl: ip=198.51.100.9 query=9.100.51.198.a.example result=ignore message='no'
10:20:00 qmail-smtpd[3]: rbl: ip=198.51.100.9 query=9.100.51.198.b.example result=dnserr message=''
10:20:01 tcpserver: end 3 status 0
11:00:00 tcpserver: pid 4 from 203.0.113.5
11:00:00 CHKUSER accepted rcpt: from <dave@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:mail.example.net|remotehostname:unknown|remotehostip:203.0.113.5> rcpt <alice@example.org> : found existing recipient pid=4
11:00:01 qlogreceived: result=accepted code=250 reason=queueaccept detail= helo=mail.example.net mailfrom=dave@example.net rcptto=alice@example.org relay=no rcpthosts= size=512 authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.5 remoteport=37081 remotehost=unknown qp=77 pid=4
11:00:01 new msg 900
11:00:01 info msg 900: bytes 512 from <dave@example.net> qp 77 uid 7791
11:00:01 starting delivery 5: msg 900 to local alice@example.org
11:00:03 delivery 5: deferral: try_again/
11:10:01 starting delivery 6: msg 900 to local alice@example.org
11:10:05 delivery 6: success: did_1+0+0/
11:10:05 end msg 900
11:10:06 tcpserver: end 4 status 0
11:30:00 tcpserver: pid 5 from 2001:db8:bad::1
11:30:00 qmail-smtpd[5]: auth: auth-failed type=plain user=<Bob<script\x3e> fingerprint=00ab
11:30:01 qmail-smtpd[5]: auth: auth-failed type=plain user=<bob<script\x3e> fingerprint=00ac
11:30:02 tcpserver: end 5 status 0
"#;

fn findings(since: Option<Timestamp>, places: Places) -> Findings {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let lines: Vec<String> = LOG.trim().lines().map(|line| format!("2026-03-01 {line}\n")).collect();
    std::fs::write(&path, lines.concat()).unwrap();
    let options = Options { filters: Filters::shipped().unwrap(), zone: TimeZone::UTC, since, places };
    read(&options, &[path], &mut |_| {}).unwrap()
}

fn all() -> Findings {
    findings(None, Places::default())
}

/// What stands at a place of the JSON.
#[track_caller]
fn check(findings: &Findings, pointer: &str, expected: &Value) {
    let told = serde_json::to_value(findings).unwrap();
    assert_eq!(told.pointer(pointer), Some(expected), "{pointer} in {told:#}");
}

#[test]
fn mail_flows_by_the_hour() {
    let findings = all();
    check(&findings, "/hours/0/at", &json!("2026-03-01T10:00:00Z"));
    check(&findings, "/hours/0/connections", &json!(3));
    check(&findings, "/hours/0/put_off", &json!(1));
    check(&findings, "/hours/1/accepted", &json!(1));
    check(&findings, "/hours/1/deferred", &json!(1));
    check(&findings, "/total/delivered", &json!(1));
    check(&findings, "/total/logins_failed", &json!(2));
    check(&findings, "/lines/unknown", &json!(0));
}

#[test]
fn nothing_before_the_beginning_counts_but_who_exists() {
    let findings = findings(
        Some("2026-03-01T11:00:00Z".parse::<jiff::Timestamp>().map(from_jiff).unwrap()),
        Places::default(),
    );
    check(&findings, "/total/connections", &json!(2));
    check(&findings, "/zones", &json!([]));
}

fn from_jiff(at: jiff::Timestamp) -> Timestamp {
    Timestamp::from_seconds(at.as_second())
}

#[test]
fn what_one_list_catches_alone_and_what_nobody_can_tell() {
    let findings = all();
    let zone = |place: usize| findings.zones.get(place).unwrap().clone();
    assert_eq!((zone(0).zone.as_str(), zone(1).zone.as_str()), ("a.example", "b.example"));
    assert_eq!((zone(0).queries, zone(0).listings, zone(0).clients, zone(0).alone), (3, 1, 1, 1));
    // b.example lists 198.51.100.8, and a.example was asked about it and does not; of what a.example lists nobody asked b.
    assert_eq!((zone(1).clients, zone(1).alone_for_certain, zone(1).adds, zone(1).errors), (1, 1, 1, 1));
    assert_eq!(zone(0).alone_for_certain, 0);
    check(
        &findings,
        "/overlap/0",
        &json!({ "zone": "a.example", "other": "b.example", "asked": 0, "both": 0 }),
    );
    check(
        &findings,
        "/overlap/1",
        &json!({ "zone": "b.example", "other": "a.example", "asked": 1, "both": 0 }),
    );
}

#[test]
fn a_listed_client_that_looks_honest_is_shown_with_all_that_it_said() {
    let findings = all();
    let suspects: Vec<&str> = findings.false_positives.iter().map(|s| s.address.as_str()).collect();
    assert_eq!(suspects, ["198.51.100.7"]);
    check(&findings, "/false_positives/0/zones", &json!(["a.example"]));
    check(&findings, "/false_positives/0/recipient", &json!("alice@example.org"));
    check(&findings, "/false_positives/0/transcript/0", &json!("553 no"));
    check(&findings, "/false_positives/0/transcript/4", &json!("QUIT"));
}

#[test]
fn the_queue_is_timed_by_message_and_by_attempt() {
    let findings = all();
    check(&findings, "/queue/messages", &json!(1));
    check(&findings, "/queue/queued/max", &json!(604.0));
    check(&findings, "/queue/local/count", &json!(2));
    check(&findings, "/queue/local/p50", &json!(2.0));
    check(&findings, "/queue/local/max", &json!(4.0));
}

#[test]
fn users_are_one_in_whatever_letters_and_networks_have_owners() {
    let fixture = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/places.mmdb");
    let findings = findings(None, Places::open(&[fixture]).unwrap());
    check(&findings, "/users/0/user", &json!("bob<script>"));
    check(&findings, "/users/0/failures", &json!(2));
    let place = |network: &str| findings.networks.iter().find(|n| n.network == network).unwrap().clone();
    let four = place("198.51.100.0/24");
    assert_eq!((four.asn, four.country.as_deref(), four.clients), (Some(64500), Some("ZZ"), 2));
    // A database is somebody else's file too.
    assert_eq!(four.owner.as_deref(), Some("Example\\u{1b}[31m Networks"));
    let six = place("2001:db8:bad::/48");
    assert_eq!(
        (six.asn, six.owner.as_deref(), six.country.as_deref()),
        (Some(64501), Some("Six"), Some("YY"))
    );
    check(&findings, "/countries/0/name", &json!("YY"));
}

#[test]
fn the_page_needs_nothing_else_and_shows_hostile_bytes_as_text() {
    let page = html(&all());
    assert!(page.contains("bob&lt;script&gt;"), "{page}");
    for forbidden in ["<script", "http://", "https://", "@import", "url(", "<img", "<link"] {
        assert!(!page.contains(forbidden), "{forbidden} in the page");
    }
    assert!(page.contains("<svg") && page.contains("default-src 'none'"));
    let told = text(&all());
    assert!(
        told.contains("of what a.example lists, b.example was asked about none: nobody can tell"),
        "{told}"
    );
    assert!(
        told.contains("of what b.example lists, a.example was asked about 1 and lists 0 (0 %)"),
        "{told}"
    );
}

/// So many attackers with a network, a name and a blocklist of their own each.
fn besieged(attackers: u32) -> (Networks, Users, Zones) {
    let (mut networks, mut users, mut zones) = (Networks::default(), Users::default(), Zones::default());
    for n in 0..attackers {
        let (name, list) = (format!("User{n}"), format!("see https://list{n}.example/"));
        let mut event = Event {
            kind: Kind::AuthFailed,
            at: Timestamp::from_seconds(1_700_000_000),
            address: Some(std::net::Ipv4Addr::from(0x0b00_0000 + n * 256).into()),
            weight: 1,
            fields: vec![("user", Text::from(name.as_str())), ("message", Text::from(list.as_str()))],
            line: b"",
        };
        networks.event(&event);
        users.event(&event);
        event.kind = Kind::DnsblListed;
        zones.event(&event);
    }
    (networks, users, zones)
}

#[test]
fn no_number_of_attackers_makes_a_table_grow_without_end_and_a_full_one_is_told() {
    let (networks, users, zones) = besieged(30);
    assert!(!networks.is_full() && !users.is_full() && !zones.is_full());
    let (networks, mut users, zones) = besieged(210_000);
    assert!(networks.is_full() && users.is_full() && zones.is_full());
    assert_eq!((networks.len(), users.len(), zones.len()), (200_000, 50_000, 32));
    // Who was counted before is counted still, in whatever letters.
    let before = users.failures_of(b"user7");
    let again = Event {
        kind: Kind::AuthFailed,
        at: Timestamp::from_seconds(1_700_000_001),
        address: None,
        weight: 1,
        fields: vec![("user", Text::from("USER7"))],
        line: b"",
    };
    users.event(&again);
    assert_eq!(users.failures_of(b"user7"), before + 1);
    let full = Findings { full: vec!["networks"], ..Findings::default() };
    assert!(text(&full).contains("networks") && html(&full).contains("The table of networks was full"));
}

#[test]
fn a_report_of_nothing_is_whole_in_every_format() {
    let nothing = Findings::default();
    assert!(html(&nothing).contains("<h1>0 messages taken, 0 refused</h1>"));
    assert!(text(&nothing).starts_with("0 lines"));
    check(&nothing, "/hours", &json!([]));
    check(&nothing, "/queue/queued/p50", &Value::Null);
}
