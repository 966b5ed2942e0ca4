//! The grammar of the mail server's log lines, in qmail's own language.
//!
//! A line is one [`Record`]: `Display` writes it, [`Record::parse`] reads it, and what the first writes the second
//! reads back equal, whatever bytes a client sent. Escaping happens in [`Text`] and nowhere else.
//!
//! What this is not: it knows no envelope but multilog's TAI64N stamp, opens no file and holds no opinion. A
//! [`Record`] states what happened; whether that was an offence is decided by who reads it.
//!
//! What other writers of the family say, and this project never does, is [`Foreign`]: read only.
//!
//! The shapes are those of tcpserver (ucspi-tcp), qmail-smtpd with the chkuser, authentication, qlog and
//! better-smtpd-logging patches, and qmail-send; keys that are new here stand at the end of a line.

mod auth;
mod chkuser;
pub mod foreign;
mod guard;
mod policy;
mod qlog;
mod rbl;
mod record;
mod scan;
mod send;
mod smtpd;
mod tcpserver;
mod text;
mod timestamp;

pub use auth::{Auth, AuthOutcome, Fingerprint, Mechanism};
pub use chkuser::{Chkuser, ChkuserOutcome};
pub use foreign::{BadList, Foreign};
pub use guard::{Found, Guard, Word};
pub use policy::{PolicyCheck, PolicySaid, Side};
pub use qlog::{Encryption, Phase, Qlog, Reason, Verdict};
pub use rbl::{Rbl, RblResult, RblSource, Rblsmtpd, Said};
pub use record::Record;
pub use scan::address;
pub use send::{Channel, DeliveryOutcome, Queue, Slots};
pub use smtpd::{Smtpd, SmtpdEvent};
pub use tcpserver::{Endpoint, Tcpserver};
pub use text::Text;
pub use timestamp::{Timestamp, TimestampError};

/// Number of one session, unique among those that are open: tcpserver's child pid, or our session number.
///
/// A line that names no address carries one, and `tcpserver: pid N from IP` binds it to the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u32);

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
