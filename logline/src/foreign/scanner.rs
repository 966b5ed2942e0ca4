//! Verdicts on whole messages: simscan (simscan.c:log_message) and qpsmtpd's logterse plugin (logterse.pl:_log_terse).

use std::net::IpAddr;

use crate::scan::{self, Scan};
use crate::{SessionId, Text};

/// `simscan:[N]:STATE (HITS/REQUIRED):SECONDSs:SUBJECT:IP:FROM:RCPT,RCPT`
///
/// The subject is raw and stands before the address, so the address is told only where the line has one candidate; the
/// session stands before both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simscan<'a> {
    /// The session: simscan writes its parent's number, which is qmail-smtpd's.
    pub pid: SessionId,
    /// The verdict.
    pub state: SimscanState,
    /// SpamAssassin's points and what is too many, as `HITS/REQUIRED`.
    pub score: Option<Text<'a>>,
    /// The client's address, the subject or what was found, the sender and the recipients, where they can be told apart.
    pub mail: Option<SimscanMail<'a>>,
}

/// What a line of simscan says of the mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimscanMail<'a> {
    /// The subject, or the name of what was found.
    pub subject: Text<'a>,
    /// The client's address.
    pub address: IpAddr,
    /// The envelope sender.
    pub sender: Text<'a>,
    /// The recipients, between commas.
    pub recipients: Text<'a>,
}

macro_rules! states {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// The closed list of simscan's verdicts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum SimscanState { $($(#[$doc])* $variant,)* }

        impl SimscanState {
            /// All of them.
            pub const ALL: &'static [SimscanState] = &[$(SimscanState::$variant,)*];

            /// The name as a log line has it.
            pub const fn name(self) -> &'static str {
                match self { $(SimscanState::$variant => $name,)* }
            }
        }
    };
}

states! {
    /// Nothing was found.
    Clean = "CLEAN";
    /// More points than allowed, and let through as the administrator said.
    Passthru = "PASSTHRU";
    /// Refused for its points.
    SpamReject = "SPAM REJECT";
    /// Taken and thrown away for its points.
    SpamDropped = "SPAM DROPPED";
    /// Refused for a virus.
    Virus = "VIRUS";
    /// Taken and thrown away for a virus.
    VirusDropped = "VIRUS DROPPED";
    /// Refused for the name of an attachment.
    Attach = "ATTACH";
    /// Refused by an expression of the administrator's.
    Regex = "REGEX";
    /// Not looked at: the client may relay.
    RelayClient = "RELAYCLIENT";
}

impl<'a> Simscan<'a> {
    /// Reads what stands after `simscan:`.
    pub(crate) fn rest(rest: &'a [u8]) -> Option<Self> {
        let mut line = Scan(rest);
        line.literal(b"[")?;
        let pid = SessionId(line.number(b']')?);
        line.literal(b":")?;
        let head = line.until(b':')?;
        let (name, score) = match scan::split_once(head.strip_suffix(b")").unwrap_or(head), b" (") {
            Some((name, score)) => (name, Some(Text::from(score))),
            None => (head, None),
        };
        let state = *SimscanState::ALL.iter().find(|state| state.name().as_bytes() == name)?;
        let seconds = line.until(b':')?.strip_suffix(b"s")?;
        seconds.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.').then_some(())?;
        Some(Simscan { pid, state, score, mail: mail(line.0) })
    }
}

/// `SUBJECT:IP:FROM:RCPT`, where only one part between colons reads as an address.
fn mail(rest: &[u8]) -> Option<SimscanMail<'_>> {
    let mut found = None;
    let mut start = 0;
    for colon in memchr::memchr_iter(b':', rest) {
        if start > 0
            && let Some(address) = scan::address(rest.get(start..colon)?)
        {
            if found.is_some() {
                return None;
            }
            found = Some((rest.get(..start - 1)?, address, rest.get(colon + 1..)?));
        }
        start = colon + 1;
    }
    let (subject, address, after) = found?;
    let (sender, recipients) = scan::rsplit_once(after, b":")?;
    let [subject, sender, recipients] = [subject, sender, recipients].map(Text::from);
    Some(SimscanMail { subject, address, sender, recipients })
}

/// `N logging::logterse plugin (deny): ` and fields between tabs: qpsmtpd's one line for each mail. The address is the
/// first field; what follows is the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logterse<'a> {
    /// The session.
    pub pid: SessionId,
    /// The client's address.
    pub address: IpAddr,
    /// The client's name by reverse look-up.
    pub remote_host: Text<'a>,
    /// The name the client gave.
    pub helo: Text<'a>,
    /// The envelope sender, without its brackets.
    pub sender: Text<'a>,
    /// The recipients, in brackets and between commas.
    pub recipients: Text<'a>,
    /// The plugin that refused, or `queued`.
    pub plugin: Text<'a>,
    /// qpsmtpd's number for the kind of refusal: 901 to 904.
    pub code: Option<u16>,
    /// What the plugin says, or the Message-ID.
    pub text: Text<'a>,
}

impl<'a> Logterse<'a> {
    pub(crate) fn rest(pid: SessionId, mut line: Scan<'a>) -> Option<Self> {
        line.literal(b"logging::logterse plugin")?;
        let _ = line.literal(b" (deny)");
        line.literal(b": ` ")?;
        let mut fields = line.0.split(|byte| *byte == b'\t');
        let mut field = || fields.next();
        let address = scan::address(field()?)?;
        let [remote_host, helo, sender, recipients, plugin, code, text] =
            [field()?, field()?, field()?, field()?, field()?, field()?, field().unwrap_or_default()];
        let sender = sender.strip_prefix(b"<").and_then(|s| s.strip_suffix(b">")).unwrap_or(sender);
        let code = if code.is_empty() { None } else { Some(scan::number(code)?) };
        let [remote_host, helo, sender, recipients, plugin, text] =
            [remote_host, helo, sender, recipients, plugin, text].map(Text::from);
        Some(Logterse { pid, address, remote_host, helo, sender, recipients, plugin, code, text })
    }
}
