//! The watcher's word: what another program asks this one to do about a client, short of a ban in the kernel.
//!
//! A file of lines, replaced whole by whoever writes it: address or network, word, until when (seconds since 1970), and why.
//!
//! ```text
//! 192.0.2.7 auth-only 1795262400 password-guessing
//! 2001:db8::/32 slow 1795262400 spam-source
//! ```

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::IpAddr;
use std::path::Path;

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

/// The file.
#[derive(Debug)]
pub struct Words(Watched<Table>);

#[derive(Debug, Default)]
struct Table {
    words: HashMap<IpNet, (Timestamp, Word)>,
    /// The lengths of prefixes there are, so that few look-ups find a network: the longest first, IPv4 and IPv6.
    lengths: BTreeSet<(bool, u8)>,
}

impl Words {
    /// The file at `path`, which need not be there.
    pub fn new(path: &Path) -> Self {
        Words(Watched::new(path))
    }

    /// What is asked about a client now; the narrowest network counts. A file that cannot be read asks nothing.
    pub fn about(&self, client: IpAddr, now: Timestamp) -> Option<Word> {
        match self.0.current(Table::read) {
            Ok(table) => table?.about(client, now),
            Err(error) => {
                tracing::warn!(file = %self.0.path().display(), %error, "cannot read the watcher's words");
                None
            }
        }
    }
}

impl Table {
    fn read(path: &Path) -> io::Result<Self> {
        if std::fs::metadata(path)?.len() > BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is larger than 32 MB"));
        }
        Ok(Table::parse(&std::fs::read_to_string(path)?))
    }

    /// A line that is none, or asks for what is not known, is passed over: a newer writer may have more words.
    fn parse(text: &str) -> Self {
        let mut table = Table::default();
        for line in text.lines() {
            let mut fields = line.splitn(4, ' ');
            let network = fields.next().and_then(network);
            let asked = match fields.next() {
                Some("auth-only") => Some(Asked::AuthOnly),
                Some("slow") => Some(Asked::Slow),
                Some(_) | None => None,
            };
            let until = fields.next().and_then(|until| until.parse().ok()).map(Timestamp::from_seconds);
            let reason = fields.next().unwrap_or_default().chars().filter(|c| (' '..='~').contains(c));
            let reason = reason.take(REASON_BYTES_MAX).collect();
            if let (Some(network), Some(asked), Some(until)) = (network, asked, until) {
                table.lengths.insert((network.addr().is_ipv4(), network.prefix_len()));
                table.words.insert(network, (until, Word { asked, reason }));
            }
        }
        table
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

fn network(text: &str) -> Option<IpNet> {
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
}
