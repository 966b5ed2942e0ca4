//! Globs: `*`, `?` and `[…]` in any part of a path, matched against names of bytes.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::tail::notify::{Attention, Owner, Watches};
use crate::tail::way::{Place, Wanted, Way};

/// The file that multilog and svlogd write to, in a directory that is the log.
pub(crate) const CURRENT: &str = "current";

/// A glob, as a path and the parts below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    root: PathBuf,
    parts: Vec<OsString>,
}

/// What a pattern matches now, and what must change for it to match something else.
#[derive(Debug, Default)]
pub(crate) struct Expansion {
    pub(crate) places: Vec<Place>,
    /// By directory, then by name.
    pub(crate) files: Vec<PathBuf>,
}

impl Pattern {
    /// Whether a path is a glob.
    pub(crate) fn is_in(path: &[u8]) -> bool {
        path.iter().any(|byte| b"*?[".contains(byte))
    }

    /// From an absolute path.
    pub(crate) fn new(path: &Path) -> Self {
        let mut root = PathBuf::new();
        let mut parts = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(name) if !parts.is_empty() || Pattern::is_in(name.as_bytes()) => {
                    parts.push(name.to_owned());
                }
                _ => root.push(component),
            }
        }
        Pattern { root, parts }
    }

    /// Whether a file of that name, where the pattern looks for files, is meant.
    pub(crate) fn matches_name(&self, name: &OsStr) -> bool {
        self.parts.last().is_some_and(|part| matches(part.as_bytes(), name.as_bytes()))
    }

    /// Whether that file is meant: by its path, or as what is written to in a directory that is meant.
    pub(crate) fn matches_file(&self, path: &Path) -> bool {
        self.matches_path(path) || self.matches_directory_of(path)
    }

    /// Whether the file is what is written to in a multilog directory that is meant.
    pub(crate) fn matches_directory_of(&self, path: &Path) -> bool {
        path.file_name() == Some(OsStr::new(CURRENT))
            && path.parent().is_some_and(|directory| self.matches_path(directory))
    }

    fn matches_path(&self, path: &Path) -> bool {
        let Ok(rest) = path.strip_prefix(&self.root) else { return false };
        let names: Vec<_> = rest.iter().collect();
        names.len() == self.parts.len()
            && self.parts.iter().zip(names).all(|(part, name)| matches(part.as_bytes(), name.as_bytes()))
    }

    /// Finds what matches. Each directory is watched before it is listed.
    pub(crate) fn expand(&self, watches: &mut Watches, owner: Owner) -> io::Result<Expansion> {
        // A way ends at a name that need not exist; here only the directory before it matters.
        let way = Way::to(&self.root.join("members"), watches, owner)?;
        let mut found = Expansion { places: way.places, files: Vec::new() };
        if let Some(end) = way.end {
            self.descend(&end.spot.directory, &self.parts, &mut found, watches, owner)?;
        }
        found.files.sort();
        Ok(found)
    }

    fn descend(
        &self,
        directory: &Path,
        parts: &[OsString],
        found: &mut Expansion,
        watches: &mut Watches,
        owner: Owner,
    ) -> io::Result<()> {
        let Some((part, below)) = parts.split_first() else { return Ok(()) };
        let Some(watch) = watches.add_directory(directory, Attention::Names, owner)? else { return Ok(()) };
        found.places.push(Place { watch, wanted: Wanted::Like(part.clone()) });
        // A directory that vanished or may not be listed has no members; its coming back is watched for above.
        let Ok(entries) = std::fs::read_dir(directory) else { return Ok(()) };
        for entry in entries.flatten() {
            if !matches(part.as_bytes(), entry.file_name().as_bytes()) {
                continue;
            }
            let path = entry.path();
            match std::fs::metadata(&path) {
                Ok(metadata) if below.is_empty() && metadata.is_file() => found.files.push(path),
                Ok(metadata) if below.is_empty() && metadata.is_dir() => {
                    self.descend(&path, &[OsString::from(CURRENT)], found, watches, owner)?;
                }
                Ok(metadata) if metadata.is_dir() => {
                    self.descend(&path, below, found, watches, owner)?;
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Whether `part` of a pattern matches a name. As in a shell, `*` and `?` do not match a dot at the beginning.
pub(crate) fn matches(part: &[u8], name: &[u8]) -> bool {
    let hidden = name.first() == Some(&b'.') && part.first() != Some(&b'.');
    !hidden && matches_rest(part, name)
}

/// Goes back to the last `*` alone, which is enough: what an earlier one could take, the last can take too. So the time
/// is bounded by the product of the lengths.
fn matches_rest(mut part: &[u8], mut name: &[u8]) -> bool {
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        let (step, next) = Step::first(part);
        let taken = match (step, name.split_first()) {
            (Step::Any, _) => {
                retry = Some((next, name));
                part = next;
                continue;
            }
            (Step::End, None) => return true,
            (_, None) => return false,
            (Step::End, Some(_)) => None,
            (Step::One(set), Some((&byte, rest))) => set.holds(byte).then_some(rest),
        };
        match (taken, retry) {
            (Some(rest), _) => (part, name) = (next, rest),
            (None, Some((after, from))) => {
                let Some((_, from)) = from.split_first() else { return false };
                retry = Some((after, from));
                (part, name) = (after, from);
            }
            (None, None) => return false,
        }
    }
}

enum Step<'a> {
    Any,
    End,
    One(Set<'a>),
}

enum Set<'a> {
    Every,
    Just(u8),
    OneOf(&'a [u8]),
    NoneOf(&'a [u8]),
}

impl Step<'_> {
    fn first(part: &[u8]) -> (Step<'_>, &[u8]) {
        let Some((&first, rest)) = part.split_first() else { return (Step::End, part) };
        match first {
            b'*' => (Step::Any, rest),
            b'?' => (Step::One(Set::Every), rest),
            b'[' => match Set::bracketed(rest) {
                Some((set, rest)) => (Step::One(set), rest),
                None => (Step::One(Set::Just(b'[')), rest),
            },
            byte => (Step::One(Set::Just(byte)), rest),
        }
    }
}

impl Set<'_> {
    /// What follows a `[`: a `]` that stands first is one of the set.
    fn bracketed(part: &[u8]) -> Option<(Set<'_>, &[u8])> {
        let (negated, body) = match part.split_first() {
            Some((b'!' | b'^', body)) => (true, body),
            _ => (false, part),
        };
        let end = body.iter().skip(1).position(|&byte| byte == b']')? + 1;
        let (members, rest) = body.split_at_checked(end)?;
        let set = if negated { Set::NoneOf(members) } else { Set::OneOf(members) };
        Some((set, rest.get(1..)?))
    }

    fn holds(&self, byte: u8) -> bool {
        match self {
            Set::Every => true,
            Set::Just(one) => *one == byte,
            Set::OneOf(members) => is_member(members, byte),
            Set::NoneOf(members) => !is_member(members, byte),
        }
    }
}

fn is_member(members: &[u8], byte: u8) -> bool {
    match members {
        [from, b'-', to, rest @ ..] => (from..=to).contains(&&byte) || is_member(rest, byte),
        [one, rest @ ..] => *one == byte || is_member(rest, byte),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(part: &str, yes: &[&str], no: &[&str]) {
        for name in yes {
            assert!(matches(part.as_bytes(), name.as_bytes()), "{part} should match {name}");
        }
        for name in no {
            assert!(!matches(part.as_bytes(), name.as_bytes()), "{part} should not match {name}");
        }
    }

    #[test]
    fn stars_and_question_marks_match_as_in_a_shell() {
        check("*.log", &["a.log", "a.b.log"], &[".log", ".a.log", "a.log.1", "log"]);
        check("mail*", &["mail", "mail.log"], &["xmail"]);
        check("s?tp", &["smtp"], &["stp", "smmtp"]);
        check(".*", &[".a", "."], &["a"]);
        check("*a*b*c", &["abc", "xaxbxc", "aabbcc"], &["acb", "abcx"]);
        check("**", &["", "abc"], &[".a"]);
    }

    #[test]
    fn brackets_name_the_bytes_that_match() {
        check("smtp[0-9a]", &["smtp0", "smtp9", "smtpa"], &["smtp", "smtpb", "smtp10"]);
        check("x[!0-9]", &["xa"], &["x1"]);
        check("x[]-]", &["x]", "x-"], &["xa"]);
        check("x[a", &["x[a"], &["xa"]);
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let name = "a".repeat(2000);
        check(&"*a".repeat(500), &[&name], &[&format!("{name}b")]);
    }

    #[test]
    fn a_path_is_matched_part_by_part() {
        let pattern = Pattern::new(Path::new("/var/log/*/smtp*.log"));
        assert_eq!(pattern.root, Path::new("/var/log"));
        for (path, is) in [
            ("/var/log/qmail/smtpd.log", true),
            ("/var/log/qmail/x/smtpd.log", false),
            ("/var/log/smtpd.log", false),
            ("/var/lib/qmail/smtpd.log", false),
        ] {
            assert_eq!(pattern.matches_path(Path::new(path)), is, "{path}");
        }
    }
}
