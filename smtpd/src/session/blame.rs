//! What speaks against a client or its sender, whatever the recipient is: refused at once, or later with all reasons, so
//! that whoever reads the log for a false alarm sees them together.

use std::sync::Arc;

use logline::{Found, Text};

use crate::rules::{Naughty, Trust};
use crate::session::checks::helo_rejection;
use crate::session::{About, Answer, Output, Rejection, Session};

/// Reasons that one message is refused for; a session cannot grow by them.
const REASONS_MAX: usize = 8;

/// Bytes of all texts together: a reply has 512 (RFC 5321 §4.5.3.1.5).
const TEXT_BYTES_MAX: usize = 400;

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blame {
    rejection: Rejection,
    /// Whose words these are is no matter: the list's, the domain's, our own.
    text: String,
    detail: String,
}

impl Blame {
    pub(super) fn new(rejection: Rejection, answer: Answer<'_>) -> Self {
        Blame { rejection, text: answer.text.to_owned(), detail: answer.detail.to_owned() }
    }

    fn usual(rejection: Rejection) -> Self {
        Blame::new(rejection, rejection.answer())
    }

    fn by(rejection: Rejection, entry: &str) -> Self {
        Blame::new(rejection, Answer { detail: entry, ..rejection.answer() })
    }

    /// As it stands beside others: the reason, and what decided where that says more.
    fn told(&self) -> String {
        let reason = self.rejection.answer().reason.name();
        if self.detail.is_empty() { reason.to_owned() } else { format!("{reason}:{}", self.detail) }
    }
}

impl Session {
    /// Whether something that is known of a client is to be told later.
    pub(super) fn tells_later(&self) -> bool {
        self.policy.rules.naughty != Naughty::Soon
    }

    /// Refuses a recipient for what is known of the client and its sender without asking anybody; false where nothing is,
    /// or DATA is to be refused for it.
    pub(super) fn refuses_client(&mut self, about: About<'_>, out: &mut Vec<Output>) -> bool {
        let blames = self.blames(out);
        if blames.is_empty() {
            return false;
        }
        match self.policy.rules.naughty {
            Naughty::Soon | Naughty::Rcpt => self.refuse_for(&blames, about, out),
            Naughty::Data => {
                blames.into_iter().for_each(|blame| self.remember(blame));
                return false;
            }
        }
        true
    }

    fn blames(&mut self, out: &mut Vec<Output>) -> Vec<Blame> {
        let mut blames = Vec::new();
        if self.tells_later() && !self.may_relay() {
            if self.conduct.is_early {
                blames.push(Blame::usual(Rejection::SpokeEarly));
            }
            if self.peer.grant.is_naughty {
                blames.push(Blame::usual(Rejection::Naughty));
            }
        }
        blames.extend(self.blame_of_name(out));
        blames.extend(self.blame_of_sender(out));
        blames
    }

    fn blame_of_name(&mut self, out: &mut Vec<Output>) -> Option<Blame> {
        let name = self.helo.clone()?;
        let policy = Arc::clone(&self.policy);
        if let Some(entry) = policy.rules.bad.helo(&name, self.trust()) {
            let found = Found::Forbidden { list: logline::BadList::Helo, value: Text::from(name) };
            self.note_guard(found, out);
            return Some(Blame::by(Rejection::BadHelo, entry));
        }
        let is_ours = |name: &str| {
            policy.hostname.eq_ignore_ascii_case(name) || policy.domains.contains(&name.to_ascii_lowercase())
        };
        let fault = match self.trust() {
            Trust::Relay => None,
            Trust::None => policy.rules.helo.judge(&name, self.peer.remote.ip(), is_ours),
        };
        fault.map(|fault| Blame::usual(helo_rejection(fault)))
    }

    fn blame_of_sender(&mut self, out: &mut Vec<Output>) -> Option<Blame> {
        let policy = Arc::clone(&self.policy);
        let sender = self.transaction.as_ref()?.sender.as_ref()?;
        let entry = policy.rules.bad.sender(sender, self.trust())?;
        let value = Text::from(sender.to_string());
        self.note_guard(Found::Forbidden { list: logline::BadList::MailFrom, value }, out);
        Some(Blame::by(Rejection::BadSender, entry))
    }

    /// Whether DATA is to be refused instead, for something that was found out about the client by asking. What could not
    /// be found out is no reason.
    pub(super) fn is_told_at_data(&mut self, rejection: Rejection, answer: Answer<'_>) -> bool {
        let is_later = self.policy.rules.naughty == Naughty::Data && rejection.is_blame();
        if is_later {
            self.remember(Blame::new(rejection, answer));
        }
        is_later
    }

    fn remember(&mut self, blame: Blame) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        if transaction.blames.len() < REASONS_MAX && !transaction.blames.contains(&blame) {
            transaction.blames.push(blame);
        }
    }

    /// Whether the message will be refused; nobody need be asked about its client any more.
    pub(super) fn is_blamed(&self) -> bool {
        !self.may_relay()
            && self.transaction.as_ref().is_some_and(|transaction| !transaction.blames.is_empty())
    }

    /// Refuses the message for all that was found; false where nothing was.
    pub(super) fn refuses_blamed(&mut self, out: &mut Vec<Output>) -> bool {
        if !self.is_blamed() {
            return false;
        }
        let blames = self.transaction.as_ref().map(|transaction| transaction.blames.clone());
        self.refuse_for(&blames.unwrap_or_default(), About::Session, out);
        self.transaction = None;
        true
    }

    /// One reason is told as ever. Of several the first that is for good gives code and reason, and all are told.
    fn refuse_for(&mut self, blames: &[Blame], about: About<'_>, out: &mut Vec<Output>) {
        let for_good = blames.iter().find(|blame| blame.rejection.answer().code >= 500);
        let Some(first) = for_good.or(blames.first()) else {
            return;
        };
        for other in blames.iter().filter(|other| *other != first) {
            self.count_refusal(other.rejection);
        }
        let (mut text, mut detail) = (first.text.clone(), first.detail.clone());
        if blames.len() > 1 {
            detail = blames.iter().map(Blame::told).collect::<Vec<_>>().join("+");
            for other in blames.iter().filter(|other| *other != first) {
                if text.len() + other.text.len() < TEXT_BYTES_MAX {
                    text = format!("{text}; {}", other.text);
                }
            }
        }
        let answer = Answer { text: &text, detail: &detail, ..first.rejection.answer() };
        self.refuse_with(first.rejection, answer, about, out);
    }
}
