//! Any bytes as what a client sends, in one piece and byte by byte: the session says, notes and asks the same. The first
//! byte chooses the service.
#![no_main]

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use logline::{Fingerprint, SessionId, Timestamp};
use smtpd::config::Config;
use smtpd::session::{
    Ask, CredentialAnswer, Finding, Gone, Grant, Input, MailDomain, OpenAnswer, Output, PasswordAnswer, Peer,
    Policy, RecipientAnswer, Service, Session, StoreAnswer,
};

static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| {
    let settings = "hostname = \"mx.example.org\"\ndomains = [\"example.org\"]\n[auth]\n\
        mechanisms = [\"plain\", \"login\", \"scram-sha-256\", \"cram-md5\"]\n";
    Arc::new(Config::parse("smtpd.toml", settings).expect("the settings are right").policy)
});

fn answer(ask: Ask) -> Input<'static> {
    match ask {
        Ask::Password { password, .. } if password.bytes() == b"a" => Input::Password(PasswordAnswer::Right),
        Ask::Password { .. } => Input::Password(PasswordAnswer::Wrong(Fingerprint(7))),
        Ask::Response { .. } => Input::Password(PasswordAnswer::WrongProof),
        Ask::Credential { .. } => Input::Credential(CredentialAnswer::Unavailable),
        Ask::Recipient(_) | Ask::Relayed(_) => Input::Recipient(RecipientAnswer::Known),
        Ask::Blocklist { .. } => Input::Blocklist(smtpd::blocklist::LookUp::Resting),
        Ask::Plugins(_) => Input::Plugins(smtpd::rules::PluginOpinion::default()),
        Ask::Inquire(_) => Input::Inquired(Finding::Domain(MailDomain::Takes)),
        Ask::Open(_) => Input::Opened(OpenAnswer::Open { qp: 1 }),
        Ask::Store => Input::Stored(StoreAnswer::Stored),
    }
}

/// All that the session said, noted and kept.
fn play(service: Service, said: &[u8], piece: usize) -> Vec<u8> {
    let [local, remote]: [SocketAddr; 2] =
        ["192.0.2.25:25", "203.0.113.7:4000"].map(|end| end.parse().expect("this is an address"));
    let now = Timestamp::from_seconds(1_795_262_400);
    let peer = Peer { session: SessionId(7), service, tls_available: true, local, remote, grant: Grant::default() };
    let mut session = Session::new(Arc::clone(&POLICY), peer, now);
    let (mut out, mut all) = (Vec::new(), Vec::new());
    session.handle(now, Input::Connected, &mut out);
    let mut pieces = said.chunks(piece);
    loop {
        let mut next = None;
        for output in out.drain(..) {
            match output {
                Output::Ask(ask) => next = Some(answer(ask)),
                Output::More => next = Some(Input::Resume),
                // What comes during a handshake is the handshake's, so only the rest can be compared.
                Output::StartTls => return all,
                Output::Reply(bytes) | Output::Body(bytes) => all.extend(bytes),
                Output::Fact(record) => all.extend(format!("{record}\n").bytes()),
                Output::Discard | Output::Pause(_) => {}
                Output::Close(_) => return all,
            }
        }
        let Some(input) = next.or_else(|| pieces.next().map(Input::Bytes)) else {
            session.handle(now, Input::Gone(Gone::Closed), &mut out);
            return all;
        };
        session.handle(now, input, &mut out);
    }
}

fuzz_target!(|said: &[u8]| {
    let Some((choice, said)) = said.split_first() else { return };
    let service = if choice % 2 == 0 { Service::Smtp } else { Service::Submission };
    // AUTH takes note of what came behind it in the same piece.
    if said.to_ascii_uppercase().windows(4).any(|word| word == b"AUTH") {
        play(service, said, 1);
        play(service, said, usize::MAX);
        return;
    }
    assert_eq!(play(service, said, 1), play(service, said, usize::MAX));
});
