//! Every refusal this server can give, each in one place: reply, enhanced code and log token.

use logline::Reason;

use crate::karma::Deed;

/// What the rest of the program needs to know about a refusal; made by [`Rejection::answer`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The reply code.
    pub code: u16,
    /// The enhanced code (RFC 3463), put in front of the text where the client was offered such codes.
    pub enhanced: &'static str,
    /// The text, in qmail's words.
    pub text: &'a str,
    /// Why, as the journal has it.
    pub reason: Reason,
    /// What exactly, as the journal has it.
    pub detail: &'a str,
}

macro_rules! rejections {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $enhanced:literal, $text:literal, $reason:ident, $detail:literal;)*) => {
        /// The closed list of refusals.
        ///
        /// The enhanced code follows RFC 3463 and the extension that defines the reply; qmail's own code in brackets is
        /// part of its text and is older than some of them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rejection { $($(#[$doc])* $variant,)* }

        impl Rejection {
            /// All of them.
            pub const ALL: &'static [Rejection] = &[$(Rejection::$variant,)*];

            /// What is said and what is logged.
            pub const fn answer(self) -> Answer<'static> {
                match self {
                    $(Rejection::$variant => Answer {
                        code: $code,
                        enhanced: $enhanced,
                        text: $text,
                        reason: Reason::$reason,
                        detail: $detail,
                    },)*
                }
            }
        }
    };
}

rejections! {
    /// A command that nobody knows.
    Unrecognized = 500, "5.5.1", "unrecognized command (#5.5.1)", Unrecognized, "";
    /// What a client of another protocol says. The connection ends.
    NotSmtp = 554, "5.5.1", "this is a mail server and speaks SMTP (#5.5.1)", Unrecognized, "protocol";
    /// A command that is known and not offered.
    Unimplemented = 502, "5.5.1", "unimplemented (#5.5.1)", Unimplemented, "";
    /// A command line longer than any command is.
    LineTooLong = 500, "5.5.2", "line too long (#5.5.2)", Syntax, "linetoolong";
    /// A command whose arguments make no sense.
    Syntax = 501, "5.5.4", "syntax error (#5.5.4)", Syntax, "arguments";
    /// A parameter of MAIL or RCPT that was not offered.
    Parameter = 555, "5.5.4", "parameter not recognized (#5.5.4)", Syntax, "parameter";
    /// RCPT before MAIL.
    MailFirst = 503, "5.5.1", "MAIL first (#5.5.1)", Sequence, "mail";
    /// DATA before RCPT.
    RcptFirst = 503, "5.5.1", "RCPT first (#5.5.1)", Sequence, "rcpt";
    /// A command that does not go together with chunks that came already.
    ChunksOpen = 503, "5.5.1", "the message has begun: BDAT or RSET (#5.5.1)", Sequence, "bdat";
    /// BDAT with a length that is none. Nobody knows where the next command begins, so the connection ends.
    ChunkSize = 501, "5.5.4", "syntax error in the length of a chunk (#5.5.4)", Syntax, "bdat";
    /// STARTTLS with an argument.
    StarttlsSyntax = 501, "5.5.4", "Syntax error (no parameters allowed) (#5.5.4)", Syntax, "starttls";
    /// STARTTLS inside TLS.
    StarttlsTwice = 503, "5.5.1", "TLS already started (#5.5.1)", Sequence, "starttls";
    /// MAIL before STARTTLS on a service that demands it.
    StarttlsFirst = 530, "5.7.0", "Must issue a STARTTLS command first (#5.7.0)", Tls, "required";
    /// AUTH where the password could be overheard.
    AuthNeedsTls = 538, "5.7.11", "auth not available without TLS (#5.3.3)", Tls, "auth";
    /// MAIL before AUTH on a service that demands it.
    AuthRequired = 530, "5.7.0", "authentication required (#5.7.1)", AuthRequired, "";
    /// A sender that is not the user who has logged in, where it must be.
    AuthNotMailfrom = 503, "5.7.1", "from and auth not the same (#5.5.4)", AuthNotMailfrom, "";
    /// AUTH after AUTH.
    AuthTwice = 503, "5.5.1", "you're already authenticated (#5.5.0)", Sequence, "auth";
    /// AUTH between MAIL and DATA.
    AuthDuringMail = 503, "5.5.1", "no auth during mail transaction (#5.5.0)", Sequence, "authmail";
    /// Something behind AUTH before it was answered (RFC 4954 §4: AUTH ends a group of commands).
    AuthPipelined = 503, "5.5.0", "no pipelining after auth (#5.5.0)", Sequence, "pipelining";
    /// A mechanism that is not offered.
    AuthMechanism = 504, "5.5.4", "auth type unimplemented (#5.5.1)", AuthInvalid, "";
    /// An answer that is not base64, or lacks a part.
    AuthMalformed = 501, "5.5.2", "malformed auth input (#5.5.4)", Syntax, "auth";
    /// The client took its login back.
    AuthCancelled = 501, "5.7.0", "auth exchange cancelled (#5.0.0)", Syntax, "authcancelled";
    /// A wrong password or an unknown user: nobody is told which.
    AuthFailed = 535, "5.7.8", "authentication failed (#5.7.1)", AuthFailed, "";
    /// The password could not be checked: our trouble, no offence.
    AuthUnavailable = 454, "4.7.0", "oops, unable to check the password now (#4.3.0)", CannotReadControls, "auth";
    /// A sender that is no address.
    SenderFormat = 553, "5.1.7", "sorry, mailbox syntax not allowed (#5.1.7)", ChkuserSender, "senderformat";
    /// A recipient that is no address.
    RcptFormat = 553, "5.1.3", "sorry, mailbox syntax not allowed (#5.1.3)", Chkuser, "rcptformat";
    /// A recipient without a domain.
    RcptNoDomain = 550, "5.1.3", "sorry, you must specify a domain (#5.1.3)", Chkuser, "domainmissing";
    /// An address beyond ASCII in a session that did not ask for SMTPUTF8.
    NeedsUtf8 = 553, "5.6.7", "sorry, that address needs SMTPUTF8 (#5.6.7)", Syntax, "nonascii";
    /// An address, or its local part, longer than allowed.
    PathTooLong = 501, "5.1.3", "sorry, that address is too long (#5.1.3)", Syntax, "pathtoolong";
    /// A recipient that does not exist.
    NoMailbox = 550, "5.1.1", "sorry, no mailbox here by that name. (#5.1.1)", Chkuser, "nomailbox";
    /// A recipient whose mailbox is full: no fault of the client's.
    MailboxFull = 552, "5.2.2", "sorry, recipient mailbox is over quota (#5.2.2)", Chkuser, "mailboxfull";
    /// A recipient elsewhere whose domain takes no mail.
    RcptDomain = 550, "5.1.2", "sorry, can't find a valid MX for rcpt domain (#5.1.2)", Chkuser, "rcptmxinvalid";
    /// A recipient elsewhere whose domain could not be looked up: our trouble, no offence.
    RcptDomainUnknown = 451, "4.4.3", "DNS temporary failure (#4.4.3)", Chkuser, "rcptmxdnstmpfail";
    /// A recipient elsewhere, from a client that may not relay.
    NotInRcpthosts = 553, "5.7.1", "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", Chkuser, "notinrcpthosts";
    /// The user database could not be read: our trouble, no offence.
    NoAuthResource = 451, "4.3.0", "system temporary unavailable, try again later (#4.3.0)", Chkuser, "noauthresource";
    /// A client that is on a blocklist, and may be off it later. The list's own text is said.
    RblDelay = 451, "4.7.1", "your address is on a blocklist", RblDelay, "";
    /// A client that is on a blocklist. The list's own text is said.
    RblReject = 553, "5.7.1", "your address is on a blocklist", RblReject, "";
    /// A sender whose domain is on a list, and may be off it later. The list's own text is said.
    SenderListedDelay = 451, "4.7.1", "the domain of this sender is on a list", Rhsbl, "delay";
    /// A sender whose domain is on a list. The list's own text is said.
    SenderListed = 553, "5.7.1", "the domain of this sender is on a list", Rhsbl, "";
    /// A newcomer from a network with many listed clients: no verdict, it is asked about when it comes again.
    PutOff = 451, "4.7.1", "sorry, we do not know each other yet, please try again in some minutes (#4.7.1)", Greylist, "neighbours";
    /// More recipients than a message may have.
    TooManyRecipients = 452, "4.5.3", "too many recipients (#4.5.3)", MaxRcptExceeded, "";
    /// More recipients that were put off than a session may give between two messages.
    TooManyDeferred = 421, "4.5.3", "too many recipients, goodbye (#4.5.3)", MaxRcptExceeded, "deferred";
    /// A client that spoke before it was greeted.
    SpokeEarly = 554, "5.5.1", "SMTP protocol violation", Pregreet, "";
    /// A name that is forbidden. The entry that forbids it stands in the journal.
    BadHelo = 553, "5.7.1", "sorry, your HELO host name has been denied (#5.7.1)", QregexBhelo, "";
    /// A sender that is forbidden.
    BadSender = 553, "5.7.1", "sorry, your envelope sender has been denied (#5.7.1)", QregexBmf, "";
    /// A sender that may not write to this recipient. The line that forbids it stands in the journal.
    BadPair = 553, "5.7.1", "sorry, that sender may not write to that recipient (#5.7.1)", QregexBmf, "fromto";
    /// A recipient that is forbidden.
    BadRecipient = 553, "5.7.1", "sorry, your envelope recipient has been denied (#5.7.1)", QregexBmt, "";
    /// More bad recipients than a session may try.
    TooManyBadRecipients = 421, "4.3.0", "too many invalid addresses, goodbye (#4.3.0)", Brtlimit, "";
    /// A recipient that asks us to send it on.
    RelayProbe = 553, "5.7.1", "we don't relay (#5.7.1)", DontRelay, "";
    /// A bounce, while none are taken.
    NullSender = 421, "4.3.0", "null senders temporarily denied (#4.3.0)", NullSenderDenied, "";
    /// A bounce with a second recipient.
    BounceRecipients = 553, "5.5.3", "sorry, a bounce has one recipient (#5.5.3)", NullSenderDenied, "recipients";
    /// A message of which one recipient was bad.
    Spoilt = 553, "5.1.1", "sorry, badrcptto seen, so you MUST be spamming. (#5.1.1)", QregexBmt, "spoilt";
    /// A recipient that is not in the list of valid ones.
    NotValid = 553, "5.1.1", "sorry, this recipient is not in my validrcptto list (#5.7.1)", Validrcptto, "";
    /// A recipient that the program that checks them does not take.
    CheckRefused = 550, "5.1.1", "sorry, no mailbox here by that name. (#5.1.1)", Rcptcheck, "nomailbox";
    /// A recipient that the program that checks them refuses in its own words, which are said.
    CheckSaid = 550, "5.7.1", "sorry, that recipient is refused (#5.7.1)", Rcptcheck, "custom";
    /// A recipient that the program that checks them puts off in its own words, which are said.
    CheckSaidLater = 450, "4.7.1", "sorry, that recipient is put off (#4.7.1)", Rcptcheck, "customlater";
    /// A recipient that this sender may not write to, or that may not be written to by this sender.
    PolicyForbids = 550, "5.7.1", "sorry, the policy of this server forbids this message (#5.7.1)", Empf, "";
    /// A sender that sends too much, by the word of that program.
    Overlimit = 421, "4.7.1", "you have exceeded your messaging limits (#4.3.0)", Rcptcheck, "overlimit";
    /// That program could not find out: our trouble, no offence.
    CannotVerify = 421, "4.3.0", "unable to verify recipient (#4.3.0)", Rcptcheck, "cannotverify";
    /// That program could not be run: our trouble, no offence.
    CannotExecute = 421, "4.3.0", "unable to execute recipient check (#4.3.0)", Rcptcheck, "cannotexecute";
    /// More connections in a minute than a client or a network may open.
    TooFast = 421, "4.7.0", "too many connections a minute, try again later (#4.7.0)", TooManyConnections, "rate";
    /// A client that did nothing but harm before.
    Naughty = 451, "4.7.1", "sorry, your address has behaved badly and has to wait (#4.7.1)", Karma, "";
    /// A client that did nothing but harm before, and is not even greeted.
    NaughtyConnection = 421, "4.7.1", "sorry, your address has behaved badly and has to wait (#4.7.1)", Karma, "connect";
    /// A stranger, while the machine has much to do.
    Busy = 451, "4.3.2", "sorry, this host is busy, try again later (#4.3.2)", Load, "";
    /// A client of whom the watcher says that its mail is taken after a login only. The reason is said.
    AuthOnly = 451, "4.7.1", "sorry, mail from your address is taken after a login only, for now (#4.7.1)", Watcher, "authonly";
    /// More recipients than a session may have.
    SessionRecipients = 550, "5.5.3", "sorry, reached maximum number of recipients allowed in one session (#5.5.3)", Chkuser, "maxrcpt";
    /// More recipients that do not exist than a session may try.
    SessionBadRecipients = 550, "5.7.1", "sorry, you are violating our security policies (#5.7.1)", Chkuser, "maxwrongrcpt";
    /// A recipient of a session that is over one of these limits. The token is spelt as chkuser's is.
    Intrusion = 550, "5.7.1", "sorry, you are violating our security policies (#5.7.1)", Chkuser, "instrusionthreshold";
    /// A sender whose domain takes no mail.
    SenderDomain = 550, "5.1.8", "sorry, can't find a valid MX for sender domain (#5.1.8)", ChkuserSender, "sendermxinvalid";
    /// A sender whose domain could not be looked up: our trouble, no offence.
    SenderDomainUnknown = 451, "4.4.3", "DNS temporary failure (#4.4.3)", ChkuserSender, "sendermxdnstmpfail";
    /// A client that the sender's domain does not let send. The result stands in the journal, the domain's words in the reply.
    SpfRefused = 550, "5.7.23", "sorry, the domain of this sender does not let you send for it (#5.7.1)", Spf, "fail";
    /// A sender whose domain could not be asked whom it lets send.
    SpfUnavailable = 451, "4.4.3", "SPF lookup failure (#4.3.0)", Spf, "lookupfailure";
    /// A client that calls itself localhost and is elsewhere.
    HeloLocalhost = 550, "5.7.1", "sorry, you are not localhost (#5.7.1)", Helo, "localhost";
    /// A client that takes one of our names.
    HeloOurs = 550, "5.7.1", "sorry, that name is mine (#5.7.1)", Helo, "ours";
    /// A client that calls itself by a plain address.
    HeloPlainAddress = 550, "5.7.1", "sorry, an address stands in brackets in HELO (#5.7.1)", Helo, "plainaddress";
    /// A client that calls itself by another's address.
    HeloForgedLiteral = 550, "5.7.1", "sorry, that address is not yours (#5.7.1)", Helo, "forgedliteral";
    /// A client whose name has no domain.
    HeloNotFull = 550, "5.7.1", "sorry, your HELO name has no domain (#5.7.1)", Helo, "notfull";
    /// A client whose name does not exist.
    HeloNoForward = 550, "5.7.1", "sorry, your HELO name does not exist (#5.7.1)", Helo, "noforward";
    /// A client whose address has no name.
    HeloNoReverse = 550, "5.7.25", "sorry, your address has no name (#5.7.25)", Helo, "noreverse";
    /// A client whose name is another's.
    HeloNoMatch = 550, "5.7.1", "sorry, your HELO name is not yours (#5.7.1)", Helo, "nomatch";
    /// A message larger than allowed, announced or found.
    TooBig = 552, "5.3.4", "sorry, that message size exceeds my databytes limit (#5.3.4)", DatabytesLimitExceeded, "";
    /// A message with a line longer than allowed.
    LongLine = 554, "5.6.0", "sorry, a line of that message is too long (#5.6.0)", DatabytesLimitExceeded, "line";
    /// A line feed or a carriage return that stands alone.
    BareNewline = 451, "4.5.2", "See https://cr.yp.to/docs/smtplf.html.", BadNewlines, "";
    /// A message that has been everywhere.
    Loop = 554, "5.4.6", "too many hops, this message is looping (#5.4.6)", MessageLoop, "";
    /// The queue takes no message now.
    QueueClosed = 451, "4.3.0", "qqt failure (#4.3.0)", QqtFailure, "";
    /// The queue could not keep the message.
    QueueFailed = 451, "4.3.0", "qq write error or disk full (#4.3.0)", QueueDelay, "";
    /// The queue's program does not take the message. Its own text is said.
    QueueRefused = 554, "5.3.0", "qq permanent problem (#5.3.0)", QueueReject, "";
    /// Nothing came for too long.
    Timeout = 451, "4.4.2", "timeout (#4.4.2)", AlarmTimeout, "";
    /// A message that came too slowly for too long.
    TooSlow = 451, "4.4.2", "timeout (#4.4.2)", AlarmTimeout, "rate";
    /// More errors than a session may make.
    TooManyErrors = 421, "4.7.0", "too many errors (#4.7.0)", TooManyErrors, "";
    /// More commands without a message than a session may give.
    TooManyCommands = 421, "4.7.0", "too many commands without a message (#4.7.0)", TooManyErrors, "commands";
    /// More unknown commands than a session may give.
    TooManyUnrecognized = 421, "4.7.0", "too many unrecognized commands (#4.7.0)", TooManyErrors, "unrecognized";
    /// More connections than one address may have, or than there are.
    TooManyConnections = 421, "4.7.0", "too many connections, try again later (#4.7.0)", TooManyConnections, "";
}

impl Rejection {
    /// Whether the client did wrong: it counts towards the session's errors. A temporary refusal never does.
    pub const fn is_error(self) -> bool {
        self.answer().code >= 500 && !matches!(self, Rejection::MailboxFull)
    }

    /// What it says of the client. Our trouble says nothing, and neither does a mistake of a person who types.
    pub const fn deed(self) -> Option<Deed> {
        match self {
            Rejection::SpokeEarly => Some(Deed::Pregreet),
            Rejection::TooManyErrors | Rejection::TooManyUnrecognized => Some(Deed::Limits),
            Rejection::TooManyBadRecipients => Some(Deed::Limits),
            Rejection::RelayProbe | Rejection::NotInRcpthosts => Some(Deed::Relay),
            Rejection::BadRecipient => Some(Deed::BadRecipient),
            Rejection::NoMailbox | Rejection::NotValid | Rejection::CheckRefused => Some(Deed::Recipient),
            Rejection::RblDelay | Rejection::RblReject | Rejection::SenderListed => Some(Deed::Listed),
            Rejection::AuthFailed => Some(Deed::Auth),
            Rejection::BadHelo | Rejection::HeloLocalhost | Rejection::HeloOurs => Some(Deed::Helo),
            Rejection::HeloPlainAddress | Rejection::HeloForgedLiteral => Some(Deed::Helo),
            Rejection::HeloNotFull | Rejection::HeloNoForward => Some(Deed::Helo),
            Rejection::HeloNoReverse | Rejection::HeloNoMatch => Some(Deed::Helo),
            Rejection::BadSender | Rejection::BadPair => Some(Deed::Sender),
            Rejection::SenderFormat | Rejection::SenderDomain => Some(Deed::Sender),
            Rejection::SpfRefused => Some(Deed::SpfFail),
            rejection if rejection.is_error() => Some(Deed::Protocol),
            _ => None,
        }
    }

    /// Whether it is for something that was found out about the client or its sender, and not for want of an answer.
    pub const fn is_blame(self) -> bool {
        !matches!(self, Rejection::SenderDomainUnknown | Rejection::SpfUnavailable)
    }

    /// Whether it is a recipient that is wrong, as qmail's `brtlimit` counts them.
    pub const fn is_bad_recipient(self) -> bool {
        matches!(
            self,
            Rejection::BadRecipient
                | Rejection::NoMailbox
                | Rejection::NotValid
                | Rejection::CheckRefused
                | Rejection::CheckSaid
                | Rejection::NotInRcpthosts
                | Rejection::RcptFormat
                | Rejection::RcptNoDomain
                | Rejection::Intrusion
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_refusal_is_well_formed_and_told_apart_in_the_log() {
        let mut tokens = HashSet::new();
        for rejection in Rejection::ALL {
            let Answer { code, enhanced, text, reason, detail } = rejection.answer();
            assert!((400..600).contains(&code), "{rejection:?}");
            let class = enhanced.split('.').next();
            assert_eq!(class, code.to_string().get(..1), "{rejection:?}: class of {enhanced}");
            assert_eq!(
                enhanced.split('.').filter_map(|part| part.parse::<u8>().ok()).count(),
                3,
                "{rejection:?}"
            );
            assert!(text.bytes().all(|b| (0x20..=0x7e).contains(&b)), "{rejection:?}");
            assert!(detail.bytes().all(|b| b.is_ascii_lowercase()), "{rejection:?}");
            assert!(tokens.insert((reason.name(), detail)), "{rejection:?} logs as another does");
        }
    }
}
