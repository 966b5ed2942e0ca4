use logline::Record;

use super::*;
use crate::filter::Filters;

/// The kinds and clients of the events of a log, and what became of each line.
fn read(log: &[String]) -> (Vec<(String, String)>, Vec<Meaning>) {
    let filters = Filters::shipped().unwrap();
    let mut interpreter = Interpreter::new(filters.iter().cloned(), TimeZone::UTC);
    let mut events = Vec::new();
    let mut sink = |event: &Event<'_>, _: &Rule| {
        events.push((event.kind.to_string(), event.address.map(|a| a.to_string()).unwrap_or_default()));
    };
    let arrival = Timestamp::from_seconds(0);
    let meanings =
        log.iter().map(|line| interpreter.read(line.as_bytes(), arrival, &mut sink).meaning).collect();
    (events, meanings)
}

#[track_caller]
fn check(log: &[&str], meanings: &[Meaning], guessers: &[(&str, usize)]) {
    let log: Vec<String> = log.iter().map(|line| (*line).to_owned()).collect();
    let (events, found) = read(&log);
    assert_eq!(found, meanings);
    let guesses = events.iter().filter(|(kind, _)| kind == "auth-failed");
    for (address, count) in guessers {
        assert_eq!(guesses.clone().filter(|(_, client)| client == address).count(), *count, "{address}");
    }
    assert_eq!(guesses.count(), guessers.iter().map(|(_, count)| count).sum::<usize>());
}

const GUESS: &str =
    "Aug 12 11:52:52 mail vpopmail[4171]: vchkpw-pop3: vpopmail user not found info@:192.0.2.7";

#[test]
fn json_lines_mean_what_the_same_lines_mean_in_words() {
    let words = [
        "tcpserver: pid 9012 from 203.0.113.66",
        "qmail-smtpd[9012]: auth: auth-failed type=login user=<info@example.org> fingerprint=0c4f",
        "tcpserver: end 9012 status 256",
    ];
    let json = words.map(|line| {
        let record = Record::parse(line.as_bytes()).unwrap();
        serde_json::json!({ "time": "2026-11-21T03:00:00.5Z", "record": record }).to_string()
    });
    assert_eq!(read(&json), read(&words.map(str::to_owned)));
    assert_eq!(read(&json).0.len(), 3);
}

#[test]
fn a_repeated_message_counts_as_often_as_it_was_said() {
    let repeated = "Aug 12 11:52:58 mail vpopmail[4171]: last message repeated 3 times";
    check(&[GUESS, repeated], &[Meaning::Events(1), Meaning::Events(3)], &[("192.0.2.7", 4)]);
    let by_syslogd = "Aug 12 11:52:58 mail last message repeated 2 times";
    check(
        &[GUESS, by_syslogd, by_syslogd],
        &[Meaning::Events(1), Meaning::Events(2), Meaning::Events(2)],
        &[("192.0.2.7", 5)],
    );
    let quoted = "Aug 12 11:52:58 mail vpopmail[4171]: message repeated 4 times: [ vchkpw-pop3: vpopmail user not \
                  found info@:192.0.2.7]";
    check(&[GUESS, quoted], &[Meaning::Events(1), Meaning::Events(4)], &[("192.0.2.7", 5)]);
}

#[test]
fn a_repetition_counts_for_a_thousand_at_most() {
    let repeated = "Aug 12 11:52:58 mail vpopmail[4171]: last message repeated 4000000000000 times";
    check(&[GUESS, repeated], &[Meaning::Events(1), Meaning::Events(1000)], &[("192.0.2.7", 1001)]);
}

#[test]
fn a_repetition_of_another_programs_line_or_of_none_is_ambiguous() {
    let other = "Aug 12 11:52:58 mail vpopmail[4172]: last message repeated 3 times";
    check(&[GUESS, other], &[Meaning::Events(1), Meaning::Ambiguous], &[("192.0.2.7", 1)]);
    check(&[other], &[Meaning::Ambiguous], &[]);
    let between = "@4000000062b22ef4269d79a4 tcpserver: status: 0/40";
    let repeated = "Aug 12 11:52:58 mail last message repeated 3 times";
    check(
        &[GUESS, between, repeated],
        &[Meaning::Events(1), Meaning::Nothing, Meaning::Ambiguous],
        &[("192.0.2.7", 1)],
    );
}

/// What splogger makes of a line of qmail-smtpd whose user is so long.
fn splogged(user_bytes: usize) -> Vec<String> {
    let line = format!("qmail-smtpd[9012]: auth: auth-failed type=login user=<{}>", "u".repeat(user_bytes));
    let chunks: Vec<&[u8]> = line.as_bytes().chunks(799).collect();
    let part = |(at, text): (usize, &&[u8])| {
        let text = String::from_utf8_lossy(text);
        let mark = if at == 0 { ' ' } else { '+' };
        format!("Nov  5 12:00:47 mx smtpd: 1415185247.952694{mark}{text}")
    };
    let connect = "Nov  5 12:00:46 mx smtpd: 1415185246.952694 tcpserver: pid 9012 from 192.0.2.7";
    std::iter::once(connect.to_owned()).chain(chunks.iter().enumerate().map(part)).collect()
}

#[test]
fn what_splogger_cut_is_put_together_again() {
    let log = splogged(2000);
    let log: Vec<&str> = log.iter().map(String::as_str).collect();
    let part = Meaning::Part;
    check(&log, &[Meaning::Events(1), part, part, Meaning::Events(1)], &[("192.0.2.7", 1)]);
}

#[test]
fn a_part_without_the_others_is_never_acted_on() {
    let log = splogged(1000);
    let [connect, beginning, end] = log.as_slice() else { panic!("three lines") };
    check(&[connect, beginning], &[Meaning::Events(1), Meaning::Part], &[]);
    check(&[connect, end], &[Meaning::Events(1), Meaning::Ambiguous], &[]);
    let chosen =
        "Nov  5 12:00:47 mx smtpd: 1415185247.952694+vchkpw-pop3: password fail x@example.org:198.51.100.9";
    check(&[chosen], &[Meaning::Ambiguous], &[]);
}

#[test]
fn a_second_envelope_in_a_line_without_a_session_is_ambiguous() {
    for inner in [
        "@4000000062b22ef4269d79a4 tcpserver: pid 5 from 198.51.100.9",
        "Aug 12 11:52:52 mail vpopmail[4171]: vchkpw-pop3: password fail x:198.51.100.9",
        "2025-01-10T18:56:48.748493+01:00 mail smtpd: tcpserver: pid 5 from 198.51.100.9",
    ] {
        let glued = format!("Aug 12 11:52:52 mail vpopmail[4171]: vchkpw-pop3: password fail bob{inner}");
        check(&[&glued], &[Meaning::Ambiguous], &[]);
        let alone = format!("vchkpw-pop3: password fail bob{inner}");
        check(&[&alone], &[Meaning::Unknown], &[]);
    }
    let harmless =
        "Aug 12 11:52:52 mail sshd[1]: user x@4000000062b22ef4269d79a4 at 12:00:00 said 10:10:10 hello";
    check(&[harmless], &[Meaning::Unknown], &[]);
}

#[test]
fn a_line_of_a_session_is_its_clients_whatever_he_wrote_into_it() {
    let stamp = "@4000000062b22ef4269d79a4";
    let connect = format!("{stamp} tcpserver: pid 9012 from 192.0.2.7");
    let forged = format!(
        "{stamp} qmail-smtpd[9012]: auth: auth-failed type=login user=<{stamp} tcpserver: pid 9012 from 198.51.100.9>"
    );
    let log = [connect.clone(), forged, connect];
    let (events, _) = read(&log);
    assert!(events.iter().all(|(_, client)| client == "192.0.2.7"), "{events:?}");
}

#[test]
fn a_stamp_from_the_future_is_replaced_when_the_line_is_live() {
    let filters = Filters::shipped().unwrap();
    let mut interpreter = Interpreter::new(filters.iter().cloned(), TimeZone::UTC);
    let line = b"2026-01-01 00:01:05.000 tcpserver: pid 5 from 192.0.2.7";
    let [early, due] = [1_767_225_604, 1_767_225_605].map(Timestamp::from_seconds);
    let reading = interpreter.read_live(line, early, &mut |event, _| assert_eq!(event.at, early));
    assert_eq!((reading.at, reading.replaced), (early, true));
    for reading in [
        interpreter.read_live(line, due, &mut |_, _| {}),
        interpreter.read(line, Timestamp::from_seconds(0), &mut |_, _| {}),
    ] {
        assert_eq!((reading.at, reading.replaced), (due + AHEAD_MAX, false));
    }
}
