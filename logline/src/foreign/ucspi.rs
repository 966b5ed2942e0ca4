//! sslserver (ucspi-ssl 0.70 and 0.12), and rblsmtpd where it was patched to name the zone.

use std::net::IpAddr;

use crate::scan::{self, Scan};
use crate::{SessionId, Tcpserver, Text};

/// A line of sslserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sslserver<'a> {
    /// What tcpserver says too, in the same words.
    Connection(Tcpserver<'a>),
    /// `ssl N accept`, `tls N accept PROTOCOL:CIPHER`: the handshake succeeded.
    Accepted {
        /// The session.
        pid: SessionId,
        /// Protocol and cipher, where they are told.
        how: Text<'a>,
    },
    /// `error: (111) unable to accept TLS for pid: N REASON`: it did not.
    Failed {
        /// The session.
        pid: SessionId,
        /// OpenSSL's reason.
        why: Text<'a>,
    },
    /// `ended by N status S`. N is not the session: it is the process that spoke TLS for it.
    EndedBy {
        /// That process.
        parent: SessionId,
        /// Raw wait status.
        status: u32,
    },
    /// `ip connection limit of N exceeded for: IP`
    Limit {
        /// The most connections of one address.
        limit: u32,
        /// The address that asked for one more.
        address: IpAddr,
    },
}

impl<'a> Sslserver<'a> {
    /// Reads what stands after `sslserver: `.
    pub(crate) fn rest(rest: &'a [u8]) -> Option<Self> {
        let mut line = Scan(rest);
        match line.until(b' ')? {
            b"ssl" | b"tls" => {
                let pid = SessionId(line.number(b' ')?);
                line.literal(b"accept")?;
                Some(Sslserver::Accepted { pid, how: Text::from(line.0.trim_ascii()) })
            }
            b"ended" => {
                line.literal(b"by ")?;
                let parent = SessionId(line.number(b' ')?);
                line.literal(b"status ")?;
                Some(Sslserver::EndedBy { parent, status: line.last_number()? })
            }
            b"error:" => failed(line),
            b"ip" => limit(line),
            b"warning:" => {
                line.literal(b"ip ")?;
                limit(line)
            }
            _ => Tcpserver::rest(without_limit(rest)).map(Sslserver::Connection),
        }
    }
}

fn failed(mut line: Scan<'_>) -> Option<Sslserver<'_>> {
    line.literal(b"(")?;
    line.number::<u32>(b')')?;
    line.literal(b" unable to accept TLS for pid: ")
        .or_else(|| line.literal(b" unable to speak TLS for pid: "))?;
    let (pid, why) = scan::split_once(line.0, b" ").unwrap_or((line.0, b""));
    Some(Sslserver::Failed { pid: SessionId(scan::number(pid)?), why: Text::from(why) })
}

fn limit(mut line: Scan<'_>) -> Option<Sslserver<'_>> {
    line.literal(b"connection limit of ")?;
    let limit = line.number(b' ')?;
    line.literal(b"exceeded for: ")?;
    Some(Sslserver::Limit { limit, address: scan::address(line.0)? })
}

/// `deny` says at its end why, if it was for the limit.
fn without_limit(rest: &[u8]) -> &[u8] {
    match scan::rsplit_once(rest, b" ip connection limit:") {
        Some((before, after)) if after.ends_with(b" exceeded") => before,
        _ => rest,
    }
}

/// A client is on a DNS blocklist, and the line says on which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    /// The client's address; before any text from outside.
    pub address: IpAddr,
    /// The session, where the writer tells it.
    pub pid: Option<SessionId>,
    /// The blocklist.
    pub zone: Text<'a>,
    /// Whether it is put off only (421, 451).
    pub is_temporary: bool,
    /// The blocklist's text.
    pub text: Text<'a>,
}

impl<'a> Listed<'a> {
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        Listed::rest(line.strip_prefix(b"rblsmtpd: ")?)
    }

    /// `IP pid N ZONE: 451 TEXT`
    pub(crate) fn rest(rest: &'a [u8]) -> Option<Self> {
        let mut line = Scan(rest);
        let address = scan::address(line.until(b' ')?)?;
        line.literal(b"pid ")?;
        let pid = SessionId(line.number(b' ')?);
        let zone = line.until(b':')?;
        let is_temporary = match line.0.get(..5)? {
            b" 451 " => true,
            b" 553 " => false,
            _ => return None,
        };
        let text = Text::from(line.0.get(5..)?);
        is_name(zone).then_some(Listed {
            address,
            pid: Some(pid),
            zone: Text::from(zone),
            is_temporary,
            text,
        })
    }

    /// `421 badiprbl: ip IP rbl: ZONE`
    pub(crate) fn badiprbl(rest: &'a [u8]) -> Option<Self> {
        let mut line = Scan(rest);
        line.literal(b"421 badiprbl: ip ")?;
        let address = scan::address(line.until(b' ')?)?;
        line.literal(b"rbl: ")?;
        let text = Text::default();
        is_name(line.0).then_some(Listed {
            address,
            pid: None,
            zone: Text::from(line.0),
            is_temporary: true,
            text,
        })
    }
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte))
}
