//! One command line, understood (RFC 5321 §4.1, as leniently as qmail-smtpd.c:addrparse reads it).

use crate::dsn::Wish;
use crate::mailbox::Address;
use crate::session::Rejection;

mod parameters;

pub(super) use parameters::MailParameters;

/// Digits of the longest chunk that can be meant.
const CHUNK_DIGITS_MAX: usize = 12;

/// A command that can be carried out or refused for other reasons than its looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Helo(&'a [u8]),
    Ehlo(&'a [u8]),
    Mail { path: Path<'a>, parameters: MailParameters },
    Rcpt { path: Path<'a>, wish: Wish },
    Data,
    Bdat { size_bytes: u64, last: bool },
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
    StartTls,
    Auth { mechanism: &'a [u8], initial: Option<&'a [u8]> },
}

/// An address, and the bytes it was read from: a refused one is logged as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path<'a> {
    pub(super) given: &'a [u8],
    pub(super) address: Address,
}

impl<'a> Command<'a> {
    /// Reads a line without its end.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, Refused<'a>> {
        let end = memchr::memchr(b' ', line).unwrap_or(line.len());
        let (verb, arguments) = line.split_at_checked(end).unwrap_or((line, b""));
        let arguments = without_spaces(arguments);
        match verb.to_ascii_uppercase().as_slice() {
            b"HELO" => Ok(Command::Helo(arguments)),
            b"EHLO" => Ok(Command::Ehlo(arguments)),
            b"MAIL" => mail(arguments),
            b"RCPT" => rcpt(arguments),
            b"BDAT" => bdat(arguments),
            b"DATA" => alone(arguments, Command::Data, Rejection::Syntax),
            b"RSET" => Ok(Command::Rset),
            b"NOOP" => Ok(Command::Noop),
            b"VRFY" => Ok(Command::Vrfy),
            b"HELP" => Ok(Command::Help),
            b"QUIT" => Ok(Command::Quit),
            b"STARTTLS" => alone(arguments, Command::StartTls, Rejection::StarttlsSyntax),
            b"AUTH" => auth(arguments),
            b"EXPN" | b"SEND" | b"SOML" | b"SAML" | b"TURN" | b"ETRN" => {
                Err(Refused::plain(Rejection::Unimplemented))
            }
            _ => Err(Refused::plain(Rejection::Unrecognized)),
        }
    }
}

/// Why a line is no command, and the part of the envelope it spoke of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused<'a> {
    pub(super) rejection: Rejection,
    pub(super) subject: Subject<'a>,
}

/// What a refused command was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject<'a> {
    Nothing,
    Sender(&'a [u8]),
    Recipient(&'a [u8]),
}

impl<'a> Refused<'a> {
    /// A refusal that is about no part of the envelope.
    pub(super) fn plain(rejection: Rejection) -> Self {
        Refused { rejection, subject: Subject::Nothing }
    }
}

/// What is between the spaces at both ends; a tab is none, and no part of a command (qmail's commands.c).
fn without_spaces(mut bytes: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] | [rest @ .., b' '] = bytes {
        bytes = rest;
    }
    bytes
}

fn alone<'a>(
    arguments: &[u8],
    command: Command<'a>,
    otherwise: Rejection,
) -> Result<Command<'a>, Refused<'a>> {
    if arguments.is_empty() { Ok(command) } else { Err(Refused::plain(otherwise)) }
}

fn auth(arguments: &[u8]) -> Result<Command<'_>, Refused<'_>> {
    let mut words = arguments.split(|&b| b == b' ').filter(|word| !word.is_empty());
    match (words.next(), words.next(), words.next()) {
        (Some(mechanism), initial, None) => Ok(Command::Auth { mechanism, initial }),
        _ => Err(Refused::plain(Rejection::Syntax)),
    }
}

fn mail(arguments: &[u8]) -> Result<Command<'_>, Refused<'_>> {
    let (path, parameters) = path(arguments, b"FROM:").ok_or(Refused::plain(Rejection::Syntax))?;
    let subject = Subject::Sender(path.given);
    let parameters = parameters::mail(parameters).map_err(|rejection| Refused { rejection, subject })?;
    Ok(Command::Mail { path, parameters })
}

fn rcpt(arguments: &[u8]) -> Result<Command<'_>, Refused<'_>> {
    let (path, parameters) = path(arguments, b"TO:").ok_or(Refused::plain(Rejection::Syntax))?;
    let subject = Subject::Recipient(path.given);
    let wish = parameters::rcpt(parameters).map_err(|rejection| Refused { rejection, subject })?;
    Ok(Command::Rcpt { path, wish })
}

/// `BDAT 1000 LAST` (RFC 3030 §2). Where the size makes no sense nobody knows how much is no command, so the session ends.
fn bdat(arguments: &[u8]) -> Result<Command<'_>, Refused<'_>> {
    let mut words = arguments.split(|&b| b == b' ').filter(|word| !word.is_empty());
    let size_bytes =
        words.next().filter(|digits| digits.len() <= CHUNK_DIGITS_MAX).and_then(parameters::size);
    let last = words.next().map(|word| word.eq_ignore_ascii_case(b"LAST"));
    match (size_bytes, last, words.next()) {
        (Some(size_bytes), last @ (None | Some(true)), None) => {
            Ok(Command::Bdat { size_bytes, last: last.is_some() })
        }
        _ => Err(Refused::plain(Rejection::ChunkSize)),
    }
}

/// Takes `FROM:` or `TO:` and the address behind it, with its brackets or, as qmail has it, without.
fn path<'a>(arguments: &'a [u8], keyword: &[u8]) -> Option<(Path<'a>, &'a [u8])> {
    let (word, rest) = arguments.split_at_checked(keyword.len())?;
    if !word.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let rest = without_spaces(rest);
    let (given, parameters) = match rest.strip_prefix(b"<") {
        Some(inner) => bracketed(inner)?,
        None => {
            let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
            rest.split_at_checked(end).filter(|(given, _)| !given.is_empty())?
        }
    };
    Some((Path { given, address: Address::parse(given) }, parameters))
}

/// Splits at the closing bracket, which may stand quoted or escaped inside an address.
fn bracketed(inner: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, &byte) in inner.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => {
                let parameters = inner.get(at + 1..)?;
                let parted = parameters.is_empty() || parameters.starts_with(b" ");
                return parted.then_some((inner.get(..at)?, parameters));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let found = match Command::parse(line.as_bytes()) {
            Ok(Command::Mail { path, parameters }) => {
                format!("mail {}{parameters}", String::from_utf8_lossy(path.given))
            }
            Ok(Command::Rcpt { path, wish: Wish { notify, original } }) => {
                let notify = notify.map(|notify| format!(" {notify}")).unwrap_or_default();
                let original = original.map(|original| format!(" {original}")).unwrap_or_default();
                format!("rcpt {}{notify}{original}", String::from_utf8_lossy(path.given))
            }
            Ok(Command::Auth { mechanism, initial }) => format!(
                "auth {} {:?}",
                String::from_utf8_lossy(mechanism),
                initial.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            ),
            Ok(command) => format!("{command:?}"),
            Err(refused) => format!("{:?}", refused.rejection),
        };
        assert_eq!(found, expected, "{line:?}");
    }

    #[test]
    fn senders_are_read_with_their_parameters() {
        check("MAIL FROM:<a@example.org>", "mail a@example.org");
        check("mail from: <a@example.org> size=42 body=8bitmime", "mail a@example.org size 42");
        check("MAIL FROM:a@example.org SIZE=1", "mail a@example.org size 1");
        check("MAIL FROM:<> AUTH=<>", "mail ");
        check(r#"MAIL FROM:<"a>b"@example.org>"#, r#"mail "a>b"@example.org"#);
        check(r"MAIL FROM:<a\>b@example.org>", r"mail a\>b@example.org");
        check("MAIL FROM:<a@b> SIZE=99999999999999999999", "mail a@b size 18446744073709551615");
        check("MAIL FROM:<a@b> SIZE=x", "Syntax");
        check("MAIL FROM:<a@b> SIZE", "Syntax");
        check("MAIL FROM:<a@b> SMTPUTF8 RET=hdrs ENVID=q+2B", "mail a@b utf8 ret HDRS envid q+2B");
        check("MAIL FROM:<a@b> SMTPUTF8=1", "Syntax");
        check("MAIL FROM:<a@b> RET=SOME", "Syntax");
        check("MAIL FROM:<a@b> ENVID=a=b", "Syntax");
        check("MAIL FROM:<a@b> SIZE=1 SIZE=2", "Syntax");
        check("MAIL FROM:<a@b> RET=FULL RET=FULL", "Syntax");
        check("MAIL FROM:<a@b> AUTH=x+20y", "mail a@b");
        check("MAIL FROM:<a@b> AUTH=x=y", "Syntax");
        check("MAIL FROM:<a@b> AUTH=a\u{7}b", "Syntax");
        check("MAIL FROM:<a@b> BODY=BINARYMIME", "Parameter");
        check("MAIL FROM:<a@b> BODY=7BIT BODY=8BITMIME", "Syntax");
        check("MAIL FROM:<a@b> SMTPUTF8 SMTPUTF8", "Syntax");
        check("MAIL FROM:<a@b> AUTH=e+3Dmc2@example.com", "mail a@b");
        check("MAIL FROM:<a@b> AUTH=", "Syntax");
        check("MAIL FROM:<a@b> AUTH=a=b", "Syntax");
        check("MAIL FROM:<a@b> AUTH=<> AUTH=<>", "Syntax");
        check("MAIL FROM:<a@b> RET=", "Syntax");
        check("MAIL FROM:<a@b> ENVID=", "Syntax");
        check("MAIL FROM:<a@b> ENVID=q+2b", "Syntax");
        check("MAIL FROM:<a@b> ENVID=q+", "Syntax");
        check(&format!("MAIL FROM:<a@b> ENVID={}", "x".repeat(101)), "Syntax");
        check("MAIL FROM:<a@b> NOTIFY=NEVER", "Parameter");
        check("MAIL FROM:<a@b", "Syntax");
        check("MAIL FROM:<a@b>x", "Syntax");
        check("MAIL FROM:", "Syntax");
        check("MAIL TO:<a@b>", "Syntax");
        check("MAIL   FROM:  <a@b>  ", "mail a@b");
        check("MAIL FROM:\t<a@b>", "mail \t<a@b>");
        check("MAIL", "Syntax");
    }

    #[test]
    fn recipients_are_read_with_what_the_sender_wants_to_hear() {
        check("RCPT TO:<a@example.org>", "rcpt a@example.org");
        check("RCPT TO:<a@example.org> NOTIFY=NEVER", "rcpt a@example.org NEVER");
        check(
            "rcpt to:<a@b> orcpt=rfc822;x+2By@z notify=delay,failure",
            "rcpt a@b FAILURE,DELAY rfc822;x+2By@z",
        );
        check("RCPT TO:<a@b> NOTIFY=SOMETIMES", "Syntax");
        check("RCPT TO:<a@b> NOTIFY=NEVER NOTIFY=DELAY", "Syntax");
        check("RCPT TO:<a@b> ORCPT=x", "Syntax");
        check("RCPT TO:<a@b> ORCPT=;x", "Syntax");
        check("RCPT TO:<a@b> ORCPT=rfc822;", "Syntax");
        check("RCPT TO:<a@b> ORCPT=rfc_822;x", "Syntax");
        check("RCPT TO:<a@b> ORCPT=rfc822;x ORCPT=rfc822;y", "Syntax");
        check(&format!("RCPT TO:<a@b> ORCPT=rfc822;{}", "x".repeat(500)), "Syntax");
        check("RCPT TO:<a@b> NOTIFY=", "Syntax");
        check("RCPT TO:<a@b> NOTIFY=SUCCESS,", "Syntax");
        check("RCPT TO:<a@b> NOTIFY=NEVER,SUCCESS", "Syntax");
        check("RCPT TO:<a@b> RET=FULL", "Parameter");
        check("RCPT TO:<a@b> SIZE=1", "Parameter");
        check("RCPT TO:<>", "rcpt ");
    }

    proptest! {
        /// What both take they understand alike: no other server can be told another address by the same line.
        #[test]
        fn another_reader_understands_a_command_alike(
            local in "[a-zA-Z0-9+=_-]{1,6}(\\.[a-zA-Z0-9+=_-]{1,6}){0,2}",
            domain in "[a-z0-9-]{1,9}(\\.[a-z]{2,3}){0,2}",
            size in proptest::option::of(0usize..100_000_000),
            words in proptest::sample::subsequence(vec!["BODY=8BITMIME", "SMTPUTF8", "RET=HDRS", "ENVID=q+2Bz"], 0..4),
        ) {
            let size_word = size.map(|size| format!(" SIZE={size}")).unwrap_or_default();
            let words = words.iter().map(|word| format!(" {word}")).collect::<String>();
            let line = format!("MAIL FROM:<{local}@{domain}>{size_word}{words}");
            let ours = Command::parse(line.as_bytes());
            let sent = format!("{line}\r\n");
            let theirs = smtp_proto::Request::parse(&mut sent.as_bytes().iter());
            if let (Ok(Command::Mail { path, parameters }), Ok(smtp_proto::Request::Mail { from })) = (&ours, &theirs)
                && let Address::Mailbox(mailbox) = &path.address
            {
                prop_assert_eq!(mailbox.to_string(), from.address.as_ref());
                prop_assert_eq!(parameters.size_bytes.unwrap_or(0), from.size as u64);
                prop_assert_eq!(parameters.smtputf8, from.flags & smtp_proto::MAIL_SMTPUTF8 != 0);
            }
            prop_assert!(ours.is_ok(), "{}", line);
            prop_assert!(theirs.is_ok(), "{}", line);
        }
    }

    #[test]
    fn the_rest_is_known_or_not() {
        check("data", "Data");
        check("DATA now", "Syntax");
        check("STARTTLS x", "StarttlsSyntax");
        check("AUTH PLAIN", "auth PLAIN None");
        check("AUTH PLAIN AGEAYg==", "auth PLAIN Some(\"AGEAYg==\")");
        check("AUTH PLAIN a b", "Syntax");
        check("AUTH", "Syntax");
        check("BDAT 3 last", "Bdat { size_bytes: 3, last: true }");
        check("BDAT 0", "Bdat { size_bytes: 0, last: false }");
        check("BDAT", "ChunkSize");
        check("BDAT x", "ChunkSize");
        check("BDAT -1", "ChunkSize");
        check("BDAT 3 LAST now", "ChunkSize");
        check("BDAT 3 FIRST", "ChunkSize");
        check("BDAT 9999999999999", "ChunkSize");
        check("451 forged", "Unrecognized");
        check("", "Unrecognized");
    }
}
