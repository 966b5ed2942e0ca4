//! A session of the mail server, played with bytes alone: whoever is asked answers at once, and always the same.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use logline::{Fingerprint, SessionId, Timestamp};
use smtpd::blocklist::LookUp;
use smtpd::config::Config;
use smtpd::session::{
    Ask, CredentialAnswer, Envelope, Finding, Gone, Grant, Input, MailDomain, OpenAnswer, Output,
    PasswordAnswer, Peer, Policy, RecipientAnswer, Service, Session, StoreAnswer,
};

static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| {
    let settings = "hostname = \"mx.example.org\"\ndomains = [\"example.org\"]\n[auth]\n\
        mechanisms = [\"plain\", \"login\", \"scram-sha-256\", \"cram-md5\"]\n";
    Arc::new(Config::parse("smtpd.toml", settings).expect("the settings are right").policy)
});

/// A session that is open.
pub struct Play {
    session: Session,
    now: Timestamp,
    out: Vec<Output>,
    /// All that it said, noted and kept, in order.
    pub transcript: Vec<u8>,
    /// The codes of its replies.
    pub codes: Vec<u16>,
    /// The message that was opened last.
    pub envelope: Option<Envelope>,
    /// What was kept of it.
    pub body: Vec<u8>,
    /// Whether there is no more to be said: it is over, or what comes is another's.
    pub is_over: bool,
}

impl Play {
    /// A client has come.
    pub fn open(service: Service) -> Self {
        let [local, remote]: [SocketAddr; 2] =
            ["192.0.2.25:25", "203.0.113.7:4000"].map(|end| end.parse().expect("this is an address"));
        let now = Timestamp::from_seconds(1_795_262_400);
        let grant = Grant::default();
        let peer = Peer { session: SessionId(7), service, tls_available: true, local, remote, grant };
        let session = Session::new(Arc::clone(&POLICY), peer, now);
        let mut play = Play {
            session,
            now,
            out: Vec::new(),
            transcript: Vec::new(),
            codes: Vec::new(),
            envelope: None,
            body: Vec::new(),
            is_over: false,
        };
        play.take(Input::Connected);
        play
    }

    /// The client says so much at once.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.take(Input::Bytes(bytes));
    }

    /// The client goes.
    pub fn close(&mut self) {
        self.take(Input::Gone(Gone::Closed));
    }

    fn take(&mut self, input: Input<'_>) {
        let mut next = (!self.is_over).then_some(input);
        while let Some(input) = next.take() {
            self.session.handle(self.now, input, &mut self.out);
            for output in std::mem::take(&mut self.out) {
                next = self.carry_out(output);
            }
        }
    }

    fn carry_out(&mut self, output: Output) -> Option<Input<'static>> {
        match output {
            Output::Ask(Ask::Open(envelope)) => {
                self.envelope = Some(envelope);
                self.body.clear();
                return Some(Input::Opened(OpenAnswer::Open { qp: 1 }));
            }
            Output::Ask(ask) => return Some(answer(ask)),
            Output::More => return Some(Input::Resume),
            // What comes during a handshake is the handshake's.
            Output::StartTls | Output::Close(_) => self.is_over = true,
            Output::Reply(reply) => {
                self.codes.extend(codes(&reply));
                self.transcript.extend(reply);
            }
            Output::Body(bytes) => {
                self.transcript.extend(&bytes);
                self.body.extend(bytes);
            }
            Output::Fact(record) => self.transcript.extend(format!("{record}\n").bytes()),
            Output::Discard | Output::Pause(_) => {}
        }
        None
    }
}

fn answer(ask: Ask) -> Input<'static> {
    match ask {
        Ask::Password { password, .. } if password.bytes() == b"a" => Input::Password(PasswordAnswer::Right),
        Ask::Password { .. } => Input::Password(PasswordAnswer::Wrong(Fingerprint(7))),
        Ask::Response { .. } => Input::Password(PasswordAnswer::WrongProof),
        Ask::Credential { .. } => Input::Credential(CredentialAnswer::Unavailable),
        Ask::Recipient(_) | Ask::Relayed(_) => Input::Recipient(RecipientAnswer::Known),
        Ask::Blocklist { .. } => Input::Blocklist(LookUp::Resting),
        Ask::Inquire(_) => Input::Inquired(Finding::Domain(MailDomain::Takes)),
        Ask::Open(_) => Input::Opened(OpenAnswer::Closed),
        Ask::Store => Input::Stored(StoreAnswer::Stored),
    }
}

/// The code of each reply, at its last line.
fn codes(reply: &[u8]) -> impl Iterator<Item = u16> {
    reply.split_inclusive(|&byte| byte == b'\n').filter_map(|line| match line {
        [a, b, c, b' ' | b'\r', ..] => code(&[*a, *b, *c]),
        _ => None,
    })
}

fn code(digits: &[u8]) -> Option<u16> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
