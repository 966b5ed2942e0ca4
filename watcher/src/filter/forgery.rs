//! No shipped filter takes the word of a client for another one's address: a corpus of forgeries, forgeries made of each
//! filter's own samples, and hostile text in every field of every dialect.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::tz::TimeZone;
use logline::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;

use crate::event::Kind;
use crate::filter::anchor::PROGRAM_FIELDS;
use crate::filter::{Expected, Filter, Filters, Sample};
use crate::interpret::Interpreter;

const CORPUS: &str = include_str!("../../../tests/fixtures/forgeries.txt");
const VICTIMS: [&str; 2] = ["203.0.113.66", "2001:db8:bad::66"];

fn is_victim(address: IpAddr) -> bool {
    VICTIMS.iter().any(|victim| victim.parse() == Ok(address))
}

/// Reads lines and gives the kinds of events about a victim, but that he is connected.
fn accused(interpreter: &mut Interpreter, before: &[Vec<u8>], lines: &[Vec<u8>]) -> Vec<Kind> {
    interpreter.forget();
    let now = Timestamp::from_seconds(1_415_185_247);
    for line in before {
        interpreter.read(line, now, &mut |_, _| {});
    }
    let mut found = Vec::new();
    for line in lines {
        interpreter.read(line, now, &mut |event, _| {
            if event.address.is_some_and(is_victim) {
                found.push(event.kind);
            }
        });
    }
    found
}

fn shipped() -> Vec<Arc<Filter>> {
    Filters::shipped().unwrap().iter().cloned().collect()
}

fn reading(filters: &[Arc<Filter>]) -> Interpreter {
    Interpreter::new(filters.iter().cloned(), TimeZone::UTC)
}

/// All shipped filters together, and each alone, with its name.
fn casts() -> Vec<(String, Interpreter)> {
    let all = shipped();
    let alone = all.iter().map(|filter| (filter.name.clone(), reading(std::slice::from_ref(filter))));
    std::iter::once(("all".to_owned(), reading(&all))).chain(alone).collect()
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
    let mut casts = casts();
    let mut read = 0;
    for scene in scenes() {
        for forgery in &scene.forgeries {
            let ways = enveloped(forgery, scene.program);
            let skipped = enveloped(b"", scene.program).len() - ways.len();
            for (envelope, lines) in (skipped..).zip(ways) {
                let before =
                    scene.before.iter().flat_map(|line| enveloped(line, scene.program).swap_remove(envelope));
                let before: Vec<Vec<u8>> = before.collect();
                for (name, interpreter) in &mut casts {
                    let found = accused(interpreter, &before, &lines);
                    assert!(found.is_empty(), "{found:?} of {name} in {}", lines[0].escape_ascii());
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
    // A name from the DNS can hold no space and no bracket: getnameinfo(3) and every server look at that (RFC 952).
    let is_clients = |name: &str| !matches!(name, "kind" | "rdns") && !PROGRAM_FIELDS.contains(&name);
    let given = values.iter().filter(|(name, value)| is_clients(name) && value.len() > 1);
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
    let (filters, mut read) = (shipped(), 0);
    let mut all = reading(&filters);
    for filter in &filters {
        let mut alone = reading(std::slice::from_ref(filter));
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
                    for interpreter in [&mut all, &mut alone] {
                        let found = accused(interpreter, &before, &[line.clone().into_bytes()]);
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

/// Every dialect's lines; `{}` stands for what a client chose, raw. The client is 198.51.100.7, in session 8155.
fn dialects() -> Vec<String> {
    let lines = include_str!("../../../tests/fixtures/dialects.txt").lines();
    lines.filter(|line| !line.starts_with('#')).map(|line| line.replace("\\t", "\t")).collect()
}

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
        dialect in select(dialects()),
        texts in prop::collection::vec(text(), 6),
    ) {
        thread_local!(static ALL: RefCell<Interpreter> = RefCell::new(reading(&shipped())));
        let mut line = Vec::new();
        let mut texts = texts.iter();
        for (at, part) in dialect.split("{}").enumerate() {
            if at > 0 {
                line.extend_from_slice(texts.next().map_or(b"", |text| &text[..]));
            }
            line.extend_from_slice(part.as_bytes());
        }
        let before = ["tcpserver: pid 8155 from 198.51.100.7", "tcpserver: pid 7 from 203.0.113.66", "tcpserver: pid 8 from 2001:db8:bad::66"];
        let before = before.map(|line| line.as_bytes().to_vec());
        let found = ALL.with_borrow_mut(|all| accused(all, &before, std::slice::from_ref(&line)));
        prop_assert!(found.is_empty(), "{:?} in {}", found, line.escape_ascii());
    }
}
