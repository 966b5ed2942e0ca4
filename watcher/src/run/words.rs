//! The file of words: what a mail server is asked to do about a client, short of a ban, for as long as the ban of a jail
//! with a `word` lasts. A line is `ADDRESS WORD UNTIL JAIL`.
//!
//! The file is replaced whole, once a second at most. Lines that others wrote stay: all whose last word is none of these
//! jails.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use logline::Timestamp;
use rustix::fs::{FlockOperation, flock};

use crate::config::Config;
use crate::engine::{Engine, Output};
use crate::jail::{JailName, Word};
use crate::subject::{Network, Subject};

/// Between two writes: who changes the file a thousand times a second would only keep its readers reading.
const PAUSE: Duration = Duration::from_secs(1);

/// Clients about whom something is asked. A server looks each of its clients up in the file; it need not hold more than
/// come in an hour. Who would be one more is asked nothing about, and is told of.
const ASKED_MAX: usize = 100_000;

/// Bytes of the file that are read for the lines of others.
const BYTES_MAX: u64 = 16 << 20;

/// What is asked, and the file that it is written to.
#[derive(Debug, Default)]
pub(super) struct Words {
    path: Option<PathBuf>,
    jails: HashMap<JailName, Word>,
    /// Jails whose lines in the file are ours: these, and those that asked for something before the configuration changed.
    ours: HashSet<JailName>,
    asked: BTreeMap<(Network, JailName), Timestamp>,
    is_dirty: bool,
    is_full: bool,
    written: Option<Instant>,
}

impl Words {
    /// What the bans that are in force ask for.
    pub(super) fn of(config: &Config, engine: &Engine, now: Timestamp) -> Self {
        let jails: HashMap<JailName, Word> =
            config.jails.iter().filter_map(|jail| Some((jail.name.clone(), jail.word?))).collect();
        let path = config.words.clone();
        let ours = jails.keys().cloned().collect();
        let mut words = Words { path, jails, ours, ..Words::default() };
        if !words.jails.is_empty() {
            for (subject, lease) in engine.bans(now) {
                words.ask(subject, &lease.jail, lease.until);
            }
        }
        // What the last run left there is out of date; where nothing is asked, the file is another's.
        words.is_dirty = !words.jails.is_empty();
        words
    }

    /// The same, in the file that was written so far; what was asked there before is written anew.
    pub(super) fn in_place_of(self, before: &Words) -> Self {
        let mut ours = self.ours;
        ours.extend(before.ours.iter().cloned());
        let is_dirty = self.is_dirty || !ours.is_empty();
        Words { path: before.path.clone(), ours, is_dirty, written: before.written, ..self }
    }

    /// Takes in what the engine says.
    pub(super) fn note(&mut self, outputs: &[Output]) {
        if self.jails.is_empty() {
            return;
        }
        for output in outputs {
            match output {
                Output::Banned(ban) => self.ask(&ban.subject, &ban.lease.jail, ban.lease.until),
                Output::Ended { subject: Subject::Network(network), jail, .. } => {
                    self.is_dirty |= self.asked.remove(&(*network, jail.clone())).is_some();
                }
                _ => {}
            }
        }
    }

    fn ask(&mut self, subject: &Subject, jail: &JailName, until: Timestamp) {
        // An account is nobody who connects.
        let Subject::Network(network) = subject else { return };
        if !self.jails.contains_key(jail) {
            return;
        }
        let key = (*network, jail.clone());
        if self.asked.len() >= ASKED_MAX && !self.asked.contains_key(&key) {
            if !std::mem::replace(&mut self.is_full, true) {
                tracing::warn!("something is asked about {ASKED_MAX} clients already; no more are taken");
            }
            return;
        }
        self.asked.insert(key, until);
        self.is_dirty = true;
    }

    /// When the file is to be written.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let path = self.path.as_ref().filter(|_| self.is_dirty);
        path.map(|_| self.written.map_or_else(Instant::now, |written| written + PAUSE))
    }

    /// Writes it, if it is time. What fails is tried again.
    pub(super) fn look_after(&mut self, at: Instant, now: Timestamp) {
        let is_time = self.written.is_none_or(|written| written + PAUSE <= at);
        let Some(path) = self.path.clone().filter(|_| self.is_dirty && is_time) else { return };
        self.written = Some(at);
        match self.replace(&path, now) {
            Ok(()) => (self.is_dirty, self.is_full) = (false, false),
            // Whoever holds the lock changes the file by hand, and is done in no time.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => tracing::error!("cannot write {}: {error}", path.display()),
        }
    }

    fn replace(&mut self, path: &Path, now: Timestamp) -> io::Result<()> {
        let lock = File::options().create(true).truncate(false).write(true).open(with_end(path, ".lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let mut others = String::new();
        match File::open(path) {
            Ok(file) => drop(file.take(BYTES_MAX).read_to_string(&mut others)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.asked.retain(|_, until| *until > now);
        let text = self.text(&others, now);
        let aside = with_end(path, ".new");
        // Not synced: what a crash loses is written anew at the next start.
        let mut file = File::create(&aside)?;
        // Whatever the umask is: the server that reads it is another user.
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        fs::rename(&aside, path)
    }

    /// What is asked about each client: of several jails, the most.
    fn text(&self, others: &str, now: Timestamp) -> String {
        let mut lines: BTreeMap<Network, (Word, Timestamp, &JailName)> = BTreeMap::new();
        for ((network, jail), until) in &self.asked {
            let Some(word) = self.jails.get(jail) else { continue };
            let asked = (*word, *until, jail);
            let more = lines.get(network).is_none_or(|(before, end, _)| (*before, *end) < (*word, *until));
            if more {
                lines.insert(*network, asked);
            }
        }
        let mut text = String::new();
        for line in others.lines().filter(|line| self.is_anothers(line, now)).take(ASKED_MAX) {
            text.push_str(line);
            text.push('\n');
        }
        for (network, (word, until, jail)) in lines {
            // A string takes all that is written.
            let _ = writeln!(text, "{network} {} {} {jail}", word.name(), until.seconds());
        }
        text
    }

    /// A line that still holds and that no jail of ours wrote.
    fn is_anothers(&self, line: &str, now: Timestamp) -> bool {
        let mut fields = line.splitn(4, ' ').skip(2);
        let holds = fields.next().and_then(|until| until.parse::<i64>().ok());
        let reason = fields.next().unwrap_or_default();
        holds.is_some_and(|until| until > now.seconds()) && !self.ours.contains(reason)
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(1_795_262_400);

    fn words(path: &Path) -> Words {
        let jails = [("spam-source", Word::Slow), ("guessing", Word::AuthOnly)];
        let jails: HashMap<JailName, Word> = jails.map(|(name, word)| (JailName::from(name), word)).into();
        let ours = jails.keys().cloned().collect();
        Words { path: Some(path.to_owned()), jails, ours, ..Words::default() }
    }

    fn ask(words: &mut Words, subject: &str, jail: &str, seconds: i64) {
        let subject = Subject::Network(subject.parse().unwrap());
        words.ask(&subject, &jail.into(), Timestamp::from_seconds(NOON.seconds() + seconds));
    }

    #[test]
    fn the_most_that_is_asked_stands_in_the_file_beside_the_lines_of_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("words");
        let others = "192.0.2.9 slow 1795262500 manual\n192.0.2.8 slow 1795262300 manual\nnonsense\n\
                      192.0.2.7 slow 1795269999 spam-source\n";
        fs::write(&path, others).unwrap();
        let mut words = words(&path);
        ask(&mut words, "198.51.100.7", "spam-source", 100);
        ask(&mut words, "198.51.100.7", "guessing", 10);
        ask(&mut words, "2001:db8::/64", "spam-source", 7);
        ask(&mut words, "198.51.100.9", "another", 100);
        let start = Instant::now();
        words.look_after(start, NOON);
        let written = "192.0.2.9 slow 1795262500 manual\n198.51.100.7 auth-only 1795262410 guessing\n\
                       2001:db8::/64 slow 1795262407 spam-source\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), written);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644, "another user reads it");
        assert_eq!(words.due_at(), None, "nothing has changed since");
        let (subject, jail) = (Subject::Network("198.51.100.7".parse().unwrap()), JailName::from("guessing"));
        words.note(&[Output::Ended { subject, jail, why: crate::engine::End::Lifted, at: NOON }]);
        words.look_after(start + PAUSE / 2, NOON);
        assert_eq!(fs::read_to_string(&path).unwrap(), written, "not twice in a second");
        words.look_after(start + PAUSE, Timestamp::from_seconds(NOON.seconds() + 50));
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "192.0.2.9 slow 1795262500 manual\n198.51.100.7 slow 1795262500 spam-source\n"
        );
    }

    #[test]
    fn who_holds_the_lock_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("words");
        let lock = File::create(with_end(&path, ".lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        let mut words = words(&path);
        ask(&mut words, "198.51.100.7", "guessing", 10);
        let start = Instant::now();
        words.look_after(start, NOON);
        assert!(!path.exists() && words.due_at().is_some());
        drop(lock);
        words.look_after(start + PAUSE, NOON);
        assert!(path.exists() && words.due_at().is_none());
    }

    #[test]
    fn the_table_has_an_end() {
        let mut words = words(Path::new("/none"));
        for n in 0..u32::try_from(ASKED_MAX).unwrap() + 5 {
            let address = std::net::Ipv4Addr::from_bits(n + 1).to_string();
            ask(&mut words, &address, "guessing", 10);
        }
        assert!(words.asked.len() == ASKED_MAX && words.is_full);
    }
}
