//! No shipped filter takes the word of a client for another one's address: a corpus of forgeries, forgeries made of each
//! filter's own samples, and hostile text in every field of every dialect.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::tz::TimeZone;
use logline::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;

use crate::event::Kind;
use crate::filter::{Expected, Filter, Filters, Sample};
use crate::interpret::Interpreter;

const CORPUS: &str = include_str!("../../../tests/fixtures/forgeries.txt");
const VICTIMS: [&str; 2] = ["203.0.113.66", "2001:db8:bad::66"];

fn is_victim(address: IpAddr) -> bool {
    VICTIMS.iter().any(|victim| victim.parse() == Ok(address))
}

/// Reads lines and gives the kinds of events about a victim, but that he is connected.
fn accused(filters: &[Arc<Filter>], before: &[Vec<u8>], lines: &[Vec<u8>]) -> Vec<Kind> {
    let mut interpreter = Interpreter::new(filters.iter().cloned(), TimeZone::UTC);
    let now = Timestamp::from_seconds(1_415_185_247);
    for line in before {
        interpreter.read(line, now, &mut |_, _| {});
    }
    let mut found = Vec::new();
    for line in lines {
        interpreter.read(line, now, &mut |event, _| {
            found.extend(event.address.filter(|a| is_victim(*a)).map(|_| event.kind))
        });
    }
    found
}

/// All shipped filters together, and each alone.
fn casts() -> Vec<Vec<Arc<Filter>>> {
    let all: Vec<Arc<Filter>> = Filters::shipped().unwrap().iter().cloned().collect();
    let alone: Vec<Vec<Arc<Filter>>> = all.iter().map(|filter| vec![Arc::clone(filter)]).collect();
    std::iter::once(all).chain(alone).collect()
}

#[derive(Default)]
struct Scene<'c> {
    program: Option<&'c str>,
    before: Vec<Vec<u8>>,
    forgeries: Vec<Vec<u8>>,
}

fn scenes() -> Vec<Scene<'static>> {
    let scene = |block: &'static str| {
        let mut scene = Scene::default();
        for line in block.lines() {
            match line.split_at_checked(2) {
                Some(("@ ", program)) => scene.program = Some(program),
                Some(("+ ", line)) => scene.before.push(unescape(line)),
                Some(("! ", line)) => scene.forgeries.push(unescape(line)),
                _ => assert!(line.starts_with('#'), "{line}"),
            }
        }
        scene
    };
    CORPUS.split("\n\n").map(scene).filter(|scene| !scene.forgeries.is_empty()).collect()
}

fn unescape(text: &str) -> Vec<u8> {
    let text = text.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r").replace("\\x1b", "\x1b");
    text.replace("\\x20", " ").into_bytes()
}

/// A line in the envelopes that it can come in; a line feed in it begins the next one. Where a log has no stamps, who can
/// write a line can write its envelope, too: there a line feed is not tried.
fn enveloped(line: &[u8], program: Option<&str>) -> Vec<Vec<Vec<u8>>> {
    let prefixes = match program {
        Some(program) => vec![
            format!("Nov  5 12:00:47 mx {program}: "),
            format!("2014-11-05T12:00:47.952694+01:00 mx {program}: "),
        ],
        None => [
            "",
            "@40000000545a02ca38c8e6f4 ",
            "2014-11-05 12:00:47.952694500 ",
            "Nov  5 12:00:47 mx smtpd: 1415185247.952694 ",
        ]
        .map(str::to_owned)
        .to_vec(),
    };
    let has_room = |prefix: &String| !(prefix.is_empty() && line.contains(&b'\n'));
    let lines = |prefix: String| {
        line.split(|byte| *byte == b'\n').map(|part| [prefix.as_bytes(), part].concat()).collect()
    };
    prefixes.into_iter().filter(has_room).map(lines).collect()
}

#[test]
fn no_forgery_of_the_corpus_accuses_another() {
    let casts = casts();
    let mut read = 0;
    for scene in scenes() {
        for forgery in &scene.forgeries {
            let ways = enveloped(forgery, scene.program);
            let skipped = enveloped(b"", scene.program).len() - ways.len();
            for (envelope, lines) in (skipped..).zip(ways) {
                let before =
                    scene.before.iter().flat_map(|line| enveloped(line, scene.program).swap_remove(envelope));
                let before: Vec<Vec<u8>> = before.collect();
                for filters in &casts {
                    let found = accused(filters, &before, &lines);
                    assert!(
                        found.is_empty(),
                        "{found:?} of {:?} in {}",
                        filters[0].name,
                        lines[0].escape_ascii()
                    );
                    read += 1;
                }
            }
        }
    }
    assert!(read > 3000, "{read} readings");
}

/// Each value that a sample names and that stands once in its line, before and after the address: what a client may have
/// chosen.
fn chosen(sample: &Sample) -> Vec<(usize, usize)> {
    let Expected::Event(values) = &sample.expected else { return Vec::new() };
    let given =
        values.iter().filter(|(name, value)| !matches!(name.as_str(), "kind" | "address") && value.len() > 1);
    given
        .filter_map(|(_, value)| {
            let mut found = sample.line.match_indices(value.as_str());
            let (at, _) = found.next()?;
            found.next().is_none().then_some((at, at + value.len()))
        })
        .collect()
}

/// The client goes on where a value of his ends, as the program would, with another's address; then the program does.
fn goes_on(line: &str, end: usize, address: &str, victim: &str) -> Vec<String> {
    let (own, rest) = line.split_at(end);
    let forged = rest.replace(address, victim);
    let up_to_address = forged.find(victim).map(|at| &forged[..at + victim.len()]).unwrap_or_default();
    let whole = line.replace(address, victim);
    vec![
        format!("{own}{forged}{rest}"),
        format!("{own}{up_to_address}{rest}"),
        format!("{own} {whole}{rest}"),
        format!("{own}{victim}{rest}"),
        format!("{own} {victim} {rest}"),
        format!("{own}:{victim}{rest}"),
        format!("{own}[{victim}]{rest}"),
    ]
}

#[test]
fn no_value_of_a_sample_that_goes_on_as_its_line_does_accuses_another() {
    let (all, mut read) = (casts().swap_remove(0), 0);
    for filter in &all {
        for sample in &filter.samples {
            let Expected::Event(values) = &sample.expected else { continue };
            let address = values.iter().find(|(name, _)| name == "address").map(|(_, value)| value.as_str());
            let Some(address) =
                address.filter(|address| !VICTIMS.contains(address) && sample.line.contains(address))
            else {
                continue;
            };
            // The victim is connected, too: then nothing but the line itself says whose it is.
            let connected =
                VICTIMS.iter().zip(7..).map(|(victim, pid)| format!("tcpserver: pid {pid} from {victim}"));
            let before =
                connected.chain(sample.before.iter().cloned()).map(String::into_bytes).collect::<Vec<_>>();
            for (_, end) in chosen(sample) {
                for line in VICTIMS.iter().flat_map(|victim| goes_on(&sample.line, end, address, victim)) {
                    for filters in [&all[..], std::slice::from_ref(filter)] {
                        let found = accused(filters, &before, &[line.clone().into_bytes()]);
                        assert!(
                            found.is_empty(),
                            "{found:?} of {} (line {}) in {line}",
                            filter.name,
                            sample.place.line
                        );
                        read += 1;
                    }
                }
            }
        }
    }
    assert!(read > 500, "{read} readings");
}

/// Every dialect's lines; `\u{1}` stands for what a client chose, raw. The client is 198.51.100.7, in session 8155.
const DIALECTS: &[&str] = &[
    "qmail-smtpd[8155]: auth: auth-failed type=login user=<\u{1}>",
    "rblsmtpd: 198.51.100.7 pid 8155: \u{1}",
    "rblsmtpd: 198.51.100.7 pid 8155 zen.example.net: 451 \u{1}",
    "CHKUSER rejected rcpt: from <\u{1}|remoteinfo/auth:\u{1}|chkuser-identify:> remote <helo:\u{1}|remotehostname:unknown|remotehostip:198.51.100.7> rcpt <\u{1}> : not existing recipient",
    "CHKUSER rejected rcpt: from <\u{1}:\u{1}:> remote <\u{1}:unknown:198.51.100.7> rcpt <\u{1}> : not existing recipient",
    "qmail-smtpd: reject (auth not available): \u{1} from 198.51.100.7 to \u{1} helo \u{1}",
    "qmail-smtpd: message rejected (\u{1}): \u{1} from 198.51.100.7 to \u{1} helo \u{1}",
    "qmail-smtpd[8155]: badhelo: <\u{1}> at 198.51.100.7",
    "qmail-smtpd[8155]: badmailfrom: <\u{1}> matches pattern: .*",
    "qmail-smtpd[8155]: badrcptto: <\u{1}> at 198.51.100.7 matches pattern: .*",
    "qmail-smtpd: badrcptto: \u{1} at 198.51.100.7",
    "qmail-smtpd[8155]: validrcptto: drop address <\u{1}> at 198.51.100.7",
    "qmail-smtpd[8155]: rcptcheck: overlimit sender <\u{1}> at 198.51.100.7",
    "qmail-smtpd[8155]: AUTH failed (bad password) [198.51.100.7] \u{1}",
    "qmail-smtpd[8155]: validrcptto [198.51.100.7] not found: \u{1}",
    "qmail-smtpd[8155]: MFCHECK fail [198.51.100.7] \u{1}",
    "qmail-smtpd[8155]: MAIL FROM:<\u{1}>",
    "qmail-smtpd[8155]: rbl: ip=198.51.100.7 query=7.100.51.198.zen.example.net result=delay message='\u{1}'",
    "qlogenvelope: result=rejected code=535 reason=authfailed detail=\u{1} helo=\u{1} mailfrom=\u{1} rcptto=\u{1} relay=no rcpthosts= size= authuser=\u{1} authtype=login encrypted=tls sslverified=no localip=192.0.2.25 localport=587 remoteip=198.51.100.7 remoteport=50122 remotehost=unknown qp= pid=8155",
    "qmail-smtpd: pid 8155 Reject::SNDR::Invalid_Relay P:ESMTP S:198.51.100.7:unknown H:\u{1} F:\u{1} T:\u{1}",
    "qmail-smtpd: pid 8155 Reject::AUTH::login P:ESMTPSA S:198.51.100.7:unknown H:\u{1} ?~ '\u{1}'",
    "relaying denied: pid 8155 from <\u{1}> to <\u{1}>",
    "mail recv: pid 8155 from <\u{1}> qp 8157",
    "policy_check: remote \u{1} -> local \u{1} (UNAUTHENTICATED SENDER)",
    "helo-dns-check: malformed HELO/EHLO [\u{1}] from [198.51.100.7]",
    "helo-dns-check: HELO [\u{1}] doesn't match IP [198.51.100.7]",
    "greylist: >>> \u{1}",
    "user invalid \u{1}",
    "8155 < \u{1} ",
    "8155 > 250 \u{1} ",
    "client:[8155]:\u{1}",
    "simscan:[8155]:SPAM REJECT (15.20/5.00):0.1s:\u{1}:198.51.100.7:\u{1}:\u{1}",
    "spamdyke[8155]: DENIED_RBL_MATCH from: \u{1} to: \u{1} origin_ip: 198.51.100.7 origin_rdns: (unknown) auth: \u{1} encryption: (none) reason: \u{1}",
    "spamdyke[8155]: ERROR: authentication failure (bad username/password, vchkpw uses this to indicate SMTP access is not allowed): \u{1}",
    "8155 logging::logterse plugin (deny): ` 198.51.100.7\thost\t\u{1}\t<\u{1}>\t<\u{1}>\tdnsbl\t901\t\u{1}",
    "info msg 7: bytes 1 from <\u{1}> qp 1 uid 2",
    "starting delivery 11: msg 7 to local \u{1}",
    "delivery 11: failure: \u{1}",
    "Nov  5 12:00:47 mx vpopmail[4171]: vchkpw-smtp: invalid user/domain characters \u{1}:198.51.100.7",
    "Nov  5 12:00:47 mx vpopmail[4171]: vchkpw-smtp: null password given \u{1}:2001_db8__7",
    "Nov  5 12:00:47 mx vpopmail[4171]: vchkpw-smtp: password fail (pass: '\u{1}') bob@example.org:198.51.100.7",
    "Nov  5 12:00:47 mx spamdyke[8155]: DENIED_RBL_MATCH from: \u{1} to: \u{1} origin_ip: 198.51.100.7 origin_rdns: (unknown) auth: \u{1} encryption: (none)",
    "Nov  5 12:00:47 mx qmail-smtpd[8155]: auth: auth-failed type=login user=<\u{1}>",
];

/// The words of all dialects, with a victim in the address's place.
const WORDS: &[&str] = &[
    "203.0.113.66",
    ":203.0.113.66:",
    "[203.0.113.66]",
    "2001:db8:bad::66",
    "2001_db8_bad__66",
    "|remotehostip:203.0.113.66> rcpt <",
    "|remotehostname:y",
    "> remote <helo:x|remotehostname:y|remotehostip:203.0.113.66> rcpt <z> : not existing recipient",
    "> remote <x:y:203.0.113.66> rcpt <",
    "> : not existing recipient",
    " pid=7",
    " from 203.0.113.66",
    " to b",
    " helo c",
    "> at 203.0.113.66",
    " matches pattern: x",
    " at 203.0.113.66",
    " remoteip=203.0.113.66",
    " rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.66 remoteport=1 remotehost=u qp= pid=7",
    " P:ESMTP S:203.0.113.66:unknown H:x",
    " ?~ 'x'",
    " origin_ip: 203.0.113.66 origin_rdns: x auth: y encryption: (none)",
    " to: ",
    ":203.0.113.66:a@b:c",
    "qmail-smtpd[7]: AUTH failed [203.0.113.66] x",
    "tcpserver: pid 8155 from 203.0.113.66",
    "rblsmtpd: 203.0.113.66 pid 7: 451 x",
    "vchkpw-smtp: password fail v@d:203.0.113.66",
    "') v@d:203.0.113.66",
    "@40000000545a02ca38c8e6f4 qmail-smtpd[7]: AUTH failed [203.0.113.66] x",
    "Nov  5 12:00:47 mx vpopmail[4171]: vchkpw-smtp: password fail v@d:203.0.113.66",
    "\\x0a",
    "\r",
    "\x1b[2K",
    "\u{e9}",
    ">",
    "'",
    " ",
];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => select(WORDS).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>().prop_filter("a line feed ends the line", |b| *b != b'\n'), 0..6),
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// The victim is connected in a session of his own, so that only the line itself says whose it is.
    #[test]
    fn no_text_in_any_field_of_any_dialect_accuses_another(
        dialect in select(DIALECTS),
        texts in prop::collection::vec(text(), 6),
    ) {
        thread_local!(static SHIPPED: Vec<Arc<Filter>> = casts().swap_remove(0));
        let mut texts = texts.iter();
        let mut line = Vec::new();
        for byte in dialect.bytes() {
            match byte {
                1 => line.extend_from_slice(texts.next().map_or(b"", |text| &text[..])),
                byte => line.push(byte),
            }
        }
        let before = ["tcpserver: pid 8155 from 198.51.100.7", "tcpserver: pid 7 from 203.0.113.66", "tcpserver: pid 8 from 2001:db8:bad::66"];
        let before = before.map(|line| line.as_bytes().to_vec());
        let found = SHIPPED.with(|filters| accused(filters, &before, std::slice::from_ref(&line)));
        prop_assert!(found.is_empty(), "{:?} in {}", found, line.escape_ascii());
    }
}
