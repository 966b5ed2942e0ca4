//! What is special about one client: what the program in front of this one, or a rule for its address, says of it.

use crate::mailbox::Mailbox;
use crate::words::Word;

/// What a client is granted or denied before it has said a word. Nothing, unless somebody says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// It may send to other hosts (`RELAYCLIENT`); the text is put behind each recipient, and is mostly empty.
    pub relay: Option<String>,
    /// It may send to other hosts as a sender of `relaymailfrom` (`RELAYMAILFROM`).
    pub relays_by_sender: bool,
    /// What a blocklist in front said (`RBLSMTPD`, `DNSBLSKIP`); the lists of the settings are not asked then.
    pub blocklist: Option<Verdict>,
    /// Its name by reverse look-up (`TCPREMOTEHOST`).
    pub host: Option<Vec<u8>>,
    /// What its ident server says (`TCPREMOTEINFO`).
    pub info: Option<Vec<u8>>,
    /// The administrator's mark for this service (`CHKUSER_IDENTIFY`).
    pub identify: Option<Vec<u8>>,
    /// What the watcher asks to do about it.
    pub word: Option<Word>,
    /// It did nothing but harm before, and is put off for a while.
    pub is_naughty: bool,
    /// The machine has no time for strangers.
    pub is_busy: bool,
    /// Its connection is encrypted, by the program in front (sslserver).
    pub encrypted: bool,
}

/// What somebody else says of a client, in rblsmtpd's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No list is to be asked.
    Pass,
    /// Its mail is put off: 451, with this text.
    Delay(String),
    /// Its mail is refused: 553, with this text.
    Reject(String),
}

impl Verdict {
    /// Reads `RBLSMTPD`: nothing, a text, or a text behind `-`.
    pub fn parse(text: &[u8]) -> Self {
        let readable = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        match text {
            [] => Verdict::Pass,
            [b'-', text @ ..] => Verdict::Reject(readable(text)),
            text => Verdict::Delay(readable(text)),
        }
    }
}

impl Grant {
    /// A recipient as the queue is to have it: with `RELAYCLIENT` behind it. `None` where that makes no address.
    pub(super) fn relayed(&self, mailbox: &Mailbox) -> Option<Mailbox> {
        match self.relay.as_deref() {
            None | Some("") => Some(mailbox.clone()),
            Some(suffix) => match suffix.strip_prefix('@') {
                Some(gateway) => Mailbox::new(&mailbox.to_string(), gateway),
                None => Mailbox::new(mailbox.local(), &format!("{}{suffix}", mailbox.domain())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(suffix: &str, expected: &str) {
        let grant = Grant { relay: Some(suffix.into()), ..Grant::default() };
        let relayed = grant.relayed(&"alice@example.net".parse().unwrap());
        assert_eq!(relayed.map(|mailbox| mailbox.to_string()).as_deref().unwrap_or("none"), expected);
    }

    #[test]
    fn a_recipient_takes_the_text_of_relayclient() {
        check("", "alice@example.net");
        check(".relay.example.org", "alice@example.net.relay.example.org");
        check("@gateway", "\"alice@example.net\"@gateway");
        check(" x", "none");
    }

    #[test]
    fn a_verdict_is_read_as_rblsmtpd_reads_it() {
        assert_eq!(Verdict::parse(b""), Verdict::Pass);
        assert_eq!(Verdict::parse(b"later"), Verdict::Delay("later".into()));
        assert_eq!(Verdict::parse(b"-never"), Verdict::Reject("never".into()));
    }
}
