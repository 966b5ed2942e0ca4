//! The policies of the gate that ask nobody, in the order of a session. What has to be asked comes after them
//! (`inquest`).

use std::sync::Arc;
use std::time::Duration;

use logline::{ChkuserOutcome, Found, Guard, PolicyCheck, PolicySaid, Record, Side, Text, Timestamp};

use crate::mailbox::Mailbox;
use crate::rules::{Early, HeloFault, KarmaRefuses, Trust, is_relay_probe};
use crate::session::{About, Answer, End, Output, Rejection, Service, Session, State};
use crate::words::Asked;

/// What each command costs a client that the watcher wants slow.
const SLOW: Duration = Duration::from_secs(5);

impl Session {
    /// Lets a client wait for its greeting, or greets it, or tells it to come again another day.
    pub(super) fn greet_in_time(&mut self, out: &mut Vec<Output>) {
        let is_refused = self.policy.rules.karma_refuses == KarmaRefuses::Connection
            && self.peer.service == Service::Smtp
            && self.peer.grant.is_naughty
            && !self.may_relay();
        if is_refused {
            self.refuse(Rejection::NaughtyConnection, About::Session, out);
            return self.close(End::GaveUp, out);
        }
        let waits = !self.policy.rules.greet_delay.is_zero()
            && self.peer.service == Service::Smtp
            && !self.may_relay();
        if waits { self.state = State::Greeting } else { self.greet(out) }
    }

    /// The client has waited.
    pub(super) fn waited(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        self.since = now;
        self.greet(out);
    }

    /// The client did not wait; false where it has the word now.
    pub(super) fn spoke_early(&mut self, now: Timestamp, out: &mut Vec<Output>) -> bool {
        match self.policy.rules.early {
            // A login may come yet.
            Early::Reject if self.tells_later() => {
                self.note_guard(Found::SpokeEarly, out);
                self.conduct.is_early = true;
                self.state = State::Command;
                self.waited(now, out);
                true
            }
            Early::Reject => {
                self.note_guard(Found::SpokeEarly, out);
                self.refuse(Rejection::SpokeEarly, About::Session, out);
                self.close(End::GaveUp, out);
                false
            }
            Early::Ignore => {
                self.note_guard(Found::SpokeEarlyIgnored, out);
                self.state = State::Command;
                self.waited(now, out);
                true
            }
        }
    }

    /// Writes down what the watcher asks about this client, so that the journal tells why it is treated so.
    pub(super) fn take_word(&mut self, out: &mut Vec<Output>) {
        if let Some(word) = &self.peer.grant.word {
            let found = match word.asked {
                Asked::AuthOnly => logline::Word::AuthOnly,
                Asked::Slow => logline::Word::Slow,
            };
            self.note_guard(Found::Word(found), out);
        }
    }

    /// What the greeting says to a client that the watcher wants slow, so that whoever reads its log knows why it waits.
    pub(super) fn slowness(&self) -> String {
        match self.peer.grant.word.as_ref().filter(|word| word.asked == Asked::Slow) {
            None => String::new(),
            Some(word) if word.reason.is_empty() => ", slowly for now".to_owned(),
            Some(word) => format!(", slowly for now [{}]", word.reason),
        }
    }

    /// What each command costs a client that the watcher wants slow.
    pub(super) fn slow_down(&self, out: &mut Vec<Output>) {
        if self.peer.grant.word.as_ref().is_some_and(|word| word.asked == Asked::Slow) && self.login.is_none()
        {
            out.push(Output::Pause(SLOW));
        }
    }

    /// Refuses MAIL before a login where the watcher asks for that.
    pub(super) fn refuses_without_login(&mut self, about: About<'_>, out: &mut Vec<Output>) -> bool {
        let Some(word) = self.peer.grant.word.clone().filter(|word| word.asked == Asked::AuthOnly) else {
            return false;
        };
        if self.may_relay() {
            return false;
        }
        let usual = Rejection::AuthOnly.answer();
        let text = match word.reason.as_str() {
            "" => usual.text.to_owned(),
            reason => format!("{} [{reason}]", usual.text),
        };
        self.refuse_with(Rejection::AuthOnly, Answer { text: &text, ..usual }, about, out);
        true
    }

    /// Why MAIL is refused whatever the recipient will be. Who may relay is no stranger.
    pub(super) fn sender_is_refused(&self, sender: Option<&Mailbox>) -> Option<Rejection> {
        if self.may_relay() {
            None
        } else if self.peer.grant.is_naughty && !self.tells_later() {
            Some(Rejection::Naughty)
        } else if self.peer.grant.is_busy {
            Some(Rejection::Busy)
        } else if sender.is_none() && self.policy.rules.reject_null_sender {
            Some(Rejection::NullSender)
        } else {
            None
        }
    }

    /// Refuses a recipient for what is known without asking anybody; false where nothing speaks against it.
    pub(super) fn is_refused_unasked(&mut self, mailbox: &Mailbox, out: &mut Vec<Output>) -> bool {
        let given = mailbox.to_string();
        let about = About::Recipient { given: given.as_bytes(), ours: Some(self.is_ours(mailbox)) };
        if self.policy.rules.reject_relay_probes && is_relay_probe(mailbox) {
            self.refuse(Rejection::RelayProbe, about, out);
            return true;
        }
        self.refuses_client(about, out)
            || self.refuses_over_limit(about, out)
            || self.refuses_bad_recipient(mailbox, about, out)
            || self.refuses_pair(mailbox, about, out)
            || self.refuses_second_of_bounce(about, out)
    }

    /// qmail's limit closes the session; chkuser's lets it go on without ever succeeding.
    fn refuses_over_limit(&mut self, about: About<'_>, out: &mut Vec<Output>) -> bool {
        let rules = &self.policy.rules;
        let is_over = |limit: u32, count: u32| limit != 0 && count >= limit;
        if is_over(rules.bad_recipients_max, self.conduct.bad_recipients) {
            self.note_guard(Found::BadRecipients, out);
            self.refuse(Rejection::TooManyBadRecipients, about, out);
            self.close(End::GaveUp, out);
            return true;
        }
        let (outcome, rejection) = if self.conduct.is_over {
            (ChkuserOutcome::RejectedIntrusion, Rejection::Intrusion)
        } else if is_over(rules.session_recipients_max, self.conduct.recipients) {
            (ChkuserOutcome::IntrusionRcpts, Rejection::SessionRecipients)
        } else if is_over(rules.session_bad_recipients_max, self.conduct.bad_recipients) {
            (ChkuserOutcome::IntrusionWrongRcpts, Rejection::SessionBadRecipients)
        } else {
            return false;
        };
        self.conduct.is_over = true;
        self.note_chkuser(outcome, about, out);
        self.refuse(rejection, about, out);
        true
    }

    fn refuses_bad_recipient(&mut self, mailbox: &Mailbox, about: About<'_>, out: &mut Vec<Output>) -> bool {
        let policy = Arc::clone(&self.policy);
        let Some(entry) = policy.rules.bad.recipient(mailbox, self.trust()) else {
            return false;
        };
        let value = Text::from(mailbox.to_string());
        self.note_guard(Found::Forbidden { list: logline::BadList::RcptTo, value }, out);
        self.refuse_by(Rejection::BadRecipient, entry, about, out);
        true
    }

    fn refuses_pair(&mut self, mailbox: &Mailbox, about: About<'_>, out: &mut Vec<Output>) -> bool {
        let policy = Arc::clone(&self.policy);
        let sender = self.transaction.as_ref().and_then(|transaction| transaction.sender.clone());
        let Some(sender) = sender.filter(|_| !self.may_relay()) else {
            return false;
        };
        let Some(line) = policy.rules.bad.pair(&sender, mailbox) else {
            return false;
        };
        let value = Text::from(sender.to_string());
        self.note_guard(Found::Forbidden { list: logline::BadList::MailFrom, value }, out);
        self.refuse_by(Rejection::BadPair, line, about, out);
        true
    }

    fn refuses_second_of_bounce(&mut self, about: About<'_>, out: &mut Vec<Output>) -> bool {
        let is_second = (self.transaction.as_ref())
            .is_some_and(|transaction| transaction.sender.is_none() && !transaction.recipients.is_empty());
        if is_second && self.policy.rules.one_recipient_of_a_bounce && !self.may_relay() {
            self.refuse(Rejection::BounceRecipients, about, out);
            return true;
        }
        false
    }

    /// Refuses what the rules of the sender's or the recipient's domain forbid. Who has logged in sends as itself, whatever
    /// MAIL said.
    pub(super) fn refuses_by_policy(
        &mut self,
        recipient: &Mailbox,
        about: About<'_>,
        out: &mut Vec<Output>,
    ) -> bool {
        let policy = Arc::clone(&self.policy);
        let login = self.login.as_ref().map(|login| String::from_utf8_lossy(&login.user).into_owned());
        let login = login.and_then(|user| {
            let has_domain = user.contains('@');
            user.parse().ok().or_else(|| Mailbox::new(&user, &policy.default_domain).filter(|_| !has_domain))
        });
        if policy.rules.mail_policy.is_empty() {
            return false;
        }
        let is_authenticated = login.is_some();
        let sender = || self.transaction.as_ref().and_then(|transaction| transaction.sender.clone());
        let sender = login.or_else(sender);
        let forbids = policy.rules.mail_policy.forbids(sender.as_ref(), recipient);
        self.note_policy(sender.as_ref(), recipient, is_authenticated, out);
        let pid = self.peer.session;
        let said = if forbids { PolicySaid::Forbids } else { PolicySaid::Allows };
        out.push(Output::Fact(Record::Policy(PolicyCheck { pid, said })));
        if forbids {
            self.refuse(Rejection::PolicyForbids, about, out);
        }
        forbids
    }

    /// eMPF's line of who writes to whom.
    fn note_policy(
        &self,
        sender: Option<&Mailbox>,
        recipient: &Mailbox,
        is_authenticated: bool,
        out: &mut Vec<Output>,
    ) {
        let side = |mailbox: &Mailbox| if self.is_ours(mailbox) { Side::Local } else { Side::Remote };
        let said = PolicySaid::Mail {
            from: sender.map_or(Side::Remote, side),
            sender: Text::from(sender.map(ToString::to_string).unwrap_or_default()),
            to: side(recipient),
            recipient: Text::from(recipient.to_string()),
            is_authenticated,
        };
        out.push(Output::Fact(Record::Policy(PolicyCheck { pid: self.peer.session, said })));
    }

    /// The list's entry stands in the journal, as qmail's does.
    fn refuse_by(&mut self, rejection: Rejection, entry: &str, about: About<'_>, out: &mut Vec<Output>) {
        self.refuse_with(rejection, Answer { detail: entry, ..rejection.answer() }, about, out);
    }

    pub(super) fn note_guard(&self, found: Found<'static>, out: &mut Vec<Output>) {
        let (pid, address) = (self.peer.session, self.peer.remote.ip());
        out.push(Output::Fact(Record::Guard(Guard { pid, address, found })));
    }

    pub(super) fn trust(&self) -> Trust {
        if self.may_relay() { Trust::Relay } else { Trust::None }
    }

    /// Whether mail for this recipient is taken from anybody.
    pub(super) fn is_ours(&self, mailbox: &Mailbox) -> bool {
        let domain = mailbox.domain_key();
        self.policy.domains.contains(&domain) || self.policy.rules.rcpthosts.have(&domain)
    }
}

pub(super) fn helo_rejection(fault: HeloFault) -> Rejection {
    match fault {
        HeloFault::Localhost => Rejection::HeloLocalhost,
        HeloFault::Ours => Rejection::HeloOurs,
        HeloFault::PlainAddress => Rejection::HeloPlainAddress,
        HeloFault::ForgedLiteral => Rejection::HeloForgedLiteral,
        HeloFault::NotFull => Rejection::HeloNotFull,
        HeloFault::NoForward => Rejection::HeloNoForward,
        HeloFault::NoReverse => Rejection::HeloNoReverse,
        HeloFault::NoMatch => Rejection::HeloNoMatch,
    }
}
