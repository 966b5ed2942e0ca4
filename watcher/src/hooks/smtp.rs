//! Just enough of SMTP to hand a mail to the server of this machine: no password, no TLS.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// A reply's line is no longer; RFC 5321 §4.5.3.1.5 allows 512.
const LINE_BYTES_MAX: u64 = 4096;
/// Nor has a reply more lines.
const LINES_MAX: usize = 100;

/// Why the server did not take it.
#[derive(Debug, thiserror::Error)]
pub(super) enum SmtpError {
    #[error("the connection to the mail server failed")]
    Io(#[from] io::Error),
    #[error("the mail server says {0}")]
    Refused(String),
}

/// Hands over a mail whose lines end in CR LF.
pub(super) async fn send(
    server: &str,
    helo: &str,
    from: &str,
    to: &[String],
    letter: &str,
) -> Result<(), SmtpError> {
    let mut server = BufReader::new(TcpStream::connect(server).await?);
    reply(&mut server, '2').await?;
    say(&mut server, &format!("HELO {helo}"), '2').await?;
    say(&mut server, &format!("MAIL FROM:<{from}>"), '2').await?;
    for to in to {
        say(&mut server, &format!("RCPT TO:<{to}>"), '2').await?;
    }
    say(&mut server, "DATA", '3').await?;
    // RFC 5321 §4.5.2: a line that begins with a dot has one more.
    let letter = letter.replace("\r\n.", "\r\n..");
    say(&mut server, &format!("{letter}.",), '2').await?;
    // It has the mail; how it takes its leave is its own affair.
    let _ = server.get_mut().write_all(b"QUIT\r\n").await;
    Ok(())
}

async fn say(server: &mut BufReader<TcpStream>, line: &str, wanted: char) -> Result<(), SmtpError> {
    server.get_mut().write_all(format!("{line}\r\n").as_bytes()).await?;
    reply(server, wanted).await
}

/// Reads a reply, whose first digit is to be this one.
async fn reply(server: &mut BufReader<TcpStream>, wanted: char) -> Result<(), SmtpError> {
    for _ in 0..LINES_MAX {
        let mut line = Vec::new();
        (&mut *server).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if line.get(3..4) == Some("-") {
            continue;
        }
        if line.starts_with(wanted) {
            return Ok(());
        }
        return Err(SmtpError::Refused(logline::Text::from(line.as_str()).readable().to_string()));
    }
    Err(SmtpError::Refused("too much".to_owned()))
}
