//! What was found, as JSON has it. Texts that a client chose are escaped for a terminal.

use serde::Serialize;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Findings {
    /// The first stamp and the last one, RFC 3339.
    pub from: Option<String>,
    /// The last one.
    pub until: Option<String>,
    /// What became of the lines.
    pub lines: Lines,
    /// The whole time together.
    pub total: Flow,
    /// Hour by hour; hours without anything are left out.
    pub hours: Vec<Hour>,
    /// Why something was refused or put off, the most frequent first.
    pub rejected: Vec<Cause>,
    /// Where refused mail, guesses and probes come from, the worst first.
    pub networks: Vec<SourceNetwork>,
    /// The same by who owns the network; only with an MMDB.
    pub owners: Vec<Owner>,
    /// The same by country; only with an MMDB.
    pub countries: Vec<Owner>,
    /// Accounts whose password is guessed at, the most attacked first.
    pub users: Vec<User>,
    /// What each blocklist caught.
    pub zones: Vec<Zone>,
    /// Each blocklist against each other.
    pub overlap: Vec<Overlap>,
    /// Who may have been refused wrongly, the likeliest first.
    pub false_positives: Vec<Suspect>,
    /// How long the queue takes.
    pub queue: Queue,
    /// Tables that were full, so that what came later is missing from them.
    pub full: Vec<&'static str>,
}

/// What became of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lines {
    /// All of them.
    pub read: u64,
    /// Known to no filter.
    pub unknown: u64,
    /// About a client that nobody can tell for certain; not counted below.
    pub ambiguous: u64,
    /// Said before by another line.
    pub repeated: u64,
}

/// How mail flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// Connections.
    pub connections: u64,
    /// Messages that were taken.
    pub accepted: u64,
    /// Answers that refused for good.
    pub rejected: u64,
    /// Answers that put off (4xx): a listed client, a greylisted one.
    pub put_off: u64,
    /// Failed logins.
    pub logins_failed: u64,
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Deliveries that are tried again.
    pub deferred: u64,
    /// Deliveries that failed for good.
    pub bounced: u64,
}

/// How mail flowed in an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hour {
    /// When it began, RFC 3339.
    pub at: String,
    /// For a person, in the zone of the logs.
    #[serde(skip)]
    pub shown: String,
    /// What happened.
    #[serde(flatten)]
    pub flow: Flow,
}

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// The kind of event: `rcpt-unknown` ….
    pub reason: &'static str,
    /// How often.
    pub count: u64,
    /// How often with a temporary answer.
    pub put_off: u64,
    /// The program's own words for it, the most frequent first.
    pub details: Vec<Detail>,
}

/// A program's own word for a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// The word.
    pub word: String,
    /// How often.
    pub count: u64,
}

/// A network, and what came from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceNetwork {
    /// A /24 of IPv4, a /48 of IPv6.
    pub network: String,
    /// Offences.
    pub count: u64,
    /// Addresses of the /24, or networks of the /48, that committed them; of a /48, 256 at most.
    pub clients: u32,
    /// What they were, the most frequent first.
    pub kinds: Vec<Detail>,
    /// The number of its autonomous system; only with an MMDB.
    pub asn: Option<u32>,
    /// Who owns it; only with an MMDB.
    pub owner: Option<String>,
    /// Where it is; only with an MMDB.
    pub country: Option<String>,
}

/// An owner of networks, or a country, and what came from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// Who, or where.
    pub name: String,
    /// Offences.
    pub count: u64,
    /// Networks that they came from.
    pub networks: u64,
}

/// An account whose password is guessed at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    /// Its name.
    pub user: String,
    /// Failed logins.
    pub failures: u64,
    /// Successful ones: it is somebody's.
    pub successes: u64,
    /// Networks (/24, /64) that failed; 1000 at most.
    pub networks: usize,
    /// When the last failure was, RFC 3339.
    pub last: String,
}

/// What a blocklist caught.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Zone {
    /// Its name, or that of the site which its text names.
    pub zone: String,
    /// Queries in the log.
    pub queries: u64,
    /// Listings in the log.
    pub listings: u64,
    /// Errors instead of answers.
    pub errors: u64,
    /// Clients that it was asked about.
    pub asked: u64,
    /// Clients that it lists.
    pub clients: u64,
    /// Clients that it lists and no other zone does, as far as the others were asked.
    pub alone: u64,
    /// Of those, clients that another zone was asked about, and did not list.
    pub alone_for_certain: u64,
    /// Clients that it adds to the zones before it, when they are taken in the order in which they stand here.
    pub adds: u64,
}

/// A blocklist against another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overlap {
    /// Of the clients that this zone lists …
    pub zone: String,
    /// … this other one …
    pub other: String,
    /// … was asked about so many …
    pub asked: u64,
    /// … and lists so many.
    pub both: u64,
}

/// A listed client that looks like an honest one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suspect {
    /// Who.
    pub address: String,
    /// When, RFC 3339.
    pub at: String,
    /// Which zones list him.
    pub zones: Vec<String>,
    /// The recipient, who exists.
    pub recipient: String,
    /// How much speaks for him; four at least.
    pub score: i32,
    /// What does, and what against.
    pub why: Vec<&'static str>,
    /// Sessions of his that are like this one.
    pub sessions: u64,
    /// What he said, with the verdict first.
    pub transcript: Vec<String>,
}

/// How long the queue takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Queue {
    /// Messages that left the queue.
    pub messages: u64,
    /// Messages that are still in it, as far as the log tells.
    pub waiting: u64,
    /// From entering the queue to leaving it.
    pub queued: Spread,
    /// From entering the queue to the first delivery that succeeded.
    pub first: Spread,
    /// An attempt to deliver on this host.
    pub local: Spread,
    /// An attempt to deliver to another one.
    pub remote: Spread,
}

/// How long something takes, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// How often it was seen.
    pub count: u64,
    /// Half take no longer.
    pub p50: Option<f64>,
    /// Of a hundred, 95 take no longer.
    pub p95: Option<f64>,
    /// Of a hundred, 99 take no longer.
    pub p99: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
    /// How many took up to a tenth of a second, one second, ten, a minute, ten minutes, an hour, six hours, a day, and
    /// longer.
    pub histogram: [u64; 9],
}
