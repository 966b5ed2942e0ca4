//! What is asked about a client and a sender, and what follows from the answers: only for a recipient that exists, and of
//! a client that no blocklist has.

use std::net::IpAddr;
use std::sync::Arc;

use logline::{ChkuserOutcome, Timestamp};

use crate::blocklist::{self, Action};
use crate::karma::Deed;
use crate::mailbox::Mailbox;
use crate::rules::{HeloNames, SpfFinding, SpfResult, SpfVerdict};
use crate::session::blocked::printable;
use crate::session::checks::helo_rejection;
use crate::session::message::readable;
use crate::session::{About, Answer, Ask, Output, Rejection, Session, State, Waiting};

/// What has to be asked about a client or a sender once a recipient is found to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Name servers, about the client's name.
    Helo,
    /// Name servers, about the sender's domain.
    SenderDomain,
    /// Name servers, about the domain of a recipient elsewhere.
    RecipientDomain,
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
        client: IpAddr,
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
        client: IpAddr,
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
    Listed(blocklist::Finding),
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

impl Session {
    /// A recipient of ours that exists, of a client that no blocklist has: now others may be asked about it.
    pub(super) fn inquire(&mut self, mailbox: Mailbox, out: &mut Vec<Output>) {
        if self.may_relay() || self.is_blamed() {
            return self.accept_known(mailbox, out);
        }
        let known =
            self.transaction.as_ref().map(|transaction| transaction.inquest.domain).unwrap_or_default();
        for opinion in [self.conduct.helo, known] {
            if let Opinion::Bad(rejection) = opinion {
                return self.refuse_found(rejection.answer(), rejection, mailbox, out);
            }
        }
        if self.refuses_by_spf(&mailbox, out) || self.refuses_by_list(&mailbox, out) {
            return;
        }
        match self.next_inquiry() {
            Some((step, inquiry)) => {
                out.push(Output::Ask(Ask::Inquire(inquiry)));
                self.state = State::Waiting(Waiting::Inquiry { mailbox, step });
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
                if let (Finding::Helo(HeloNames { forward: Some(_), reverse: Some(_) }), None) =
                    (finding, fault)
                {
                    self.count_deed(Deed::Name);
                }
                self.conduct.helo = fault.map_or(Opinion::Good, |fault| Opinion::Bad(helo_rejection(fault)));
            }
            Step::SenderDomain => match finding {
                Finding::Domain(domain) => self.sender_domain_found(*domain, out),
                Finding::Helo(_) | Finding::Listed(_) | Finding::Spf(_) => {
                    self.sender_domain_found(MailDomain::Takes, out);
                }
            },
            Step::RecipientDomain => return self.recipient_domain_found(&mailbox, finding, out),
            Step::DomainList(list) => self.domain_list_answered(list, finding),
            Step::Spf => {
                let unanswered = SpfFinding { result: SpfResult::None, explanation: None };
                let found = match finding {
                    Finding::Spf(found) => found.clone(),
                    Finding::Helo(_) | Finding::Domain(_) | Finding::Listed(_) => unanswered,
                };
                if found.result == SpfResult::Pass {
                    self.count_deed(Deed::SpfPass);
                }
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
        self.refuse_found(Answer { text: &text, detail, ..usual }, rejection, mailbox.clone(), out);
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
            Finding::Listed(blocklist::Finding::Listed(listing)) => {
                transaction.inquest.listed = Some((list, listing.text.clone()));
            }
            Finding::Listed(_) | Finding::Helo(_) | Finding::Domain(_) | Finding::Spf(_) => {}
        }
    }

    fn refuses_by_list(&mut self, mailbox: &Mailbox, out: &mut Vec<Output>) -> bool {
        let policy = Arc::clone(&self.policy);
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
        self.refuse_found(answer, rejection, mailbox.clone(), out);
        true
    }

    fn refuse_found(
        &mut self,
        answer: Answer<'_>,
        rejection: Rejection,
        mailbox: Mailbox,
        out: &mut Vec<Output>,
    ) {
        if self.is_told_at_data(rejection, answer) {
            return self.accept_known(mailbox, out);
        }
        let given = mailbox.to_string();
        let about = About::Recipient { given: given.as_bytes(), ours: Some(true) };
        self.refuse_with(rejection, answer, about, out);
    }

    /// What the sender's domain says of the client, for the message's header (RFC 7208 §9.1).
    pub(super) fn received_spf(&self) -> Option<String> {
        let transaction = self.transaction.as_ref()?;
        let result = transaction.inquest.spf.as_ref()?.result;
        let sender = transaction.sender.as_ref().map(ToString::to_string).unwrap_or_default();
        let helo = self.helo.as_deref().map_or_else(|| "unknown".to_owned(), readable);
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
}
