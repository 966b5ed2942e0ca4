//! AUTH (RFC 4954) with PLAIN (RFC 4616) and LOGIN, under TLS only.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use logline::{AuthOutcome, Fingerprint, Mechanism, Reason, SmtpdEvent};

use crate::session::{About, Ask, End, Output, PasswordAnswer, Rejection, Session, State};

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

/// Who the client is, or says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: Vec<u8>,
    pub(super) mechanism: Mechanism,
}

/// How far an exchange got.
#[derive(Debug)]
pub(super) enum Dialogue {
    /// PLAIN: everything is awaited.
    Plain,
    /// LOGIN: the user is awaited.
    LoginUser,
    /// LOGIN: the password is awaited.
    LoginPassword { user: Vec<u8> },
}

impl Session {
    pub(super) fn auth(&mut self, mechanism: &[u8], initial: Option<&[u8]>, out: &mut Vec<Output>) {
        let refusal = if self.encryption.is_none() {
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
        let dialogue = match mechanism.to_ascii_uppercase().as_slice() {
            b"PLAIN" => Dialogue::Plain,
            b"LOGIN" => Dialogue::LoginUser,
            _ => return self.refuse(Rejection::AuthMechanism, About::Session, out),
        };
        match (initial, dialogue) {
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
        let Ok(answer) = STANDARD.decode(answer.trim_ascii()) else {
            return self.refuse(Rejection::AuthMalformed, About::Session, out);
        };
        match dialogue {
            Dialogue::Plain => match plain(&answer) {
                Some((user, password)) => self.ask_password(user, password, Mechanism::Plain, out),
                None => self.refuse(Rejection::AuthMalformed, About::Session, out),
            },
            Dialogue::LoginUser => self.challenge(Dialogue::LoginPassword { user: answer }, out),
            Dialogue::LoginPassword { user } => self.ask_password(user, answer, Mechanism::Login, out),
        }
    }

    fn challenge(&mut self, dialogue: Dialogue, out: &mut Vec<Output>) {
        let text = match &dialogue {
            Dialogue::Plain => "",
            Dialogue::LoginUser => "VXNlcm5hbWU6",
            Dialogue::LoginPassword { .. } => "UGFzc3dvcmQ6",
        };
        self.say(334, "", text, out);
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
            return self.refuse(
                Rejection::AuthMalformed,
                About::Login { user: &user, mechanism: Some(mechanism) },
                out,
            );
        }
        out.push(Output::Ask(Ask::Password { user: user.clone(), password: Secret(password) }));
        self.state = State::CheckingPassword(Login { user, mechanism });
    }

    pub(super) fn password_answered(
        &mut self,
        now: logline::Timestamp,
        login: Login,
        answer: PasswordAnswer,
        out: &mut Vec<Output>,
    ) {
        self.since = now;
        let mechanism = login.mechanism;
        match answer {
            PasswordAnswer::Right => {
                self.note_auth(AuthOutcome::Success, mechanism, &login.user, None, out);
                self.login = Some(login);
                self.note_accepted(235, Reason::AuthAccepted, "", About::Session, out);
                self.say(235, "2.7.0", "ok, go ahead (#2.0.0)", out);
            }
            PasswordAnswer::Wrong(fingerprint) => self.wrong_password(&login, fingerprint, out),
            PasswordAnswer::Unavailable => {
                let about = About::Login { user: &login.user, mechanism: Some(mechanism) };
                self.refuse(Rejection::AuthUnavailable, about, out);
            }
        }
    }

    fn wrong_password(&mut self, login: &Login, fingerprint: Fingerprint, out: &mut Vec<Output>) {
        self.note_auth(AuthOutcome::Failed, login.mechanism, &login.user, Some(fingerprint), out);
        let about = About::Login { user: &login.user, mechanism: Some(login.mechanism) };
        self.refuse(Rejection::AuthFailed, about, out);
    }
}

/// `[authzid] NUL authcid NUL password`. Acting for another is not offered, so an authzid must name the user itself.
fn plain(answer: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut parts = answer.splitn(3, |&b| b == 0);
    let (acting_as, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let itself = acting_as.is_empty() || acting_as.eq_ignore_ascii_case(user);
    (itself && !password.contains(&0)).then(|| (user.to_vec(), password.to_vec()))
}
