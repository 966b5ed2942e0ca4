//! MAIL and RCPT: who sends, who receives, and who may not.

use logline::{ChkuserOutcome, Reason, Timestamp};

use crate::dsn::{Wish, Wishes};
use crate::mailbox::{Address, Mailbox};
use crate::session::command::{MailParameters, Path};
use crate::session::{
    About, Answer, Ask, End, Inquest, Output, RecipientAnswer, Rejection, Service, Session, State,
    Transaction, Waiting,
};

impl Session {
    pub(super) fn mail(&mut self, path: &Path<'_>, parameters: MailParameters, out: &mut Vec<Output>) {
        let about = About::Sender(path.given);
        self.last_address = Some(path.given.to_vec());
        if let Some(rejection) = self.not_allowed_to_mail() {
            return self.refuse(rejection, about, out);
        }
        if self.refuses_without_login(about, out) {
            return;
        }
        // A new MAIL begins anew, as in qmail; what stood before is gone even where this one is refused.
        self.forget_message(out);
        if let Some(rejection) = self.not_an_address_here(path, parameters.smtputf8) {
            return self.refuse(rejection, about, out);
        }
        let sender = match &path.address {
            Address::Null => None,
            Address::Mailbox(mailbox) => Some(mailbox.clone()),
            Address::NoDomain(_) | Address::Malformed => {
                self.note_chkuser(ChkuserOutcome::RejectedSenderFormat, about, out);
                return self.refuse(Rejection::SenderFormat, about, out);
            }
        };
        if sender.as_ref().is_some_and(|sender| self.is_anothers(sender)) {
            return self.refuse(Rejection::AuthNotMailfrom, about, out);
        }
        if let Some(rejection) = self.sender_is_refused(sender.as_ref()) {
            self.refuse(rejection, about, out);
            // A 421 is the last word (RFC 5321 §3.8).
            if rejection.answer().code == 421 {
                self.close(End::GaveUp, out);
            }
            return;
        }
        if parameters.size_bytes.is_some_and(|size| size > self.policy.limits.message_bytes_max) {
            return self.refuse(Rejection::TooBig, about, out);
        }
        let outcome = match &sender {
            Some(_) => ChkuserOutcome::AcceptedSender,
            None => ChkuserOutcome::AcceptedNullSender,
        };
        self.note_chkuser(outcome, about, out);
        let MailParameters { smtputf8, ret, envid, size_bytes: _ } = parameters;
        self.transaction = Some(Transaction {
            sender,
            recipients: Vec::new(),
            inquest: Inquest::default(),
            is_spoilt: false,
            blames: Vec::new(),
            wishes: Wishes { ret, envid, each: Vec::new() },
            wish: Wish::default(),
            smtputf8,
            envelope_bytes: path.given.len(),
        });
        self.say(250, "2.1.0", "ok", out);
    }

    fn not_allowed_to_mail(&self) -> Option<Rejection> {
        match self.peer.service {
            Service::Submission if self.encryption.is_none() => Some(Rejection::StarttlsFirst),
            Service::Submission if self.login.is_none() => Some(Rejection::AuthRequired),
            _ if self.policy.auth.required && !self.may_relay() => Some(Rejection::AuthRequired),
            Service::Smtp | Service::Submission | Service::Smtps => None,
        }
    }

    /// Whether a client that has logged in sends as somebody else, where nobody may. A bounce is nobody's.
    fn is_anothers(&self, sender: &Mailbox) -> bool {
        let Some(login) = self.login.as_ref().filter(|_| self.policy.auth.own_sender) else {
            return false;
        };
        let own = match memchr::memrchr(b'@', &login.user) {
            Some(_) => login.user.eq_ignore_ascii_case(sender.to_string().as_bytes()),
            None => {
                let is_ours = self.policy.domains.contains(&sender.domain_key());
                is_ours && login.user.eq_ignore_ascii_case(sender.local().as_bytes())
            }
        };
        !own
    }

    /// Whether an address is too long, or in letters that the client did not ask for.
    fn not_an_address_here(&self, path: &Path<'_>, smtputf8: bool) -> Option<Rejection> {
        let limits = &self.policy.limits;
        let (local, domain) = match &path.address {
            Address::Mailbox(mailbox) => (mailbox.local(), mailbox.domain()),
            Address::NoDomain(local) => (local.as_str(), ""),
            Address::Null | Address::Malformed => ("", ""),
        };
        if path.given.len() > limits.address_bytes_max
            || local.len() > limits.local_part_bytes_max
            || domain.len() > limits.domain_bytes_max
        {
            return Some(Rejection::PathTooLong);
        }
        let is_text = !matches!(path.address, Address::Malformed);
        (is_text && !smtputf8 && !path.given.is_ascii()).then_some(Rejection::NeedsUtf8)
    }

    pub(super) fn rcpt(&mut self, path: &Path<'_>, wish: Wish, out: &mut Vec<Output>) {
        let about = About::Recipient { given: path.given, ours: None };
        self.last_address = Some(path.given.to_vec());
        let Some(transaction) = &mut self.transaction else {
            return self.refuse(Rejection::MailFirst, about, out);
        };
        if self.chunks.is_some() {
            return self.refuse(Rejection::ChunksOpen, about, out);
        }
        let limits = &self.policy.limits;
        let bytes = path.given.len() + wish.original.as_ref().map_or(0, String::len);
        let is_full = transaction.recipients.len() >= limits.recipients_max
            || transaction.envelope_bytes + bytes > limits.envelope_bytes_max();
        let smtputf8 = transaction.smtputf8;
        if !is_full {
            transaction.wish = wish;
        }
        if is_full {
            self.note_chkuser(ChkuserOutcome::RejectedTooManyRcpts, about, out);
            return self.refuse(Rejection::TooManyRecipients, about, out);
        }
        if let Some(rejection) = self.not_an_address_here(path, smtputf8) {
            return self.refuse(rejection, about, out);
        }
        match self.recipient(&path.address) {
            Ok(mailbox) => self.rcpt_mailbox(mailbox, out),
            Err(rejection) => {
                if rejection == Rejection::RcptFormat {
                    self.note_chkuser(ChkuserOutcome::RejectedRcptFormat, about, out);
                }
                self.refuse(rejection, about, out);
            }
        }
    }

    /// `<postmaster>` needs no domain (RFC 5321 §4.5.1).
    fn recipient(&self, address: &Address) -> Result<Mailbox, Rejection> {
        match address {
            Address::Mailbox(mailbox) => Ok(mailbox.clone().with_host()),
            Address::NoDomain(local) if local.eq_ignore_ascii_case("postmaster") => {
                Mailbox::new(local, &self.policy.default_domain).ok_or(Rejection::RcptNoDomain)
            }
            Address::NoDomain(_) => Err(Rejection::RcptNoDomain),
            Address::Null | Address::Malformed => Err(Rejection::RcptFormat),
        }
    }

    fn rcpt_mailbox(&mut self, mailbox: Mailbox, out: &mut Vec<Output>) {
        let mailbox = self.policy.rules.with_our_name(mailbox, self.peer.local.ip());
        if self.is_refused_unasked(&mailbox, out) {
            return;
        }
        if self.is_ours(&mailbox) {
            out.push(Output::Ask(Ask::Recipient(mailbox.clone())));
            self.state = State::Waiting(Waiting::Recipient(mailbox));
            return;
        }
        self.rcpt_elsewhere(mailbox, out);
    }

    pub(super) fn recipient_answered(
        &mut self,
        now: Timestamp,
        mailbox: Mailbox,
        answer: RecipientAnswer,
        out: &mut Vec<Output>,
    ) {
        self.since = now;
        let given = mailbox.to_string();
        let about = About::Recipient { given: given.as_bytes(), ours: Some(true) };
        let outcome = match &answer {
            RecipientAnswer::Known | RecipientAnswer::Valid | RecipientAnswer::Checked => {
                ChkuserOutcome::AcceptedRcpt
            }
            RecipientAnswer::AnyOfDomain => ChkuserOutcome::AcceptedAnyRcptOfDomain,
            refused => return self.refuse_recipient(refused, about, out),
        };
        self.note_chkuser(outcome, about, out);
        self.conduct.found = answer;
        self.recipient_known(mailbox, out);
    }

    /// Refuses a recipient as whoever knows recipients wants it.
    pub(super) fn refuse_recipient(
        &mut self,
        answer: &RecipientAnswer,
        about: About<'_>,
        out: &mut Vec<Output>,
    ) {
        let rejection = match answer {
            // Nothing speaks against it.
            RecipientAnswer::Known
            | RecipientAnswer::Valid
            | RecipientAnswer::Checked
            | RecipientAnswer::AnyOfDomain => return,
            RecipientAnswer::Unknown => {
                self.note_chkuser(ChkuserOutcome::RejectedRcpt, about, out);
                Rejection::NoMailbox
            }
            RecipientAnswer::Unavailable => {
                self.note_chkuser(ChkuserOutcome::NoAuthResource, about, out);
                Rejection::NoAuthResource
            }
            RecipientAnswer::Full => {
                self.note_chkuser(ChkuserOutcome::Overquota, about, out);
                Rejection::MailboxFull
            }
            RecipientAnswer::NotValid => Rejection::NotValid,
            RecipientAnswer::Refused => Rejection::CheckRefused,
            RecipientAnswer::Overlimit => Rejection::Overlimit,
            RecipientAnswer::CannotVerify => Rejection::CannotVerify,
            RecipientAnswer::CannotExecute => Rejection::CannotExecute,
            RecipientAnswer::Said(words) if words.code < 500 => Rejection::CheckSaidLater,
            RecipientAnswer::Said(_) => Rejection::CheckSaid,
        };
        let usual = rejection.answer();
        let said = match answer {
            RecipientAnswer::Said(words) => Answer { code: words.code, text: &words.text, ..usual },
            _ => usual,
        };
        self.refuse_with(rejection, said, about, out);
        // A 421 is the last word (RFC 5321 §3.8).
        if said.code == 421 {
            self.close(End::GaveUp, out);
        }
    }

    /// A recipient of ours, after all checks.
    pub(super) fn accept_known(&mut self, mailbox: Mailbox, out: &mut Vec<Output>) {
        let given = mailbox.to_string();
        let about = About::Recipient { given: given.as_bytes(), ours: Some(true) };
        let (reason, detail) = match self.conduct.found {
            RecipientAnswer::AnyOfDomain => (Reason::Rcpthosts, ""),
            RecipientAnswer::Valid => (Reason::Rcptto, "validrcptto"),
            RecipientAnswer::Checked => (Reason::Rcptto, "rcptcheck"),
            _ => (Reason::Rcptto, "chkuser"),
        };
        self.accept_recipient(mailbox, (reason, detail), about, out);
    }

    pub(super) fn accept_recipient(
        &mut self,
        mailbox: Mailbox,
        (reason, detail): (Reason, &'static str),
        about: About<'_>,
        out: &mut Vec<Output>,
    ) {
        if self.refuses_by_policy(&mailbox, about, out) {
            return;
        }
        self.note_accepted(250, reason, detail, about, out);
        self.say(250, "2.1.5", "ok", out);
        self.count_recipient();
        if let Some(transaction) = &mut self.transaction {
            let wish = std::mem::take(&mut transaction.wish);
            let original_bytes = wish.original.as_ref().map_or(0, String::len);
            transaction.envelope_bytes += mailbox.local().len() + mailbox.domain().len() + original_bytes;
            transaction.recipients.push(mailbox);
            transaction.wishes.each.push(wish);
        }
    }
}
