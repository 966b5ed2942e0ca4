//! AUTH (RFC 4954): PLAIN, LOGIN, SCRAM-SHA-256 and CRAM-MD5, as the rules of the house allow.

mod exchange;
mod rules;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use logline::{AuthOutcome, Fingerprint, Mechanism, Reason, SmtpdEvent, Timestamp};

use crate::scram;
use crate::session::{About, Ask, End, Output, PasswordAnswer, Rejection, Session, State, Waiting};

pub(super) use exchange::{Dialogue, Fetching};
pub use rules::{AuthRules, NonceKey};

/// A password, as the client sent it. Nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Keeps `password` from every stream.
    pub fn new(password: Vec<u8>) -> Self {
        Secret(password)
    }

    /// The bytes, for whoever checks them.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What the back end keeps for SCRAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialAnswer {
    /// The user's credential, or nobody's, which no proof fits.
    Found(Box<scram::Credential>),
    /// It could not be looked for.
    Unavailable,
}

/// Who the client is, or says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: Vec<u8>,
    pub(super) mechanism: Mechanism,
}

impl Session {
    /// What EHLO says; `None` where a login is not to be had.
    pub(super) fn offered_mechanisms(&self) -> Option<String> {
        let rules = &self.policy.auth;
        if rules.mechanisms.is_empty() || (self.encryption.is_none() && !rules.in_clear) {
            return None;
        }
        let names = rules.mechanisms.iter().filter(|mechanism| self.can(**mechanism));
        Some(names.map(|mechanism| mechanism.name().to_ascii_uppercase()).collect::<Vec<_>>().join(" "))
    }

    /// Whether a mechanism is offered on this connection.
    fn can(&self, mechanism: Mechanism) -> bool {
        let offered = self.policy.auth.mechanisms.contains(&mechanism);
        offered && (mechanism != Mechanism::ScramSha256Plus || self.handshake.can_bind())
    }

    pub(super) fn auth(&mut self, mechanism: &[u8], initial: Option<&[u8]>, out: &mut Vec<Output>) {
        let rules = &self.policy.auth;
        let refusal = if rules.mechanisms.is_empty() {
            self.note_event(SmtpdEvent::AuthNotAvailable, out);
            Some(Rejection::Unimplemented)
        } else if self.encryption.is_none() && !rules.in_clear {
            self.note_event(SmtpdEvent::AuthNeedsTls, out);
            Some(Rejection::AuthNeedsTls)
        } else if self.login.is_some() {
            Some(Rejection::AuthTwice)
        } else if self.transaction.is_some() {
            Some(Rejection::AuthDuringMail)
        } else {
            None
        };
        if let Some(rejection) = refusal {
            return self.refuse(rejection, About::Session, out);
        }
        let name = mechanism.to_ascii_lowercase();
        let known = Mechanism::ALL.iter().copied().find(|known| known.name().as_bytes() == name);
        let Some(dialogue) = known.filter(|known| self.can(*known)).map(|known| self.dialogue(known)) else {
            return self.refuse(Rejection::AuthMechanism, About::Session, out);
        };
        match (initial, dialogue) {
            // Its challenge comes first, so an answer to none is no answer.
            (Some(_), Dialogue::CramMd5 { .. }) => {
                self.refuse(Rejection::AuthMalformed, About::Session, out);
            }
            // RFC 4954 §4: a lone `=` is an answer of no bytes.
            (Some(b"="), dialogue) => self.auth_answer(dialogue, b"", out),
            (Some(answer), dialogue) => self.auth_answer(dialogue, answer, out),
            (None, dialogue) if self.pending.is_empty() => self.challenge(dialogue, out),
            (None, _) => self.pipelined(out),
        }
    }

    /// The client did not wait to hear whether it may go on, so nothing that follows means what it should.
    fn pipelined(&mut self, out: &mut Vec<Output>) {
        self.refuse(Rejection::AuthPipelined, About::Session, out);
        self.close(End::GaveUp, out);
    }

    pub(super) fn auth_answer(&mut self, dialogue: Dialogue, answer: &[u8], out: &mut Vec<Output>) {
        if !self.pending.is_empty() {
            return self.pipelined(out);
        }
        if answer == b"*" {
            return self.refuse(Rejection::AuthCancelled, About::Session, out);
        }
        match STANDARD.decode(answer.trim_ascii()) {
            Ok(answer) => self.answered(dialogue, answer, out),
            Err(_) => self.refuse(Rejection::AuthMalformed, About::Session, out),
        }
    }

    fn challenge(&mut self, dialogue: Dialogue, out: &mut Vec<Output>) {
        self.say(334, "", &STANDARD.encode(dialogue.challenge()), out);
        self.state = State::Auth(dialogue);
    }

    fn ask_password(
        &mut self,
        user: Vec<u8>,
        password: Vec<u8>,
        mechanism: Mechanism,
        out: &mut Vec<Output>,
    ) {
        if user.is_empty() || password.is_empty() {
            return self.malformed(&user, mechanism, out);
        }
        out.push(Output::Ask(Ask::Password { user: user.clone(), password: Secret(password) }));
        self.state = State::Waiting(Waiting::Password(Login { user, mechanism }));
    }

    fn malformed(&mut self, user: &[u8], mechanism: Mechanism, out: &mut Vec<Output>) {
        let about = About::Login { user, mechanism: Some(mechanism) };
        self.refuse(Rejection::AuthMalformed, about, out);
    }

    pub(super) fn password_answered(
        &mut self,
        now: Timestamp,
        login: Login,
        answer: PasswordAnswer,
        out: &mut Vec<Output>,
    ) {
        self.since = now;
        match answer {
            PasswordAnswer::Right => self.logged_in(login, out),
            PasswordAnswer::Wrong(fingerprint) => self.wrong_password(&login, Some(fingerprint), out),
            PasswordAnswer::WrongProof => self.wrong_password(&login, None, out),
            PasswordAnswer::Unavailable => self.cannot_check(&login, out),
        }
    }

    fn logged_in(&mut self, login: Login, out: &mut Vec<Output>) {
        self.note_auth(AuthOutcome::Success, login.mechanism, &login.user, None, out);
        self.login = Some(login);
        self.note_accepted(235, Reason::AuthAccepted, "", About::Session, out);
        self.say(235, "2.7.0", "ok, go ahead (#2.0.0)", out);
    }

    fn wrong_password(&mut self, login: &Login, fingerprint: Option<Fingerprint>, out: &mut Vec<Output>) {
        self.note_auth(AuthOutcome::Failed, login.mechanism, &login.user, fingerprint, out);
        let about = About::Login { user: &login.user, mechanism: Some(login.mechanism) };
        self.refuse(Rejection::AuthFailed, about, out);
    }

    fn cannot_check(&mut self, login: &Login, out: &mut Vec<Output>) {
        let about = About::Login { user: &login.user, mechanism: Some(login.mechanism) };
        self.refuse(Rejection::AuthUnavailable, about, out);
    }
}

/// `[authzid] NUL authcid NUL password`. Acting for another is not offered, so an authzid must name the user itself.
fn plain(answer: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut parts = answer.splitn(3, |&b| b == 0);
    let (acting_as, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let itself = acting_as.is_empty() || acting_as.eq_ignore_ascii_case(user);
    (itself && !password.contains(&0)).then(|| (user.to_vec(), password.to_vec()))
}
