//! Listed clients that look honest: the recipient exists, the session is one that a mail server would hold, and perhaps the
//! client's mail was welcome at another time.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use indexmap::IndexMap;
use logline::{Rblsmtpd, Said, SessionId, Text, Timestamp};

use super::finding;
use super::flow::REFUSALS;
use super::transcript::Transcript;
use super::zone::Zones;
use crate::control::api::rfc3339;
use crate::event::{Event, Kind};

/// So many sessions of listed clients are open at a time; of more, the oldest is taken to have ended.
const OPEN_MAX: usize = 10_000;

/// So many clients are kept to be judged at the end; of more, the first ones.
const KEPT_MAX: usize = 20_000;

/// So many recipients, and so many clients, are known to be good or bad.
const KNOWN_MAX: usize = 1_000_000;

/// What does not come to this is not worth a look.
const SCORE_MIN: i32 = 4;

/// So many are shown.
const SHOWN: usize = 50;

#[derive(Debug, Default)]
pub(super) struct Suspects {
    open: IndexMap<(usize, SessionId), Transcript, foldhash::fast::RandomState>,
    /// The most honest session of each client, and how many he had.
    kept: HashMap<IpAddr, (Transcript, i32, u64), foldhash::fast::RandomState>,
    recipients: HashSet<Vec<u8>, foldhash::fast::RandomState>,
    clients: HashMap<IpAddr, Conduct, foldhash::fast::RandomState>,
    is_full: bool,
}

/// What a client did when he was not refused for being listed.
#[derive(Clone, Copy, Debug, Default)]
struct Conduct {
    welcome: bool,
    offences: u32,
}

impl Suspects {
    /// Who behaves well, and who exists.
    pub(super) fn event(&mut self, event: &Event<'_>) {
        if event.kind == Kind::RcptOk
            && let Some(recipient) = event.field("recipient")
        {
            self.exists(recipient.to_ascii_lowercase());
        }
        let is_good = matches!(event.kind, Kind::MessageAccepted | Kind::AuthOk);
        let is_offence = event.kind != Kind::DnsblListed && REFUSALS.contains(&event.kind)
            || event.kind == Kind::AuthFailed;
        let Some(address) = event.address.filter(|_| is_good || is_offence) else { return };
        if self.clients.len() >= KNOWN_MAX && !self.clients.contains_key(&address) {
            self.is_full = true;
            return;
        }
        let conduct = self.clients.entry(address).or_default();
        conduct.welcome |= is_good;
        conduct.offences = conduct.offences.saturating_add(u32::from(is_offence));
    }

    /// Mail was delivered to an address of this host. qmail writes the domain of a virtual one before it.
    pub(super) fn delivered_to(&mut self, recipient: &[u8]) {
        let recipient = recipient.to_ascii_lowercase();
        let domain = recipient.rsplit(|b| *b == b'@').next().unwrap_or_default();
        let plain = recipient.strip_prefix(domain).and_then(|rest| rest.strip_prefix(b"-"));
        if let Some(plain) = plain {
            self.exists(plain.to_vec());
        }
        self.exists(recipient);
    }

    fn exists(&mut self, recipient: Vec<u8>) {
        if self.recipients.len() < KNOWN_MAX {
            self.recipients.insert(recipient);
        }
    }

    /// A line of a transcript.
    pub(super) fn said(&mut self, source: usize, said: &Rblsmtpd<'_>, at: Timestamp) {
        let key = (source, said.pid);
        match &said.said {
            Said::Delay(_) | Said::Reject(_) => {
                if let Some(before) = self.open.insert(key, Transcript::begin(said, at)) {
                    self.keep(before);
                }
                if self.open.len() > OPEN_MAX
                    && let Some((_, oldest)) = self.open.shift_remove_index(0)
                {
                    self.keep(oldest);
                }
            }
            Said::Command(_) => {
                // Whose verdict was not seen, or another client's under a number that is used again, tells nothing.
                if let Some(open) = self.open.get_mut(&key).filter(|open| open.address == said.address) {
                    open.hear(&said.said);
                }
            }
        }
    }

    fn keep(&mut self, transcript: Transcript) {
        let (score, _) = transcript.judge();
        if transcript.recipients.is_empty() {
            return;
        }
        if self.kept.len() >= KEPT_MAX && !self.kept.contains_key(&transcript.address) {
            self.is_full = true;
            return;
        }
        let sessions = self.kept.get(&transcript.address).map_or(0, |(_, _, sessions)| *sessions) + 1;
        let best = self.kept.get(&transcript.address).map(|(_, best, _)| *best);
        if best.is_none_or(|best| score > best) {
            self.kept.insert(transcript.address, (transcript, score, sessions));
        } else if let Some((_, _, count)) = self.kept.get_mut(&transcript.address) {
            *count = sessions;
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Those worth a look, the likeliest first.
    pub(super) fn findings(mut self, zones: &Zones) -> Vec<finding::Suspect> {
        for transcript in std::mem::take(&mut self.open).into_values() {
            self.keep(transcript);
        }
        let kept = std::mem::take(&mut self.kept);
        let suspects = kept.into_values().filter_map(|(transcript, _, sessions)| {
            let recipient = transcript.recipients.iter().find(|r| self.recipients.contains(*r))?;
            let (mut score, mut why) = transcript.judge();
            let conduct = self.clients.get(&transcript.address).copied().unwrap_or_default();
            if conduct.welcome {
                score += 2;
                why.push("its mail was taken, or it logged in, at another time");
            }
            if conduct.offences == 0 {
                score += 1;
                why.push("it did nothing else that is refused");
            } else {
                score -= 3;
                why.push("but it did other things that are refused");
            }
            (score >= SCORE_MIN).then(|| finding::Suspect {
                address: transcript.address.to_string(),
                at: rfc3339(transcript.at),
                zones: zones.listing(transcript.address),
                recipient: Text::from(recipient.clone()).readable().to_string(),
                score,
                why,
                sessions,
                transcript: transcript.lines,
            })
        });
        let mut suspects: Vec<finding::Suspect> = suspects.collect();
        suspects.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.at.cmp(&b.at)));
        suspects.truncate(SHOWN);
        suspects
    }
}
