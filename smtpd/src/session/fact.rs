//! What a session tells the journal. Every line about a client is made here.

use logline::{
    Auth, AuthOutcome, Chkuser, ChkuserOutcome, Fingerprint, Mechanism, Phase, Qlog, Reason, Record, Smtpd,
    SmtpdEvent, Text, Verdict,
};

use crate::session::{Answer, Output, Session};

/// What an answer spoke of.
#[derive(Clone, Copy, Debug)]
pub(super) enum About<'a> {
    /// Nothing in particular.
    Session,
    /// A sender, as it was given.
    Sender(&'a [u8]),
    /// A recipient, as it was given, and whether its domain is ours.
    Recipient { given: &'a [u8], ours: Option<bool> },
    /// A login.
    Login { user: &'a [u8], mechanism: Option<Mechanism> },
    /// The message itself.
    Message { qp: u32, size_bytes: u64, message_id: Option<&'a [u8]> },
}

/// What stands where no name is known, as tcp-environment programs print it.
const UNKNOWN: &[u8] = b"unknown";

impl Session {
    /// An answer that accepts.
    pub(super) fn note_accepted(
        &self,
        code: u16,
        reason: Reason,
        detail: &'static str,
        about: About<'_>,
        out: &mut Vec<Output>,
    ) {
        out.push(Output::Fact(self.qlog(Verdict::Accepted, code, reason, detail, about)));
    }

    /// An answer that refuses.
    pub(super) fn note_answer(&self, answer: Answer<'_>, about: About<'_>, out: &mut Vec<Output>) {
        out.push(Output::Fact(self.answer_record(answer, about)));
    }

    /// A sentence.
    pub(super) fn note_event(&self, event: SmtpdEvent, out: &mut Vec<Output>) {
        let sender = self.transaction.as_ref().map(|transaction| sender_text(transaction.sender.as_ref()));
        out.push(Output::Fact(Record::Smtpd(Smtpd {
            event,
            sender,
            address: self.peer.remote.ip(),
            recipient: self.last_address.clone().map(Text::from),
            helo: Some(self.helo_text()),
            pid: Some(self.peer.session),
        })));
    }

    /// A sender or a recipient that was checked.
    pub(super) fn note_chkuser(&self, outcome: ChkuserOutcome, about: About<'_>, out: &mut Vec<Output>) {
        let (sender, recipient) = self.envelope_texts(about);
        // chkuser leaves the name out where it equals the client's name by reverse look-up.
        let helo = match &self.helo {
            Some(name) if !name.eq_ignore_ascii_case(self.host()) => Text::from(name.clone()),
            Some(_) | None => Text::default(),
        };
        out.push(Output::Fact(Record::Chkuser(Chkuser {
            outcome,
            sender,
            auth: self.user_text(),
            identify: self.peer.grant.identify.clone().map_or(Text::default(), Text::from),
            helo,
            remote_host: Text::from(self.host().to_vec()),
            address: self.peer.remote.ip(),
            recipient: recipient.unwrap_or_default(),
            pid: Some(self.peer.session),
        })));
    }

    /// A login that was tried.
    pub(super) fn note_auth(
        &self,
        outcome: AuthOutcome,
        mechanism: Mechanism,
        user: &[u8],
        fingerprint: Option<Fingerprint>,
        out: &mut Vec<Output>,
    ) {
        let user = Text::from(user.to_vec());
        out.push(Output::Fact(Record::Auth(Auth {
            pid: self.peer.session,
            outcome,
            mechanism,
            user,
            fingerprint,
        })));
    }

    /// The line of an answer that refuses.
    pub(super) fn answer_record(&self, answer: Answer<'_>, about: About<'_>) -> Record<'static> {
        let Answer { code, reason, detail, .. } = answer;
        self.qlog(Verdict::Rejected, code, reason, detail, about)
    }

    fn qlog(
        &self,
        verdict: Verdict,
        code: u16,
        reason: Reason,
        detail: &str,
        about: About<'_>,
    ) -> Record<'static> {
        let mut qlog = Qlog {
            phase: Phase::Envelope,
            verdict,
            code,
            reason,
            detail: Text::from(detail.to_owned()),
            helo: self.helo_text(),
            sender: Text::default(),
            recipients: Vec::new(),
            relay: self.may_relay(),
            rcpthosts: None,
            size_bytes: None,
            user: self.user_text(),
            mechanism: self.login.as_ref().map(|login| login.mechanism),
            encryption: self.encryption,
            verified: self.handshake.client.is_some(),
            local_address: self.peer.local.ip(),
            local_port: self.peer.local.port(),
            remote_address: self.peer.remote.ip(),
            remote_port: self.peer.remote.port(),
            remote_host: Text::from(self.host().to_vec()),
            qp: None,
            pid: self.peer.session,
            message_id: None,
            tls: None,
        };
        let (sender, recipient) = self.envelope_texts(about);
        qlog.sender = sender;
        // `<>` names nobody: the line has none.
        qlog.recipients.extend(recipient.filter(|recipient| !recipient.is_empty()));
        match about {
            About::Session | About::Sender(_) => {}
            About::Recipient { ours, .. } => qlog.rcpthosts = ours,
            About::Login { user, mechanism } => {
                qlog.user = Text::from(user.to_vec());
                qlog.mechanism = mechanism;
            }
            About::Message { qp, size_bytes, message_id } => {
                qlog.phase = Phase::Received;
                qlog.recipients = self.recipient_texts();
                qlog.size_bytes = Some(size_bytes);
                qlog.qp = Some(qp);
                qlog.message_id = message_id.map(|id| Text::from(id.to_vec()));
                qlog.tls = self
                    .handshake
                    .version
                    .zip(self.handshake.cipher)
                    .map(|(version, cipher)| Text::from(format!("{version}:{cipher}")));
            }
        }
        Record::Qlog(qlog)
    }

    /// The sender, and the recipient that is spoken of.
    fn envelope_texts(&self, about: About<'_>) -> (Text<'static>, Option<Text<'static>>) {
        let standing = self.transaction.as_ref().map_or(Text::default(), |t| sender_text(t.sender.as_ref()));
        match about {
            About::Sender(given) => (Text::from(given.to_vec()), None),
            About::Recipient { given, .. } => (standing, Some(Text::from(given.to_vec()))),
            About::Session | About::Login { .. } | About::Message { .. } => (standing, None),
        }
    }

    fn recipient_texts(&self) -> Vec<Text<'static>> {
        let recipients = self.transaction.iter().flat_map(|transaction| &transaction.recipients);
        recipients.map(|recipient| Text::from(recipient.to_string())).collect()
    }

    /// The client's name by reverse look-up.
    pub(super) fn host(&self) -> &[u8] {
        self.peer.grant.host.as_deref().unwrap_or(UNKNOWN)
    }

    fn helo_text(&self) -> Text<'static> {
        self.helo.clone().map_or(Text::from(UNKNOWN), Text::from)
    }

    fn user_text(&self) -> Text<'static> {
        self.login.as_ref().map_or(Text::default(), |login| Text::from(login.user.clone()))
    }
}

fn sender_text(sender: Option<&crate::mailbox::Mailbox>) -> Text<'static> {
    sender.map_or(Text::default(), |mailbox| Text::from(mailbox.to_string()))
}
