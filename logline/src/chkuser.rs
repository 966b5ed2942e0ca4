//! What chkuser says about a sender or a recipient (chkuser.c:chkuser_commonlog, version 2.0.9 as patched today).

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::scan::{self, Scan};
use crate::{SessionId, Text};

/// A line of chkuser: what was decided about one sender or recipient, and who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chkuser<'a> {
    /// What was decided.
    pub outcome: ChkuserOutcome,
    /// The envelope sender.
    pub sender: Text<'a>,
    /// The user that authenticated; empty where none did.
    pub auth: Text<'a>,
    /// The administrator's mark for this service (`CHKUSER_IDENTIFY`).
    pub identify: Text<'a>,
    /// The name the client gave; empty where it equals its reverse name.
    pub helo: Text<'a>,
    /// The client's name by reverse look-up.
    pub remote_host: Text<'a>,
    /// The client's address. Attacker text stands before it and after it: believe it only where the session says so.
    pub address: IpAddr,
    /// The recipient; empty in a line about a sender.
    pub recipient: Text<'a>,
    /// The session; original chkuser does not say.
    pub pid: Option<SessionId>,
}

macro_rules! outcomes {
    ($($(#[$doc:meta])* $variant:ident = $title:literal, $description:literal;)*) => {
        /// The closed list of what chkuser decides: a title and a description.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum ChkuserOutcome { $($(#[$doc])* $variant,)* }

        impl ChkuserOutcome {
            /// All of them, in the order of chkuser's own table.
            pub const ALL: &'static [ChkuserOutcome] = &[$(ChkuserOutcome::$variant,)*];

            /// What stands after `CHKUSER `.
            pub const fn title(self) -> &'static str {
                match self { $(ChkuserOutcome::$variant => $title,)* }
            }

            /// What stands after ` : `.
            pub const fn description(self) -> &'static str {
                match self { $(ChkuserOutcome::$variant => $description,)* }
            }
        }
    };
}

outcomes! {
    /// The recipient exists.
    AcceptedRcpt = "accepted rcpt", "found existing recipient";
    /// Existence is checked for no domain.
    AcceptedAnyRcpt = "accepted any rcpt", "accepted any recipient for any rcpt domain";
    /// Existence is not checked for this domain.
    AcceptedAnyRcptOfDomain = "accepted any rcpt", "accepted any recipient for this domain";
    /// The client may relay.
    Relaying = "relaying rcpt", "client allowed to relay";
    /// The client may not relay, and the domain is not ours.
    RejectedRelaying = "rejected relaying", "client not allowed to relay";
    /// The recipient does not exist.
    RejectedRcpt = "rejected rcpt", "not existing recipient";
    /// The recipient is no address.
    RejectedRcptFormat = "rejected rcpt", "invalid rcpt address format";
    /// The recipient's domain takes no mail.
    RejectedRcptMx = "rejected rcpt", "invalid rcpt MX domain";
    /// The recipient's domain could not be looked up: our trouble, no offence.
    RejectedRcptDns = "rejected rcpt", "temporary DNS problem";
    /// More recipients than a message may have.
    RejectedTooManyRcpts = "rejected rcpt", "max number of recipients";
    /// More unknown recipients than a session may try.
    RejectedTooManyWrongRcpts = "rejected rcpt", "max number of invalid recipients";
    /// The session passed the limit of recipients.
    IntrusionRcpts = "intrusion threshold", "max number of allowed rcpt";
    /// The session passed the limit of unknown recipients.
    IntrusionWrongRcpts = "intrusion threshold", "max number of allowed invalid rcpt";
    /// Refused unseen, the session being over its limit.
    RejectedIntrusion = "rejected intrusion", "rcpt ignored, session over intrusion threshold";
    /// The user database did not answer: our trouble, no offence.
    NoAuthResource = "no auth resource", "no auth resource available";
    /// The mailbox is full: no offence.
    Overquota = "mbx overquota", "rcpt mailbox is overquota";
    /// The client must authenticate first.
    MustAuth = "must auth", "sender not authenticated/authorized";
    /// The sender was found good.
    AcceptedSender = "accepted sender", "sender accepted";
    /// Senders are not checked.
    AcceptedAnySender = "accepted sender", "accepted any sender always";
    /// The null sender of a bounce.
    AcceptedNullSender = "accepted sender", "accepted null sender always";
    /// qmail's own double bounce.
    AcceptedDoubleBounce = "accepted doublebounce", "accepted qmail doublebounce #@[]";
    /// The sender is no address.
    RejectedSenderFormat = "rejected sender", "invalid sender address format";
    /// The sender's domain takes no mail.
    RejectedSenderMx = "rejected sender", "invalid sender MX domain";
    /// The sender's domain could not be looked up: our trouble, no offence.
    RejectedSenderDns = "rejected sender", "temporary DNS problem";
}

const PREFIX: &[u8] = b"CHKUSER ";
const DELIMITERS: &[u8] = b"|<>:";

impl<'a> Chkuser<'a> {
    /// Reads one line, without its envelope.
    ///
    /// Each field ends at the first delimiter after it; a line in which a field holds `|`, `<` or `>` unescaped is not
    /// taken, because nobody could tell then who wrote which part of it.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut line = Scan(line);
        line.literal(PREFIX)?;
        let title = line.until_literal(b": from <")?;
        let sender = field(line.until_literal(b"|remoteinfo/auth:")?)?;
        let auth = field(line.until_literal(b"|chkuser-identify:")?)?;
        let identify = field(line.until_literal(b"> remote <helo:")?)?;
        let helo = field(line.until_literal(b"|remotehostname:")?)?;
        let remote_host = field(line.until_literal(b"|remotehostip:")?)?;
        let address = scan::address(line.until_literal(b"> rcpt <")?)?;
        let recipient = field(line.until_literal(b"> : ")?)?;
        let (description, pid) = split_pid(line.0)?;
        let outcome = ChkuserOutcome::ALL
            .iter()
            .find(|o| o.title().as_bytes() == title && o.description().as_bytes() == description)?;
        Some(Chkuser {
            outcome: *outcome,
            sender,
            auth,
            identify,
            helo,
            remote_host,
            address,
            recipient,
            pid,
        })
    }
}

fn field(bytes: &[u8]) -> Option<Text<'_>> {
    memchr::memchr3(b'|', b'<', b'>', bytes).is_none().then(|| Text::unescape(bytes))
}

/// Takes ` pid=N` off the end of a line that has it. No description ends in such a thing.
pub(crate) fn split_pid(rest: &[u8]) -> Option<(&[u8], Option<SessionId>)> {
    match memchr::memmem::rfind(rest, b" pid=") {
        Some(at) => Some((rest.get(..at)?, Some(SessionId(scan::number(rest.get(at + 5..)?)?)))),
        None => Some((rest, None)),
    }
}

impl fmt::Display for Chkuser<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Chkuser { outcome, sender, auth, identify, helo, remote_host, address, recipient, pid } = self;
        let [sender, auth, identify, helo, remote_host, recipient] =
            [sender, auth, identify, helo, remote_host, recipient].map(|text| text.escaped(DELIMITERS));
        write!(f, "CHKUSER {}: ", outcome.title())?;
        write!(f, "from <{sender}|remoteinfo/auth:{auth}|chkuser-identify:{identify}> ")?;
        write!(f, "remote <helo:{helo}|remotehostname:{remote_host}|remotehostip:{address}> ")?;
        write!(f, "rcpt <{recipient}> : {}", outcome.description())?;
        match pid {
            Some(pid) => write!(f, " pid={pid}"),
            None => Ok(()),
        }
    }
}
