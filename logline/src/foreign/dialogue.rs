//! The conversation itself: recordio (ucspi-tcp 0.88 recordio.c:record), and qmailtoaster's debugging qmail-smtpd.

use crate::scan::Scan;
use crate::{SessionId, Text};

/// One line of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialogue<'a> {
    /// The session; before any text from outside.
    pub pid: SessionId,
    /// Who said it.
    pub side: Side,
    /// What was said, without its line end; raw.
    pub text: Text<'a>,
    /// Whether this is where the line ends: recordio cuts at 256 bytes.
    pub is_whole: bool,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// The server.
    Server,
}

impl Side {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Server => "server",
        }
    }
}

impl<'a> Dialogue<'a> {
    /// `server:[N]:TEXT`, `client:[N]:TEXT`
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut line = Scan(line);
        let side = match line.until(b':')? {
            b"client" => Side::Client,
            b"server" => Side::Server,
            _ => return None,
        };
        line.literal(b"[")?;
        let pid = SessionId(line.number(b']')?);
        line.literal(b":")?;
        Some(Dialogue { pid, side, text: Text::from(without_cr(line.0)), is_whole: true })
    }

    /// What recordio writes after its number: `< TEXT ` or `> TEXT+`.
    pub(crate) fn recorded(pid: SessionId, rest: &'a [u8]) -> Option<Self> {
        let mut line = Scan(rest);
        let side = match line.until(b' ')? {
            b"<" => Side::Client,
            b">" => Side::Server,
            _ => return None,
        };
        let (is_whole, text) = match line.0.split_last() {
            Some((b' ', text)) => (true, text),
            Some((b'+', text)) => (false, text),
            Some(_) if line.0 == b"[EOF]" => (true, &b""[..]),
            _ => return None,
        };
        Some(Dialogue { pid, side, text: Text::from(without_cr(text)), is_whole })
    }

    /// The code of a server's reply.
    pub fn code(&self) -> Option<&[u8]> {
        let code = self.text.bytes().get(..3).filter(|code| code.iter().all(u8::is_ascii_digit))?;
        let ends = matches!(self.text.bytes().get(3), None | Some(b' ' | b'-'));
        (self.side == Side::Server && ends).then_some(code)
    }
}

fn without_cr(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\r").unwrap_or(text)
}
