//! The books on disk: verdicts and what was spent survive a restart. A file that cannot be read costs queries and
//! nothing else.
//!
//! A line is an object: `{"zone":…,"began":…,"used":…}` or `{"zone":…,"client":…,"since":…,"until":…,"said":…,"text":…,"codes":…}`.

use std::fs;
use std::io::{self, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use logline::Timestamp;
use serde::{Deserialize, Serialize};

use super::Listing;
use super::desk::Desk;
use super::verdicts::{Client, Said, Verdict};
use crate::durable;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Entry {
    Spent {
        zone: String,
        began: i64,
        used: u64,
    },
    Verdict {
        zone: String,
        client: IpAddr,
        since: i64,
        until: i64,
        said: Word,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        text: Vec<u8>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        codes: Vec<Ipv4Addr>,
    },
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    PutOff,
    Clear,
    Known,
    Listed,
}

impl Desk {
    /// What is worth keeping, as the bytes of a file.
    pub fn written(&self, now: Timestamp) -> Vec<u8> {
        let names: Vec<String> = self.zones(now).map(|(zone, ..)| zone.to_owned()).collect();
        let spent = self.zones(now).map(|(zone, budget, _)| {
            let (began, used) = budget.used();
            Entry::Spent { zone: zone.to_owned(), began: began.seconds(), used }
        });
        let verdicts = self.verdicts.holding(now).filter_map(|(zone, client, verdict)| {
            let zone = names.get(usize::from(zone))?.clone();
            let nothing = Listing { text: Vec::new(), codes: Vec::new() };
            let (said, Listing { text, codes }) = match &verdict.said {
                Said::PutOff => (Word::PutOff, nothing),
                Said::Clear => (Word::Clear, nothing),
                Said::Known => (Word::Known, nothing),
                Said::Listed(listing) => (Word::Listed, listing.clone()),
            };
            Some(Entry::Verdict {
                zone,
                client: client.address(),
                since: verdict.since.seconds(),
                until: verdict.until.seconds(),
                said,
                text,
                codes,
            })
        });
        let mut bytes = Vec::new();
        for entry in spent.chain(verdicts) {
            // Numbers, names and bytes: nothing that JSON has no form for.
            if serde_json::to_writer(&mut bytes, &entry).is_ok() {
                bytes.push(b'\n');
            }
        }
        bytes
    }

    /// Takes in what was written; gives the number of lines that could not be read.
    pub fn read(&mut self, now: Timestamp, lines: impl io::BufRead) -> io::Result<usize> {
        let names: Vec<String> = self.zones(now).map(|(zone, ..)| zone.to_owned()).collect();
        let mut strange = 0;
        for line in lines.split(b'\n') {
            match serde_json::from_slice(&line?) {
                Ok(Entry::Spent { zone, began, used }) => {
                    self.restore_used(&zone, Timestamp::from_seconds(began), used);
                }
                Ok(Entry::Verdict { zone, client, since, until, said, text, codes }) => {
                    let said = match said {
                        Word::PutOff => Said::PutOff,
                        Word::Clear => Said::Clear,
                        Word::Known => Said::Known,
                        Word::Listed => Said::Listed(Listing { text, codes }),
                    };
                    let (since, until) = (Timestamp::from_seconds(since), Timestamp::from_seconds(until));
                    let zone = (0_u16..).zip(&names).find(|(_, name)| **name == zone);
                    if let Some((zone, _)) = zone.filter(|_| until > now) {
                        self.verdicts.insert(zone, Client::of(client), Verdict { said, since, until });
                    }
                }
                Err(_) => strange += 1,
            }
        }
        Ok(strange)
    }
}

/// Reads the file into the books, if there is one.
pub(super) fn load(desk: &mut Desk, now: Timestamp, path: &Path) {
    let read = fs::File::open(path).and_then(|file| desk.read(now, BufReader::new(file)));
    match read {
        Ok(0) => {}
        Ok(lines) => tracing::warn!(path = %path.display(), lines, "some lines could not be read"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(path = %path.display(), %error, "what blocklists said is forgotten"),
    }
}

/// Writes them, whole or not at all.
pub(super) fn store(bytes: &[u8], path: &Path) -> io::Result<()> {
    durable::replace(path, bytes, 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocklist::desk::Plan;
    use crate::blocklist::{Action, Blocklist, Limit, Terms, ZoneAnswer};
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_262_400);

    fn desk() -> Desk {
        let day = Duration::from_secs(86_400);
        let limit = Some(Limit { queries: 100, period: day, reset: Duration::ZERO });
        let list =
            |zone| Blocklist::new(zone, Action::Delay, None).with_terms(Terms { limit, ..Terms::default() });
        Desk::new(&[list("a.example"), list("b.example")])
    }

    #[test]
    fn what_was_said_and_spent_is_known_after_a_restart() {
        let client = [192, 0, 2, 7].into();
        let mut before = desk();
        before.plan(NOW, 1, client);
        let text = Some(b"spam \xff \"quoted\"".to_vec());
        before.answered(NOW, 1, client, &ZoneAnswer::Addresses { codes: vec![[127, 0, 0, 2].into()], text });
        let mut after = desk();
        assert_eq!(after.read(NOW, &*before.written(NOW)).unwrap(), 0);
        assert_eq!(after.plan(NOW, 1, client), before.plan(NOW, 1, client));
        assert_eq!(after.plan(NOW, 0, client), Plan::Ask);
        let used = |desk: &Desk| desk.zones(NOW).map(|(_, budget, _)| budget.used().1).collect::<Vec<_>>();
        assert_eq!((used(&before), used(&after)), (vec![0, 2], vec![1, 2]));
    }

    #[test]
    fn strange_lines_are_counted_and_passed_over() {
        let text = b"{\"zone\":\"a.example\",\"began\":1795219200,\"used\":9}\nnonsense\n{\"zone\":\"gone.example\",\"began\":0,\"used\":1}\n";
        let mut desk = desk();
        assert_eq!(desk.read(NOW, &text[..]).unwrap(), 1);
        assert_eq!(desk.zones(NOW).next().map(|(_, budget, _)| budget.used().1), Some(9));
    }
}
