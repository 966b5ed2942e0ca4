//! Typed records as rules see them: the name of the fact, whose it is, and fields by name.

use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr;

use logline::{
    AuthOutcome, Channel, Chkuser, DeliveryOutcome, Foreign, Found, Guard, Phase, Queue, Record, Said,
    SessionId, Tcpserver, Text, Verdict,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod foreign;

macro_rules! facts {
    ($($(#[$doc:meta])* $variant:ident = $name:literal { $($field:literal),* };)*) => {
        /// The facts that a rule can be about, under the names that filters use.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Fact { $($(#[$doc])* $variant,)* }

        impl Fact {
            /// All of them.
            pub const ALL: &'static [Fact] = &[$(Fact::$variant,)*];

            /// The name as a filter has it.
            pub const fn name(self) -> &'static str {
                match self { $(Fact::$variant => $name,)* }
            }

            /// The fields that a rule may ask for, and that an event carries on.
            pub const fn fields(self) -> &'static [&'static str] {
                match self { $(Fact::$variant => &[$($field),*],)* }
            }
        }
    };
}

facts! {
    /// `tcpserver: pid N from IP`
    Connect = "connect" {};
    /// `tcpserver: ok …`
    Ok = "ok" {};
    /// `tcpserver: deny …`
    Deny = "deny" {};
    /// `tcpserver: end …`
    End = "end" {};
    /// `tcpserver: status …`
    Status = "status" {};
    /// `CHKUSER …`
    Chkuser = "chkuser" { "title", "description", "sender", "user", "helo", "recipient" };
    /// `qmail-smtpd[N]: auth: …`
    Auth = "auth" { "outcome", "mechanism", "user", "password", "reason" };
    /// `qlogenvelope: …`, `qlogreceived: …`
    Qlog = "qlog" {
        "phase", "result", "reason", "detail", "code", "helo", "sender", "recipient", "user", "mechanism", "qp",
        "message-id"
    };
    /// `qmail-smtpd: …`
    Smtpd = "smtpd" { "event", "detail", "sender", "recipient", "helo" };
    /// `qmail-smtpd[N]: rbl: …`
    Rbl = "rbl" { "result", "query", "message", "source", "answer" };
    /// `rblsmtpd: …`
    Rblsmtpd = "rblsmtpd" { "verdict", "text" };
    /// `delivery D: …`
    Delivery = "delivery" { "outcome", "message-id", "report" };
    /// Every other line of qmail-send.
    Queue = "queue" { "channel", "sender", "recipient", "qp" };
    /// `sslserver: tls N accept`, `sslserver: error: …`
    Tls = "tls" { "outcome", "text" };
    /// `sslserver: ip connection limit …`
    ConnectionLimit = "connection-limit" {};
    /// `rblsmtpd: IP pid N ZONE: 451 …`, `421 badiprbl: …`
    Listed = "listed" { "verdict", "zone", "text" };
    /// `badhelo: …`, `badmailfrom: …`, `badrcptto: …`
    Forbidden = "forbidden" { "list", "value" };
    /// `validrcptto: …`, `rcptcheck: …`
    Recipient = "recipient" { "verdict", "recipient" };
    /// `GREETDELAY …`, `before greeting: …`
    Greeting = "greeting" { "outcome" };
    /// `MFCHECK …`
    SenderDomain = "sender-domain" { "outcome", "domain" };
    /// `DATABYTES exceeded …`, `MAXRCPT fail …`, `excessive …`
    Limit = "limit" { "limit" };
    /// `qmail-smtpd: pid N Reject::…` of s/qmail
    Spamcontrol = "spamcontrol" {
        "result", "about", "condition", "protocol", "helo", "sender", "recipient", "user"
    };
    /// A line of the conversation, as recordio and debugging patches write it.
    Dialogue = "dialogue" { "side", "code", "text" };
    /// `relaying denied: …`
    RelayingDenied = "relaying-denied" { "sender", "recipient" };
    /// `mail recv: …`
    Received = "received" { "sender", "qp" };
    /// `helo-dns-check: blocked with: …`
    HeloDns = "helo-dns" { "reason" };
    /// `greylist: …`
    Greylist = "greylist" { "outcome" };
    /// `qmail-overlimit: …`
    Overlimit = "overlimit" { "outcome", "client" };
    /// `vchkpw-…`
    Vchkpw = "vchkpw" { "service", "outcome", "mechanism", "user" };
    /// `simscan:[N]:…`
    Simscan = "simscan" { "state", "score", "subject", "sender", "recipient" };
    /// spamdyke's verdict on a recipient
    Spamdyke = "spamdyke" { "code", "sender", "recipient", "rdns", "user", "reason" };
    /// `ERROR: authentication failure …` of spamdyke
    SpamdykeAuth = "spamdyke-auth" { "user" };
    /// `logging::logterse …` of qpsmtpd
    Logterse = "logterse" {
        "plugin", "code", "rdns", "helo", "sender", "recipient", "text", "message-id"
    };
    /// A line of the family that tells of nobody at the gate.
    Note = "note" {};
}

impl FromStr for Fact {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = || Fact::ALL.iter().map(|fact| fact.name()).collect::<Vec<_>>().join(", ");
        Fact::ALL
            .iter()
            .find(|fact| fact.name() == name)
            .copied()
            .ok_or_else(|| format!("`{name}` is no fact; there are: {}", names()))
    }
}

impl Serialize for Fact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Fact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'_, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A record with what rules need to know of it.
#[derive(Debug)]
pub struct View<'r, 'a> {
    /// Which fact it states.
    pub fact: Fact,
    /// The session it names.
    pub pid: Option<SessionId>,
    /// The address it claims.
    pub claimed: Option<IpAddr>,
    record: &'r Record<'a>,
}

/// What a record says of connections, and whether its server says of every one when it ends.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'r, 'a> {
    /// What tcpserver says, or sslserver in the same words.
    pub said: &'r Tcpserver<'a>,
    /// sslserver 0.12 names another process when a session ends.
    pub tells_ends: bool,
}

impl<'r, 'a> View<'r, 'a> {
    /// Looks at a record.
    pub fn of(record: &'r Record<'a>) -> Self {
        let (fact, pid, claimed) = match record {
            Record::Tcpserver(record) => tcpserver(record),
            Record::Chkuser(record) => chkuser(record),
            Record::Auth(auth) => (Fact::Auth, Some(auth.pid), None),
            Record::Qlog(qlog) => (Fact::Qlog, Some(qlog.pid), Some(qlog.remote_address)),
            Record::Smtpd(smtpd) => (Fact::Smtpd, smtpd.pid, Some(smtpd.address)),
            Record::Rbl(rbl) => (Fact::Rbl, Some(rbl.pid), Some(rbl.address)),
            Record::Guard(guard) => (guard_fact(guard), Some(guard.pid), Some(guard.address)),
            // What follows from it is an answer, and told as one.
            Record::Policy(policy) => (Fact::Note, Some(policy.pid), None),
            Record::Rblsmtpd(rblsmtpd) => (Fact::Rblsmtpd, Some(rblsmtpd.pid), Some(rblsmtpd.address)),
            Record::Queue(Queue::Delivery { .. }) => (Fact::Delivery, None, None),
            Record::Queue(_) => (Fact::Queue, None, None),
            Record::Foreign(foreign) => foreign::look(foreign),
        };
        View { fact, pid, claimed, record }
    }

    /// The record itself.
    pub fn record(&self) -> &'r Record<'a> {
        self.record
    }

    /// What it says of connections, if that is what it does.
    pub fn connection(&self) -> Option<Connection<'r, 'a>> {
        match self.record {
            Record::Tcpserver(said) => Some(Connection { said, tells_ends: true }),
            Record::Foreign(Foreign::Sslserver(logline::foreign::Sslserver::Connection(said))) => {
                Some(Connection { said, tells_ends: false })
            }
            _ => None,
        }
    }

    /// True for a line of another writer.
    pub fn is_foreign(&self) -> bool {
        matches!(self.record, Record::Foreign(_))
    }

    /// True for a line in which client text could stand where the program writes.
    pub fn is_doubtful(&self) -> bool {
        matches!(self.record, Record::Foreign(Foreign::Doubtful))
    }

    /// True where no text of a client can stand where the address is read: such a line can be believed in a log that
    /// tells of no connections.
    pub fn proves_itself(&self) -> bool {
        matches!(self.fact, Fact::ConnectionLimit | Fact::Vchkpw | Fact::Spamdyke | Fact::Logterse)
    }

    /// The value of one of [`Fact::fields`]; none where this record does not have it.
    pub fn field(&self, name: &str) -> Option<Text<'a>> {
        match self.record {
            Record::Tcpserver(_) => None,
            Record::Chkuser(chkuser) => chkuser_field(chkuser, name),
            Record::Auth(auth) => match name {
                "outcome" => Some(outcome(auth.outcome).into()),
                "mechanism" => Some(auth.mechanism.name().into()),
                "user" => Some(auth.user.clone()),
                "password" => auth.fingerprint.map(|fingerprint| fingerprint.to_string().into()),
                _ => None,
            },
            Record::Qlog(qlog) => qlog_field(qlog, name),
            Record::Smtpd(smtpd) => match name {
                "event" => Some(smtpd.event.text().into()),
                "sender" => smtpd.sender.clone(),
                "recipient" => smtpd.recipient.clone(),
                "helo" => smtpd.helo.clone(),
                _ => None,
            },
            Record::Rbl(rbl) => match name {
                "result" => Some(rbl.result.name().into()),
                "query" => Some(rbl.query.clone()),
                "message" => Some(rbl.message.clone()),
                "source" => Some(rbl.source.name().into()),
                "answer" if !rbl.answer.is_empty() => {
                    Some(rbl.answer.iter().map(ToString::to_string).collect::<Vec<_>>().join(",").into())
                }
                _ => None,
            },
            Record::Rblsmtpd(rblsmtpd) => match (name, &rblsmtpd.said) {
                ("verdict", Said::Delay(_)) => Some("delay".into()),
                ("verdict", Said::Reject(_)) => Some("reject".into()),
                ("verdict", Said::Command(_)) => Some("command".into()),
                ("text", Said::Delay(text) | Said::Reject(text) | Said::Command(text)) => Some(text.clone()),
                _ => None,
            },
            Record::Guard(guard) => guard_field(guard, name),
            Record::Policy(_) => None,
            Record::Queue(queue) => queue_field(queue, name),
            Record::Foreign(foreign) => foreign::field(foreign, name),
        }
    }
}

/// What a line is about, the session it names, the address it claims.
type Look = (Fact, Option<SessionId>, Option<IpAddr>);

fn tcpserver(record: &Tcpserver<'_>) -> Look {
    match record {
        Tcpserver::Status { .. } => (Fact::Status, None, None),
        Tcpserver::Connect { pid, address } => (Fact::Connect, Some(*pid), Some(*address)),
        Tcpserver::Ok(end) => (Fact::Ok, Some(end.pid), Some(end.remote_address)),
        Tcpserver::Deny(end) => (Fact::Deny, Some(end.pid), Some(end.remote_address)),
        Tcpserver::End { pid, .. } => (Fact::End, Some(*pid), None),
    }
}

fn chkuser(chkuser: &Chkuser<'_>) -> Look {
    (Fact::Chkuser, chkuser.pid, Some(chkuser.address))
}

fn chkuser_field<'a>(chkuser: &Chkuser<'a>, name: &str) -> Option<Text<'a>> {
    match name {
        "title" => Some(chkuser.outcome.title().into()),
        "description" => Some(chkuser.outcome.description().into()),
        "sender" => Some(chkuser.sender.clone()),
        "user" => Some(chkuser.auth.clone()),
        "helo" => Some(chkuser.helo.clone()),
        "recipient" => Some(chkuser.recipient.clone()),
        _ => None,
    }
}

fn outcome(outcome: AuthOutcome) -> &'static str {
    match outcome {
        AuthOutcome::Success => "success",
        AuthOutcome::Failed => "failed",
    }
}

fn qlog_field<'a>(qlog: &logline::Qlog<'a>, name: &str) -> Option<Text<'a>> {
    match name {
        "phase" => Some(
            match qlog.phase {
                Phase::Envelope => "envelope",
                Phase::Received => "received",
            }
            .into(),
        ),
        "result" => Some(
            match qlog.verdict {
                Verdict::Accepted => "accepted",
                Verdict::Rejected => "rejected",
            }
            .into(),
        ),
        "reason" => Some(qlog.reason.name().into()),
        "detail" => Some(qlog.detail.clone()),
        "code" => Some(qlog.code.to_string().into()),
        "helo" => Some(qlog.helo.clone()),
        "sender" => Some(qlog.sender.clone()),
        "recipient" => match qlog.recipients.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            many => Some(many.iter().map(Text::bytes).collect::<Vec<_>>().join(&b","[..]).into()),
        },
        "user" => Some(qlog.user.clone()),
        "mechanism" => qlog.mechanism.map(|mechanism| mechanism.name().into()),
        "qp" => qlog.qp.map(|qp| qp.to_string().into()),
        "message-id" => qlog.message_id.clone(),
        _ => None,
    }
}

fn guard_fact(guard: &Guard<'_>) -> Fact {
    match guard.found {
        Found::Forbidden { .. } => Fact::Forbidden,
        Found::BadRecipients => Fact::Limit,
        // Our own word, come back.
        Found::Word(_) => Fact::Note,
        Found::SpokeEarly | Found::SpokeEarlyIgnored | Found::GoneEarly => Fact::Greeting,
    }
}

fn guard_field<'a>(guard: &Guard<'a>, name: &str) -> Option<Text<'a>> {
    match (&guard.found, name) {
        (Found::Forbidden { list, .. }, "list") => Some(list.name().into()),
        (Found::Forbidden { value, .. }, "value") => Some(value.clone()),
        (Found::BadRecipients, "limit") => Some(logline::foreign::Limit::BadRecipients.name().into()),
        (Found::SpokeEarly, "outcome") => Some("spoke".into()),
        (Found::SpokeEarlyIgnored, "outcome") => Some("ignored".into()),
        (Found::GoneEarly, "outcome") => Some("gone".into()),
        _ => None,
    }
}

fn queue_field<'a>(queue: &Queue<'a>, name: &str) -> Option<Text<'a>> {
    match (queue, name) {
        (Queue::Delivery { outcome, .. }, "outcome") => Some(
            match outcome {
                DeliveryOutcome::Success => "success",
                DeliveryOutcome::Failure => "failure",
                DeliveryOutcome::Deferral => "deferral",
            }
            .into(),
        ),
        (Queue::Delivery { message_id, report, .. }, "message-id") => {
            message_id.clone().or_else(|| header_message_id(report))
        }
        (Queue::Delivery { report, .. }, "report") => Some(report.clone()),
        (Queue::Starting { channel, .. }, "channel") => Some(
            match channel {
                Channel::Local => "local",
                Channel::Remote => "remote",
            }
            .into(),
        ),
        (Queue::Starting { recipient, .. }, "recipient") => Some(recipient.clone()),
        (Queue::Info { sender, .. }, "sender") => Some(sender.clone()),
        (Queue::Info { qp, .. } | Queue::Bounce { qp, .. }, "qp") => Some(qp.to_string().into()),
        _ => None,
    }
}

/// The Message-ID among the headers that a `log@` address printed. A report that borrows from its line gives one that does.
fn header_message_id<'a>(report: &Text<'a>) -> Option<Text<'a>> {
    let id = logline::foreign::header_message_id(report.bytes())?;
    Some(Text::from(id).into_owned())
}
