//! The sources of the running daemon: those that send, and how each of all fares.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::config::{Config, Origin, Source};
use crate::detect::detect;
use crate::feed::{Feed, StandardInput};
use crate::health::{Health, LOOK_EVERY, Seen};
use crate::journal::Journal;
use crate::notice::Notices;
use crate::run::clock;
use crate::run::daemon::Daemon;
use crate::store::{Position, Saved};
use crate::syslog::Listener;
use crate::tail::{SourceId, Start, Tailer, Target};

/// The first look: what cannot be had from the start is told at once.
const FIRST_LOOK: Duration = Duration::from_secs(1);

pub(super) struct Sources {
    /// Those that send.
    pub(super) feeds: BTreeMap<SourceId, Feed>,
    /// How each fares, by its name.
    pub(super) health: BTreeMap<String, Health>,
    pub(super) notices: Notices,
    /// When they are looked at again.
    pub(super) look_at: Instant,
}

impl Sources {
    pub(super) fn new() -> Self {
        Sources {
            feeds: BTreeMap::new(),
            health: BTreeMap::new(),
            notices: Notices::default(),
            look_at: Instant::now() + FIRST_LOOK,
        }
    }

    /// Begins to read a source where the last run left it.
    pub(super) fn follow(&mut self, tailer: &mut Tailer, id: SourceId, source: &Source, saved: &Saved) {
        self.health(source);
        let (mut cursors, mut entry) = (Vec::new(), None);
        for (_, position) in saved.cursors.iter().filter(|(name, _)| *name == source.name) {
            match position.clone() {
                Position::File(cursor) => cursors.push(cursor),
                Position::Journal(position) => entry = Some(position),
            }
        }
        let now = Instant::now();
        let feed = match &source.origin {
            Origin::Journal(selection) => {
                Feed::Journal(Box::new(Journal::new(selection.clone(), entry, now)))
            }
            Origin::Syslog(address) => Feed::Syslog(Box::new(Listener::open(address.clone(), now))),
            Origin::Input => Feed::Input(Box::new(StandardInput::open())),
            Origin::File(path) => {
                let target = Target::parse(&path.to_string_lossy());
                if let Err(error) = tailer.follow(id, target, Start::Beginning, &cursors) {
                    tracing::error!("cannot read {}: {error}", source.name);
                }
                return;
            }
        };
        self.feeds.insert(id, feed);
    }

    /// How a source fares, which is known from now on.
    fn health(&mut self, source: &Source) -> &mut Health {
        let health = self.health.entry(source.name.clone());
        let health = health.or_insert_with(|| Health::new(&source.name, source.patience, clock()));
        health.set_patience(source.patience);
        health
    }
}

impl Daemon {
    /// Looks how every source fares, when it is time to.
    pub(super) fn look_at_sources(&mut self) {
        if Instant::now() < self.sources.look_at {
            return;
        }
        self.sources.look_at = Instant::now() + LOOK_EVERY;
        let (now, mut noticed) = (clock(), Vec::new());
        for (id, source) in (0..).zip(&self.config.sources) {
            let seen = self.seen(SourceId(id), source);
            self.sources.health(source).look(now, &seen, &mut noticed);
        }
        for notice in noticed {
            self.desk.notice(&notice, now);
            self.sources.notices.emit(now, notice);
        }
    }

    /// Where nothing is read because there was no log, one may be there by now: the mail server is installed after the
    /// watcher, say.
    pub(super) fn look_for_logs(&mut self) {
        if !self.config.sources.is_empty() {
            return;
        }
        let mut config = self.config.clone();
        if find(&mut config) {
            self.change_sources(&config);
            self.config = config;
        }
    }

    fn seen(&self, id: SourceId, source: &Source) -> Seen {
        let counts = self.watch.counts.sources.get(usize::from(id.0)).cloned().unwrap_or_default();
        let end = self.sources.feeds.get(&id).and_then(Feed::end).map(str::to_owned);
        let (lost, trouble) = (self.stats(id).lost, self.trouble(id, source));
        Seen { lines: counts.lines, unknown: counts.unknown, lost, trouble, end }
    }

    /// Why a source is not read.
    pub(super) fn trouble(&self, id: SourceId, source: &Source) -> Option<String> {
        match &source.origin {
            Origin::File(path) => (self.tailer.stats(id).files == 0).then(|| why_unread(path)),
            Origin::Journal(_) | Origin::Syslog(_) | Origin::Input => {
                self.sources.feeds.get(&id).and_then(Feed::trouble)
            }
        }
    }
}

/// Why a file that is to be followed is not, and what can be done about it.
fn why_unread(path: &Path) -> String {
    // Without waiting: a pipe would let itself be opened only by two.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::ACCESS | Errno::PERM) => {
            let user = rustix::process::geteuid().as_raw();
            format!("the watcher's user ({user}) may not read it: let him, and it is read")
        }
        Err(Errno::NOENT | Errno::NOTDIR) => "there is no such file; it is waited for".to_owned(),
        Err(error) => format!("it cannot be read: {error}"),
        Ok(_) => "there is no log in it; one is waited for".to_owned(),
    }
}

/// Where no source is named: what this machine has, and why that. Tells whether it has anything.
pub(super) fn find(config: &mut Config) -> bool {
    let found = detect(Path::new("/"), clock());
    if found.taken.is_empty() {
        return false;
    }
    config.sources = found.sources(&config.filters);
    for taken in &found.taken {
        tracing::info!("no source is configured; reading {}: {}", taken.origin, taken.why);
    }
    for passed in &found.passed_over {
        tracing::info!("not reading {}: {}", logline::Text::from(&passed.name).readable(), passed.why);
    }
    true
}

/// [`find`], and a word where there is nothing.
pub(super) fn find_or_say(config: &mut Config) {
    if !find(config) {
        tracing::warn!(
            "no source is configured, and no log of a mail server was found; it is looked for again every minute"
        );
    }
}
