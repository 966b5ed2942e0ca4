//! The interpreter and the reference come to the same, line by line, in logs of every kind of line that a filter knows, cut,
//! glued, repeated and damaged.

use std::sync::LazyLock;

use proptest::prelude::*;
use settings::Document;

use super::reference::Reference;
use super::*;
use crate::filter::Filters;

/// Shapes that are unlike those that are shipped: two that fit the same line, one whose groups take more than one pass,
/// one that asks for Unicode, two of which one may find an address where the other finds none.
const ODD: &str = r#"
about = "odd"
[[rule]]
kind = "auth-failed"
pattern = '^from (?<address>[0-9.]{1,15}) user (?<user>.*) at (?<host>.*) of (?<service>.*)$'
[[rule]]
kind = "auth-ok"
pattern = '^from (?<address>[0-9.]{1,15}) user (?<user>[^ ]*).*$'
[[rule]]
kind = "pregreet"
pattern = '^from (?<address>[0-9a-f:.]{1,40}) (?u:\b)(?<user>\w*)$'
[[rule]]
kind = "spam"
pattern = '^from (?<address>[0-9.]{1,15}) nobody( (?<user>x))?$'
[[rule]]
kind = "virus"
pattern = '^from [0-9]{1,3}\.(?<address>[^ ]{1,40}) nobody$'
"#;

const PLAIN: &str = r#"
about = "plain"
program = "plain"
[[rule]]
kind = "failure"
pattern = '^(?<user>[^ ]*) failed from (?<address>\S+)$'
"#;

fn filters() -> Vec<Arc<Filter>> {
    let single = |name, text| Filters::single(name, Document::parse(name, text)).unwrap();
    let own = [single("odd", ODD), single("plain", PLAIN)];
    let shipped = Filters::shipped().unwrap();
    own.iter().chain([&shipped]).flat_map(Filters::iter).cloned().collect()
}

/// Loaded and made ready once, for all the logs.
struct Cast {
    filters: Vec<Arc<Filter>>,
    patterns: Vec<Vec<Option<regex::bytes::Regex>>>,
    reader: Arc<Reader>,
}

static CAST: LazyLock<Cast> = LazyLock::new(|| {
    let filters = filters();
    let (patterns, reader) = (Reference::compiled(&filters), Arc::new(Reader::of(filters.clone())));
    Cast { filters, patterns, reader }
});

/// Everything that the samples of the filters hold, and what the odd ones are about.
fn lines() -> Vec<Vec<u8>> {
    let odd = [
        "from 192.0.2.7 user a at b at c of d of e",
        "from 192.0.2.7 user a",
        "from 192.0.2.7 x",
        "from ::7 é",
        "from 192.0.2.7 nobody x",
        "from nobody",
        "from 300.192.0.2.3 nobody",
        "from 192.0.2.300 nobody",
        "a failed from 192.0.2.9",
        "last message repeated 3 times",
        "message repeated 2 times: [ from 192.0.2.7 user a]",
        "message repeated 2 times: [tcpserver: pid 4 from 192.0.2.8]",
        "tcpserver: status: 0/40",
        "",
        "1415185247.952694 tcpserver: pid 4 from 192.0.2.8",
        "1415185247.952694+tcpserver: pid 4 from 192.0.2.8",
        r#"{"time":"2026-11-21T03:00:00.5Z","record":{"tcpserver":{"connect":{"pid":5,"address":"192.0.2.9"}}}}"#,
    ];
    let samples = CAST.filters.iter().flat_map(|filter| {
        filter.samples.iter().flat_map(|s| s.before.iter().chain([&s.line]).cloned()).collect::<Vec<_>>()
    });
    samples.chain(odd.map(str::to_owned)).map(String::into_bytes).collect()
}

const ENVELOPES: &[&str] = &[
    "",
    "",
    "@4000000062b22ef4269d79a4 ",
    "@4000000062b22ef3269d79a4 ",
    "Oct 25 02:30:01 mx plain: ",
    "Oct 25 02:10:01 mx plain[7]: ",
    "Dec 31 23:59:59 mx odd: ",
    "Jan  1 00:00:01 mx vpopmail[1]: ",
    "2026-10-25T02:30:01.5+02:00 mx plain[7]: ",
    "<22>1 2026-10-25T02:30:02Z mx vpopmail 7 - - ",
    "2026-10-25 02:30:01.25 ",
    "2026-10-25_02:30:01 ",
    "Oct 25 02:30:01 mx smtpd: 1415185247.952694 ",
    "Oct 25 02:30:01 mx smtpd: 1415185247.952694+",
    "Feb 30 00:00:00 mx plain: ",
    "Oct 25 02:30:01 ",
];

/// What is done to a line.
#[derive(Clone, Debug)]
enum Damage {
    None,
    Cut(prop::sample::Index),
    Byte(prop::sample::Index, u8),
    Return,
    Long,
}

type Step = (Vec<u8>, &'static str, Vec<u8>, Damage, i64);

fn step() -> impl Strategy<Value = Step> {
    let line = prop::sample::select(lines());
    let none = Just(Vec::new()).boxed();
    let glued = (prop::sample::select(ENVELOPES), line.clone())
        .prop_map(|(envelope, line)| [envelope.as_bytes(), &line].concat());
    let damage = prop_oneof![
        6 => Just(Damage::None),
        1 => any::<prop::sample::Index>().prop_map(Damage::Cut),
        2 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        1 => Just(Damage::Return),
        1 => Just(Damage::Long),
    ];
    let second = prop_oneof![6 => none, 1 => glued];
    (line, prop::sample::select(ENVELOPES), second, damage, -100i64..5000)
}

fn text((line, envelope, second, damage, _): &Step) -> Vec<u8> {
    let mut text = [envelope.as_bytes(), line, second].concat();
    match damage {
        Damage::None => {}
        Damage::Cut(at) => text.truncate(at.index(text.len() + 1)),
        Damage::Byte(at, byte) => {
            if !text.is_empty() {
                let at = at.index(text.len());
                text.splice(at..=at, [*byte]);
            }
        }
        Damage::Return => text.push(b'\r'),
        // As long as splogger's buffer.
        Damage::Long => text.extend(std::iter::repeat_n(b'x', 800)),
    }
    text
}

/// Everything that an event says.
fn told(event: &Event<'_>, rule: &Rule) -> String {
    format!("{} {event:?}", rule.name)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn haste_changes_nothing(steps in prop::collection::vec(step(), 1..60), live: bool) {
        let zone = TimeZone::get("Europe/Rome").unwrap();
        let Cast { filters, patterns, reader } = &*CAST;
        let mut fast = Interpreter::of(Arc::clone(reader), zone.clone());
        let mut slow = Reference::new(filters.clone(), patterns.clone(), zone);
        let mut arrival = Timestamp::from_seconds(1_792_890_000);
        for step in &steps {
            let line = text(step);
            arrival = Timestamp::from_seconds(arrival.seconds() + step.4);
            let (mut events, mut expected) = (Vec::new(), Vec::new());
            let mut sink = |event: &Event<'_>, rule: &Rule| events.push(told(event, rule));
            let reading = match live {
                true => fast.read_live(&line, arrival, &mut sink),
                false => fast.read(&line, arrival, &mut sink),
            };
            let latest = live.then_some(arrival + AHEAD_MAX);
            let meant = slow.read(&line, arrival, latest, &mut |event, rule| expected.push(told(event, rule)));
            let line = String::from_utf8_lossy(&line);
            prop_assert_eq!(events, expected, "{}", line);
            prop_assert_eq!(format!("{reading:?}"), format!("{meant:?}"), "{}", line);
        }
    }
}
