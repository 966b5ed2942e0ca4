//! What those do whom one would rather not see.

use super::{Chance, Line, bare, multilog, syslog};
use crate::journal::client;

/// Sessions that are open all the time in a log of offences alone.
pub(super) const SESSIONS: u32 = 1000;

/// A session of theirs begins.
pub(super) fn connection(pid: u32) -> Line {
    let address = client(pid);
    multilog(format!("tcpserver: pid {pid} from {address}"))
}

/// One offence: of eight, two against sshd, two against dovecot, two against postfix, one against vpopmail, one against qmail.
pub(super) fn line(chance: &mut Chance) -> Line {
    let (n, pid, address) = (chance.below(1000), chance.pid(), chance.client());
    match n % 8 {
        0 | 1 => {
            let port = 20_000 + n;
            let what = format!("Failed password for invalid user admin{n} from {address} port {port} ssh2");
            syslog("sshd", pid, what)
        }
        2 | 3 => bare(
            "dovecot",
            format!(
                "imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<info{n}@example.org>, method=PLAIN, \
                 rip={address}, lip=192.0.2.25, TLS, session=<p8Zk{n}AAfw>"
            ),
        ),
        4 => syslog(
            "postfix/smtpd",
            pid,
            format!("warning: unknown[{address}]: SASL LOGIN authentication failed: UGFzc3dvcmQ6"),
        ),
        5 => syslog(
            "postfix/smtpd",
            pid,
            format!(
                "NOQUEUE: reject: RCPT from unknown[{address}]: 554 5.7.1 <a{n}@example.com>: Relay access denied; \
                 from=<x{n}@example.net> to=<a{n}@example.com> proto=ESMTP helo=<ylmf-pc>"
            ),
        ),
        6 => syslog("vpopmail", pid, format!("vchkpw-smtp: password fail info{n}@example.org:{address}")),
        _ => multilog(format!(
            "qmail-smtpd[{}]: auth: auth-failed type=login user=<info{n}@example.org> fingerprint={n:04x}",
            n % SESSIONS
        )),
    }
}
