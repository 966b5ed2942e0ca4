//! A recipient elsewhere: who may send there, and what is asked before it may.

use logline::{ChkuserOutcome, Reason, Timestamp};

use crate::mailbox::Mailbox;
use crate::session::inquest::Step;
use crate::session::{
    About, Ask, Finding, Inquiry, MailDomain, Output, RecipientAnswer, Rejection, Session, State, Waiting,
};

impl Session {
    /// A recipient whose domain is not ours: refused, unless the client or its sender may relay.
    pub(super) fn rcpt_elsewhere(&mut self, mailbox: Mailbox, out: &mut Vec<Output>) {
        let given = mailbox.to_string();
        let about = About::Recipient { given: given.as_bytes(), ours: Some(false) };
        if !self.may_relay() && !self.relays_by_sender() {
            self.note_chkuser(ChkuserOutcome::RejectedRelaying, about, out);
            return self.refuse(Rejection::NotInRcpthosts, about, out);
        }
        if self.policy.rules.checks_relayed {
            out.push(Output::Ask(Ask::Relayed(mailbox.clone())));
            self.state = State::Waiting(Waiting::Relayed(mailbox));
            return;
        }
        self.look_for_domain(mailbox, out);
    }

    /// Whether the sender alone lets anybody send anywhere, which the administrator has to want twice.
    fn relays_by_sender(&self) -> bool {
        let sender = self.transaction.as_ref().and_then(|transaction| transaction.sender.as_ref());
        let is_granted = self.peer.grant.relays_by_sender;
        sender.is_some_and(|sender| self.policy.rules.relaying_sender(sender, is_granted).is_some())
    }

    /// A program has an opinion on this recipient, or has none.
    pub(super) fn relayed_answered(
        &mut self,
        now: Timestamp,
        mailbox: Mailbox,
        answer: RecipientAnswer,
        out: &mut Vec<Output>,
    ) {
        self.since = now;
        match answer {
            RecipientAnswer::AnyOfDomain
            | RecipientAnswer::Known
            | RecipientAnswer::Valid
            | RecipientAnswer::Checked => self.look_for_domain(mailbox, out),
            refused => {
                let given = mailbox.to_string();
                let about = About::Recipient { given: given.as_bytes(), ours: Some(false) };
                self.refuse_recipient(&refused, about, out);
            }
        }
    }

    fn look_for_domain(&mut self, mailbox: Mailbox, out: &mut Vec<Output>) {
        if !self.policy.rules.recipient_domain {
            return self.accept_relayed(&mailbox, out);
        }
        out.push(Output::Ask(Ask::Inquire(Inquiry::Domain(mailbox.domain_key()))));
        self.state = State::Waiting(Waiting::Inquiry { mailbox, step: Step::RecipientDomain });
    }

    /// Whether the recipient's domain takes mail: a typing error is told at once, and not by a bounce days later.
    pub(super) fn recipient_domain_found(
        &mut self,
        mailbox: &Mailbox,
        finding: &Finding,
        out: &mut Vec<Output>,
    ) {
        let (outcome, rejection) = match finding {
            Finding::Domain(MailDomain::TakesNone) => (ChkuserOutcome::RejectedRcptMx, Rejection::RcptDomain),
            Finding::Domain(MailDomain::Unknown) => {
                (ChkuserOutcome::RejectedRcptDns, Rejection::RcptDomainUnknown)
            }
            // Nobody answers what was not asked; the client is not to suffer for it.
            Finding::Domain(MailDomain::Takes) | Finding::Helo(_) | Finding::Listed(_) | Finding::Spf(_) => {
                return self.accept_relayed(mailbox, out);
            }
        };
        let given = mailbox.to_string();
        let about = About::Recipient { given: given.as_bytes(), ours: Some(false) };
        self.note_chkuser(outcome, about, out);
        self.refuse(rejection, about, out);
    }

    fn accept_relayed(&mut self, mailbox: &Mailbox, out: &mut Vec<Output>) {
        let given = mailbox.to_string();
        let about = About::Recipient { given: given.as_bytes(), ours: Some(false) };
        let Some(relayed) = self.peer.grant.relayed(mailbox) else {
            self.note_chkuser(ChkuserOutcome::RejectedRcptFormat, about, out);
            return self.refuse(Rejection::RcptFormat, about, out);
        };
        self.note_chkuser(ChkuserOutcome::Relaying, about, out);
        let detail = if self.may_relay() { "chkuserrelay" } else { "relaymailfrom" };
        self.accept_recipient(relayed, (Reason::Rcptto, detail), about, out);
    }
}
