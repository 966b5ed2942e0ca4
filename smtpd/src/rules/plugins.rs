//! qmail-spp: programs of the administrator's that are asked at each step of a session, and what they may say.
//!
//! A program speaks in lines, each a letter and what belongs to it:
//!
//! | line | means |
//! |---|---|
//! | `N` | go on; no other program is asked about this command |
//! | `O` | the same, and no more checks of this recipient |
//! | `A` | go on; no program is asked in this session any more |
//! | `E550 no` | refuse this command, in these words |
//! | `R550 no` | refuse it, and end the session |
//! | `D` | end the session without a word |
//! | `LM…`, `LR…`, `LD…` | refuse MAIL, RCPT or DATA when it comes |
//! | `HX-Field: text` | put this field into the header |
//! | `Cuser@example.org` | the sender, or the recipient, is this one |
//! | `SNAME=value`, `UNAME` | what stands in the environment of programs to come |
//!
//! `P`, which says more to the client than one reply, is not heard: a client could take it for the answer to its next
//! command.

use std::path::{Path, PathBuf};

/// Lines of one program that count.
const LINES_MAX: usize = 64;
/// Bytes of a line.
const LINE_BYTES_MAX: usize = 998;
/// Fields, variables and later refusals that one session keeps.
const KEPT_MAX: usize = 16;

/// What a shell would make something else of.
const FOR_A_SHELL: &[char] =
    &['|', '&', ';', '<', '>', '(', ')', '$', '`', '\\', '"', '\'', '*', '?', '[', '#', '~', '!', '{', '}'];

/// When programs are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before the greeting.
    Connection,
    /// At HELO and EHLO.
    Helo,
    /// At MAIL.
    Mail,
    /// At RCPT.
    Rcpt,
    /// At DATA, before any of the message came.
    Data,
    /// At AUTH, once the password is found to be right.
    Auth,
}

impl Stage {
    /// All of them, with the name that the settings and the control file have.
    pub const ALL: &'static [(Stage, &'static str)] = &[
        (Stage::Connection, "connection"),
        (Stage::Helo, "helo"),
        (Stage::Mail, "mail"),
        (Stage::Rcpt, "rcpt"),
        (Stage::Data, "data"),
        (Stage::Auth, "auth"),
    ];
}

/// One program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginProgram {
    /// Its absolute path.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl PluginProgram {
    /// Reads a line such as `plugins/check 5`; a path that is not absolute counts from `home`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &str, home: &Path) -> Result<Self, &'static str> {
        // With a colon qmail-spp gives the line to a shell.
        let line = line.strip_prefix(':').unwrap_or(line);
        if line.contains(FOR_A_SHELL) {
            return Err("no shell is asked what this means: put it into a script");
        }
        let mut words = line.split_whitespace();
        let path = words.next().ok_or("expected a program, and its arguments")?;
        Ok(PluginProgram { path: home.join(path), arguments: words.map(str::to_owned).collect() })
    }
}

/// The programs of all stages.
#[derive(Clone, Debug, Default)]
pub struct Plugins {
    programs: Vec<(Stage, PluginProgram)>,
    /// They are asked about clients alone for whom a rule says so (`ENABLE_SPP`).
    pub on_request: bool,
}

impl Plugins {
    /// These programs, in this order.
    pub fn new(programs: Vec<(Stage, PluginProgram)>, on_request: bool) -> Self {
        Plugins { programs, on_request }
    }

    /// Those of one stage.
    pub fn of(&self, stage: Stage) -> impl Iterator<Item = &PluginProgram> {
        self.programs.iter().filter(move |(own, _)| *own == stage).map(|(_, program)| program)
    }
}

/// What programs want.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginOpinion {
    /// What follows.
    pub verdict: PluginVerdict,
    /// Fields for the header, each without its end.
    pub fields: Vec<String>,
    /// What MAIL, RCPT and DATA will be refused with.
    pub later: Vec<(Stage, String)>,
    /// Names and values for programs to come; a name without a value is taken away.
    pub variables: Vec<(String, Option<String>)>,
    /// Another sender or recipient.
    pub address: Option<String>,
}

/// What follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PluginVerdict {
    /// Nothing: the session goes on.
    #[default]
    None,
    /// It goes on, and no other program is asked about this command.
    Next,
    /// The same, without any more checks.
    Ok,
    /// The same, and no program is asked any more.
    Accept,
    /// The command is refused, in these words.
    Refuse(String),
    /// The command is refused, and the session ends.
    Reject(String),
    /// The session ends.
    Drop,
    /// A program could not be run, or did not end as it should.
    Failed,
}

impl PluginOpinion {
    /// Takes what one program said; true where no other is to be asked.
    pub fn hear(&mut self, said: &[u8]) -> bool {
        for line in said.split(|byte| *byte == b'\n').take(LINES_MAX) {
            self.hear_line(line);
            if self.verdict != PluginVerdict::None {
                return true;
            }
        }
        false
    }

    fn hear_line(&mut self, line: &[u8]) {
        let Some((letter, rest)) = line.split_first() else {
            return;
        };
        let text = printable(rest);
        match letter {
            b'N' => self.verdict = PluginVerdict::Next,
            b'O' => self.verdict = PluginVerdict::Ok,
            b'A' => self.verdict = PluginVerdict::Accept,
            b'D' => self.verdict = PluginVerdict::Drop,
            b'E' => self.verdict = PluginVerdict::Refuse(text),
            b'R' => self.verdict = PluginVerdict::Reject(text),
            b'H' if self.fields.len() < KEPT_MAX && is_field(&text) => self.fields.push(text),
            b'C' => self.address = Some(text),
            b'L' if self.later.len() < KEPT_MAX => self.later.extend(later(&text)),
            b'S' | b'U' if self.variables.len() < KEPT_MAX => self.variables.extend(variable(&text)),
            // What is not understood, and `P`, says nothing.
            _ => {}
        }
    }
}

/// A line without what could end it or move a cursor.
fn printable(line: &[u8]) -> String {
    let line = line.get(..LINE_BYTES_MAX).unwrap_or(line).trim_ascii_end();
    line.iter().map(|byte| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '?' }).collect()
}

fn is_field(text: &str) -> bool {
    let name = text.split_once(':').map(|(name, _)| name);
    name.is_some_and(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()))
}

fn later(text: &str) -> Option<(Stage, String)> {
    let (letter, words) = text.split_at_checked(1)?;
    let stage = match letter {
        "M" => Stage::Mail,
        "R" => Stage::Rcpt,
        "D" => Stage::Data,
        _ => return None,
    };
    Some((stage, words.to_owned()))
}

fn variable(text: &str) -> Option<(String, Option<String>)> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then(|| (name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(said: &str, ends: bool, expected: &PluginOpinion) {
        let mut opinion = PluginOpinion::default();
        assert_eq!((opinion.hear(said.as_bytes()), &opinion), (ends, expected), "{said}");
    }

    #[test]
    fn a_program_says_it_in_letters() {
        let verdict = |verdict| PluginOpinion { verdict, ..PluginOpinion::default() };
        check("", false, &PluginOpinion::default());
        check("?\nP250 more\nX\nHno field\nLX550 no\nS=x\nSA B=x\n", false, &PluginOpinion::default());
        check("N\n", true, &verdict(PluginVerdict::Next));
        check("D", true, &verdict(PluginVerdict::Drop));
        check("E550 no\u{1b}[31m\r\n", true, &verdict(PluginVerdict::Refuse("550 no?[31m".into())));
        check("R421 bye\nHX-A: b\n", true, &verdict(PluginVerdict::Reject("421 bye".into())));
        check(
            "HX-Spam: yes\nCtrap@example.org\nSspam=1=2\nUHOME\nLD554 spam\nO\nE550 unheard\n",
            true,
            &PluginOpinion {
                verdict: PluginVerdict::Ok,
                fields: vec!["X-Spam: yes".into()],
                later: vec![(Stage::Data, "554 spam".into())],
                variables: vec![("spam".into(), Some("1=2".into())), ("HOME".into(), None)],
                address: Some("trap@example.org".into()),
            },
        );
        let mut opinion = PluginOpinion::default();
        opinion.hear("HX: y\n".repeat(1000).as_bytes());
        assert_eq!(opinion.fields.len(), KEPT_MAX);
    }

    proptest! {
        #[test]
        fn whatever_a_program_says_is_bounded_and_each_a_line(said in prop::collection::vec(any::<u8>(), 0..4000)) {
            let mut opinion = PluginOpinion::default();
            opinion.hear(&said);
            let words = match &opinion.verdict {
                PluginVerdict::Refuse(words) | PluginVerdict::Reject(words) => Some(words),
                _ => None,
            };
            let later = opinion.later.iter().map(|(_, words)| words);
            for text in opinion.fields.iter().chain(words).chain(later).chain(&opinion.address) {
                prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text:?}");
                prop_assert!(text.len() <= LINE_BYTES_MAX);
            }
            prop_assert!(opinion.fields.len().max(opinion.variables.len()) <= KEPT_MAX);
        }
    }

    #[test]
    fn a_program_is_its_path_and_words_and_no_shell_is_asked() {
        let home = Path::new("/var/qmail");
        let program = |path: &str, arguments: &[&str]| {
            let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
            Ok(PluginProgram { path: path.into(), arguments })
        };
        assert_eq!(PluginProgram::parse("plugins/a", home), program("/var/qmail/plugins/a", &[]));
        assert_eq!(PluginProgram::parse(":/bin/b  -x 5", home), program("/bin/b", &["-x", "5"]));
        for line in ["", ":", "/bin/a | /bin/b", ":echo \"E550 no\"", "a $HOME"] {
            assert!(PluginProgram::parse(line, home).is_err(), "{line}");
        }
    }
}
