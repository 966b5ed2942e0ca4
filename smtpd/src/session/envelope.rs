//! MAIL and RCPT: who sends, who receives, and who may not.

use logline::{ChkuserOutcome, Reason, Timestamp};

use crate::mailbox::{Address, Mailbox};
use crate::session::command::Path;
use crate::session::{
    About, Ask, End, Opinion, Output, RecipientAnswer, Rejection, Service, Session, State, Transaction,
};

impl Session {
    pub(super) fn mail(&mut self, path: &Path<'_>, size_bytes: Option<u64>, out: &mut Vec<Output>) {
        let about = About::Sender(path.given);
        self.last_address = Some(path.given.to_vec());
        if let Some(rejection) = self.not_allowed_to_mail() {
            return self.refuse(rejection, about, out);
        }
        // A new MAIL begins anew, as in qmail; what stood before is gone even where this one is refused.
        self.transaction = None;
        let sender = match &path.address {
            Address::Null => None,
            Address::Mailbox(mailbox) => Some(mailbox.clone()),
            Address::NoDomain(_) | Address::Malformed => {
                self.note_chkuser(ChkuserOutcome::RejectedSenderFormat, about, out);
                return self.refuse(Rejection::SenderFormat, about, out);
            }
        };
        if let Some(rejection) = self.sender_is_refused(sender.as_ref()) {
            self.refuse(rejection, about, out);
            return self.close(End::GaveUp, out);
        }
        if size_bytes.is_some_and(|size| size > self.policy.limits.message_bytes_max) {
            return self.refuse(Rejection::TooBig, about, out);
        }
        let outcome = match &sender {
            Some(_) => ChkuserOutcome::AcceptedSender,
            None => ChkuserOutcome::AcceptedNullSender,
        };
        self.note_chkuser(outcome, about, out);
        self.transaction =
            Some(Transaction { sender, recipients: Vec::new(), domain: Opinion::None, is_spoilt: false });
        self.say(250, "2.1.0", "ok", out);
    }

    fn not_allowed_to_mail(&self) -> Option<Rejection> {
        match self.peer.service {
            Service::Submission if self.encryption.is_none() => Some(Rejection::StarttlsFirst),
            Service::Submission if self.login.is_none() => Some(Rejection::AuthRequired),
            Service::Smtp | Service::Submission | Service::Smtps => None,
        }
    }

    pub(super) fn rcpt(&mut self, path: &Path<'_>, out: &mut Vec<Output>) {
        let about = About::Recipient { given: path.given, ours: None };
        self.last_address = Some(path.given.to_vec());
        let Some(transaction) = &self.transaction else {
            return self.refuse(Rejection::MailFirst, about, out);
        };
        if transaction.recipients.len() >= self.policy.limits.recipients_max {
            self.note_chkuser(ChkuserOutcome::RejectedTooManyRcpts, about, out);
            return self.refuse(Rejection::TooManyRecipients, about, out);
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
            Address::Mailbox(mailbox) => Ok(mailbox.clone()),
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
            self.state = State::CheckingRecipient(mailbox);
            return;
        }
        let given = mailbox.to_string();
        let about = About::Recipient { given: given.as_bytes(), ours: Some(false) };
        if self.may_relay() {
            let Some(relayed) = self.peer.grant.relayed(&mailbox) else {
                self.note_chkuser(ChkuserOutcome::RejectedRcptFormat, about, out);
                return self.refuse(Rejection::RcptFormat, about, out);
            };
            self.note_chkuser(ChkuserOutcome::Relaying, about, out);
            return self.accept_recipient(relayed, "chkuserrelay", about, out);
        }
        self.note_chkuser(ChkuserOutcome::RejectedRelaying, about, out);
        self.refuse(Rejection::NotInRcpthosts, about, out);
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
        match answer {
            RecipientAnswer::Known => {
                self.note_chkuser(ChkuserOutcome::AcceptedRcpt, about, out);
                self.recipient_known(mailbox, out);
            }
            RecipientAnswer::Unknown => {
                self.note_chkuser(ChkuserOutcome::RejectedRcpt, about, out);
                self.refuse(Rejection::NoMailbox, about, out);
            }
            RecipientAnswer::Unavailable => {
                self.note_chkuser(ChkuserOutcome::NoAuthResource, about, out);
                self.refuse(Rejection::NoAuthResource, about, out);
            }
        }
    }

    /// A recipient of ours, after all checks.
    pub(super) fn accept_known(&mut self, mailbox: Mailbox, out: &mut Vec<Output>) {
        let given = mailbox.to_string();
        let about = About::Recipient { given: given.as_bytes(), ours: Some(true) };
        self.accept_recipient(mailbox, "chkuser", about, out);
    }

    fn accept_recipient(
        &mut self,
        mailbox: Mailbox,
        detail: &'static str,
        about: About<'_>,
        out: &mut Vec<Output>,
    ) {
        self.note_accepted(250, Reason::Rcptto, detail, about, out);
        self.say(250, "2.1.5", "ok", out);
        self.count_recipient();
        if let Some(transaction) = &mut self.transaction {
            transaction.recipients.push(mailbox);
        }
    }
}
