//! The structured line of today's qmail-smtpd (qmail-smtpd.c:qsmtpdlog): one for every answer that refuses or accepts.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::scan::{self, Scan};
use crate::{Mechanism, SessionId, Text};

/// `qlogenvelope: …` or `qlogreceived: …`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qlog<'a> {
    /// During the envelope, or after the message.
    pub phase: Phase,
    /// What was answered.
    pub verdict: Verdict,
    /// The reply code.
    pub code: u16,
    /// Why, from a closed list.
    pub reason: Reason,
    /// What exactly, where the reason alone does not say.
    pub detail: Text<'a>,
    /// The name the client gave.
    pub helo: Text<'a>,
    /// The envelope sender.
    pub sender: Text<'a>,
    /// The recipient in question, or all that were accepted. None of them is empty: an empty one alone reads as none.
    pub recipients: Vec<Text<'a>>,
    /// Whether the client may relay.
    pub relay: bool,
    /// Whether the recipient's domain is ours; unknown outside RCPT.
    pub rcpthosts: Option<bool>,
    /// Bytes of the message, once it was read.
    pub size_bytes: Option<u64>,
    /// Who authenticated, or tried to.
    pub user: Text<'a>,
    /// How.
    pub mechanism: Option<Mechanism>,
    /// How the session is encrypted.
    pub encryption: Option<Encryption>,
    /// Whether the client's certificate was verified.
    pub verified: bool,
    /// The address that was connected to.
    pub local_address: IpAddr,
    /// The port that was connected to.
    pub local_port: u16,
    /// The client's address.
    pub remote_address: IpAddr,
    /// The client's port.
    pub remote_port: u16,
    /// The client's name by reverse look-up.
    pub remote_host: Text<'a>,
    /// The queue's number for the message.
    pub qp: Option<u32>,
    /// The session.
    pub pid: SessionId,
    /// The message's own identifier, without its angle brackets; other writers do not say.
    pub message_id: Option<Text<'a>>,
    /// Version and cipher of TLS: `TLSv1.3:TLS_AES_256_GCM_SHA384`; other writers do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Text<'a>>,
}

/// What part of a session a [`Qlog`] line speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// `qlogenvelope`: a command.
    Envelope,
    /// `qlogreceived`: the message itself.
    Received,
}

/// Whether something was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Answered with 2xx or 3xx.
    Accepted,
    /// Answered with 4xx or 5xx.
    Rejected,
}

/// How a session is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    /// From the first byte.
    Ssl,
    /// By STARTTLS.
    Tls,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// Why an answer was given: the closed list, each under the name the log has for it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Reason { $($(#[$doc])* #[serde(rename = $name)] $variant,)* }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)*];

            /// The name as a log line has it.
            pub const fn name(self) -> &'static str {
                match self { $(Reason::$variant => $name,)* }
            }

            fn parse(name: &[u8]) -> Option<Self> {
                match name { $(_ if name == $name.as_bytes() => Some(Reason::$variant),)* _ => None }
            }
        }
    };
}

reasons! {
    /// The client did nothing for too long.
    AlarmTimeout = "alarmtimeout";
    /// The password was right.
    AuthAccepted = "authaccepted";
    /// The password was wrong, or the user unknown.
    AuthFailed = "authfailed";
    /// The mechanism is not offered.
    AuthInvalid = "authinvalid";
    /// The sender is not the user that authenticated.
    AuthNotMailfrom = "authnotmailfrom";
    /// Nothing goes without a login here.
    AuthRequired = "authrequired";
    /// A bare line feed in the message.
    BadNewlines = "bad_newlines";
    /// Too many bad recipients.
    Brtlimit = "brtlimit";
    /// A control file could not be read.
    CannotReadControls = "cannot_read_controls";
    /// chkuser refused or accepted the recipient.
    Chkuser = "chkuser";
    /// chkuser refused the sender.
    ChkuserSender = "chkusersender";
    /// The message is larger than allowed.
    DatabytesLimitExceeded = "databytes_limit_exceeded";
    /// A relay probe.
    DontRelay = "dontrelay";
    /// An eMPF policy.
    Empf = "empf";
    /// More recipients than a message may have.
    MaxRcptExceeded = "max_rcpt_exceeded";
    /// The message has passed here too often.
    MessageLoop = "message_loop";
    /// The recipient does not exist.
    Nomailbox = "nomailbox";
    /// The recipient's domain is not ours.
    NotInRcpthosts = "not_in_rcpthosts";
    /// The null sender is not taken.
    NullSenderDenied = "nullsenderdenied";
    /// Memory ran out.
    OutOfMemory = "out_of_memory";
    /// The client spoke before the greeting.
    Pregreet = "pregreet";
    /// Forbidden by badhelo.
    QregexBhelo = "qregexbhelo";
    /// Forbidden by badmailfrom.
    QregexBmf = "qregexbmf";
    /// Forbidden by badrcptto.
    QregexBmt = "qregexbmt";
    /// The queue could not take the message now.
    QqtFailure = "qqtfailure";
    /// The queue took the message.
    QueueAccept = "queueaccept";
    /// The queue asks to try again.
    QueueDelay = "queue_delay";
    /// The queue refused the message.
    QueueReject = "queuereject";
    /// A DNS blocklist, temporary answer.
    RblDelay = "rbldelay";
    /// A newcomer that has to come again.
    Greylist = "greylist";
    /// A DNS blocklist, final answer.
    RblReject = "rblreject";
    /// A list has the sender's domain. No list has the client for that.
    Rhsbl = "rhsbl";
    /// A rcptcheck program.
    Rcptcheck = "rcptcheck";
    /// Accepted because the domain is ours.
    Rcpthosts = "rcpthosts";
    /// Accepted by a check of the recipient.
    Rcptto = "rcptto";
    /// Accepted because the client may relay.
    RelayClient = "relayclient";
    /// A command that belongs elsewhere in the session (503).
    Sequence = "sequence";
    /// The sender's domain does not let this client send (SPF).
    Spf = "spf";
    /// A plugin.
    Spp = "spp";
    /// A command with wrong arguments (501), or a line that is none (500).
    Syntax = "syntax";
    /// TLS failed, or was missing where required.
    Tls = "tls";
    /// More errors than a session may make.
    TooManyErrors = "toomanyerrors";
    /// More connections than one address may have.
    TooManyConnections = "toomanyconnections";
    /// The client's name is none it may have, by itself or by what name servers say of it.
    Helo = "helo";
    /// What the client did before.
    Karma = "karma";
    /// The machine is too busy.
    Load = "load";
    /// The watcher asks for it.
    Watcher = "watcher";
    /// This host's own addresses are unknown.
    UnknownIpMe = "unknown_ip_me";
    /// A command that is known and not offered (502).
    Unimplemented = "unimplemented";
    /// A command that nobody knows (500).
    Unrecognized = "unrecognized";
    /// Not in the table of valid recipients.
    Validrcptto = "validrcptto";
}

/// `=` ends a key and `,` parts two recipients.
const DELIMITERS: &[u8] = b"=,";

impl<'a> Qlog<'a> {
    /// Reads one line, without its envelope. Keys that follow the last known one are passed over.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let (head, rest) = line.split_at_checked(b"qlogenvelope:".len())?;
        match head {
            b"qlogenvelope:" => Qlog::rest(Phase::Envelope, rest),
            b"qlogreceived:" => Qlog::rest(Phase::Received, rest),
            _ => None,
        }
    }

    /// Reads what stands after the first word and its colon.
    pub(crate) fn rest(phase: Phase, rest: &'a [u8]) -> Option<Self> {
        let mut line = Scan(rest);
        // A key that is not there takes nothing, so that the one after it may be asked for.
        let mut value = |key: &[u8]| -> Option<&'a [u8]> {
            let mut rest = line;
            // An envelope that took the first word off took its space, too.
            if key != b"result" || rest.0.starts_with(b" ") {
                rest.literal(b" ")?;
            }
            rest.literal(key)?;
            rest.literal(b"=")?;
            let end = memchr::memchr(b' ', rest.0).unwrap_or(rest.0.len());
            let (value, after) = rest.0.split_at_checked(end)?;
            line = Scan(after);
            Some(value)
        };
        let verdict = match value(b"result")? {
            b"accepted" => Verdict::Accepted,
            b"rejected" => Verdict::Rejected,
            _ => return None,
        };
        let mut qlog = Qlog {
            phase,
            verdict,
            code: scan::number(value(b"code")?)?,
            reason: Reason::parse(value(b"reason")?)?,
            detail: Text::unescape(value(b"detail")?),
            helo: Text::unescape(value(b"helo")?),
            sender: Text::unescape(value(b"mailfrom")?),
            recipients: recipients(value(b"rcptto")?),
            relay: yes_no(value(b"relay")?)?,
            rcpthosts: optional(value(b"rcpthosts")?, yes_no)?,
            size_bytes: optional(value(b"size")?, scan::number)?,
            user: Text::unescape(value(b"authuser")?),
            mechanism: optional(value(b"authtype")?, Mechanism::parse)?,
            encryption: optional(value(b"encrypted")?, Encryption::parse)?,
            verified: yes_no(value(b"sslverified")?)?,
            local_address: scan::address(value(b"localip")?)?,
            local_port: scan::number(value(b"localport")?)?,
            remote_address: scan::address(value(b"remoteip")?)?,
            remote_port: scan::number(value(b"remoteport")?)?,
            remote_host: Text::unescape(value(b"remotehost")?),
            qp: optional(value(b"qp")?, scan::number)?,
            pid: SessionId(scan::number(value(b"pid")?)?),
            message_id: None,
            tls: None,
        };
        qlog.message_id = value(b"msgid").map(Text::unescape);
        qlog.tls = value(b"tls").map(Text::unescape);
        later_keys(line.0).then_some(qlog)
    }

    /// True for a line in which the keys that tell whose it is stand more than once.
    pub(crate) fn is_doubtful(line: &[u8]) -> bool {
        [&b" remoteip="[..], b" pid="].iter().any(|key| memchr::memmem::find_iter(line, key).nth(1).is_some())
    }
}

fn recipients(value: &[u8]) -> Vec<Text<'_>> {
    if value.is_empty() { Vec::new() } else { value.split(|&b| b == b',').map(Text::unescape).collect() }
}

fn yes_no(value: &[u8]) -> Option<bool> {
    match value {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

/// An empty value says nothing; any other must be readable.
fn optional<'a, T>(value: &'a [u8], read: impl Fn(&'a [u8]) -> Option<T>) -> Option<Option<T>> {
    if value.is_empty() { Some(None) } else { read(value).map(Some) }
}

/// Every key that a line has before what later versions add.
const KEYS: &[&[u8]] = &[
    b"result",
    b"code",
    b"reason",
    b"detail",
    b"helo",
    b"mailfrom",
    b"rcptto",
    b"relay",
    b"rcpthosts",
    b"size",
    b"authuser",
    b"authtype",
    b"encrypted",
    b"sslverified",
    b"localip",
    b"localport",
    b"remoteip",
    b"remoteport",
    b"remotehost",
    b"qp",
    b"pid",
    b"msgid",
    b"tls",
];

/// What follows must have the shape ` key=value`: a line that a client lengthened has not. Nor may a known key come
/// again: after SMTPUTF8 the original writes spaces as they came, so a value can hold the whole rest of a line, and what
/// follows it is the true rest.
fn later_keys(rest: &[u8]) -> bool {
    let mut words = rest.split(|&b| b == b' ');
    words.next().is_some_and(<[u8]>::is_empty)
        && words.all(|word| {
            let key = word.iter().position(|&b| b == b'=').and_then(|at| word.get(..at));
            key.is_some_and(|key| !key.is_empty() && !KEYS.contains(&key))
        })
}

impl Encryption {
    const fn name(self) -> &'static str {
        match self {
            Encryption::Ssl => "ssl",
            Encryption::Tls => "tls",
        }
    }

    fn parse(name: &[u8]) -> Option<Self> {
        [Encryption::Ssl, Encryption::Tls].into_iter().find(|e| e.name().as_bytes() == name)
    }
}

impl fmt::Display for Qlog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = match self.phase {
            Phase::Envelope => "qlogenvelope",
            Phase::Received => "qlogreceived",
        };
        let result = match self.verdict {
            Verdict::Accepted => "accepted",
            Verdict::Rejected => "rejected",
        };
        write!(f, "{head}: result={result} code={} reason={}", self.code, self.reason.name())?;
        let [detail, helo, sender, user, remote_host] =
            [&self.detail, &self.helo, &self.sender, &self.user, &self.remote_host]
                .map(|t| t.escaped(DELIMITERS));
        write!(f, " detail={detail} helo={helo} mailfrom={sender} rcptto=")?;
        for (n, recipient) in self.recipients.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{}", recipient.escaped(DELIMITERS))?;
        }
        let yes_no = |yes| if yes { "yes" } else { "no" };
        write!(f, " relay={} rcpthosts={}", yes_no(self.relay), self.rcpthosts.map_or("", yes_no))?;
        write!(f, " size={}", Maybe(self.size_bytes))?;
        write!(f, " authuser={user} authtype={}", self.mechanism.map_or("", Mechanism::name))?;
        write!(f, " encrypted={}", self.encryption.map_or("", Encryption::name))?;
        write!(f, " sslverified={}", yes_no(self.verified))?;
        write!(f, " localip={} localport={}", self.local_address, self.local_port)?;
        write!(f, " remoteip={} remoteport={}", self.remote_address, self.remote_port)?;
        write!(f, " remotehost={remote_host} qp={} pid={}", Maybe(self.qp), self.pid)?;
        for (key, value) in [("msgid", &self.message_id), ("tls", &self.tls)] {
            if let Some(value) = value {
                write!(f, " {key}={}", value.escaped(DELIMITERS))?;
            }
        }
        Ok(())
    }
}

/// A value that is written as nothing where it is none.
struct Maybe<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |value| value.fmt(f))
    }
}
