//! What is said back and forth after AUTH, and what each answer means.

use logline::{Mechanism, Timestamp};

use crate::scram::{Binding, ClientFirst, Exchange, Proof};
use crate::session::login::{CredentialAnswer, Login, Secret, plain};
use crate::session::{Ask, Output, Session, State, Waiting};

/// How far an exchange got.
#[derive(Debug)]
pub(in crate::session) enum Dialogue {
    /// PLAIN: everything is awaited.
    Plain,
    /// LOGIN: the user is awaited.
    LoginUser,
    /// LOGIN: the password is awaited.
    LoginPassword { user: Vec<u8> },
    /// CRAM-MD5: user and response to this challenge are awaited.
    CramMd5 { challenge: String },
    /// SCRAM: the first message is awaited.
    ScramFirst { mechanism: Mechanism },
    /// SCRAM: the proof is awaited, after this message.
    ScramProof { mechanism: Mechanism, exchange: Box<Exchange>, message: String },
    /// SCRAM: the server's own proof was sent; the client says that it heard it.
    ScramHeard { login: Login, message: String },
}

/// A SCRAM exchange whose credential is looked for.
#[derive(Debug)]
pub(in crate::session) struct Fetching {
    mechanism: Mechanism,
    first: ClientFirst,
}

impl Dialogue {
    /// What the server says next, before it is put into base64.
    pub(super) fn challenge(&self) -> &[u8] {
        match self {
            Dialogue::Plain | Dialogue::ScramFirst { .. } => b"",
            Dialogue::LoginUser => b"Username:",
            Dialogue::LoginPassword { .. } => b"Password:",
            Dialogue::CramMd5 { challenge } => challenge.as_bytes(),
            Dialogue::ScramProof { message, .. } | Dialogue::ScramHeard { message, .. } => message.as_bytes(),
        }
    }
}

impl Session {
    pub(super) fn dialogue(&self, mechanism: Mechanism) -> Dialogue {
        match mechanism {
            Mechanism::Plain => Dialogue::Plain,
            Mechanism::Login => Dialogue::LoginUser,
            Mechanism::CramMd5 => {
                let nonce =
                    self.nonce(b"cram-md5").iter().map(|byte| format!("{byte:02x}")).collect::<String>();
                Dialogue::CramMd5 { challenge: format!("<{nonce}@{}>", self.policy.hostname) }
            }
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => Dialogue::ScramFirst { mechanism },
        }
    }

    /// Never the same twice: no session has another's number at the same time, and none tries twice at one moment.
    fn nonce(&self, what: &[u8]) -> [u8; 18] {
        let moment = self.since.nanos().to_be_bytes();
        self.policy.auth.nonce_key.derive(&[
            what,
            &self.peer.session.0.to_be_bytes(),
            &moment,
            &self.errors.to_be_bytes(),
        ])
    }

    pub(super) fn answered(&mut self, dialogue: Dialogue, answer: Vec<u8>, out: &mut Vec<Output>) {
        match dialogue {
            Dialogue::Plain => match plain(&answer) {
                Some((user, password)) => self.ask_password(user, password, Mechanism::Plain, out),
                None => self.malformed(b"", Mechanism::Plain, out),
            },
            Dialogue::LoginUser => self.challenge(Dialogue::LoginPassword { user: answer }, out),
            Dialogue::LoginPassword { user } => self.ask_password(user, answer, Mechanism::Login, out),
            Dialogue::CramMd5 { challenge } => self.ask_response(challenge, &answer, out),
            Dialogue::ScramFirst { mechanism } => self.scram_begins(mechanism, &answer, out),
            Dialogue::ScramProof { mechanism, exchange, .. } => {
                self.scram_proves(mechanism, &exchange, &answer, out);
            }
            Dialogue::ScramHeard { login, .. } if answer.is_empty() => self.logged_in(login, out),
            Dialogue::ScramHeard { login, .. } => self.malformed(&login.user, login.mechanism, out),
        }
    }

    /// `user SPACE 32 hexadecimal digits` (RFC 2195 §2).
    fn ask_response(&mut self, challenge: String, answer: &[u8], out: &mut Vec<Output>) {
        let mechanism = Mechanism::CramMd5;
        let space = memchr::memrchr(b' ', answer).and_then(|at| answer.split_at_checked(at));
        let Some((user, response)) = space.filter(|(user, _)| !user.is_empty()) else {
            return self.malformed(b"", mechanism, out);
        };
        let response = response.trim_ascii();
        if response.len() != 32 || !response.iter().all(u8::is_ascii_hexdigit) {
            return self.malformed(user, mechanism, out);
        }
        let ask = Ask::Response {
            user: user.to_vec(),
            challenge,
            response: Secret::new(response.to_ascii_lowercase()),
        };
        out.push(Output::Ask(ask));
        self.state = State::Waiting(Waiting::Password(Login { user: user.to_vec(), mechanism }));
    }

    fn scram_begins(&mut self, mechanism: Mechanism, answer: &[u8], out: &mut Vec<Output>) {
        let Some(first) = ClientFirst::parse(answer) else {
            return self.malformed(b"", mechanism, out);
        };
        let fits = match (mechanism, first.binding) {
            (Mechanism::ScramSha256Plus, Binding::TlsExporter) => self.handshake.exporter.is_some(),
            (Mechanism::ScramSha256Plus, Binding::TlsServerEndPoint) => self.handshake.end_point.is_some(),
            (Mechanism::ScramSha256, Binding::None) => true,
            // Somebody in between took the offer to bind out of what the client heard (RFC 5802 §6).
            (Mechanism::ScramSha256, Binding::NotOffered) => !self.can(Mechanism::ScramSha256Plus),
            _ => false,
        };
        if !fits {
            let login = Login { user: first.user, mechanism };
            return self.wrong_password(&login, None, out);
        }
        out.push(Output::Ask(Ask::Credential { user: first.user.clone() }));
        self.state = State::Waiting(Waiting::Credential(Box::new(Fetching { mechanism, first })));
    }

    pub(in crate::session) fn credential_answered(
        &mut self,
        now: Timestamp,
        fetching: Fetching,
        answer: CredentialAnswer,
        out: &mut Vec<Output>,
    ) {
        self.since = now;
        let Fetching { mechanism, first } = fetching;
        let CredentialAnswer::Found(credential) = answer else {
            return self.cannot_check(&Login { user: first.user, mechanism }, out);
        };
        let bound = match first.binding {
            Binding::TlsExporter => self.handshake.exporter.map(Vec::from),
            Binding::TlsServerEndPoint => self.handshake.end_point.clone(),
            Binding::None | Binding::NotOffered => None,
        };
        let nonce = self.nonce(b"scram");
        let (exchange, message) = first.answer(*credential, &nonce, &bound.unwrap_or_default());
        self.challenge(Dialogue::ScramProof { mechanism, exchange: Box::new(exchange), message }, out);
    }

    fn scram_proves(
        &mut self,
        mechanism: Mechanism,
        exchange: &Exchange,
        answer: &[u8],
        out: &mut Vec<Output>,
    ) {
        let login = Login { user: exchange.user.clone(), mechanism };
        match exchange.judge(answer) {
            Proof::Right(message) => self.challenge(Dialogue::ScramHeard { login, message }, out),
            Proof::Wrong => self.wrong_password(&login, None, out),
            Proof::Malformed => self.malformed(&login.user, mechanism, out),
        }
    }
}
