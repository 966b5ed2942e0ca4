//! The file in which a server kept its books when it did not share them yet: read once, into the books that all share, and
//! removed.
//!
//! A line is an object: `{"zone":…,"began":…,"used":…}` or `{"zone":…,"client":…,"since":…,"until":…,"said":…,"text":…,"codes":…}`.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use logline::Timestamp;
use serde::Deserialize;

use super::Listing;
use super::desk::Page;
use super::verdicts::{Client, Said, Verdict};

/// Bytes that are read; a full table had less.
const BYTES_MAX: u64 = 128 * 1024 * 1024;

/// One line.
#[derive(Debug)]
pub(super) enum Entry {
    /// What was used of a zone in the period that began then.
    Spent { zone: String, began: Timestamp, used: u64 },
    /// What a zone said of a client.
    Page(Page),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
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
        #[serde(default)]
        text: Vec<u8>,
        #[serde(default)]
        codes: Vec<Ipv4Addr>,
    },
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    PutOff,
    Clear,
    Known,
    Listed,
}

/// What stands in the file; none where there is no file. A line that is none is passed over.
pub(super) fn read(path: &Path) -> io::Result<Option<impl Iterator<Item = Entry>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let lines = BufReader::new(file.take(BYTES_MAX)).split(b'\n').map_while(Result::ok);
    Ok(Some(lines.filter_map(|line| serde_json::from_slice(&line).ok().map(entry))))
}

fn entry(line: Line) -> Entry {
    match line {
        Line::Spent { zone, began, used } => {
            Entry::Spent { zone, began: Timestamp::from_seconds(began), used }
        }
        Line::Verdict { zone, client, since, until, said, text, codes } => {
            let said = match said {
                Word::PutOff => Said::PutOff,
                Word::Clear => Said::Clear,
                Word::Known => Said::Known,
                Word::Listed => Said::Listed(Listing { text, codes }),
            };
            let (since, until) = (Timestamp::from_seconds(since), Timestamp::from_seconds(until));
            let verdicts = vec![(zone, Verdict { said, since, until })];
            Entry::Page(Page { client: Client::of(client), verdicts, neighbours: None })
        }
    }
}
