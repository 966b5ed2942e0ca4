//! What a session is bound by: the rules of the house, and who the client is.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use logline::{SessionId, Timestamp};

use crate::blocklist::Blocklist;
use crate::rules::Rules;
use crate::session::{AuthRules, BareNewline, Grant, Rejection};

/// The rules, the same for all sessions.
#[derive(Clone, Debug)]
pub struct Policy {
    /// This host's name, as it greets.
    pub hostname: String,
    /// The domains whose mail is delivered here, in lower case.
    pub domains: HashSet<String>,
    /// The domain of an address that has none: the first that was configured.
    pub default_domain: String,
    /// Networks whose clients may send to other hosts without a login.
    pub relay: Vec<IpNet>,
    /// The blocklists, in the order in which they are asked.
    pub blocklists: Vec<Blocklist>,
    /// Of every so many listed clients one is looked up in the lists after the first hit too; 0 for none.
    pub survey_every: u32,
    /// Who may log in, and how.
    pub auth: AuthRules,
    /// Mail addresses whose owners may send to other hosts when they show a certificate, in lower case.
    pub tls_clients: HashSet<String>,
    /// What else a client may not do.
    pub rules: Rules,
    /// How much is too much.
    pub limits: Limits,
}

/// How much of everything one session may have.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Recipients of one message.
    pub recipients_max: usize,
    /// Length of one message.
    pub message_bytes_max: u64,
    /// Errors before the session is closed.
    pub errors_max: u32,
    /// Errors that are answered at once.
    pub errors_undelayed: u32,
    /// What each error after those costs.
    pub error_pause: Duration,
    /// Longest wait for a command.
    pub command_timeout: Duration,
    /// Longest wait for a piece of the message.
    pub data_timeout: Duration,
    /// A message that comes slower than this, on average after the first `data_timeout`, is given up: a client could
    /// hold a connection for days otherwise.
    pub data_bytes_per_second_min: u64,
    /// What the waits are cut to for who comes while hardly a place is left; zero: they are not.
    pub crowded_timeout: Duration,
    /// Longest handshake.
    pub handshake_timeout: Duration,
    /// Longest command line, its end included.
    pub command_bytes_max: usize,
    /// Longest address, without its brackets.
    pub address_bytes_max: usize,
    /// Longest local part of one.
    pub local_part_bytes_max: usize,
    /// Longest domain of one.
    pub domain_bytes_max: usize,
    /// Commands of other protocols, in upper case: whoever gives one is sent away.
    pub forbidden_commands: Vec<String>,
    /// Whether whoever begins a line with something other than a letter is sent away, too.
    pub letters_first: bool,
    /// Longest line of a message, its end included; 0 for any.
    pub line_bytes_max: u64,
    /// Recipients that are put off (4xx) between two messages.
    pub deferred_recipients_max: u32,
    /// Commands that serve no message (NOOP, RSET, VRFY, HELP, HELO, a MAIL behind a MAIL) between two messages.
    pub idle_commands_max: u32,
    /// Unknown commands after which a session is closed (qpsmtpd's `count_unrecognized_commands`); 0 for no limit.
    pub unrecognized_max: u32,
    /// What becomes of a line feed that stands alone in a message.
    pub bare_newline: BareNewline,
    /// Hops after which a message is taken to go round in circles.
    pub hops_max: u32,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Mail from other servers; STARTTLS and AUTH are offered.
    Smtp,
    /// Mail from users: STARTTLS and AUTH are demanded.
    Submission,
    /// TLS from the first byte.
    Smtps,
}

/// One client.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The session's number, bound to the address by the journal.
    pub session: SessionId,
    /// What the listener is for.
    pub service: Service,
    /// Whether STARTTLS can be offered.
    pub tls_available: bool,
    /// The address that was connected to.
    pub local: SocketAddr,
    /// The client's address.
    pub remote: SocketAddr,
    /// What is special about it.
    pub grant: Grant,
}

impl Limits {
    /// The same limits, with less patience.
    #[must_use]
    pub fn hurried(&self) -> Self {
        let patience = self.crowded_timeout;
        if patience.is_zero() {
            return self.clone();
        }
        Limits {
            command_timeout: self.command_timeout.min(patience),
            data_timeout: self.data_timeout.min(patience),
            handshake_timeout: self.handshake_timeout.min(patience),
            ..self.clone()
        }
    }

    /// When a message that began then and was heard of last then, so much of it, is given up, and why: because nothing
    /// more came, or too little in all.
    pub(super) fn data_deadline(
        &self,
        began: Timestamp,
        heard: Timestamp,
        read_bytes: u64,
    ) -> (Timestamp, Rejection) {
        let earned = Duration::from_secs(read_bytes / self.data_bytes_per_second_min.max(1));
        let silent = (heard + self.data_timeout, Rejection::Timeout);
        let slow = (began + self.data_timeout + earned, Rejection::TooSlow);
        if slow.0 < silent.0 { slow } else { silent }
    }

    /// Whether nobody who speaks SMTP begins a line so: a web page or a proxy has a program talk to this port.
    pub(super) fn forbid(&self, line: &[u8]) -> bool {
        let verb = line.split(|&byte| byte == b' ').next().unwrap_or_default();
        let is_forbidden = |word: &String| word.as_bytes().eq_ignore_ascii_case(verb);
        let is_no_letter = |first: &u8| self.letters_first && !first.is_ascii_alphabetic();
        line.first().is_some_and(is_no_letter) || self.forbidden_commands.iter().any(is_forbidden)
    }

    /// Bytes that the addresses of one message may have together, so that no session grows with what it is told:
    /// 240 for each recipient, which is more than anybody's have on average.
    pub(super) fn envelope_bytes_max(&self) -> usize {
        const BYTES_A_RECIPIENT: usize = 240;
        self.recipients_max.saturating_mul(BYTES_A_RECIPIENT)
    }
}

impl Policy {
    /// The same rules for who comes while hardly a place is left.
    #[must_use]
    pub fn hurried(&self) -> Self {
        Policy { limits: self.limits.hurried(), ..self.clone() }
    }

    /// What is said in greeting and farewell.
    pub(super) fn greeting(&self) -> &str {
        self.rules.greeting.as_deref().unwrap_or(&self.hostname)
    }

    pub(super) fn relays_for(&self, client: IpAddr) -> bool {
        self.relay.iter().any(|network| network.contains(&client))
    }
}
