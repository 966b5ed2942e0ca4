//! The administrator's own programs (qmail-spp): asked at each step of a session that the checks here have nothing against.

use logline::Reason;

use crate::mailbox::Mailbox;
use crate::rules::{PluginOpinion, PluginProgram, PluginVerdict, Stage};
use crate::session::login::Login;
use crate::session::message::Opening;
use crate::session::{About, Answer, Ask, End, Output, OwnWords, Rejection, Session, State, Waiting};

/// Fields, variables and later refusals that a session keeps.
const KEPT_MAX: usize = 64;

/// What programs are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consultation {
    /// At which step.
    pub stage: Stage,
    /// The programs, in their order.
    pub programs: Vec<PluginProgram>,
    /// Their environment, besides that of the server.
    pub variables: Vec<(String, String)>,
    /// The variable with the address that a program may change.
    pub address: Option<&'static str>,
}

/// What programs said before, as far as it matters later.
#[derive(Debug, Default)]
pub(super) struct PluginMemory {
    is_off: bool,
    fields: Vec<(Stage, String)>,
    later: Vec<(Stage, Stage, String)>,
    variables: Vec<(String, Option<String>)>,
    /// Recipients of this message that programs were asked about.
    recipients: u32,
}

/// What the session was about to do.
#[derive(Debug)]
pub(super) enum Consulted {
    /// To greet.
    Connection,
    /// To answer HELO, or EHLO.
    Helo { name: Vec<u8>, is_extended: bool },
    /// To take a sender; the transaction stands.
    Mail,
    /// To look for a recipient.
    Rcpt(Mailbox),
    /// To open a message.
    Message(Opening),
    /// To let somebody in.
    Auth(Login),
}

impl Consulted {
    fn stage(&self) -> Stage {
        match self {
            Consulted::Connection => Stage::Connection,
            Consulted::Helo { .. } => Stage::Helo,
            Consulted::Mail => Stage::Mail,
            Consulted::Rcpt(_) => Stage::Rcpt,
            Consulted::Message(_) => Stage::Data,
            Consulted::Auth(_) => Stage::Auth,
        }
    }
}

impl PluginMemory {
    /// A new sender: what was said of the message before is over. What was said of the client holds.
    pub(super) fn begin_message(&mut self) {
        let of_client = |stage: Stage| matches!(stage, Stage::Connection | Stage::Helo | Stage::Auth);
        self.fields.retain(|(stage, _)| of_client(*stage));
        self.later.retain(|(stage, ..)| of_client(*stage));
        self.recipients = 0;
    }

    fn keep(&mut self, stage: Stage, opinion: &PluginOpinion) {
        self.fields.extend(opinion.fields.iter().map(|field| (stage, field.clone())));
        self.later.extend(opinion.later.iter().map(|(when, words)| (stage, *when, words.clone())));
        self.variables.extend(opinion.variables.iter().cloned());
        self.fields.truncate(KEPT_MAX);
        self.later.truncate(KEPT_MAX);
        self.variables.truncate(KEPT_MAX);
    }
}

impl Session {
    /// Goes on, once the programs of this step have nothing against it.
    pub(super) fn consult(&mut self, step: Consulted, out: &mut Vec<Output>) {
        let stage = step.stage();
        let memory = self.plugins.as_deref();
        if let Some((.., words)) = memory.and_then(|m| m.later.iter().find(|(_, when, _)| *when == stage)) {
            let words = words.clone();
            return self.consulted_no(step, &words, out);
        }
        let plugins = &self.policy.rules.plugins;
        let is_off = memory.is_some_and(|memory| memory.is_off)
            || (plugins.on_request && !self.peer.grant.enables_plugins);
        let programs: Vec<PluginProgram> = plugins.of(stage).filter(|_| !is_off).cloned().collect();
        if programs.is_empty() {
            return self.consulted_yes(step, &PluginVerdict::None, out);
        }
        let mut variables = self.variables(&step);
        if let Consulted::Rcpt(_) = step {
            let memory = self.plugins.get_or_insert_default();
            memory.recipients = memory.recipients.saturating_add(1);
            variables.push(("SMTPRCPTCOUNTALL".to_owned(), memory.recipients.to_string()));
        }
        let address = match step {
            Consulted::Mail => Some("SMTPMAILFROM"),
            Consulted::Rcpt(_) => Some("SMTPRCPTTO"),
            Consulted::Connection | Consulted::Helo { .. } | Consulted::Message(_) | Consulted::Auth(_) => {
                None
            }
        };
        out.push(Output::Ask(Ask::Plugins(Consultation { stage, programs, variables, address })));
        self.state = State::Waiting(Waiting::Plugins(step));
    }

    fn variables(&self, step: &Consulted) -> Vec<(String, String)> {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let plain = |mailbox: &Mailbox| format!("{}@{}", mailbox.local(), mailbox.domain());
        let (local, remote) = (self.peer.local, self.peer.remote);
        let mut variables = vec![
            ("TCPREMOTEIP", remote.ip().to_string()),
            ("TCPREMOTEPORT", remote.port().to_string()),
            ("TCPLOCALIP", local.ip().to_string()),
            ("TCPLOCALPORT", local.port().to_string()),
            ("TCPREMOTEHOST", lossy(self.host())),
        ];
        let helo = match step {
            Consulted::Helo { name, .. } => Some(name),
            _ => self.helo.as_ref(),
        };
        variables.extend(helo.map(|name| ("SMTPHELOHOST", lossy(name))));
        if let Some(transaction) = &self.transaction {
            variables.push(("SMTPMAILFROM", transaction.sender.as_ref().map(plain).unwrap_or_default()));
            variables.push(("SMTPRCPTCOUNT", transaction.recipients.len().to_string()));
        }
        if let Consulted::Rcpt(mailbox) = step {
            variables.push(("SMTPRCPTTO", plain(mailbox)));
            variables.push(("SMTPRCPTHOSTSOK", if self.is_ours(mailbox) { "1" } else { "0" }.to_owned()));
        }
        let login = match step {
            Consulted::Auth(login) => Some(login),
            _ => self.login.as_ref(),
        };
        if let Some(login) = login {
            variables.push(("SMTPAUTHUSER", lossy(&login.user)));
            variables.push(("SMTPAUTHMETHOD", login.mechanism.name().to_owned()));
        }
        if self.may_relay() {
            variables.push(("RELAYCLIENT", self.peer.grant.relay.clone().unwrap_or_default()));
        }
        let mut variables: Vec<(String, String)> =
            variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        // What a program said last counts; what it took away is simply not said by this one.
        for (name, value) in self.plugins.iter().flat_map(|memory| &memory.variables) {
            variables.retain(|(other, _)| other != name);
            variables.extend(value.as_ref().map(|value| (name.clone(), value.clone())));
        }
        variables
    }

    /// The programs have spoken.
    pub(super) fn consulted(&mut self, mut step: Consulted, opinion: PluginOpinion, out: &mut Vec<Output>) {
        let memory = self.plugins.get_or_insert_default();
        memory.keep(step.stage(), &opinion);
        memory.is_off |= opinion.verdict == PluginVerdict::Accept;
        if let Some(address) = opinion.address.as_ref().and_then(|address| address.parse::<Mailbox>().ok()) {
            match (&mut step, &mut self.transaction) {
                (Consulted::Mail, Some(transaction)) => transaction.sender = Some(address),
                (Consulted::Rcpt(mailbox), _) => *mailbox = address,
                _ => {}
            }
        }
        match opinion.verdict {
            PluginVerdict::Refuse(words) => self.consulted_no(step, &words, out),
            PluginVerdict::Reject(words) => {
                self.consulted_no(step, &words, out);
                self.close(End::GaveUp, out);
            }
            // Nobody is told but the journal.
            PluginVerdict::Drop => {
                let answer = Answer { detail: "drop", ..Rejection::PluginRefuses.answer() };
                self.note_answer(answer, About::Session, out);
                self.close(End::GaveUp, out);
            }
            PluginVerdict::Failed => {
                let usual = Rejection::PluginFailed.answer();
                self.refuse_consulted(step, Rejection::PluginFailed, usual, out);
            }
            verdict @ (PluginVerdict::None
            | PluginVerdict::Next
            | PluginVerdict::Ok
            | PluginVerdict::Accept) => self.consulted_yes(step, &verdict, out),
        }
    }

    fn consulted_yes(&mut self, step: Consulted, verdict: &PluginVerdict, out: &mut Vec<Output>) {
        match step {
            Consulted::Connection => self.greet(out),
            Consulted::Helo { name, is_extended: true } => self.ehlo_taken(&name, out),
            Consulted::Helo { name, is_extended: false } => self.helo_taken(&name, out),
            Consulted::Mail => self.say(250, "2.1.0", "ok", out),
            Consulted::Rcpt(mailbox) if *verdict == PluginVerdict::Ok => {
                let given = mailbox.to_string();
                let about = About::Recipient { given: given.as_bytes(), ours: Some(self.is_ours(&mailbox)) };
                self.accept_recipient(mailbox, (Reason::Spp, ""), about, out);
            }
            Consulted::Rcpt(mailbox) => self.look_for_recipient(mailbox, out),
            Consulted::Message(opening) => self.open_message(self.since, opening, out),
            Consulted::Auth(login) => self.let_in(login, out),
        }
    }

    /// A program's words are a reply where they are one; else ours.
    fn consulted_no(&mut self, step: Consulted, words: &str, out: &mut Vec<Output>) {
        let words = OwnWords::parse(words);
        let rejection = match &words {
            Some(words) if words.code < 500 => Rejection::PluginDelays,
            Some(_) | None => Rejection::PluginRefuses,
        };
        let usual = rejection.answer();
        match &words {
            Some(OwnWords { code, text }) => {
                self.refuse_consulted(step, rejection, Answer { code: *code, text, ..usual }, out);
                // A 421 is the last word (RFC 5321 §3.8).
                if *code == 421 {
                    self.close(End::GaveUp, out);
                }
            }
            None => self.refuse_consulted(step, rejection, usual, out),
        }
    }

    fn refuse_consulted(
        &mut self,
        step: Consulted,
        rejection: Rejection,
        answer: Answer<'_>,
        out: &mut Vec<Output>,
    ) {
        match step {
            Consulted::Connection => {
                self.refuse_with(rejection, answer, About::Session, out);
                self.close(End::GaveUp, out);
            }
            Consulted::Helo { .. } => self.refuse_with(rejection, answer, About::Session, out),
            Consulted::Auth(Login { user, mechanism }) => {
                let about = About::Login { user: &user, mechanism: Some(mechanism) };
                self.refuse_with(rejection, answer, about, out);
            }
            Consulted::Mail => {
                let given = self.last_address.clone().unwrap_or_default();
                self.transaction = None;
                self.refuse_with(rejection, answer, About::Sender(&given), out);
            }
            Consulted::Rcpt(mailbox) => {
                let given = mailbox.to_string();
                let about = About::Recipient { given: given.as_bytes(), ours: Some(self.is_ours(&mailbox)) };
                self.refuse_with(rejection, answer, about, out);
            }
            Consulted::Message(Opening::Data) => {
                self.refuse_with(rejection, answer, About::Session, out);
                self.transaction = None;
            }
            Consulted::Message(opening @ Opening::Chunk { .. }) => {
                let words = OwnWords { code: answer.code, text: answer.text.to_owned() };
                self.refuse_chunk_later(opening, rejection, words);
            }
        }
    }

    /// What programs put into the header.
    pub(super) fn plugin_fields(&self) -> Option<String> {
        let fields: String = self
            .plugins
            .iter()
            .flat_map(|memory| &memory.fields)
            .map(|(_, field)| format!("{field}\n"))
            .collect();
        (!fields.is_empty()).then_some(fields)
    }
}
