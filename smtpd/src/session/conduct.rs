//! How a session stands with the policies: what is counted of it, and what that makes of the client's karma.

use crate::karma::Deed;
use crate::session::inquest::Opinion;
use crate::session::{RecipientAnswer, Rejection, Session};

/// What is counted of a session.
#[derive(Debug, Default)]
pub(super) struct Conduct {
    /// Who knew the last recipient.
    pub(super) found: RecipientAnswer,
    /// What the client's name was found to be.
    pub(super) helo: Opinion,
    /// It spoke before it was greeted, and is to hear of that later.
    pub(super) is_early: bool,
    /// It tried more recipients than it may, and gets none any more.
    pub(super) is_over: bool,
    /// Bad recipients so far, of all messages.
    pub(super) bad_recipients: u32,
    /// Recipients so far, of all messages.
    pub(super) recipients: u32,
    /// Commands that nobody knows.
    unrecognized: u32,
    /// How the session went so far.
    points: i32,
    /// Messages that were taken.
    messages: u32,
}

impl Session {
    /// How the session went: below zero where the client did harm, above only where a message was taken: a name that is its
    /// own makes up for a slip, and makes nobody a sender of mail. None for a client that logged in or may relay, or was
    /// put off for what it did before.
    pub fn karma(&self) -> Option<i32> {
        let points = if self.conduct.messages > 0 { self.conduct.points } else { self.conduct.points.min(0) };
        (!self.may_relay() && !self.peer.grant.is_naughty).then_some(points)
    }

    /// A message was taken.
    pub(super) fn count_message(&mut self) {
        self.conduct.messages = self.conduct.messages.saturating_add(1);
        self.count_deed(Deed::Message);
    }

    /// Counts what is known of the client now.
    pub(super) fn count_deed(&mut self, deed: Deed) {
        self.conduct.points = self.conduct.points.saturating_add(self.policy.rules.points.of(deed));
    }

    /// Counts what a refusal says of the client, and of its recipients.
    pub(super) fn count_refusal(&mut self, rejection: Rejection) {
        if let Some(deed) = rejection.deed() {
            self.count_deed(deed);
        }
        if rejection.is_bad_recipient() {
            self.conduct.bad_recipients = self.conduct.bad_recipients.saturating_add(1);
            if let Some(transaction) = &mut self.transaction {
                transaction.is_spoilt = true;
            }
        }
    }

    /// Counts a command that nobody knows; true where it is one too many.
    pub(super) fn is_babbling(&mut self) -> bool {
        let max = self.policy.limits.unrecognized_max;
        self.conduct.unrecognized = self.conduct.unrecognized.saturating_add(1);
        max != 0 && self.conduct.unrecognized >= max
    }

    /// Counts a recipient that was accepted.
    pub(super) fn count_recipient(&mut self) {
        self.conduct.recipients = self.conduct.recipients.saturating_add(1);
    }

    /// Whether a message is refused for one of its recipients.
    pub(super) fn is_spoilt(&self) -> bool {
        self.policy.rules.one_bad_recipient_spoils
            && !self.may_relay()
            && self.transaction.as_ref().is_some_and(|transaction| transaction.is_spoilt)
    }

    /// A new name is a new question.
    pub(super) fn forget_name(&mut self) {
        self.conduct.helo = Opinion::None;
    }
}
