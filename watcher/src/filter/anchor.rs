//! A pattern must say where a line begins and ends, and no text of a client may be able to stand in for the address, or
//! for the name of the session where that leads to the address.
//!
//! Three things are proven of each pattern, over every line that it can match:
//!
//! - A line has one reading: whichever way the pattern is laid over it, the address stands at the same place.
//! - A line that was cut has the reading of the whole one. Loggers cut long lines, and how long a line is, is the
//!   client's choice: `^failed .* from (?<address>\S+)$` has one reading, but a client who knows where the cut falls
//!   chooses what stands before it. Only a pattern whose lines are all short need not hold this.
//! - The address is not the end of a longer word that a client began.
//!
//! What a client's text can hold is what the pattern lets it hold. Whether the program keeps to that is what the
//! forgeries among the samples are for.

mod automaton;
mod nearest;
mod readings;

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind, Look};

use crate::event::Kind;

use automaton::Automaton;
pub use nearest::{Miss, Nearest};
use readings::Proof;

/// No logger cuts a message as short as this: RFC 3164 §4.1 allows 1024 bytes with the envelope, and splogger's parts of
/// 800 are put together again.
const UNCUT_BYTES_MAX: usize = 900;

/// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`
const ADDRESS_BYTES_MAX: usize = 45;

/// Refuses a pattern that a client could lead astray.
pub(super) fn check(pattern: &str, kind: Option<Kind>) -> Result<(), String> {
    let hir = parse(pattern).map_err(|error| format!("this is no regular expression: {}", told(&error)))?;
    let properties = hir.properties();
    if !properties.look_set_prefix().contains(Look::Start) {
        return Err(
            "a pattern must begin with ^: a client could put the rest into a line of its own".to_owned()
        );
    }
    if !properties.look_set_suffix().contains(Look::End) {
        return Err("a pattern must end with $: a client could lengthen the line".to_owned());
    }
    // What means nothing is held against nobody.
    let Some(kind) = kind else { return Ok(()) };
    let subjects: Vec<&str> =
        ["address", "session"].into_iter().filter(|name| has_group(&hir, name)).collect();
    if subjects.is_empty() {
        return match kind {
            Kind::Delivered | Kind::Deferred | Kind::Bounced => Ok(()),
            _ => Err("a pattern needs a group (?<address>…), or (?<session>…) where another rule of kind \"connect\" \
                            captures both"
                .to_owned()),
        };
    }
    let may_be_cut = length_max(&hir).is_none_or(|length| length > UNCUT_BYTES_MAX);
    subjects.into_iter().try_for_each(|subject| stands_still(&hir, subject, may_be_cut))
}

/// Whether the group of this name stands at the same place in every reading of a line.
fn stands_still(hir: &Hir, subject: &str, may_be_cut: bool) -> Result<(), String> {
    let Some(automaton) = Automaton::of(hir, subject) else {
        return Err("this pattern is too large: split it into several rules".to_owned());
    };
    match readings::prove(&automaton, may_be_cut) {
        Proof::Holds => Ok(()),
        Proof::TooLarge => Err(format!(
            "this pattern has too many readings to prove that a client cannot choose the {subject}: split it into \
             several rules"
        )),
        Proof::TwoReadings(line) => Err(format!(
            "client text could stand in for the {subject}: `{line}` can be read in two ways; end each run before \
             (?<{subject}>…) by text that the run itself cannot hold, as in [^ ]+ followed by a space"
        )),
        Proof::Cut(line) => Err(format!(
            "client text could stand in for the {subject}: a logger that cuts a long line at `{line}` leaves a client's \
             words where the {subject} stands; end each run before (?<{subject}>…) by text that the run itself cannot \
             hold, or give it a greatest length, as in .{{0,80}}"
        )),
    }
}

fn parse(pattern: &str) -> Result<Hir, Box<regex_syntax::Error>> {
    ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern).map_err(Box::new)
}

/// What is wrong, and at which character; the library's own words show the pattern over several lines.
fn told(error: &regex_syntax::Error) -> String {
    let at = match error {
        regex_syntax::Error::Parse(error) => Some(error.span().start.offset),
        regex_syntax::Error::Translate(error) => Some(error.span().start.offset),
        _ => None,
    };
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    let what = last.strip_prefix("error: ").unwrap_or(last);
    at.map_or(what.to_owned(), |at| format!("{what}, at byte {at} of the pattern"))
}

/// What a program says in its own words, though an address would fit into it. Every other capture is a client's.
pub(super) const PROGRAM_FIELDS: &[&str] = &[
    "address",
    "attempts",
    "authenticator",
    "code",
    "jail",
    "passdb",
    "plugin",
    "protocol",
    "reason",
    "service",
    "session",
    "zone",
];

/// The shortest address is `::1`, but nobody forges that one.
const FORGED_BYTES_MIN: usize = 7;

/// The names of the groups that are a client's, and into which an address fits.
pub(super) fn forgeable(pattern: &str) -> Vec<String> {
    let mut names = Vec::new();
    if let Ok(hir) = parse(pattern) {
        find_forgeable(&hir, &mut names);
    }
    names
}

fn find_forgeable(hir: &Hir, names: &mut Vec<String>) {
    match hir.kind() {
        HirKind::Capture(capture) => {
            if let Some(name) = capture.name.as_deref()
                && !PROGRAM_FIELDS.contains(&name)
                && fits_an_address(&capture.sub)
            {
                names.push(name.to_owned());
            }
            find_forgeable(&capture.sub, names);
        }
        HirKind::Repetition(repetition) => find_forgeable(&repetition.sub, names),
        HirKind::Concat(subs) | HirKind::Alternation(subs) => {
            subs.iter().for_each(|sub| find_forgeable(sub, names));
        }
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) | HirKind::Class(_) => {}
    }
}

fn fits_an_address(hir: &Hir) -> bool {
    let bytes = automaton::bytes_of(hir);
    let holds = |wanted: &[u8]| wanted.iter().any(|byte| bytes.get(usize::from(*byte)) == Some(&true));
    let is_long = hir.properties().maximum_len().is_none_or(|length| length >= FORGED_BYTES_MIN);
    is_long && holds(b"0123456789") && holds(b".:")
}

fn has_group(hir: &Hir, wanted: &str) -> bool {
    match hir.kind() {
        HirKind::Capture(capture) => {
            capture.name.as_deref() == Some(wanted) || has_group(&capture.sub, wanted)
        }
        HirKind::Repetition(repetition) => has_group(&repetition.sub, wanted),
        HirKind::Concat(subs) | HirKind::Alternation(subs) => subs.iter().any(|sub| has_group(sub, wanted)),
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) | HirKind::Class(_) => false,
    }
}

/// The longest line that the pattern matches; an address is never longer than one can be.
fn length_max(hir: &Hir) -> Option<usize> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(0),
        HirKind::Literal(literal) => Some(literal.0.len()),
        HirKind::Class(_) => Some(1),
        HirKind::Capture(capture) if capture.name.as_deref() == Some("address") => Some(ADDRESS_BYTES_MAX),
        HirKind::Capture(capture) => length_max(&capture.sub),
        HirKind::Repetition(repetition) => {
            length_max(&repetition.sub)?.checked_mul(usize::try_from(repetition.max?).ok()?)
        }
        HirKind::Concat(subs) => subs.iter().try_fold(0usize, |sum, sub| sum.checked_add(length_max(sub)?)),
        HirKind::Alternation(subs) => {
            subs.iter().try_fold(0usize, |longest, sub| Some(longest.max(length_max(sub)?)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuses(pattern: &str, why: &str) {
        let error = check(pattern, Some(Kind::AuthFailed)).unwrap_err();
        assert!(error.contains(why), "{error}");
    }

    #[track_caller]
    fn accepts(pattern: &str) {
        assert_eq!(check(pattern, Some(Kind::AuthFailed)), Ok(()), "{pattern}");
    }

    #[test]
    fn a_pattern_bounded_by_program_text_loads() {
        accepts(
            r"^vchkpw-(?<service>\S+): (?:vpopmail user not found|password fail) (?<user>[^ :]*):(?<address>\S+)$",
        );
        accepts(r"^helo-dns-check: blocked with: [a-z ]{1,16} \[(?<address>[0-9a-f.:]+)\]$");
        accepts(r"^(?<address>\S+) said .*$");
        accepts(r"^(?:[A-Z0-9]+: )?reject: RCPT from (?<rdns>[^ \[]+)\[(?<address>[0-9a-fA-F.:]+)\]: .*$");
        accepts(r"^x(?: user=<[^>]*>,)? rip=(?<address>[0-9a-f.:]+), lip=.*$");
    }

    #[test]
    fn a_pattern_read_from_its_end_loads_where_its_lines_are_short() {
        accepts(r"^Failed for .{0,80} from (?<address>[0-9a-f.:]+) port [0-9]{1,5}$");
        accepts(r"^Failed: user=<.{0,80}>, rip=(?<address>[0-9a-f.:]+)(?:, TLS[^<>]{0,80})?$");
        refuses(r"^Failed for .{0,900} from (?<address>[0-9a-f.:]+) port [0-9]{1,5}$", "cuts a long line");
        refuses(r"^Failed for .* from (?<address>[0-9a-f.:]+) port [0-9]{1,5}$", "cuts a long line");
    }

    #[test]
    fn a_pattern_that_is_not_anchored_does_not_load() {
        refuses(r"failed (?<address>\S+)$", "begin with ^");
        refuses(r"^failed (?<address>\S+)", "end with $");
        refuses(r"(?m)^failed (?<address>\S+)$", "begin with ^");
        refuses(r"(?m:^)failed (?<address>\S+)$", "begin with ^");
        refuses(r"^?failed (?<address>\S+)$", "begin with ^");
        refuses(r"^a (?<address>\S+)$|b$", "begin with ^");
        refuses(r"^failed (?<address>\S+)(?:$| .*)", "end with $");
        refuses(r"^failed$", "(?<address>…)");
        refuses(r"^failed (", "no regular expression");
    }

    #[test]
    fn a_pattern_that_a_client_can_lead_astray_does_not_load() {
        let astray = "stand in for the address";
        refuses(r"^failed .* from (?<address>\S+)$", astray);
        refuses(r"^failed .*? from (?<address>\S+).*$", astray);
        refuses(r"^failed \S+(?<address>\S+)$", astray);
        refuses(r"^failed \S+:(?<address>\S+)$", astray);
        refuses(r"^failed (?:user .*|nobody) from (?<address>\S+)$", astray);
        // Runs that are hidden in a repetition, in an alternative, or made of pieces.
        refuses(r"^failed (?:[^ ]+ )*from (?<address>\S+) .*$", astray);
        refuses(r"^failed (?:[^ ]{1,9} ){1,9}from (?<address>\S+) .*$", astray);
        refuses(r"^failed (?:a|b|.*) from (?<address>\S+)$", astray);
        refuses(r"^failed .?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?from (?<address>\S+) .*$", astray);
        refuses(r"^failed [^ ]*(?: [^ ]*){0,3} from (?<address>\S+) .*$", astray);
        refuses(r"^failed (?s:.)* from (?<address>\S+)$", astray);
        refuses(r"^failed [^\n]* from (?<address>\S+)$", astray);
        // Program text that the run can hold bounds nothing.
        refuses(r"^failed [^>]* from (?<address>\S+) .*$", astray);
        // What follows the address could be its end.
        refuses(r"^failed (?<address>[0-9.]+)[0-9]*$", astray);
        refuses(r"^failed (?<address>[0-9.]+).*$", astray);
        // And what stands before it, its beginning.
        refuses(r"^failed [^ ]*(?<address>[0-9.]+) .*$", astray);
    }
}
