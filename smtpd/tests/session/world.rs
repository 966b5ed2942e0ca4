//! Sessions as transcripts: `C:` what came in, `S:` what was replied, `L:` what was logged, `*:` what else was done.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use expect_test::Expect;
use hmac::{Hmac, Mac as _};
use logline::{Fingerprint, Record, SessionId, Timestamp};
use smtpd::blocklist::{Blocklist, Desk, Listing, LookUp, Plan, ZoneAnswer};
use smtpd::rules::{HeloNames, Rules, SpfFinding, SpfResult};
use smtpd::scram::Credential;
use smtpd::session::{
    Ask, AuthRules, CredentialAnswer, Envelope, Finding, Gone, Grant, Handshake, Input, Inquiry, Limits,
    MailDomain, NonceKey, OpenAnswer, Output, OwnWords, PasswordAnswer, Peer, Policy, RecipientAnswer,
    Service, Session, StoreAnswer,
};

use crate::opening::after_opening;

/// 2026-11-21 12:00:00 UTC.
pub(super) const NOON: Timestamp = Timestamp::from_seconds(1_795_262_400);

/// Answers a session as a server with the users alice and bob at example.org would.
pub(super) struct World {
    pub(super) session: Session,
    pub(super) lists: Vec<Blocklist>,
    pub(super) desk: Desk,
    pub(super) now: Timestamp,
    /// What the session did, a line each.
    pub(super) transcript: Vec<String>,
    pub(super) message: Vec<u8>,
    pub(super) open: bool,
    /// What the next handshake tells.
    pub(super) handshake: Handshake,
    /// Of the last message.
    pub(super) envelope: Option<Envelope>,
}

pub(super) fn policy() -> Policy {
    policy_with(Vec::new())
}

pub(super) fn policy_with(blocklists: Vec<Blocklist>) -> Policy {
    Policy {
        blocklists,
        survey_every: 0,
        rules: Rules::default(),
        hostname: "mx.example.org".into(),
        domains: ["example.org".to_owned()].into(),
        default_domain: "example.org".into(),
        auth: AuthRules::new(NonceKey::new([7; 32])),
        tls_clients: ["carol@example.org".to_owned()].into(),
        relay: vec!["198.51.100.0/24".parse().unwrap()],
        limits: Limits { message_bytes_max: 1000, ..Limits::default() },
    }
}

pub(super) fn peer(service: Service, remote: &str) -> Peer {
    let local: SocketAddr = "192.0.2.25:25".parse().unwrap();
    Peer {
        session: SessionId(7),
        service,
        tls_available: true,
        local,
        remote: remote.parse().unwrap(),
        grant: Grant::default(),
    }
}

impl World {
    pub(super) fn new(service: Service, remote: &str) -> Self {
        World::under(policy(), service, remote)
    }

    pub(super) fn under(policy: Policy, service: Service, remote: &str) -> Self {
        let mut world = World::closed(policy, service, remote);
        world.feed(Input::Connected);
        world
    }

    /// A connection that is not open yet.
    pub(super) fn closed(policy: Policy, service: Service, remote: &str) -> Self {
        let (lists, desk) = (policy.blocklists.clone(), Desk::new(&policy.blocklists));
        let session = Session::new(Arc::new(policy), peer(service, remote), NOON);
        World {
            session,
            lists,
            desk,
            now: NOON,
            transcript: Vec::new(),
            message: Vec::new(),
            open: true,
            handshake: Handshake::default(),
            envelope: None,
        }
    }

    /// A line of the client's.
    pub(super) fn send(&mut self, line: &str) {
        self.feed(Input::Bytes(format!("{line}\r\n").as_bytes()));
    }

    /// What the server said last.
    pub(super) fn last_reply(&self) -> String {
        let said = self.transcript.iter().rev().find_map(|line| line.strip_prefix("S: "));
        said.unwrap_or_default().to_owned()
    }

    pub(super) fn feed(&mut self, input: Input<'_>) {
        let mut out = Vec::new();
        self.session.handle(self.now, input, &mut out);
        if let Some(answer) = self.carry_out(out) {
            self.feed(answer);
        }
    }

    /// What the lists say: one has everybody, one refuses, one is silent, the others are clear.
    pub(super) fn look_up(&mut self, zone: usize, address: IpAddr) -> LookUp {
        if let Plan::Answer(known) = self.desk.plan(self.now, zone, address) {
            return known;
        }
        let answer = match self.lists[zone].query(address).as_str() {
            "7.113.0.203.listed.example" => ZoneAnswer::Addresses {
                codes: vec![[127, 0, 0, 2].into()],
                text: Some(b"see\xff https://listed.example/".to_vec()),
            },
            "7.113.0.203.broken.example" => ZoneAnswer::Addresses {
                codes: vec![[127, 255, 255, 254].into()],
                text: Some(b"go away".to_vec()),
            },
            "7.113.0.203.silent.example" => ZoneAnswer::Failed,
            _ => ZoneAnswer::NotListed,
        };
        self.desk.answered(self.now, zone, address, &answer)
    }

    /// Does what the session wants; gives the answer that the session waits for.
    pub(super) fn carry_out(&mut self, out: Vec<Output>) -> Option<Input<'static>> {
        assert!(self.open || out.is_empty(), "a closed session does nothing");
        let mut answer = None;
        for output in out {
            assert!(answer.is_none() && self.open, "nothing follows an ask, a handshake or the close");
            match output {
                Output::Reply(reply) => {
                    let reply = String::from_utf8(reply).unwrap();
                    assert!(reply.ends_with("\r\n"));
                    self.transcript.extend(reply.lines().map(|line| format!("S: {line}")));
                }
                Output::Fact(record) => self.note(&record),
                Output::Ask(ask) => answer = Some(self.answer(ask)),
                Output::Body(bytes) => self.message.extend(bytes),
                Output::Discard => {
                    self.message.clear();
                    self.transcript.push("*: discard".into());
                }
                Output::Pause(pause) => self.transcript.push(format!("*: pause {}s", pause.as_secs())),
                Output::More => answer = Some(Input::Resume),
                Output::StartTls => {
                    self.transcript.push("*: handshake".into());
                    answer = Some(Input::TlsDone(Box::new(self.handshake.clone())));
                }
                Output::Close(end) => {
                    self.transcript.push(format!("*: close {}", end.status()));
                    self.open = false;
                }
            }
        }
        answer
    }

    pub(super) fn answer(&mut self, ask: Ask) -> Input<'static> {
        match ask {
            Ask::Password { user, password } => {
                let right = user == b"alice@example.org" && password.bytes() == b"secret";
                Input::Password(match user.as_slice() {
                    b"down@example.org" => PasswordAnswer::Unavailable,
                    _ if right => PasswordAnswer::Right,
                    _ => PasswordAnswer::Wrong(Fingerprint(0xbeef)),
                })
            }
            Ask::Response { user, challenge, response } => {
                let right = user == b"alice@example.org" && response.bytes() == cram_md5(&challenge);
                Input::Password(if right { PasswordAnswer::Right } else { PasswordAnswer::WrongProof })
            }
            Ask::Credential { user } => Input::Credential(match user.as_slice() {
                b"down@example.org" => CredentialAnswer::Unavailable,
                b"alice@example.org" => {
                    CredentialAnswer::Found(Box::new(Credential::new(b"secret", b"salt", 2)))
                }
                other => CredentialAnswer::Found(Box::new(Credential::of_nobody(b"key", other, None))),
            }),
            Ask::Recipient(mailbox) => Input::Recipient(match mailbox.local() {
                "alice" | "bob" | "postmaster" => RecipientAnswer::Known,
                "down" => RecipientAnswer::Unavailable,
                "stuffed" => RecipientAnswer::Full,
                "moved" => {
                    RecipientAnswer::Said(OwnWords { code: 551, text: "alice lives elsewhere".into() })
                }
                "full" => RecipientAnswer::Said(OwnWords { code: 452, text: "come on Monday".into() }),
                _ => RecipientAnswer::Unknown,
            }),
            Ask::Relayed(mailbox) => Input::Recipient(match mailbox.local() {
                "over" => RecipientAnswer::Overlimit,
                _ => RecipientAnswer::AnyOfDomain,
            }),
            Ask::Blocklist { zone, address } => Input::Blocklist(self.look_up(zone, address)),
            Ask::Inquire(inquiry) => Input::Inquired(inquired(&inquiry)),
            Ask::Open(envelope) if envelope.sender.as_ref().is_some_and(|s| s.local() == "closed") => {
                Input::Opened(OpenAnswer::Closed)
            }
            Ask::Open(envelope) => {
                self.envelope = Some(envelope);
                Input::Opened(OpenAnswer::Open { qp: 77 })
            }
            Ask::Store if self.message.ends_with(b"fail\n") => Input::Stored(StoreAnswer::Failed),
            Ask::Store => {
                let message = String::from_utf8_lossy(&std::mem::take(&mut self.message)).into_owned();
                self.transcript.extend(message.lines().map(|line| format!("M: {line}")));
                Input::Stored(StoreAnswer::Stored)
            }
        }
    }

    /// Every line that a session writes is one line and reads back equal.
    pub(super) fn note(&mut self, record: &Record<'static>) {
        let line = record.to_string();
        assert!(line.bytes().all(|b| (0x20..=0x7e).contains(&b)), "{line:?}");
        assert_eq!(Record::parse(line.as_bytes()).as_ref(), Some(record), "{line}");
        self.transcript.push(format!("L: {line}"));
    }
}

/// What a client that knows alice's password says to a challenge (RFC 2195).
pub(super) fn cram_md5(challenge: &str) -> Vec<u8> {
    let mut mac = Hmac::<md5::Md5>::new_from_slice(b"secret").unwrap();
    mac.update(challenge.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes()
}

/// What name servers say: of example.net everything, of other names nothing, of silent.example no word.
fn inquired(inquiry: &Inquiry) -> Finding {
    match inquiry {
        Inquiry::Helo { name, client } => Finding::Helo(HeloNames {
            forward: match name.as_str() {
                "mail.example.net" => Some(vec![*client]),
                "other.example.net" => Some(vec!["192.0.2.99".parse().unwrap()]),
                "silent.example" => None,
                _ => Some(Vec::new()),
            },
            reverse: Some(vec!["host.example.net".into()]),
        }),
        Inquiry::Spf { sender, .. } => Finding::Spf(match sender.as_deref() {
            Some("forged@example.net") => {
                SpfFinding { result: SpfResult::Fail, explanation: Some("ask example.net".into()) }
            }
            Some(sender) if sender.ends_with("@silent.example") => {
                SpfFinding { result: SpfResult::Error, explanation: None }
            }
            Some(_) => SpfFinding { result: SpfResult::Pass, explanation: None },
            None => SpfFinding { result: SpfResult::None, explanation: None },
        }),
        Inquiry::Listed { domain, .. } => Finding::Listed(match domain.as_str() {
            "listed.example" => smtpd::blocklist::Finding::Listed(Listing {
                text: b"see http://list.example".to_vec(),
                codes: vec![[127, 0, 0, 2].into()],
            }),
            "silent.example" => smtpd::blocklist::Finding::Error("no answer".into()),
            _ => smtpd::blocklist::Finding::Clear,
        }),
        Inquiry::Domain(domain) => Finding::Domain(match domain.as_str() {
            "example.net" => MailDomain::Takes,
            "silent.example" => MailDomain::Unknown,
            _ => MailDomain::TakesNone,
        }),
    }
}

/// Runs a script: `C:` lines are sent, each by itself; `after 4` lets so many seconds pass, `wait` the session's deadline,
/// `gone` hangs up, and `shutdown` stops the server.
pub(super) fn run(service: Service, remote: &str, script: &str) -> String {
    converse(World::new(service, remote), script)
}

pub(super) fn converse(mut world: World, script: &str) -> String {
    for line in script.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        world.transcript.push(line.to_owned());
        match line {
            "wait" => {
                world.now = world.session.deadline().unwrap();
                world.feed(Input::Timeout);
            }
            "gone" => world.feed(Input::Gone(Gone::Closed)),
            "shutdown" => world.feed(Input::Shutdown),
            line if line.starts_with("after ") => {
                let seconds = line.split(' ').nth(1).and_then(|seconds| seconds.parse().ok()).unwrap();
                world.now = world.now + Duration::from_secs(seconds);
            }
            line => {
                let sent = line.strip_prefix("C:").unwrap();
                let sent = sent.strip_prefix(' ').unwrap_or(sent);
                world.feed(Input::Bytes(&unescape(sent)));
            }
        }
    }
    world.transcript.iter().map(|line| format!("{line}\n")).collect()
}

/// A line of a script as bytes, CR LF behind it; `\n`, `\r`, `\0`, `\e` and `\\` as in C, `\c` at the end: no CR LF.
pub(super) fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match (byte, if byte == b'\\' { rest.next() } else { None }) {
            (_, Some(b'n')) => b'\n',
            (_, Some(b'r')) => b'\r',
            (_, Some(b'0')) => 0,
            (_, Some(b'e')) => 0x1b,
            (_, Some(b'c')) => return bytes,
            (byte, _) => byte,
        });
    }
    bytes.extend(b"\r\n");
    bytes
}

#[track_caller]
pub(super) fn check_whole(service: Service, script: &str, expected: &Expect) {
    expected.assert_eq(&run(service, "203.0.113.7:40000", script));
}

/// From what follows the greeting and HELO or EHLO.
#[track_caller]
pub(super) fn check(service: Service, script: &str, expected: &Expect) {
    expected.assert_eq(&after_opening(&run(service, "203.0.113.7:40000", script)));
}

/// What was replied behind the opening, without the rest.
#[track_caller]
pub(super) fn check_replies(service: Service, script: &str, expected: &Expect) {
    let transcript = after_opening(&run(service, "203.0.113.7:40000", script));
    let lines = transcript.lines().filter(|line| !line.starts_with("L: ") && !line.starts_with("M: "));
    expected.assert_eq(&lines.map(|line| format!("{line}\n")).collect::<String>());
}
