//! The lines of other writers in qmail's family: read, never written.
//!
//! Their authors escaped little or nothing, so text that a client chose may hold any byte but those the protocol took
//! away. Each grammar here therefore says where the client's text can stand, and takes as the client's address only what
//! no client can write: what stands before all of his text, what is anchored behind it, or what stands once where the
//! program always writes it once. A line in which that cannot be told is [`Foreign::Doubtful`], which is an answer too.
//!
//! Nothing is copied: every field borrows from the line.

mod chkuser;
mod dialogue;
mod gate;
mod logit;
mod queue;
mod scanner;
mod spamcontrol;
mod spamdyke;
mod titled;
mod ucspi;
mod vchkpw;

use std::fmt;

use crate::scan::{self, Scan};
use crate::{Chkuser, Qlog, SessionId, Text};

pub use dialogue::{Dialogue, Side};
pub use gate::{Gate, Greylisted};
pub use logit::{Logit, LogitEvent};
pub use queue::{QueueNote, header_message_id};
pub use scanner::{Logterse, Simscan, SimscanMail, SimscanState};
pub use spamcontrol::Spamcontrol;
pub use spamdyke::{Spamdyke, SpamdykeCode};
pub use titled::{BadList, Greeting, Limit, LoginFailure, RcptVerdict, Remark, Titled};
pub use ucspi::{Listed, Sslserver};
pub use vchkpw::{Vchkpw, VchkpwOutcome};

/// A line of another writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foreign<'a> {
    /// sslserver: connections, and the handshakes on them.
    Sslserver(Sslserver<'a>),
    /// rblsmtpd and its like with the zone in the line.
    Listed(Listed<'a>),
    /// What qmail-smtpd says under its title, `qmail-smtpd[N]: …`.
    Titled(Titled<'a>),
    /// What qmail-smtpd says in words, in the dialects of its years.
    Logit(Logit<'a>),
    /// chkuser as it was published, without the names of its fields.
    Chkuser(Chkuser<'a>),
    /// s/qmail, once SpamControl.
    Spamcontrol(Spamcontrol<'a>),
    /// The conversation itself, as recordio and a debugging qmail-smtpd write it.
    Dialogue(Dialogue<'a>),
    /// What smaller programs and patches at the gate say.
    Gate(Gate<'a>),
    /// vchkpw's verdict on a login.
    Vchkpw(Vchkpw<'a>),
    /// simscan's verdict on a message.
    Simscan(Simscan<'a>),
    /// spamdyke's verdict on a recipient.
    Spamdyke(Spamdyke<'a>),
    /// qpsmtpd's one line for each mail.
    Logterse(Logterse<'a>),
    /// What qmail-send says beside [`crate::Queue`].
    Queue(QueueNote<'a>),
    /// The program's own trouble: nobody at the gate did anything.
    Trouble {
        /// Which program.
        program: &'static str,
        /// What it says.
        text: Text<'a>,
    },
    /// A line of the family in which text of a client's choice could stand where the program writes: nobody can tell
    /// whose it is.
    Doubtful,
}

impl<'a> Foreign<'a> {
    /// Reads one line, without its envelope. Its first four bytes decide what it could be: most of what passes here is no
    /// line of the family. What is told apart here stands among the
    /// beginnings in [`crate::record`], too.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        match line.first_chunk()? {
            b"CHKU" => chkuser::parse(line),
            b"qmai" | b"qlog" => of_qmail(line),
            b"vchk" => Vchkpw::parse(line).map(Foreign::Vchkpw),
            b"ssls" => Sslserver::rest(line.strip_prefix(b"sslserver: ")?).map(Foreign::Sslserver),
            b"rbls" => Listed::parse(line).map(Foreign::Listed),
            b"GREE" => Titled::untitled(line).map(Foreign::Titled),
            b"spam" => Spamdyke::parse(line),
            b"ALLO" | b"DENI" | b"ERRO" | b"FAIL" | b"FILT" | b"TIME" | b"TLS_" | b"UNKN" => {
                Spamdyke::rest(None, line)
            }
            b"sims" => Simscan::rest(line.strip_prefix(b"simscan:")?).map(Foreign::Simscan),
            b"clie" | b"serv" => Dialogue::parse(line).map(Foreign::Dialogue),
            b"doma" | b"grey" | b"helo" | b"mail" | b"poli" | b"rela" | b"user" => {
                Gate::parse(line).map(Foreign::Gate)
            }
            b"aler" | b"deli" | b"doub" | b"star" | b"stat" | b"trip" | b"warn" => {
                QueueNote::parse(line).map(Foreign::Queue)
            }
            b"auth" | b"fixs" | b"surb" | b"tcps" => trouble(line),
            [b'0'..=b'9', ..] => numbered(line),
            _ => None,
        }
    }

    /// Reads what stands after a program's own name where an envelope has taken that off, as syslog does.
    pub(crate) fn parse_of(program: &[u8], pid: Option<SessionId>, message: &'a [u8]) -> Option<Self> {
        match program {
            b"sslserver" => Sslserver::rest(message).map(Foreign::Sslserver),
            b"rblsmtpd" => Listed::rest(message).map(Foreign::Listed),
            b"qmail-smtpd" => match pid {
                Some(pid) => Titled::rest(pid, message).map(Foreign::Titled),
                None => smtpd(message),
            },
            b"qmail-popup" => Spamcontrol::rest(message).map(Foreign::Spamcontrol),
            b"qmail-overlimit" => Gate::overlimit(message).map(Foreign::Gate),
            b"spamdyke" => Spamdyke::rest(pid, message),
            b"greylist" => Gate::greylist(message).map(Foreign::Gate),
            b"helo-dns-check" => Gate::helo_dns(message).map(Foreign::Gate),
            b"simscan" => Simscan::rest(message).map(Foreign::Simscan),
            _ => None,
        }
    }
}

/// `8155 < EHLO x ` of recordio, `8155 logging::logterse plugin: …` of qpsmtpd.
fn numbered(line: &[u8]) -> Option<Foreign<'_>> {
    let digits = line.iter().position(|byte| !byte.is_ascii_digit())?;
    let (pid, rest) = line.split_at_checked(digits)?;
    let mut rest = Scan(rest);
    rest.literal(b" ")?;
    let pid = SessionId(scan::number(pid)?);
    match rest.0.first()? {
        b'<' | b'>' => Dialogue::recorded(pid, rest.0).map(Foreign::Dialogue),
        b'l' => Logterse::rest(pid, rest).map(Foreign::Logterse),
        _ => None,
    }
}

fn of_qmail(line: &[u8]) -> Option<Foreign<'_>> {
    if line.starts_with(b"qlog") {
        return Qlog::is_doubtful(line).then_some(Foreign::Doubtful);
    }
    let mut rest = Scan(line.strip_prefix(b"qmail-")?);
    if rest.literal(b"smtpd[").is_some() {
        let pid = SessionId(rest.number(b']')?);
        rest.literal(b": ")?;
        return Titled::rest(pid, rest.0).map(Foreign::Titled);
    }
    if let Some(rest) = rest.0.strip_prefix(b"smtpd: ") {
        return smtpd(rest);
    }
    if let Some(rest) = rest.0.strip_prefix(b"popup: ") {
        return Spamcontrol::rest(rest).map(Foreign::Spamcontrol);
    }
    if let Some(rest) = rest.0.strip_prefix(b"overlimit: ") {
        return Gate::overlimit(rest).map(Foreign::Gate);
    }
    let text = Text::from(rest.0.strip_prefix(b"fixsmtpio: ")?);
    Some(Foreign::Trouble { program: "fixsmtpio", text })
}

/// What follows `qmail-smtpd: `.
fn smtpd(rest: &[u8]) -> Option<Foreign<'_>> {
    if rest.starts_with(b"pid ") {
        return Spamcontrol::rest(rest).map(Foreign::Spamcontrol);
    }
    if rest.starts_with(b"421 badiprbl: ") {
        return Listed::badiprbl(rest).map(Foreign::Listed);
    }
    if rest.starts_with(b"badrcptto: ") {
        return Titled::badrcptto(rest).map(Foreign::Titled);
    }
    logit::parse(rest)
}

/// Who complains of itself in a log of the family.
const TROUBLED: &[&str] = &["authup", "fixsmtpio", "surblfilter", "tcpserver"];

fn trouble(line: &[u8]) -> Option<Foreign<'_>> {
    TROUBLED.iter().find_map(|program| {
        let text = line.strip_prefix(program.as_bytes())?.strip_prefix(b": ")?;
        Some(Foreign::Trouble { program, text: Text::from(text) })
    })
}

/// What a reader is shown; it is no line that anybody writes.
impl fmt::Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
