//! The policies of the gate, in the order of a session: what costs nothing comes before what asks somebody, and what
//! asks somebody only for a recipient that exists.

use std::time::Duration;

use logline::{ChkuserOutcome, Found, Guard, Record, Text, Timestamp};

use crate::blocklist::Action;
use crate::mailbox::Mailbox;
use crate::rules::{Early, HeloFault, HeloNames, SpfFinding, SpfResult, SpfVerdict, Trust, is_relay_probe};
use crate::session::blocked::printable;
use crate::session::{About, Answer, Ask, End, Output, RecipientAnswer, Rejection, Service, Session, State};
use crate::words::Asked;

/// What each command costs a client that the watcher wants slow.
const SLOW: Duration = Duration::from_secs(5);

/// What has to be asked about a client or a sender once a recipient is found to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Name servers, about the client's name.
    Helo,
    /// Name servers, about the sender's domain.
    SenderDomain,
    /// A list, about the sender's domain: which, by its place in the rules.
    DomainList(usize),
    /// The sender's domain, about the client.
    Spf,
}

/// What has to be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// The addresses of a client's name, and the names of its address.
    Helo {
        /// The name.
        name: String,
        /// The address.
        client: std::net::IpAddr,
    },
    /// Whether a domain takes mail.
    Domain(String),
    /// Whether a list has a domain.
    Listed {
        /// Which list, by its place in the rules.
        list: usize,
        /// The domain.
        domain: String,
    },
    /// Whether a domain lets a client send for it.
    Spf {
        /// The client.
        client: std::net::IpAddr,
        /// What it calls itself.
        helo: String,
        /// The sender; none for a bounce, for which the client's name stands.
        sender: Option<String>,
    },
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Answer to [`Inquiry::Helo`].
    Helo(HeloNames),
    /// Answer to [`Inquiry::Domain`].
    Domain(MailDomain),
    /// Answer to [`Inquiry::Listed`].
    Listed(crate::blocklist::Finding),
    /// Answer to [`Inquiry::Spf`].
    Spf(SpfFinding),
}

/// Whether a domain takes mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailDomain {
    /// It does.
    Takes,
    /// It does not, or is none.
    TakesNone,
    /// No name server could say.
    Unknown,
}

/// What was found out about a client or a sender, for all recipients to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Opinion {
    /// Nobody was asked.
    #[default]
    None,
    /// Nothing speaks against it.
    Good,
    /// This does.
    Bad(Rejection),
}

/// What was found out about a sender, for all recipients of its message.
#[derive(Debug, Default)]
pub(super) struct Inquest {
    /// Whether its domain takes mail.
    domain: Opinion,
    /// What its domain says of the client.
    spf: Option<SpfFinding>,
    /// Lists of domains that were asked.
    lists_asked: usize,
    /// The list that has its domain, and the list's words.
    listed: Option<(usize, Vec<u8>)>,
}

/// How a session stands with the policies.
#[derive(Debug, Default)]
pub(super) struct Conduct {
    /// Who knew the last recipient.
    pub(super) found: RecipientAnswer,
    /// What the client's name was found to be.
    helo: Opinion,
    /// How the session went so far.
    points: i32,
    /// Bad recipients so far, of all messages.
    bad_recipients: u32,
    /// Recipients so far, of all messages.
    recipients: u32,
    /// It tried more recipients than it may, and gets none any more.
    is_over: bool,
}

impl Session {
    /// Lets a client wait for its greeting, or greets it.
    pub(super) fn greet_in_time(&mut self, out: &mut Vec<Output>) {
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
        } else if self.peer.grant.is_naughty {
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
        self.refuses_name(about, out)
            || self.refuses_sender(about, out)
            || self.refuses_over_limit(about, out)
            || self.refuses_bad_recipient(mailbox, about, out)
            || self.refuses_second_of_bounce(about, out)
    }

    fn refuses_name(&mut self, about: About<'_>, out: &mut Vec<Output>) -> bool {
        let Some(name) = self.helo.clone() else {
            return false;
        };
        let policy = std::sync::Arc::clone(&self.policy);
        if let Some(entry) = policy.rules.bad.helo(&name, self.trust()) {
            let found = Found::Forbidden { list: logline::BadList::Helo, value: Text::from(name) };
            self.note_guard(found, out);
            self.refuse_by(Rejection::BadHelo, entry, about, out);
            return true;
        }
        let is_ours = |name: &str| {
            policy.hostname.eq_ignore_ascii_case(name) || policy.domains.contains(&name.to_ascii_lowercase())
        };
        let fault = match self.trust() {
            Trust::Relay => None,
            Trust::None => policy.rules.helo.judge(&name, self.peer.remote.ip(), is_ours),
        };
        match fault {
            Some(fault) => self.refuse(helo_rejection(fault), about, out),
            None => return false,
        }
        true
    }

    fn refuses_sender(&mut self, about: About<'_>, out: &mut Vec<Output>) -> bool {
        let policy = std::sync::Arc::clone(&self.policy);
        let sender = self.transaction.as_ref().and_then(|transaction| transaction.sender.clone());
        let Some(sender) = sender else {
            return false;
        };
        let Some(entry) = policy.rules.bad.sender(&sender, self.trust()) else {
            return false;
        };
        let value = Text::from(sender.to_string());
        self.note_guard(Found::Forbidden { list: logline::BadList::MailFrom, value }, out);
        self.refuse_by(Rejection::BadSender, entry, about, out);
        true
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
        let policy = std::sync::Arc::clone(&self.policy);
        let Some(entry) = policy.rules.bad.recipient(mailbox, self.trust()) else {
            return false;
        };
        let value = Text::from(mailbox.to_string());
        self.note_guard(Found::Forbidden { list: logline::BadList::RcptTo, value }, out);
        self.refuse_by(Rejection::BadRecipient, entry, about, out);
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

    /// The list's entry stands in the journal, as qmail's does.
    fn refuse_by(&mut self, rejection: Rejection, entry: &str, about: About<'_>, out: &mut Vec<Output>) {
        self.refuse_with(rejection, Answer { detail: entry, ..rejection.answer() }, about, out);
    }

    /// How the session went: below zero where the client did harm, above where a message was taken. None for a client that
    /// logged in or may relay, or was put off for what it did before.
    pub fn karma(&self) -> Option<i32> {
        (!self.may_relay() && !self.peer.grant.is_naughty).then_some(self.conduct.points)
    }

    /// A message was taken.
    pub(super) fn count_message(&mut self) {
        self.conduct.points = self.conduct.points.saturating_add(1);
    }

    /// Counts what a refusal says of the client, and of its recipients.
    pub(super) fn count_refusal(&mut self, rejection: Rejection) {
        self.conduct.points = self.conduct.points.saturating_sub(rejection.points());
        if rejection.is_bad_recipient() {
            self.conduct.bad_recipients = self.conduct.bad_recipients.saturating_add(1);
            if let Some(transaction) = &mut self.transaction {
                transaction.is_spoilt = true;
            }
        }
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

    /// A recipient of ours that exists, of a client that no blocklist has: now others may be asked about it.
    pub(super) fn inquire(&mut self, mailbox: Mailbox, out: &mut Vec<Output>) {
        if self.may_relay() {
            return self.accept_known(mailbox, out);
        }
        let known =
            self.transaction.as_ref().map(|transaction| transaction.inquest.domain).unwrap_or_default();
        for opinion in [self.conduct.helo, known] {
            if let Opinion::Bad(rejection) = opinion {
                return self.refuse_found(rejection.answer(), rejection, &mailbox, out);
            }
        }
        if self.refuses_by_spf(&mailbox, out) || self.refuses_by_list(&mailbox, out) {
            return;
        }
        match self.next_inquiry() {
            Some((step, inquiry)) => {
                out.push(Output::Ask(Ask::Inquire(inquiry)));
                self.state = State::Inquiring { mailbox, step };
            }
            None => self.accept_known(mailbox, out),
        }
    }

    fn next_inquiry(&self) -> Option<(Step, Inquiry)> {
        let rules = &self.policy.rules;
        let name = self.helo.as_ref().and_then(|name| std::str::from_utf8(name).ok());
        if let Some(name) = name.filter(|_| rules.helo.asks() && self.conduct.helo == Opinion::None) {
            let client = self.peer.remote.ip();
            return Some((Step::Helo, Inquiry::Helo { name: name.to_owned(), client }));
        }
        let transaction = self.transaction.as_ref()?;
        if rules.spf.asks() && transaction.inquest.spf.is_none() {
            let sender = transaction.sender.as_ref().map(|s| format!("{}@{}", s.local(), s.domain()));
            let (client, helo) = (self.peer.remote.ip(), name.unwrap_or_default().to_owned());
            return Some((Step::Spf, Inquiry::Spf { client, helo, sender }));
        }
        let domain = transaction.sender.as_ref()?.domain_key();
        if rules.sender_domain && transaction.inquest.domain == Opinion::None {
            return Some((Step::SenderDomain, Inquiry::Domain(domain)));
        }
        let list = transaction.inquest.lists_asked;
        (list < rules.domain_lists.len() && !domain.starts_with('['))
            .then_some((Step::DomainList(list), Inquiry::Listed { list, domain }))
    }

    /// What an answer means for this recipient and those to come.
    pub(super) fn inquired(
        &mut self,
        now: Timestamp,
        (mailbox, step): (Mailbox, Step),
        finding: &Finding,
        out: &mut Vec<Output>,
    ) {
        self.since = now;
        match step {
            Step::Helo => {
                let name = self.helo.clone().unwrap_or_default();
                let fault = match finding {
                    Finding::Helo(names) => {
                        self.policy.rules.helo.judge_names(&name, self.peer.remote.ip(), names)
                    }
                    // Nobody answers what was not asked; the client is not to suffer for it.
                    Finding::Domain(_) | Finding::Listed(_) | Finding::Spf(_) => None,
                };
                self.conduct.helo = fault.map_or(Opinion::Good, |fault| Opinion::Bad(helo_rejection(fault)));
            }
            Step::SenderDomain => match finding {
                Finding::Domain(domain) => self.sender_domain_found(*domain, out),
                Finding::Helo(_) | Finding::Listed(_) | Finding::Spf(_) => {
                    self.sender_domain_found(MailDomain::Takes, out);
                }
            },
            Step::DomainList(list) => self.domain_list_answered(list, finding),
            Step::Spf => {
                let unanswered = SpfFinding { result: SpfResult::None, explanation: None };
                let found = match finding {
                    Finding::Spf(found) => found.clone(),
                    Finding::Helo(_) | Finding::Domain(_) | Finding::Listed(_) => unanswered,
                };
                if let Some(transaction) = &mut self.transaction {
                    transaction.inquest.spf = Some(found);
                }
            }
        }
        self.inquire(mailbox, out);
    }

    fn sender_domain_found(&mut self, domain: MailDomain, out: &mut Vec<Output>) {
        let opinion = match domain {
            MailDomain::Takes => Opinion::Good,
            MailDomain::TakesNone => Opinion::Bad(Rejection::SenderDomain),
            MailDomain::Unknown => Opinion::Bad(Rejection::SenderDomainUnknown),
        };
        if let Some(transaction) = &mut self.transaction {
            transaction.inquest.domain = opinion;
        }
        let given = self.transaction.as_ref().and_then(|transaction| transaction.sender.as_ref());
        let given = given.map(ToString::to_string).unwrap_or_default();
        let about = About::Sender(given.as_bytes());
        match domain {
            MailDomain::Takes => {}
            MailDomain::TakesNone => self.note_chkuser(ChkuserOutcome::RejectedSenderMx, about, out),
            MailDomain::Unknown => self.note_chkuser(ChkuserOutcome::RejectedSenderDns, about, out),
        }
    }

    fn refuses_by_spf(&mut self, mailbox: &Mailbox, out: &mut Vec<Output>) -> bool {
        let found = self.transaction.as_ref().and_then(|transaction| transaction.inquest.spf.clone());
        let Some(SpfFinding { result, explanation }) = found else {
            return false;
        };
        let (rejection, detail) = match self.policy.rules.spf.judge(result) {
            SpfVerdict::Take => return false,
            SpfVerdict::PutOff => (Rejection::SpfUnavailable, Rejection::SpfUnavailable.answer().detail),
            SpfVerdict::Refuse => (Rejection::SpfRefused, result.name()),
        };
        let usual = rejection.answer();
        let text = explanation.map_or(usual.text.to_owned(), |explanation| format!("{explanation} (#5.7.1)"));
        self.refuse_found(Answer { text: &text, detail, ..usual }, rejection, mailbox, out);
        true
    }

    /// The journal has no line for each list, as it has for those of addresses: a client is not listed for the senders
    /// whose mail it forwards.
    fn domain_list_answered(&mut self, list: usize, finding: &Finding) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        transaction.inquest.lists_asked = list + 1;
        match finding {
            Finding::Listed(crate::blocklist::Finding::Listed(text)) => {
                transaction.inquest.listed = Some((list, text.clone()));
            }
            Finding::Listed(_) | Finding::Helo(_) | Finding::Domain(_) | Finding::Spf(_) => {}
        }
    }

    fn refuses_by_list(&mut self, mailbox: &Mailbox, out: &mut Vec<Output>) -> bool {
        let policy = std::sync::Arc::clone(&self.policy);
        let listed = self.transaction.as_ref().and_then(|transaction| transaction.inquest.listed.clone());
        let Some((list, text)) = listed else {
            return false;
        };
        let Some(list) = policy.rules.domain_lists.get(list) else {
            return false;
        };
        let rejection = match list.action() {
            Action::Accept | Action::Ignore => return false,
            Action::Delay => Rejection::SenderListedDelay,
            Action::Reject => Rejection::SenderListed,
        };
        let text = printable(&text);
        let answer = Answer { text: &text, detail: list.shown_zone(), ..rejection.answer() };
        self.refuse_found(answer, rejection, mailbox, out);
        true
    }

    fn refuse_found(
        &mut self,
        answer: Answer<'_>,
        rejection: Rejection,
        mailbox: &Mailbox,
        out: &mut Vec<Output>,
    ) {
        let given = mailbox.to_string();
        let about = About::Recipient { given: given.as_bytes(), ours: Some(true) };
        self.refuse_with(rejection, answer, about, out);
    }

    /// What the sender's domain says of the client, for the message's header (RFC 7208 §9.1).
    pub(super) fn received_spf(&self) -> Option<String> {
        let transaction = self.transaction.as_ref()?;
        let result = transaction.inquest.spf.as_ref()?.result;
        let sender = transaction.sender.as_ref().map(ToString::to_string).unwrap_or_default();
        let helo = self.helo.as_deref().map_or_else(|| "unknown".to_owned(), super::message::readable);
        // The name of RFC 7208 for what qmail calls unknown and error.
        let name = match result {
            SpfResult::Unknown => "permerror",
            SpfResult::Error => "temperror",
            result => result.name(),
        };
        let sender = sender.replace(['"', '\\'], "?");
        Some(format!(
            "Received-SPF: {name} ({})\n client-ip={}; envelope-from=\"{sender}\"; helo={helo};\n",
            self.policy.hostname,
            self.peer.remote.ip(),
        ))
    }

    /// A new name is a new question.
    pub(super) fn forget_name(&mut self) {
        self.conduct.helo = Opinion::None;
    }

    pub(super) fn note_guard(&self, found: Found<'static>, out: &mut Vec<Output>) {
        let (pid, address) = (self.peer.session, self.peer.remote.ip());
        out.push(Output::Fact(Record::Guard(Guard { pid, address, found })));
    }

    fn trust(&self) -> Trust {
        if self.may_relay() { Trust::Relay } else { Trust::None }
    }

    /// Whether mail for this recipient is taken from anybody.
    pub(super) fn is_ours(&self, mailbox: &Mailbox) -> bool {
        let domain = mailbox.domain_key();
        self.policy.domains.contains(&domain) || self.policy.rules.rcpthosts.have(&domain)
    }
}

fn helo_rejection(fault: HeloFault) -> Rejection {
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
