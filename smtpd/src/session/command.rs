//! One command line, understood (RFC 5321 §4.1, as leniently as qmail-smtpd.c:addrparse reads it).

use crate::mailbox::Address;
use crate::session::Rejection;

/// A command that can be carried out or refused for other reasons than its looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Helo(&'a [u8]),
    Ehlo(&'a [u8]),
    Mail { path: Path<'a>, size_bytes: Option<u64> },
    Rcpt(Path<'a>),
    Data,
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
        let arguments = arguments.trim_ascii();
        match verb.to_ascii_uppercase().as_slice() {
            b"HELO" => Ok(Command::Helo(arguments)),
            b"EHLO" => Ok(Command::Ehlo(arguments)),
            b"MAIL" => mail(arguments),
            b"RCPT" => rcpt(arguments),
            b"DATA" => alone(arguments, Command::Data, Rejection::Syntax),
            b"RSET" => Ok(Command::Rset),
            b"NOOP" => Ok(Command::Noop),
            b"VRFY" => Ok(Command::Vrfy),
            b"HELP" => Ok(Command::Help),
            b"QUIT" => Ok(Command::Quit),
            b"STARTTLS" => alone(arguments, Command::StartTls, Rejection::StarttlsSyntax),
            b"AUTH" => auth(arguments),
            b"EXPN" | b"SEND" | b"SOML" | b"SAML" | b"TURN" | b"ETRN" | b"BDAT" => {
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
    fn plain(rejection: Rejection) -> Self {
        Refused { rejection, subject: Subject::Nothing }
    }
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
    let mut size_bytes = None;
    for parameter in parameters.split(|&b| b == b' ').filter(|word| !word.is_empty()) {
        let equals = memchr::memchr(b'=', parameter).unwrap_or(parameter.len());
        let (key, value) = parameter.split_at_checked(equals).unwrap_or((parameter, b""));
        let value = value.get(1..).unwrap_or_default();
        match key.to_ascii_uppercase().as_slice() {
            b"SIZE" => match size(value) {
                Some(size) => size_bytes = Some(size),
                None => return Err(Refused { rejection: Rejection::Syntax, subject }),
            },
            b"BODY" if value.eq_ignore_ascii_case(b"7BIT") || value.eq_ignore_ascii_case(b"8BITMIME") => {}
            // RFC 4954 §5: a server that believes no other server's word about a login drops it.
            b"AUTH" if !value.is_empty() => {}
            _ => return Err(Refused { rejection: Rejection::Parameter, subject }),
        }
    }
    Ok(Command::Mail { path, size_bytes })
}

fn rcpt(arguments: &[u8]) -> Result<Command<'_>, Refused<'_>> {
    let (path, parameters) = path(arguments, b"TO:").ok_or(Refused::plain(Rejection::Syntax))?;
    if parameters.trim_ascii().is_empty() {
        return Ok(Command::Rcpt(path));
    }
    Err(Refused { rejection: Rejection::Parameter, subject: Subject::Recipient(path.given) })
}

/// Digits; a number beyond all sizes is that, not a mistake.
fn size(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        digits
            .iter()
            .fold(0u64, |size, digit| size.saturating_mul(10).saturating_add(u64::from(digit - b'0'))),
    )
}

/// Takes `FROM:` or `TO:` and the address behind it, with its brackets or, as qmail has it, without.
fn path<'a>(arguments: &'a [u8], keyword: &[u8]) -> Option<(Path<'a>, &'a [u8])> {
    let (word, rest) = arguments.split_at_checked(keyword.len())?;
    if !word.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let rest = rest.trim_ascii_start();
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
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let found = match Command::parse(line.as_bytes()) {
            Ok(Command::Mail { path, size_bytes }) => {
                format!("mail {} {size_bytes:?}", String::from_utf8_lossy(path.given))
            }
            Ok(Command::Rcpt(path)) => format!("rcpt {}", String::from_utf8_lossy(path.given)),
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
        check("MAIL FROM:<a@example.org>", "mail a@example.org None");
        check("mail from: <a@example.org> size=42 body=8bitmime", "mail a@example.org Some(42)");
        check("MAIL FROM:a@example.org SIZE=1", "mail a@example.org Some(1)");
        check("MAIL FROM:<> AUTH=<>", "mail  None");
        check(r#"MAIL FROM:<"a>b"@example.org>"#, r#"mail "a>b"@example.org None"#);
        check(r"MAIL FROM:<a\>b@example.org>", r"mail a\>b@example.org None");
        check("MAIL FROM:<a@b> SIZE=99999999999999999999", "mail a@b Some(18446744073709551615)");
        check("MAIL FROM:<a@b> SIZE=x", "Syntax");
        check("MAIL FROM:<a@b> SIZE", "Syntax");
        check("MAIL FROM:<a@b> SMTPUTF8", "Parameter");
        check("MAIL FROM:<a@b> BODY=BINARYMIME", "Parameter");
        check("MAIL FROM:<a@b", "Syntax");
        check("MAIL FROM:<a@b>x", "Syntax");
        check("MAIL FROM:", "Syntax");
        check("MAIL TO:<a@b>", "Syntax");
        check("MAIL", "Syntax");
    }

    #[test]
    fn recipients_take_no_parameter() {
        check("RCPT TO:<a@example.org>", "rcpt a@example.org");
        check("RCPT TO:<a@example.org> NOTIFY=NEVER", "Parameter");
        check("RCPT TO:<>", "rcpt ");
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
        check("BDAT 3 LAST", "Unimplemented");
        check("GET / HTTP/1.1", "Unrecognized");
        check("", "Unrecognized");
    }
}
