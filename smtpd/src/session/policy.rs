//! What a session is bound by: the rules of the house, and who the client is.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use logline::SessionId;

use crate::blocklist::Blocklist;
use crate::rules::Rules;
use crate::session::Grant;

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
    /// Longest handshake.
    pub handshake_timeout: Duration,
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

impl Policy {
    /// What is said in greeting and farewell.
    pub(super) fn greeting(&self) -> &str {
        self.rules.greeting.as_deref().unwrap_or(&self.hostname)
    }

    pub(super) fn relays_for(&self, client: IpAddr) -> bool {
        self.relay.iter().any(|network| network.contains(&client))
    }
}
