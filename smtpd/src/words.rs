//! The watcher's word: what another program asks this one to do about a client, short of a ban in the kernel.
//!
//! A file of lines, replaced whole by whoever writes it: address or network, word, until when (seconds since 1970), and why.
//!
//! ```text
//! 192.0.2.7 auth-only 1795262400 password-guessing
//! 2001:db8::/32 slow 1795262400 spam-source
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ipnet::IpNet;
use logline::Timestamp;

use crate::watched::Watched;

/// Largest file that is read: half a million words.
const BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Bytes of a reason that are kept; it is shown to the client.
const REASON_BYTES_MAX: usize = 60;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Its mail is taken after a login only.
    AuthOnly,
    /// It gets no answer at once.
    Slow,
}

/// What is asked about one client, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// What.
    pub asked: Asked,
    /// Why: the name of a jail, mostly.
    pub reason: String,
}

/// The file, as a server reads it.
#[derive(Debug)]
pub struct Words {
    file: Watched<Table>,
    /// It could not be read, which was told: each session looks, and would tell it again.
    is_unreadable: AtomicBool,
}

/// What stands in the file, as who writes it has it.
#[derive(Debug, Default)]
pub struct Entries(BTreeMap<IpNet, (Timestamp, Word)>);

#[derive(Debug, Default)]
struct Table {
    words: BTreeMap<IpNet, (Timestamp, Word)>,
    /// The lengths of prefixes there are, so that few look-ups find a network: the longest first, IPv4 and IPv6.
    lengths: BTreeSet<(bool, u8)>,
}

impl Words {
    /// The file at `path`, which need not be there.
    pub fn new(path: &Path) -> Self {
        Words { file: Watched::new(path), is_unreadable: AtomicBool::new(false) }
    }

    /// What is asked about a client now; the narrowest network counts. A file that never could be read asks nothing.
    pub fn about(&self, client: IpAddr, now: Timestamp) -> Option<Word> {
        match self.file.current(Table::read) {
            Ok(table) => {
                self.is_unreadable.store(false, Ordering::Relaxed);
                table?.about(client, now)
            }
            Err(error) => {
                if !self.is_unreadable.swap(true, Ordering::Relaxed) {
                    tracing::warn!(file = %self.file.path().display(), %error, "cannot read the watcher's words");
                }
                None
            }
        }
    }
}

impl Asked {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Asked::AuthOnly => "auth-only",
            Asked::Slow => "slow",
        }
    }
}

impl std::str::FromStr for Asked {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Asked::AuthOnly, Asked::Slow];
        all.into_iter().find(|asked| asked.name() == text).ok_or("expected auth-only or slow")
    }
}

impl Entries {
    /// Reads the file's text. A line that is none, or asks for what is not known, is passed over: a newer writer may
    /// have more words.
    pub fn parse(text: &str) -> Self {
        Entries(text.lines().filter_map(entry).collect())
    }

    /// Asks for something until then, or for nothing any more.
    pub fn set(&mut self, network: IpNet, word: Option<Word>, until: Timestamp) {
        match word {
            Some(word) => self.0.insert(network, (until, word)),
            None => self.0.remove(&network),
        };
    }

    /// The file's text, without what is over.
    pub fn text(&self, now: Timestamp) -> String {
        let standing = self.0.iter().filter(|(_, (until, _))| *until > now);
        let line = |(network, (until, word)): (&IpNet, &(Timestamp, Word))| {
            format!("{network} {} {} {}\n", word.asked.name(), until.seconds(), printable(&word.reason))
        };
        standing.map(line).collect()
    }
}

fn entry(line: &str) -> Option<(IpNet, (Timestamp, Word))> {
    let mut fields = line.splitn(4, ' ');
    let network = network(fields.next()?)?;
    let asked = fields.next()?.parse().ok()?;
    let until = Timestamp::from_seconds(fields.next()?.parse().ok()?);
    Some((network, (until, Word { asked, reason: printable(fields.next().unwrap_or_default()) })))
}

/// A reason is shown to the client, and stands in a line of its own.
fn printable(reason: &str) -> String {
    reason.chars().filter(|c| (' '..='~').contains(c)).take(REASON_BYTES_MAX).collect()
}

impl Table {
    fn read(path: &Path) -> io::Result<Self> {
        if std::fs::metadata(path)?.len() > BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is larger than 32 MB"));
        }
        // What is damaged is passed over, and the other lines hold.
        Ok(Table::parse(&String::from_utf8_lossy(&std::fs::read(path)?)))
    }

    fn parse(text: &str) -> Self {
        let Entries(words) = Entries::parse(text);
        let lengths = words.keys().map(|network| (network.addr().is_ipv4(), network.prefix_len())).collect();
        Table { words, lengths }
    }

    fn about(&self, client: IpAddr, now: Timestamp) -> Option<Word> {
        let lengths = self.lengths.iter().rev().filter(|(is_v4, _)| *is_v4 == client.is_ipv4());
        lengths
            .filter_map(|(_, length)| IpNet::new(client, *length).ok().map(|network| network.trunc()))
            .filter_map(|network| self.words.get(&network))
            .find(|(until, _)| *until > now)
            .map(|(_, word)| word.clone())
    }
}

/// An address or a network.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .map(|network| network.trunc())
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_network_counts_until_its_time_is_over() {
        let table = Table::parse(
            "192.0.2.0/24 slow 200 spam-source\n192.0.2.7 auth-only 100 password-guessing\nnonsense\n\
             192.0.2.8 dance 200 x\n2001:db8::/32 slow 200\n192.0.2.9 slow never x\n198.51.100.7 slow 200 \x1b[31mred\n",
        );
        let check = |client: &str, now: i64, expected: Option<(Asked, &str)>| {
            let word = table.about(client.parse().unwrap(), Timestamp::from_seconds(now));
            let word = word.as_ref().map(|word| (word.asked, word.reason.as_str()));
            assert_eq!(word, expected, "{client} {now}");
        };
        check("192.0.2.7", 50, Some((Asked::AuthOnly, "password-guessing")));
        check("192.0.2.7", 150, Some((Asked::Slow, "spam-source")));
        check("192.0.2.7", 250, None);
        check("192.0.2.8", 50, Some((Asked::Slow, "spam-source")));
        check("192.0.3.8", 50, None);
        check("2001:db8:1::1", 50, Some((Asked::Slow, "")));
        check("2001:db9::1", 50, None);
        check("198.51.100.7", 50, Some((Asked::Slow, "[31mred")));
    }

    #[test]
    fn a_damaged_file_says_what_is_left_of_it_and_one_that_never_could_be_read_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (path, now) = (directory.path().join("words"), Timestamp::from_seconds(50));
        let client = "192.0.2.7".parse().unwrap();
        let words = Words::new(&path);
        assert_eq!(words.about(client, now), None, "there is none");
        std::fs::write(
            &path,
            b"\x00\xff\xfe 192.0.2.7 slow 100 x\n192.0.2.7 slow 100 spam-source\n192.0.2.7 au",
        )
        .unwrap();
        assert_eq!(words.about(client, now).map(|word| word.asked), Some(Asked::Slow));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(words.about(client, now), None, "it was taken away");
        // What is too large is not read, not even once.
        std::fs::File::create(&path).unwrap().set_len(BYTES_MAX + 1).unwrap();
        assert_eq!(words.about(client, now), None);
        std::fs::write(&path, "192.0.2.0/24 auth-only 100 x\n").unwrap();
        assert_eq!(words.about(client, now).map(|word| word.asked), Some(Asked::AuthOnly));
    }
}
