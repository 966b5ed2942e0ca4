//! What goes over the control socket: the same types on both sides. Version 1; keys are added, never changed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use logline::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::{Asked, Evidence, Explanation, Lease};
use crate::jail::{Mode, Ports};
use crate::messages;
use crate::notice::Notice;
use crate::quota::ZoneView;
use crate::subject::Subject;

/// `GET /v1/status`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The version that runs.
    pub version: String,
    /// True once all bans are in force again.
    pub ready: bool,
    /// What keeps the banned out: `nftables`, `dry-run`.
    pub firewall: String,
    /// What is wrong with it, if anything is.
    pub firewall_trouble: Option<String>,
    /// Bans in force.
    pub active: usize,
    /// Offenders that are being counted.
    pub counted: usize,
    /// Since when it runs, RFC 3339.
    pub since: String,
    /// What is read.
    pub sources: Vec<SourceStatus>,
    /// The latest notices about them, the oldest first.
    #[serde(default)]
    pub notices: Vec<NoticeView>,
}

/// Something that happened to a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeView {
    /// When it was noticed, RFC 3339.
    pub at: String,
    /// What kind of thing: `source-silent`, `lines-lost` ….
    pub kind: String,
    /// The source's name.
    pub source: String,
    /// In words.
    pub text: String,
}

/// One source, as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceStatus {
    /// What it reads.
    pub name: String,
    /// `file`, `journal`, `syslog` or `stdin`.
    pub kind: String,
    /// Why it is not read now.
    pub trouble: Option<String>,
    /// That nothing more will come, and why.
    #[serde(default)]
    pub ended: Option<String>,
    /// The envelope that its last line came in.
    #[serde(default)]
    pub envelope: Option<String>,
    /// Lines so far.
    pub lines: u64,
    /// Lines a second, in the last minute.
    #[serde(default)]
    pub lines_per_second: f64,
    /// The share of the last minute's lines that no filter knows; none where there were none.
    #[serde(default)]
    pub unknown_share: Option<f64>,
    /// Its lines are no longer understood, as if their format had changed.
    #[serde(default)]
    pub not_understood: bool,
    /// For how long it has said nothing, where that is longer than it ever does.
    #[serde(default)]
    pub silent_seconds: Option<u64>,
    /// Lines that no filter knows.
    pub unknown: u64,
    /// Lines about a client that nobody can tell for certain.
    pub ambiguous: u64,
    /// Lines of which only the beginning was read.
    pub cut: u64,
    /// Messages of more than one line, which were made one.
    pub escaped: u64,
    /// Times that lines are known to be lost.
    pub lost: u64,
    /// The same by reason.
    #[serde(default)]
    pub lost_by_reason: BTreeMap<String, u64>,
    /// Lines whose stamp was so far ahead of their arrival that the arrival stands for it.
    #[serde(default)]
    pub replaced: u64,
    /// Bytes that are written and not yet read.
    pub behind_bytes: u64,
    /// How old the last line was when it was read.
    #[serde(default)]
    pub lag_seconds: f64,
    /// When the last line was written, RFC 3339.
    pub last: Option<String>,
    /// How long ago that is.
    #[serde(default)]
    pub last_age_seconds: Option<f64>,
}

/// A list of bans: `GET /v1/bans`, and what a change changed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Bans {
    /// The bans.
    pub bans: Vec<BanView>,
    /// What could not be done, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refusal>,
}

/// One ban.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BanView {
    /// Whom.
    pub subject: Subject,
    /// By which jail.
    pub jail: String,
    /// Whether it is enforced.
    pub mode: Mode,
    /// When it began, RFC 3339.
    pub from: String,
    /// When it ends, RFC 3339.
    pub until: String,
    /// How long that is from now.
    pub remaining_seconds: u64,
    /// How often the subject was banned by this jail before.
    pub before: u32,
    /// Which ports are closed; all where none is named.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// The administrator's words.
    pub reason: Option<String>,
    /// The lines that led to it; only where asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EvidenceView>,
}

/// One line that led to a ban.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceView {
    /// When it was written, RFC 3339.
    pub at: String,
    /// The line, escaped for a terminal.
    pub line: String,
}

/// Something that was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// About whom.
    pub subject: String,
    /// Why not.
    pub why: String,
}

/// `GET /v1/bans/SUBJECT`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Why {
    /// Who was asked about.
    pub subject: Subject,
    /// The bans that keep him out, with their evidence.
    pub bans: Vec<BanView>,
    /// How far he is from further ones.
    pub standing: Vec<Standing>,
    /// Why he is never banned, if so.
    pub exempt: Option<String>,
    /// So many accounts logged in from there within 30 days, for an hour at least.
    #[serde(default)]
    pub accounts: u32,
    /// Whether there is a good history: logins, or mail that was accepted.
    #[serde(default)]
    pub known: bool,
    /// Whether a ban waits for the administrator's word.
    #[serde(default)]
    pub asked: bool,
    /// The mail that was taken from him lately, the latest first.
    #[serde(default)]
    pub messages: Vec<MessageView>,
}

/// One message that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageView {
    /// When, RFC 3339.
    pub at: String,
    /// From which address.
    pub address: IpAddr,
    /// Its Message-ID without the brackets, escaped for a terminal, where the log names it.
    pub id: Option<String>,
    /// Its envelope sender, escaped for a terminal.
    pub sender: String,
    /// The queue's number for it.
    pub qp: u32,
    /// How its last delivery went: `success`, `failure`, `deferral`.
    pub outcome: Option<String>,
}

/// How far somebody is from a ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// In which jail.
    pub jail: String,
    /// So many were counted.
    pub count: u32,
    /// So many are too many.
    pub threshold: u32,
    /// In so much time.
    #[serde(default)]
    pub within_seconds: u64,
    /// The jail's other windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<StandingWindow>,
    /// When the last of it was, RFC 3339.
    #[serde(default)]
    pub last: Option<String>,
}

/// How far somebody is from a ban in a further window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingWindow {
    /// So many were counted.
    pub count: u32,
    /// So many are too many.
    pub threshold: u32,
    /// In so much time.
    pub within_seconds: u64,
}

/// `GET /v1/allow`, and what a change of it changed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Allows {
    /// The exemptions by hand.
    pub allowed: Vec<AllowView>,
    /// What could not be done, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refusal>,
}

/// An exemption by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowView {
    /// Whom.
    pub subject: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// Until when, RFC 3339; none: until it is removed.
    pub until: Option<String>,
    /// The administrator's words.
    pub note: Option<String>,
}

/// `POST /v1/allow`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowRequest {
    /// Whom: addresses or networks.
    pub subjects: Vec<String>,
    /// For how long; without end unless told otherwise.
    #[serde(default)]
    pub for_seconds: Option<u64>,
    /// Why.
    #[serde(default)]
    pub note: Option<String>,
}

/// `POST /v1/disallow`, and `POST /v1/confirm`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectsRequest {
    /// Whom.
    pub subjects: Vec<String>,
    /// For `confirm`: false, where they are not to be banned.
    #[serde(default = "yes")]
    pub ban: bool,
}

fn yes() -> bool {
    true
}

/// `GET /v1/asked`: bans that wait for the administrator's word.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AskedList {
    /// Each of them.
    pub asked: Vec<AskedView>,
}

/// A ban that waits for the administrator's word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AskedView {
    /// Whom.
    pub subject: Subject,
    /// Which jail wants it.
    pub jail: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// How long the ban would be.
    pub for_seconds: u64,
    /// So many accounts log in from there.
    pub accounts: u32,
    /// The lines that led to it.
    pub evidence: Vec<EvidenceView>,
}

/// `GET /v1/quota`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Quotas {
    /// The zones.
    pub zones: Vec<ZoneView>,
}

/// `POST /v1/explain`: what an event would be to every jail.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// Its kind.
    pub kind: String,
    /// Whose it is.
    pub address: String,
    /// Its fields.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
}

/// What an event would be to every jail.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Explained {
    /// One a jail.
    pub jails: Vec<ExplainedJail>,
}

/// What an event would be to one jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedJail {
    /// Which.
    pub jail: String,
    /// How it would stand, where it counts.
    pub standing: Option<Standing>,
    /// Why it does not count.
    pub reason: Option<String>,
}

/// `POST /v1/bans`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BanRequest {
    /// Whom: addresses or networks.
    pub subjects: Vec<String>,
    /// For how long.
    pub for_seconds: u64,
    /// In which jail; `manual` unless told otherwise.
    #[serde(default)]
    pub jail: Option<String>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// `POST /v1/unban`: exactly one of the three.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnbanRequest {
    /// These subjects.
    #[serde(default)]
    pub subjects: Vec<String>,
    /// Everybody in this jail.
    #[serde(default)]
    pub jail: Option<String>,
    /// Everybody.
    #[serde(default)]
    pub all: bool,
}

/// `GET /v1/jails`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JailList {
    /// The jails in use.
    pub jails: Vec<JailView>,
}

/// One jail.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JailView {
    /// Its name.
    pub name: String,
    /// One sentence.
    pub about: String,
    /// Whether it bans.
    pub mode: Mode,
    /// The kinds of event that it counts.
    pub on: Vec<String>,
    /// So many are too many …
    pub threshold: u32,
    /// … in so much time.
    pub within_seconds: u64,
    /// Further windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<JailWindow>,
    /// The first ban's length.
    pub ban_seconds: u64,
    /// Its bans in force.
    pub active: usize,
}

/// A further window of a jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JailWindow {
    /// So many are too many …
    pub threshold: u32,
    /// … in so much time.
    pub within_seconds: u64,
}

/// `POST /v1/reload`, and every answer that is an error.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    /// What happened, or why not; for a person.
    pub message: String,
}

impl BanView {
    /// A ban as it is told at this moment.
    pub fn of(subject: &Subject, lease: &Lease, evidence: &[Evidence], now: Timestamp) -> Self {
        let evidence =
            evidence.iter().map(|e| EvidenceView { at: rfc3339(e.at), line: e.line.clone() }).collect();
        BanView {
            subject: subject.clone(),
            jail: lease.jail.to_string(),
            mode: lease.mode,
            from: rfc3339(lease.from),
            until: rfc3339(lease.until),
            remaining_seconds: round_up(lease.until.since(now)),
            before: lease.before,
            ports: match &lease.ports {
                Ports::All => Vec::new(),
                Ports::Tcp(ports) => ports.iter().copied().collect(),
            },
            reason: lease.reason.clone(),
            evidence,
        }
    }
}

impl NoticeView {
    /// A notice as it is told.
    pub fn of((at, notice): &(Timestamp, Notice)) -> Self {
        NoticeView {
            at: rfc3339(*at),
            kind: notice.kind().to_owned(),
            source: notice.source().to_owned(),
            text: notice.to_string(),
        }
    }
}

impl MessageView {
    /// A message as it is told.
    pub fn of(message: &messages::Message) -> Self {
        MessageView {
            at: rfc3339(message.at),
            address: message.address,
            id: message.id.clone(),
            sender: message.sender.clone(),
            qp: message.qp,
            outcome: message.outcome.map(|outcome| outcome.name().to_owned()),
        }
    }
}

impl Standing {
    /// As the engine tells it.
    pub fn of(standing: &crate::engine::Standing) -> Self {
        let window = |(count, threshold, within): &(u32, u32, Duration)| StandingWindow {
            count: *count,
            threshold: *threshold,
            within_seconds: within.as_secs(),
        };
        Standing {
            jail: standing.jail.to_string(),
            count: standing.count,
            threshold: standing.threshold,
            within_seconds: standing.within.as_secs(),
            also: standing.also.iter().map(window).collect(),
            last: standing.last.map(rfc3339),
        }
    }
}

impl ExplainedJail {
    /// As the engine tells it.
    pub fn of(explanation: &Explanation) -> Self {
        let standing = explanation.outcome.as_ref().ok().map(Standing::of);
        let reason = explanation.outcome.as_ref().err().map(ToString::to_string);
        ExplainedJail { jail: explanation.jail.to_string(), standing, reason }
    }
}

impl AskedView {
    /// As the engine tells it.
    pub fn of(asked: &Asked) -> Self {
        AskedView {
            subject: asked.subject.clone(),
            jail: asked.lease.jail.to_string(),
            since: rfc3339(asked.lease.from),
            for_seconds: asked.lease.until.since(asked.lease.from).as_secs(),
            accounts: asked.accounts,
            evidence: asked.evidence.iter().map(EvidenceView::of).collect(),
        }
    }
}

impl EvidenceView {
    /// A line as it is told.
    pub fn of(evidence: &Evidence) -> Self {
        EvidenceView { at: rfc3339(evidence.at), line: evidence.line.clone() }
    }
}

/// An instant as JSON has it: RFC 3339 in UTC, to the nanosecond where there are any.
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(at.nanos().into()).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

fn round_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
