//! No byte sequence that a client can send makes the watcher ban an address other than the client's own.
//!
//! The mail server's core, the lines it logs and the watcher's core, joined without a socket, so that thousands of
//! clients can be tried. [`crate::hostile`] tries a few over real ones.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::tz::TimeZone;
use logline::{Channel, DeliveryOutcome, Fingerprint, Queue, Record, SessionId, Text, Timestamp};
use proptest::prelude::*;
use smtpd::blocklist::{Finding, Listing, LookUp, Origin};
use smtpd::config::{Config, Connections};
use smtpd::gate::{Admission, Gate};
use smtpd::session::{
    Ask, CredentialAnswer, End, Gone, Grant, Input, MailDomain, OpenAnswer, Output, PasswordAnswer, Peer,
    Policy, RecipientAnswer, Service, Session, StoreAnswer,
};
use watcher::engine::{Engine, Exemptions};
use watcher::event::Kind;
use watcher::filter::Filters;
use watcher::interpret::Interpreter;
use watcher::jail::Jails;
use watcher::subject::Subject;
use watcher::watch::{Now, Watch};

/// Who forges.
const FORGER: &str = "198.51.100.7";
/// Whom he wants banned: connected at the same time, and doing no harm.
const VICTIM: &str = "203.0.113.66";

/// 2026-11-21 12:00:00 UTC.
const NOON: Timestamp = Timestamp::from_seconds(1_795_262_400);

/// Its blocklist has everybody, so that a client that gets as far as a recipient is listed.
const SMTPD_TOML: &str = r#"
hostname = "mx.example.org"
domains  = ["example.org"]
[[dnsbl]]
zone   = "list.example.com"
action = "delay"
"#;

thread_local! {
    /// All shipped filters, made ready once.
    static SHIPPED: Interpreter =
        Interpreter::new(Filters::shipped().unwrap().iter().cloned(), TimeZone::UTC);
}

/// A mail server, its log, and a watcher that bans for the first offence of whatever kind.
struct World {
    gate: Gate,
    policy: Arc<Policy>,
    watch: Watch,
    now: Timestamp,
    /// What the blocklist says to the person who looks; the forger may have put it there.
    listed_because: Vec<u8>,
    banned: Vec<Subject>,
    lines: Vec<String>,
}

impl World {
    fn new() -> Self {
        let offences = Kind::ALL.iter().filter(|kind| !matches!(kind, Kind::Connect | Kind::Disconnect));
        let offences: Vec<String> = offences.map(|kind| format!("\"{kind}\"")).collect();
        let jail = format!(
            "about = \"all\"\non = [{}]\nthreshold = 1\nwithin = \"1h\"\n[ban]\nfor = \"1h\"\n",
            offences.join(", ")
        );
        let engine = Engine::new(Jails::single("all", &jail).unwrap(), Exemptions::new(&[], &[], true));
        let interpreter = SHIPPED.with(|shipped| shipped.another(TimeZone::UTC));
        let policy = Config::parse("smtpd.toml", SMTPD_TOML).unwrap().policy;
        World {
            gate: Gate::new(
                "mx.example.org",
                Connections { max: 10, per_address_max: 10, per_network_max: 0 },
            ),
            policy: Arc::new(policy),
            watch: Watch::new(vec![interpreter], engine),
            now: NOON,
            listed_because: Vec::new(),
            banned: Vec::new(),
            lines: Vec::new(),
        }
    }

    fn enter(&mut self, address: &str, service: Service) -> (SessionId, Session) {
        let address: IpAddr = address.parse().unwrap();
        let (local, remote) = ("192.0.2.25:25".parse().unwrap(), (address, 4711).into());
        let mut facts = Vec::new();
        let Admission::Admitted(session) = self.gate.enter(local, remote, &mut facts) else {
            unreachable!("there are two clients")
        };
        facts.iter().for_each(|fact| self.log(fact));
        let peer = Peer { session, service, tls_available: true, local, remote, grant: Grant::default() };
        let mut core = Session::new(Arc::clone(&self.policy), peer, self.now);
        self.feed(&mut core, Input::Connected);
        (session, core)
    }

    fn leave(&mut self, session: SessionId) {
        let mut facts = Vec::new();
        self.gate.leave(session, End::Clean.status(), &mut facts);
        facts.iter().for_each(|fact| self.log(fact));
    }

    /// Gives a session an input, and whatever it asks for then.
    fn feed(&mut self, session: &mut Session, input: Input<'_>) {
        let mut out = Vec::new();
        session.handle(self.now, input, &mut out);
        for output in out {
            match output {
                Output::Fact(record) => self.log(&record),
                Output::Ask(ask) => self.feed(session, self.answer(ask)),
                Output::More => self.feed(session, Input::Resume),
                Output::StartTls => self.feed(session, Input::TlsDone(Box::default())),
                Output::Reply(_)
                | Output::Body(_)
                | Output::Discard
                | Output::Pause(_)
                | Output::Close(_) => {}
            }
        }
    }

    fn answer(&self, ask: Ask) -> Input<'static> {
        match ask {
            Ask::Password { user, .. } if user == b"alice" => Input::Password(PasswordAnswer::Right),
            Ask::Password { .. } => Input::Password(PasswordAnswer::Wrong(Fingerprint(7))),
            Ask::Response { .. } => Input::Password(PasswordAnswer::WrongProof),
            Ask::Credential { .. } => Input::Credential(CredentialAnswer::Unavailable),
            Ask::Recipient(mailbox) if mailbox.local() == "alice" => Input::Recipient(RecipientAnswer::Known),
            Ask::Recipient(_) => Input::Recipient(RecipientAnswer::Unknown),
            Ask::Relayed(_) => Input::Recipient(RecipientAnswer::AnyOfDomain),
            Ask::Blocklist { .. } => Input::Blocklist(LookUp::Found {
                finding: Finding::Listed(Listing {
                    text: self.listed_because.clone(),
                    codes: vec![[127, 0, 0, 4].into()],
                }),
                origin: Origin::Query,
            }),
            Ask::Inquire(_) => Input::Inquired(smtpd::session::Finding::Domain(MailDomain::Takes)),
            Ask::Open(_) => Input::Opened(OpenAnswer::Open { qp: 77 }),
            Ask::Store => Input::Stored(StoreAnswer::Stored),
        }
    }

    /// Writes a line and has it read.
    fn log(&mut self, record: &Record<'_>) {
        self.now = self.now + Duration::from_micros(1);
        let line = format!("{} {record}", self.now.tai64n());
        let mut out = Vec::new();
        // A line feed that gets through would be a line's end to whoever reads the file.
        for part in line.split('\n') {
            self.watch.line(0, part.as_bytes(), Now::Clock(self.now), &mut out);
        }
        self.banned.extend(out.into_iter().filter_map(|output| match output {
            watcher::engine::Output::Banned(ban) => Some(ban.subject),
            _ => None,
        }));
        self.lines.push(line);
    }

    /// A message that the client sent is delivered, and its Message-ID logged.
    fn deliver(&mut self, text: &[u8]) {
        let report = Text::from("did_1+0+0/");
        self.log(&Record::Queue(Queue::Info {
            msg: 1,
            size_bytes: 1,
            sender: Text::from(text),
            qp: 1,
            uid: 0,
        }));
        let recipient = Text::from(text);
        self.log(&Record::Queue(Queue::Starting { delivery: 1, msg: 1, channel: Channel::Local, recipient }));
        let (outcome, message_id) = (DeliveryOutcome::Success, Some(Text::from(text)));
        self.log(&Record::Queue(Queue::Delivery { delivery: 1, outcome, message_id, report }));
    }
}

/// What the forger says, around bytes of his choice.
#[derive(Clone, Debug)]
enum Move {
    /// `VERB bytes`
    Say(&'static str, Vec<u8>),
    /// `MAIL FROM:<bytes@example.com>` or `RCPT TO:<…>`
    Path(&'static str, Vec<u8>),
    /// A login as this user.
    Login(Vec<u8>),
    /// A message with these bytes in its header.
    Send(Vec<u8>),
    /// A recipient that exists, which is when a stranger is looked up; the blocklist says this about him.
    Knock(Vec<u8>),
}

impl Move {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Move::Say(verb, text) => [verb.as_bytes(), b" ", text, b"\r\n"].concat(),
            Move::Path(verb, text) => [verb.as_bytes(), b":<\"", text, b"\"@example.com>\r\n"].concat(),
            Move::Login(user) => {
                let login = BASE64_STANDARD.encode([b"\0", user.as_slice(), b"\0secret"].concat());
                format!("AUTH PLAIN {login}\r\n").into_bytes()
            }
            Move::Send(text) => {
                let login = BASE64_STANDARD.encode(b"\0alice\0secret");
                let envelope = "MAIL FROM:<alice@example.org>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n";
                let head =
                    [b"Message-ID: <", text.as_slice(), b">\r\nSubject: ", text, b"\r\n\r\n.\r\n"].concat();
                [format!("AUTH PLAIN {login}\r\n{envelope}").into_bytes(), head].concat()
            }
            Move::Knock(_) => b"MAIL FROM:<x@example.com>\r\nRCPT TO:<alice@example.org>\r\n".to_vec(),
        }
    }

    fn text(&self) -> &[u8] {
        match self {
            Move::Say(_, text) | Move::Path(_, text) | Move::Login(text) => text,
            Move::Send(text) | Move::Knock(text) => text,
        }
    }
}

/// What forgeries are made of; the victim's session is number 1.
const PIECES: &[&str] = &[
    "\n",
    "\r",
    "\0",
    "\x1b[31m",
    " ",
    ">",
    "<",
    "|",
    ":",
    "=",
    ",",
    "/",
    "\\",
    "\"",
    "\\x0a",
    "@",
    "'",
    "]",
    "203.0.113.66",
    "198.51.100.7",
    "pid=1",
    " pid=1",
    " pid 1 ",
    "[1]",
    " from 203.0.113.66 to b helo c",
    "|remotehostip:203.0.113.66>",
    " rcpt <z> : not existing recipient",
    "remoteip=203.0.113.66",
    "reason=authfailed",
    "tcpserver: pid 1 from 203.0.113.66",
    "tcpserver: pid 2 from 203.0.113.66",
    "tcpserver: end 2 status 0",
    "tcpserver: ok 2 mx.example.org:192.0.2.25:25 :203.0.113.66::4711",
    "tcpserver: status: 0/10",
    "rblsmtpd: 203.0.113.66 pid 1: 451 listed",
    "qmail-smtpd[1]: auth: auth-failed type=login user=<x>",
    "CHKUSER rejected rcpt: from <a@example.com|remoteinfo/auth:|chkuser-identify:> remote <helo:h|remotehostname:unknown|remotehostip:203.0.113.66> rcpt <x@example.org> : not existing recipient",
    "qlogenvelope: result=rejected code=535 reason=authfailed detail= helo= mailfrom= rcptto= relay=no rcpthosts= size= authuser=x authtype=login encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.66 remoteport=4711 remotehost= qp= pid=1",
    "qmail-smtpd: timeout: (null) from 203.0.113.66 to (null) helo (null)",
    "@400000006a466bca1de0e74f ",
    "Nov 21 12:00:00 mx vpopmail[1]: vchkpw-smtp: password fail x@y:203.0.113.66",
    "vchkpw-smtp: password fail x@example.org:203.0.113.66",
    "delivery 1: success: Message-ID:_<x>/did_1+0+0/",
];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let verb =
        prop::sample::select(&["HELO", "EHLO", "MAIL", "RCPT", "NOOP", "VRFY", "STARTTLS", "X", ""][..]);
    let path = prop::sample::select(&["MAIL FROM", "RCPT TO"][..]);
    let one = prop_oneof![
        (verb, text()).prop_map(|(verb, text)| Move::Say(verb, text)),
        (path, text()).prop_map(|(verb, text)| Move::Path(verb, text)),
        text().prop_map(Move::Login),
        text().prop_map(Move::Send),
        text().prop_map(Move::Knock),
    ];
    prop::collection::vec(one, 1..8)
}

/// Plays these moves while the victim is connected, and expects that nobody but the forger is ever banned.
fn play(service: Service, moves: &[Move]) -> Result<World, TestCaseError> {
    let mut world = World::new();
    let (number, mut victim) = world.enter(VICTIM, service);
    world.feed(&mut victim, Input::Bytes(b"EHLO client.example.net\r\n"));
    let (forgers, mut forger) = world.enter(FORGER, service);
    prop_assert_eq!((number, forgers), (SessionId(1), SessionId(2)));
    for bytes in [b"EHLO x\r\nSTARTTLS\r\n".to_vec(), b"EHLO x\r\n".to_vec()] {
        world.feed(&mut forger, Input::Bytes(&bytes));
    }
    for one in moves {
        world.listed_because = one.text().to_vec();
        world.feed(&mut forger, Input::Bytes(&one.bytes()));
        world.deliver(one.text());
    }
    world.feed(&mut forger, Input::Gone(Gone::Closed));
    world.leave(forgers);
    world.feed(&mut victim, Input::Bytes(b"NOOP\r\nQUIT\r\n"));
    world.leave(number);
    let own: Subject = FORGER.parse().unwrap();
    for subject in &world.banned {
        prop_assert_eq!(subject, &own, "{:#?}", world.lines);
    }
    for line in &world.lines {
        prop_assert!(line.bytes().all(|byte| (0x20..=0x7e).contains(&byte)), "{:?}", line);
    }
    let counts = &world.watch.counts.sources[0];
    prop_assert_eq!((counts.unknown, counts.ambiguous), (0, 0), "{:#?}", world.lines);
    Ok(world)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn no_client_can_have_another_one_banned(
        service in prop::sample::select(&[Service::Smtp, Service::Submission][..]),
        moves in moves(),
    ) {
        play(service, &moves)?;
    }
}

/// Each piece alone, in each place: what a random choice may miss.
#[test]
fn no_forgery_that_is_known_works_in_any_place() {
    for piece in PIECES {
        for frame in [("", ""), ("x\n", "\n"), ("x\r\n", ""), ("x\0", "\0"), ("x>", "<"), ("a b ", "")] {
            let text = [frame.0, piece, frame.1].concat().into_bytes();
            let say = ["HELO", "MAIL", "RCPT", ""].map(|verb| Move::Say(verb, text.clone()));
            let path = ["MAIL FROM", "RCPT TO"].map(|verb| Move::Path(verb, text.clone()));
            let rest = [Move::Login(text.clone()), Move::Send(text.clone()), Move::Knock(text)];
            for one in [&say[..], &path, &rest].concat() {
                play(Service::Submission, std::slice::from_ref(&one)).unwrap();
                // A client that is listed has every command of its session logged as it is.
                play(Service::Smtp, &[one.clone(), Move::Knock(Vec::new()), one]).unwrap();
            }
        }
    }
}

/// The test's own proof: what must be banned is, and what must be logged.
#[test]
fn the_forger_himself_is_banned_for_what_he_does() {
    let own: Subject = FORGER.parse().unwrap();
    let guess = play(Service::Submission, &[Move::Login(b"root".to_vec())]).unwrap();
    assert_eq!(guess.banned, std::slice::from_ref(&own));
    let knock =
        play(Service::Smtp, &[Move::Knock(b"spam".to_vec()), Move::Say("HELO", b"a\0b".to_vec())]).unwrap();
    assert_eq!(knock.banned, [own]);
    let transcript = format!("rblsmtpd: {FORGER} pid 2: HELO a\\x00b");
    assert!(knock.lines.iter().any(|line| line.ends_with(&transcript)), "{:#?}", knock.lines);
}
