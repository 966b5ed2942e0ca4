//! A pattern must say where a line begins and ends, and no text of a client may be able to stand in for the address.
//!
//! An unbounded run before the address is harmless only where the text after it holds a byte that the run cannot: the
//! run then ends where the program, and not the client, says so. `.*` never qualifies.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// A run that may be longer than this counts as unbounded: client text fits into it.
const SHORT_RUN: u32 = 16;

/// What stands in a pattern, from left to right.
#[derive(Debug)]
enum Part {
    Literal(Vec<u8>),
    /// A run of a client's choosing, with the bytes that it can hold.
    Run(Box<[bool; 256]>),
    Address,
}

/// Refuses a pattern that a client could lead astray.
pub(super) fn check(pattern: &str) -> Result<(), String> {
    let hir = ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(pattern)
        .map_err(|error| format!("this is no regular expression: {error}"))?;
    let properties = hir.properties();
    if !properties.look_set_prefix().contains(Look::Start) {
        return Err(
            "a pattern must begin with ^: a client could put the rest into a line of its own".to_owned()
        );
    }
    if !properties.look_set_suffix().contains(Look::End) {
        return Err("a pattern must end with $: a client could lengthen the line".to_owned());
    }
    let mut parts = Vec::new();
    flatten(&hir, &mut parts);
    let Some(address) = parts.iter().position(|part| matches!(part, Part::Address)) else {
        return Err("a pattern needs a group (?<address>…)".to_owned());
    };
    for (at, part) in parts.iter().enumerate().take(address) {
        if let Part::Run(run) = part
            && !is_bounded(run, parts.get(at + 1))
        {
            return Err(
                "client text could stand in for the address: end each run before (?<address>…) by text that \
                        the run itself cannot hold, as in [^ ]+ followed by a space"
                    .to_owned(),
            );
        }
    }
    Ok(())
}

/// True where what follows the run is program text with a byte that the run cannot hold.
fn is_bounded(run: &[bool; 256], next: Option<&Part>) -> bool {
    match next {
        Some(Part::Literal(text)) => {
            text.iter().any(|byte| !run.get(usize::from(*byte)).copied().unwrap_or(true))
        }
        Some(Part::Run(_) | Part::Address) | None => false,
    }
}

fn flatten(hir: &Hir, parts: &mut Vec<Part>) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => match parts.last_mut() {
            Some(Part::Literal(text)) => text.extend_from_slice(&literal.0),
            _ => parts.push(Part::Literal(literal.0.to_vec())),
        },
        HirKind::Capture(capture) if capture.name.as_deref() == Some("address") => parts.push(Part::Address),
        HirKind::Capture(capture) => flatten(&capture.sub, parts),
        HirKind::Concat(subs) => subs.iter().for_each(|sub| flatten(sub, parts)),
        // One of several words is as much the program's as a single one, so long as none of them is a run.
        HirKind::Class(_) | HirKind::Alternation(_) | HirKind::Repetition(_) => {
            let mut bytes = [false; 256];
            let length = hir.properties().maximum_len();
            if length.is_none_or(|length| length > SHORT_RUN as usize) && has_run(hir) {
                held(hir, &mut bytes);
                parts.push(Part::Run(bytes.into()));
            } else {
                parts.push(Part::Literal(Vec::new()));
            }
        }
    }
}

fn has_run(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) | HirKind::Class(_) => false,
        HirKind::Repetition(repetition) => {
            repetition.max.is_none_or(|max| max > SHORT_RUN) || has_run(&repetition.sub)
        }
        HirKind::Capture(capture) => has_run(&capture.sub),
        HirKind::Concat(subs) | HirKind::Alternation(subs) => subs.iter().any(has_run),
    }
}

/// Every byte that can stand in what this matches.
fn held(hir: &Hir, bytes: &mut [bool; 256]) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => literal.0.iter().for_each(|byte| mark(bytes, *byte, *byte)),
        HirKind::Class(Class::Bytes(class)) => class.iter().for_each(|r| mark(bytes, r.start(), r.end())),
        HirKind::Class(Class::Unicode(_)) => mark(bytes, 0, 255),
        HirKind::Repetition(repetition) => held(&repetition.sub, bytes),
        HirKind::Capture(capture) => held(&capture.sub, bytes),
        HirKind::Concat(subs) | HirKind::Alternation(subs) => subs.iter().for_each(|sub| held(sub, bytes)),
    }
}

fn mark(bytes: &mut [bool; 256], from: u8, to: u8) {
    for byte in from..=to {
        if let Some(held) = bytes.get_mut(usize::from(byte)) {
            *held = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuses(pattern: &str, why: &str) {
        let error = check(pattern).unwrap_err();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn a_pattern_bounded_by_program_text_loads() {
        for pattern in [
            r"^vchkpw-(?<service>\S+): (?:vpopmail user not found|password fail) (?<user>[^ :]*):(?<address>\S+)$",
            r"^helo-dns-check: blocked with: [a-z ]{1,16} \[(?<address>[0-9a-f.:]+)\]$",
            r"^(?<address>\S+) said .*$",
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_a_client_can_lead_astray_does_not() {
        refuses(r"failed (?<address>\S+)$", "begin with ^");
        refuses(r"^failed (?<address>\S+)", "end with $");
        refuses(r"(?m)^failed (?<address>\S+)$", "begin with ^");
        refuses(r"^failed$", "(?<address>…)");
        refuses(r"^failed .* from (?<address>\S+)$", "stand in for the address");
        refuses(r"^failed \S+(?<address>\S+)$", "stand in for the address");
        refuses(r"^failed \S+:(?<address>\S+)$", "stand in for the address");
        refuses(r"^failed (?:user .*|nobody) from (?<address>\S+)$", "stand in for the address");
        refuses(r"^failed (", "no regular expression");
    }
}
