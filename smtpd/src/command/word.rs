//! `postern-smtpd word`: asks the server for something short of a ban, by hand or as a hook of the watcher.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use logline::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::Deserialize;

use crate::clock::now;
use crate::command::{Answer, Failure};
use crate::config::Config;
use crate::durable;
use crate::words::{Asked, Entries, Word};

/// Bytes of a hook's news that are read.
const NEWS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What is asked, of whom, and for how long.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What; `None` takes back what was asked.
    pub asked: Option<Asked>,
    /// Of whom; nobody means those of whom the watcher's news on standard input tell.
    pub subjects: Vec<IpNet>,
    /// How long, where the news do not say.
    pub lasts: Duration,
}

/// What the watcher tells a hook, as far as it is read here.
#[derive(Debug, Deserialize)]
struct News {
    events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
struct Event {
    kind: String,
    subject: Option<String>,
    jail: Option<String>,
    ban: Option<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    until: Option<String>,
}

/// Changes the file of words.
///
/// # Errors
/// Where the settings name no such file, or it cannot be changed.
pub fn word(config: &Config, wish: &Wish) -> Result<Answer, Failure> {
    let Some(path) = &config.words else {
        return Err(Failure::NoWords);
    };
    let news = if wish.subjects.is_empty() { Some(read_news()?) } else { None };
    let failed = |cause| Failure::File {
        path: path.clone(),
        what: "it is the file of the watcher's words; let this user write it and its directory",
        cause,
    };
    change(path, |entries| {
        let now = now();
        for subject in &wish.subjects {
            let word = |asked| Word { asked, reason: "manual".to_owned() };
            entries.set(*subject, wish.asked.map(word), now + wish.lasts);
        }
        for event in news.iter().flat_map(|news| &news.events) {
            take(entries, event, wish, now);
        }
    })
    .map_err(failed)?;
    Ok(Answer::Yes)
}

fn take(entries: &mut Entries, event: &Event, wish: &Wish, now: Timestamp) {
    // A user is nobody who connects.
    let Some(subject) = event.subject.as_deref().and_then(crate::words::network) else {
        return;
    };
    let reason = event.jail.clone().unwrap_or_default();
    let until = event.ban.as_ref().and_then(|ban| ban.until.as_deref()).and_then(|until| until.parse().ok());
    let until =
        until.map_or(now + wish.lasts, |until: jiff::Timestamp| Timestamp::from_seconds(until.as_second()));
    match event.kind.as_str() {
        "ban" | "would-ban" => entries.set(subject, wish.asked.map(|asked| Word { asked, reason }), until),
        "unban" => entries.set(subject, None, now),
        _ => {}
    }
}

fn read_news() -> Result<News, Failure> {
    let mut text = Vec::new();
    std::io::stdin().take(NEWS_BYTES_MAX).read_to_end(&mut text).map_err(Failure::Terminal)?;
    serde_json::from_slice(&text).map_err(|error| Failure::Terminal(error.into()))
}

/// Changes the file whole, one process after the other.
fn change(path: &Path, change: impl FnOnce(&mut Entries)) -> std::io::Result<()> {
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    let lock = std::fs::File::options().create(true).truncate(false).write(true).open(lock)?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let mut entries = Entries::parse(&text);
    change(&mut entries);
    durable::replace(path, entries.text(now()).as_bytes(), 0o644)
}
