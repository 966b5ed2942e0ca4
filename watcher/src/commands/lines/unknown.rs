//! `match --unknown`: the lines that no filter knows, gathered by their shape, and a rule for the most frequent one.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::IpAddr;

use serde_json::json;

use crate::envelope::Envelope;
use crate::event::Kind;
use crate::filter::{Pattern, PatternProof};

/// So many shapes are kept; when there are more, the rarest are forgotten and counted together.
const SHAPES_MAX: usize = 4096;

/// A shape is no longer, nor is an example of it.
const SHAPE_BYTES_MAX: usize = 240;
const EXAMPLE_BYTES_MAX: usize = 1000;

/// So many shapes are told.
const TOLD_MAX: usize = 50;

/// Lines by shape.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    shapes: HashMap<(String, String), Gathered>,
    lines: u64,
    /// Lines whose shape was forgotten.
    others: u64,
}

#[derive(Debug)]
struct Gathered {
    count: u64,
    line: String,
    message: String,
}

impl Unknown {
    /// Takes a line that no filter knows.
    pub(super) fn take(&mut self, line: &[u8], envelope: &Envelope<'_>) {
        self.lines += 1;
        let program = envelope.program.map(|program| mask(&text(program))).unwrap_or_default();
        let message = text(envelope.message);
        let key = (program, mask(&message));
        if let Some(gathered) = self.shapes.get_mut(&key) {
            gathered.count += 1;
            return;
        }
        if self.shapes.len() >= SHAPES_MAX {
            self.forget();
        }
        self.shapes.insert(key, Gathered { count: 1, line: text(line), message });
    }

    /// Forgets the rarer half.
    fn forget(&mut self) {
        let mut counts: Vec<u64> = self.shapes.values().map(|gathered| gathered.count).collect();
        counts.sort_unstable();
        let median = counts.get(counts.len() / 2).copied().unwrap_or(0);
        let others = &mut self.others;
        self.shapes.retain(|_, gathered| {
            let stays = gathered.count > median;
            *others += if stays { 0 } else { gathered.count };
            stays
        });
    }

    /// Tells the shapes, the most frequent first.
    pub(super) fn tell(self, out: &mut dyn Write, as_json: bool) -> io::Result<()> {
        let mut shapes: Vec<((String, String), Gathered)> = self.shapes.into_iter().collect();
        shapes.sort_by(|(a, one), (b, other)| other.count.cmp(&one.count).then_with(|| a.cmp(b)));
        let left: u64 = shapes.iter().skip(TOLD_MAX).map(|(_, gathered)| gathered.count).sum();
        shapes.truncate(TOLD_MAX);
        let others = self.others + left;
        let rule = shapes.first().and_then(|((program, _), gathered)| propose(program, gathered));
        if as_json {
            let clusters: Vec<_> = shapes
                .iter()
                .map(|((program, shape), Gathered { count, line, .. })| {
                    json!({ "count": count, "program": program, "shape": shape, "example": line })
                })
                .collect();
            let all = json!({ "unknown": self.lines, "clusters": clusters, "others": others, "rule": rule });
            return writeln!(out, "{all}");
        }
        writeln!(out, "{} lines that no filter knows", self.lines)?;
        for ((program, shape), Gathered { count, line, .. }) in &shapes {
            let program = if program.is_empty() { String::new() } else { format!("{program}: ") };
            writeln!(out, "{count:>9}  {program}{shape}\n           {line}")?;
        }
        if others > 0 {
            writeln!(out, "{others:>9}  of other shapes")?;
        }
        match rule {
            Some(rule) => writeln!(
                out,
                "\n# A rule for the first of them; look at its kind before you take it.\n{rule}"
            ),
            None => Ok(()),
        }
    }
}

/// What may stand on a terminal, and no more of it than a person reads.
fn text(bytes: &[u8]) -> String {
    let cut = bytes.get(..bytes.len().min(EXAMPLE_BYTES_MAX)).unwrap_or_default();
    logline::Text::from(cut).readable().to_string()
}

/// A piece of a message: what the program wrote, or what differs from line to line.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Fixed(String),
    Varies(String),
}

/// Words with a digit in them, addresses, and what stands in quotation marks, in angle brackets or after `=` vary.
fn pieces(message: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = message;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let closing = match before {
            '"' => Some('"'),
            '<' => Some('>'),
            _ => None,
        };
        let length = match closing.and_then(|closing| rest.find(closing)) {
            Some(end) => end,
            None => rest.find(|c: char| !is_word(c)).unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at(length);
        let varies = closing.is_some_and(|_| !word.is_empty())
            || before == '='
            || word.contains(|c: char| c.is_ascii_digit() || c == '@' || c == '\\');
        if word.is_empty() {
            push(&mut pieces, first.to_string());
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            before = first;
            continue;
        }
        if varies {
            pieces.push(Piece::Varies(word.to_owned()));
        } else {
            push(&mut pieces, word.to_owned());
        }
        before = ' ';
        rest = after;
    }
    pieces
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | ':' | '@' | '_' | '-' | '/' | '+' | '\\' | '%')
}

fn push(pieces: &mut Vec<Piece>, text: String) {
    match pieces.last_mut() {
        Some(Piece::Fixed(before)) => before.push_str(&text),
        _ => pieces.push(Piece::Fixed(text)),
    }
}

fn mask(message: &str) -> String {
    let mut shape = String::new();
    for piece in pieces(message) {
        match piece {
            Piece::Fixed(text) => shape.push_str(&text),
            Piece::Varies(_) => shape.push('*'),
        }
        if shape.len() > SHAPE_BYTES_MAX {
            let end = (0..=SHAPE_BYTES_MAX).rev().find(|at| shape.is_char_boundary(*at)).unwrap_or(0);
            shape.truncate(end);
            break;
        }
    }
    shape
}

/// A rule for the lines of a shape, with its sample, as a filter would have them; none where no pattern can be proven.
fn propose(program: &str, gathered: &Gathered) -> Option<String> {
    let pieces = pieces(&gathered.message);
    let address =
        pieces.iter().position(|piece| matches!(piece, Piece::Varies(text) if parse(text).is_some()));
    let mut pattern = "^".to_owned();
    for (at, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Fixed(text) => pattern.push_str(&regex::escape(text)),
            Piece::Varies(text) if Some(at) == address => {
                let ending =
                    text.strip_suffix([':', '.']).map(|_| text.get(text.len() - 1..).unwrap_or_default());
                pattern.push_str("(?<address>[0-9A-Fa-f.:]+)");
                pattern.push_str(&regex::escape(ending.unwrap_or_default()));
            }
            Piece::Varies(_) => pattern.push_str(&run_before(pieces.get(at + 1))),
        }
    }
    pattern.push('$');
    let kind = address.map(|_| guess(&gathered.message));
    let known = Pattern::new(&pattern, kind, PatternProof::Wanted).ok()?;
    if pattern.contains("'''") || gathered.line.contains("'''") || !known.fits(gathered.message.as_bytes()) {
        return None;
    }
    let name = kind.map_or("nothing", Kind::name);
    let is = match address.and_then(|at| pieces.get(at)) {
        Some(Piece::Varies(text)) => format!("{{ kind = \"{name}\", address = \"{}\" }}", parse(text)?),
        Some(Piece::Fixed(_)) | None => "\"nothing\"".to_owned(),
    };
    let line = &gathered.line;
    let program = if program.is_empty() { String::new() } else { format!("# program = {program:?}\n") };
    Some(format!(
        "{program}[[rule]]\nkind    = \"{name}\"\npattern = '''{pattern}'''\n\n[[sample]]\nline = '''{line}'''\nis   = {is}"
    ))
}

/// Anything up to the next thing that the program writes.
fn run_before(next: Option<&Piece>) -> String {
    let stop = match next {
        Some(Piece::Fixed(text)) => text.chars().next(),
        Some(Piece::Varies(_)) | None => None,
    };
    stop.map_or(".*".to_owned(), |stop| format!("[^{}]*", regex::escape(&stop.to_string())))
}

fn parse(text: &str) -> Option<IpAddr> {
    text.trim_end_matches(['.', ':']).parse().ok().or_else(|| text.parse().ok())
}

fn guess(message: &str) -> Kind {
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["auth", "login", "password", "user"]) {
        Kind::AuthFailed
    } else if says(&["relay"]) {
        Kind::RelayDenied
    } else if says(&["limit", "too many"]) {
        Kind::LimitExceeded
    } else {
        Kind::ProtocolError
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use logline::Timestamp;

    use super::*;
    use crate::envelope::{Around, Clock};

    fn gather(lines: &[String]) -> serde_json::Value {
        let mut unknown = Unknown::default();
        let clock = Clock { zone: TimeZone::UTC };
        let around = Around { arrival: Timestamp::from_seconds(0), previous: None };
        for line in lines {
            unknown.take(line.as_bytes(), &Envelope::open(line.as_bytes(), &clock, around));
        }
        let mut out = Vec::new();
        unknown.tell(&mut out, true).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn lines_of_one_shape_are_gathered_and_a_rule_is_proposed_that_proves_itself() {
        let line = |n: u32| {
            format!(
                "Nov 21 03:00:0{n} mx popper[{n}]: refused login of \"bob{n}\" from 192.0.2.{n} after {n} tries, id=a{n}"
            )
        };
        let mut lines: Vec<String> = (1..4).map(line).collect();
        lines.push("Nov 21 03:00:01 mx popper[1]: started".to_owned());
        let told = gather(&lines);
        assert_eq!(told["unknown"], 4);
        assert_eq!(told["clusters"][0]["count"], 3);
        assert_eq!(told["clusters"][0]["shape"], "refused login of \"*\" from * after * tries, id=*");
        let rule = told["rule"].as_str().unwrap();
        let filter = format!("about = \"x\"\n{rule}\n");
        let filters =
            crate::filter::Filters::single("x", settings::Document::parse("x.toml", filter)).unwrap();
        let proof = crate::filter::prove(filters.iter().next().unwrap());
        assert_eq!(proof.failures, [], "{rule}");
    }

    #[test]
    fn shapes_without_end_take_no_memory_without_end() {
        let letters = |mut n: u32| {
            let mut word = String::new();
            while n > 0 {
                word.extend(char::from_digit(10 + n % 26, 36));
                n /= 26;
            }
            word
        };
        let mut lines: Vec<String> = (1..20_000u32).map(|n| format!("shape {}", letters(n))).collect();
        lines.extend(std::iter::repeat_n("shape often".to_owned(), 100));
        let told = gather(&lines);
        assert_eq!(told["unknown"], 20_099);
        assert_eq!(told["clusters"][0]["shape"], "shape often");
        assert_eq!(told["clusters"].as_array().unwrap().len(), TOLD_MAX);
    }
}
