//! Every limit of the settings: what it is set to, what a client does that is too much, and what follows: the reply, and
//! the line of the journal.

use std::collections::BTreeSet;

use smtpd::config::Config;
use smtpd::session::{Policy, Service};

use crate::world::{World, converse};

/// Limits that no session sees, and that are held to the same in `server/limits.rs` or `server/slow.rs`.
const OUTSIDE: [&str; 5] = [
    "connections_max",
    "connections_per_address_max",
    "connections_per_network_max",
    "handshake_timeout",
    "queue_messages_max",
];

/// A limit, as it stands in the settings; what the client does; and what must follow, in this order.
struct Limit {
    setting: &'static str,
    script: String,
    follows: Vec<&'static str>,
}

fn limit(setting: &'static str, script: &str, follows: &[&'static str]) -> Limit {
    Limit { setting, script: script.to_owned(), follows: follows.to_vec() }
}

const MAIL: &str = "C: HELO x\nC: MAIL FROM:<a@example.net>\nC: RCPT TO:<alice@example.org>\n";

fn policy(limits: &str) -> Policy {
    let settings = format!(
        "hostname = \"mx.example.org\"\ndomains = [\"example.org\"]\ncontrol = \"off\"\n[limits]\n{limits}\n"
    );
    Config::parse("smtpd.toml", &settings).unwrap().policy
}

fn transcript(policy: Policy, script: &str) -> String {
    converse(World::under(policy, Service::Smtp, "203.0.113.7:40000"), script)
}

/// Whether all stands in the transcript, each behind the one before.
fn follow(transcript: &str, follows: &[&str]) -> Result<(), String> {
    let mut rest = transcript;
    for wanted in follows {
        let Some((_, behind)) = rest.split_once(wanted) else {
            return Err(format!("{wanted} is missing in {transcript}"));
        };
        rest = behind;
    }
    Ok(())
}

fn walk() -> Vec<Limit> {
    let long = |bytes: usize| "x".repeat(bytes);
    let message = |text: &str| format!("{MAIL}C: DATA\nC: {text}\nC: .\n");
    let hops = message("Received: a\\r\\nReceived: b\\r\\n\\r\\n");
    let wide = format!("C: HELO x\nC: MAIL FROM:<a@{}.example.net>\n", long(60));
    let tall = format!("C: HELO x\nC: MAIL FROM:<{}@example.net>\n", long(60));
    let both = format!("C: HELO x\nC: MAIL FROM:<{}@{}.example.net>\n", long(30), long(30));
    let strangers = "C: RCPT TO:<nobody@example.org>\nC: RCPT TO:<noone@example.org>\n";
    vec![
        limit(
            "message_bytes_max = 50",
            &message(&long(60)),
            &[
                " code=552 reason=databytes_limit_exceeded detail= ",
                "S: 552 sorry, that message size exceeds",
            ],
        ),
        limit(
            "message_bytes_max = 51",
            "C: HELO x\nC: MAIL FROM:<a@example.net> SIZE=60",
            &[
                " code=552 reason=databytes_limit_exceeded detail= ",
                "S: 552 sorry, that message size exceeds",
            ],
        ),
        limit(
            "line_bytes_max = 50",
            &message(&long(60)),
            &[
                " code=554 reason=databytes_limit_exceeded detail=line ",
                "S: 554 sorry, a line of that message",
            ],
        ),
        limit(
            "hops_max = 2",
            &hops,
            &[" code=554 reason=message_loop detail= ", "S: 554 too many hops, this message is looping"],
        ),
        limit(
            "recipients_max = 1",
            &format!("{MAIL}C: RCPT TO:<bob@example.org>"),
            &[
                " : max number of recipients pid=7",
                " code=452 reason=max_rcpt_exceeded detail= ",
                "S: 452 too many recipients (#4.5.3)",
            ],
        ),
        limit(
            "command_bytes_max = 50",
            &format!("C: HELO {}", long(60)),
            &[" code=500 reason=syntax detail=linetoolong ", "S: 500 line too long (#5.5.2)"],
        ),
        limit(
            "address_bytes_max = 50",
            &both,
            &[" code=501 reason=syntax detail=pathtoolong ", "S: 501 sorry, that address is too long"],
        ),
        limit(
            "local_part_bytes_max = 50",
            &tall,
            &[" code=501 reason=syntax detail=pathtoolong ", "S: 501 sorry, that address is too long"],
        ),
        limit(
            "domain_bytes_max = 50",
            &wide,
            &[" code=501 reason=syntax detail=pathtoolong ", "S: 501 sorry, that address is too long"],
        ),
        limit(
            "errors_max = 2",
            "C: x\nC: y",
            &[" code=421 reason=toomanyerrors detail= ", "S: 421 too many errors (#4.7.0)\n*: close 256"],
        ),
        limit("errors_undelayed = 1", "C: x\nC: y", &["S: 500 ", "*: pause 1s\nS: 500 "]),
        limit("error_pause = \"7s\"", &"C: x\n".repeat(4), &["*: pause 7s\nS: 500 "]),
        limit(
            "idle_commands_max = 1",
            "C: NOOP\nC: NOOP",
            &[
                " code=421 reason=toomanyerrors detail=commands ",
                "S: 421 too many commands without a message",
            ],
        ),
        limit(
            "unrecognized_max = 2",
            "C: x\nC: y",
            &[" code=421 reason=toomanyerrors detail=unrecognized ", "S: 421 too many unrecognized commands"],
        ),
        limit(
            "idle_commands_max = 2",
            &"C: MAIL FROM:<>\n".repeat(4),
            &[
                "S: 250 ok\n",
                " code=421 reason=toomanyerrors detail=commands ",
                "S: 421 too many commands without",
            ],
        ),
        limit(
            "deferred_recipients_max = 2\nrecipients_max = 1",
            &format!("{MAIL}{}", "C: RCPT TO:<bob@example.org>\n".repeat(2)),
            &[
                "S: 452 too many recipients (#4.5.3)",
                "S: 452 too many recipients (#4.5.3)",
                " code=421 reason=max_rcpt_exceeded detail=deferred ",
                "S: 421 too many recipients, goodbye (#4.5.3)\n*: close 256",
            ],
        ),
        limit(
            "forbidden_commands = [\"debug\"]",
            "C: DEBUG on",
            &[
                " code=554 reason=unrecognized detail=protocol ",
                "S: 554 this is a mail server",
                "*: close 256",
            ],
        ),
        limit(
            "letters_first = true",
            "C: {\"method\": \"eth_getWork\"}",
            &[
                " code=554 reason=unrecognized detail=protocol ",
                "S: 554 this is a mail server",
                "*: close 256",
            ],
        ),
        limit(
            "command_timeout = \"7s\"",
            "C: HELO x\nC: MAI\\c\nwait",
            &["L: qmail-smtpd: timeout", " code=451 reason=alarmtimeout detail= ", "S: 451 timeout (#4.4.2)"],
        ),
        limit(
            "data_timeout = \"7s\"",
            &format!("{MAIL}C: DATA\nwait"),
            &["L: qmail-smtpd: timeout", " code=451 reason=alarmtimeout detail= ", "S: 451 timeout (#4.4.2)"],
        ),
        limit(
            "data_timeout = \"8s\"\ndata_bytes_per_second_min = 1000",
            &format!("{MAIL}C: DATA\nC: x\nafter 4\nC: x\nwait"),
            &["L: qmail-smtpd: timeout", " code=451 reason=alarmtimeout detail=rate ", "S: 451 timeout"],
        ),
        limit("bare_newline = \"end-line\"", &message("a\\nb"), &["354", "M: a\nM: b\n", "S: 250 ok"]),
        limit(
            "bad_recipients_max = 1",
            &format!("{MAIL}{strangers}"),
            &[
                " code=421 reason=brtlimit detail= ",
                "S: 421 too many invalid addresses, goodbye",
                "*: close 256",
            ],
        ),
        limit(
            "session_recipients_max = 1",
            &format!("{MAIL}C: RCPT TO:<bob@example.org>"),
            &[
                " code=550 reason=chkuser detail=maxrcpt ",
                "S: 550 sorry, reached maximum number of recipients",
            ],
        ),
        limit(
            "session_bad_recipients_max = 1",
            &format!("{MAIL}{strangers}C: RCPT TO:<bob@example.org>"),
            &[
                " code=550 reason=chkuser detail=maxwrongrcpt ",
                "S: 550 sorry, you are violating our security",
            ],
        ),
        limit(
            "one_bad_recipient_spoils = true",
            &format!("{MAIL}{strangers}C: DATA"),
            &[" code=553 reason=qregexbmt detail=spoilt ", "S: 553 sorry, badrcptto seen"],
        ),
    ]
}

#[test]
fn every_limit_can_be_set_and_has_its_reply_and_its_line() {
    let mut mistakes = Vec::new();
    for Limit { setting, script, follows } in walk() {
        let with = transcript(policy(setting), &script);
        mistakes.extend(follow(&with, &follows).err().map(|missing| format!("{setting}: {missing}")));
        // What the default allows is not refused without the setting; a wait is only longer.
        let without = transcript(policy(""), &script);
        if !script.contains("wait") && follow(&without, &follows).is_ok() {
            mistakes.push(format!("{setting} changes nothing: {without}"));
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn a_wait_is_as_long_as_its_setting_says() {
    let ends = |policy: Policy, script: &str| {
        let mut world = World::under(policy, Service::Smtp, "203.0.113.7:40000");
        let start = world.now;
        for line in script.lines().filter_map(|line| line.strip_prefix("C: ")) {
            world.send(line);
        }
        world.session.deadline().unwrap().since(start).as_secs()
    };
    let data = format!("{MAIL}C: DATA");
    assert_eq!(ends(policy("command_timeout = \"7s\""), ""), 7);
    assert_eq!(ends(policy("data_timeout = \"7s\""), &data), 7);
    let crowded = |limits: &str| policy(limits).hurried();
    for (limits, expected) in [("", 10), ("crowded_timeout = \"3s\"", 3), ("crowded_timeout = \"0s\"", 300)] {
        assert_eq!(
            (ends(crowded(limits), ""), ends(crowded(limits), &data)),
            (expected, expected),
            "{limits}"
        );
    }
}

/// The page of the settings names each limit, and each that it names is walked here.
#[test]
fn no_limit_of_the_documentation_is_left_out() {
    let page = include_str!("../../../docs/smtpd.md");
    let documented: BTreeSet<&str> = page
        .lines()
        .filter(|line| line.starts_with('|'))
        .filter_map(|line| line.split('|').find(|cell| cell.contains("`[limits] ")))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(|key| key.strip_prefix("[limits] ").unwrap_or(key))
        .collect();
    let limits = walk();
    let walked = limits.iter().flat_map(|limit| limit.setting.lines());
    let walked = walked.filter_map(|line| line.split(" = ").next()).chain(OUTSIDE).chain(["crowded_timeout"]);
    assert_eq!(documented, walked.collect::<BTreeSet<_>>());
}

/// RFC 9422: what is offered is what holds, and a number that its grammar has no digits for is left out.
#[test]
fn limits_are_offered_as_they_are_set() {
    for (limits, offered) in [
        ("", "S: 250-LIMITS RCPTMAX=100\n"),
        ("recipients_max = 7", "S: 250-LIMITS RCPTMAX=7\n"),
        ("recipients_max = 7\nsession_recipients_max = 5", "S: 250-LIMITS RCPTMAX=5\n"),
        ("recipients_max = 999999", "S: 250-LIMITS RCPTMAX=999999\n"),
    ] {
        let said = transcript(policy(limits), "C: EHLO x");
        assert!(said.contains(offered), "{limits}: {said}");
    }
    let said = transcript(policy("recipients_max = 1000000"), "C: EHLO x");
    assert!(!said.contains("LIMITS"), "{said}");
}
