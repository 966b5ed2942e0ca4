//! A mail server's log in which everybody writes: qmail's programs through multilog, and postfix, dovecot, exim, sshd,
//! vpopmail and the system through syslog. Made, not recorded, and always the same: of ten lines one is an offence.

use std::fmt::Write as _;
use std::io::Write;
use std::net::Ipv4Addr;

use anyhow::Result;
use jiff::tz::TimeZone;
use logline::Timestamp;

use crate::journal::{START, client};

/// So much is written at once.
const BLOCK_BYTES: usize = 1 << 20;

/// Between two lines; a thousand come in a second.
const STEP_NS: i64 = 1_000_000;

/// What the lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Of ten lines one is an offence.
    Ordinary,
    /// Every line is one, but for the connections at the beginning.
    Attack,
}

/// Writes a log of this many bytes, or some more; gives its number of lines.
///
/// # Errors
/// It cannot be written.
pub fn write(mix: Mix, bytes: u64, to: &mut impl Write) -> Result<u64> {
    let mut log = Log::new();
    let (mut written, mut lines) = (0, 0);
    if mix == Mix::Attack {
        (0..SESSIONS).for_each(|pid| log.connection(pid));
        lines += u64::from(SESSIONS);
    }
    while written < bytes {
        while log.text.len() < BLOCK_BYTES {
            match mix {
                Mix::Ordinary => log.ordinary(),
                Mix::Attack => log.offence(),
            }
            lines += 1;
        }
        to.write_all(log.text.as_bytes())?;
        written += log.text.len() as u64;
        log.text.clear();
    }
    Ok(lines)
}

/// Sessions that are open all the time.
const SESSIONS: u32 = 1000;

struct Log {
    text: String,
    at_ns: i64,
    second: i64,
    /// `Nov 21 12:00:00`, of that second.
    stamp: String,
    seed: u64,
}

impl Log {
    fn new() -> Self {
        Log {
            text: String::with_capacity(2 * BLOCK_BYTES),
            at_ns: START.nanos(),
            second: i64::MIN,
            stamp: String::new(),
            seed: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// A number below `limit`, by chance, and the same in each run (xorshift64).
    fn chance(&mut self, limit: u32) -> u32 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        u32::try_from((self.seed >> 33) % u64::from(limit)).unwrap_or(0)
    }

    fn ordinary(&mut self) {
        let n = self.chance(1000);
        match n {
            0..100 => self.offence(),
            100..420 => self.queue(n),
            420..480 => self.session(n),
            480..720 => self.postfix(n),
            720..840 => self.dovecot(n),
            840..900 => self.exim(n),
            900..940 => self.sshd(n),
            _ => self.system(n),
        }
    }

    /// qmail-send at its work.
    fn queue(&mut self, n: u32) {
        let (msg, delivery) = (self.chance(900_000) + 100_000, self.chance(9_000_000));
        match n % 16 {
            0 | 1 => self.multilog(format_args!("new msg {msg}")),
            2 | 3 => self.multilog(format_args!(
                "info msg {msg}: bytes {} from <newsletter-{delivery}@lists.example.net> qp {} uid 89",
                self.at_ns % 90_000,
                n + 1
            )),
            4 | 5 => self.multilog(format_args!(
                "starting delivery {delivery}: msg {msg} to remote user{n}@mail.example.com"
            )),
            6 => self.multilog(format_args!(
                "delivery {delivery}: success: 192.0.2.{}_accepted_message./Remote_host_said:_250_2.0.0_Ok:_queued_as_{msg:X}/",
                n % 250
            )),
            7 | 8 => self.multilog(format_args!("end msg {msg}")),
            _ => self.multilog(format_args!("status: local {}/10 remote {}/60", n % 10, n % 60)),
        }
    }

    /// A session at qmail-smtpd's that nobody minds.
    fn session(&mut self, n: u32) {
        let (pid, address) = (10_000 + self.chance(20_000), self.client());
        match n % 4 {
            0 => self.multilog(format_args!("tcpserver: status: {}/100", n % 90 + 1)),
            1 => self.multilog(format_args!("tcpserver: pid {pid} from {address}")),
            2 => self.multilog(format_args!(
                "tcpserver: ok {pid} mx.example.org:192.0.2.25:25 :{address}::{}",
                20_000 + n
            )),
            _ => self.multilog(format_args!("tcpserver: end {pid} status 0")),
        }
    }

    fn postfix(&mut self, n: u32) {
        let (pid, id, address) = (self.chance(30_000) + 1000, self.chance(0xff_ffff), self.client());
        match n % 8 {
            0 => self.syslog("postfix/smtpd", pid, format_args!("connect from mail-{n}.example.net[{address}]")),
            1 => self.syslog("postfix/smtpd", pid, format_args!("{id:06X}A1: client=mail-{n}.example.net[{address}]")),
            2 => self.syslog(
                "postfix/cleanup",
                pid,
                format_args!("{id:06X}A1: message-id=<20261121.{n}.{id}@mail-{n}.example.net>"),
            ),
            3 => self.syslog(
                "postfix/qmgr",
                pid,
                format_args!("{id:06X}A1: from=<news{n}@example.net>, size={}, nrcpt=1 (queue active)", id % 90_000),
            ),
            4 => self.syslog(
                "postfix/local",
                pid,
                format_args!(
                    "{id:06X}A1: to=<user{n}@example.org>, relay=local, delay=0.{n}, delays=0.1/0/0/0.{n}, dsn=2.0.0, \
                     status=sent (delivered to command: /usr/bin/deliver -a \"$RECIPIENT\")"
                ),
            ),
            5 => self.syslog("postfix/qmgr", pid, format_args!("{id:06X}A1: removed")),
            6 => self.syslog(
                "postfix/smtpd",
                pid,
                format_args!("disconnect from mail-{n}.example.net[{address}] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5"),
            ),
            _ => self.syslog(
                "postfix/smtp",
                pid,
                format_args!(
                    "Trusted TLS connection established to mx{n}.example.com[{address}]:25: TLSv1.3 with cipher \
                     TLS_AES_256_GCM_SHA384 (256/256 bits)"
                ),
            ),
        }
    }

    fn dovecot(&mut self, n: u32) {
        let (pid, address) = (self.chance(30_000) + 1000, self.client());
        match n % 4 {
            0 => self.syslog(
                "dovecot",
                0,
                format_args!("imap(user{n}@example.org)<{pid}><p8Zk{n}AAfw>: Disconnected: Logged out in={n} out={pid} deleted=0"),
            ),
            1 => self.syslog(
                "dovecot",
                0,
                format_args!("lmtp(user{n}@example.org)<{pid}><oK{n}>: msgid=<{n}.{pid}@example.net>: saved mail to INBOX"),
            ),
            2 => self.syslog(
                "dovecot",
                0,
                format_args!("pop3(user{n}@example.org)<{pid}><x>: Disconnected: Logged out top=0/0, retr=0/0, del=0/{n}, size={pid}"),
            ),
            _ => self.syslog(
                "dovecot",
                0,
                format_args!("imap-login: Disconnected (no auth attempts in 0 secs): user=<>, rip={address}, lip=192.0.2.25, TLS"),
            ),
        }
    }

    fn exim(&mut self, n: u32) {
        let (id, address) = (self.chance(0xff_ffff), self.client());
        match n % 3 {
            0 => self.syslog(
                "exim",
                id % 30_000 + 1,
                format_args!("1sX{id:06x}-0000{n}-1A <= news{n}@example.net H=mail-{n}.example.net [{address}] P=esmtps S={id}"),
            ),
            1 => self.syslog("exim", id % 30_000 + 1, format_args!("1sX{id:06x}-0000{n}-1A => user{n} R=localuser T=local_delivery")),
            _ => self.syslog("exim", id % 30_000 + 1, format_args!("1sX{id:06x}-0000{n}-1A Completed")),
        }
    }

    fn sshd(&mut self, n: u32) {
        let pid = self.chance(30_000) + 1000;
        match n % 3 {
            0 => self.syslog(
                "sshd",
                pid,
                format_args!("pam_unix(sshd:session): session opened for user backup(uid=1003) by (uid=0)"),
            ),
            1 => self.syslog(
                "sshd",
                pid,
                format_args!(
                    "Received disconnect from 192.0.2.{} port {}:11: disconnected by user",
                    n % 250,
                    pid
                ),
            ),
            _ => self.syslog(
                "sshd",
                pid,
                format_args!("pam_unix(sshd:session): session closed for user backup"),
            ),
        }
    }

    /// What has nothing to do with mail.
    fn system(&mut self, n: u32) {
        let pid = self.chance(30_000) + 1000;
        match n % 4 {
            0 => self.syslog("CRON", pid, format_args!("(root) CMD (   cd / && run-parts --report /etc/cron.hourly)")),
            1 => self.syslog("systemd", 1, format_args!("Started Session {pid} of user backup.")),
            2 => self.syslog(
                "rspamd",
                pid,
                format_args!("<{n:x}{pid:x}>; proxy; rspamd_task_write_log: id: <{n}.{pid}@example.net>, from: <news{n}@example.net>, (default: F (no action): [0.{n}/15.00])"),
            ),
            _ => self.syslog("kernel", 0, format_args!("[{pid}.{n:06}] eth0: link up, 1000 Mbps, full duplex")),
        }
    }

    fn connection(&mut self, pid: u32) {
        let address = client(pid);
        self.multilog(format_args!("tcpserver: pid {pid} from {address}"));
    }

    fn offence(&mut self) {
        let (n, pid, address) = (self.chance(1000), self.chance(30_000) + 1000, self.client());
        let session = n % SESSIONS;
        match n % 8 {
            0 | 1 => self.syslog(
                "sshd",
                pid,
                format_args!("Failed password for invalid user admin{n} from {address} port {} ssh2", 20_000 + n),
            ),
            2 | 3 => self.syslog(
                "dovecot",
                0,
                format_args!(
                    "imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<info{n}@example.org>, method=PLAIN, \
                     rip={address}, lip=192.0.2.25, TLS, session=<p8Zk{n}AAfw>"
                ),
            ),
            4 => self.syslog(
                "postfix/smtpd",
                pid,
                format_args!("warning: unknown[{address}]: SASL LOGIN authentication failed: UGFzc3dvcmQ6"),
            ),
            5 => self.syslog(
                "postfix/smtpd",
                pid,
                format_args!(
                    "NOQUEUE: reject: RCPT from unknown[{address}]: 554 5.7.1 <a{n}@example.com>: Relay access denied; \
                     from=<x{n}@example.net> to=<a{n}@example.com> proto=ESMTP helo=<ylmf-pc>"
                ),
            ),
            6 => self.syslog("vpopmail", pid, format_args!("vchkpw-smtp: password fail info{n}@example.org:{address}")),
            _ => self.multilog(format_args!(
                "qmail-smtpd[{session}]: auth: auth-failed type=login user=<info{n}@example.org> fingerprint={n:04x}"
            )),
        }
    }

    fn client(&mut self) -> Ipv4Addr {
        client(self.chance(65_536))
    }

    fn multilog(&mut self, message: std::fmt::Arguments<'_>) {
        self.at_ns += STEP_NS;
        // A string takes every write.
        let _ = writeln!(self.text, "{} {message}", Timestamp::from_nanos(self.at_ns).tai64n());
    }

    fn syslog(&mut self, program: &str, pid: u32, message: std::fmt::Arguments<'_>) {
        self.at_ns += STEP_NS;
        let second = self.at_ns.div_euclid(1_000_000_000);
        if self.second != second {
            self.second = second;
            let time = jiff::Timestamp::from_second(second).unwrap_or_default().to_zoned(TimeZone::UTC);
            self.stamp = time.strftime("%b %e %H:%M:%S").to_string();
        }
        let _ = match pid {
            0 => writeln!(self.text, "{} mx {program}: {message}", self.stamp),
            _ => writeln!(self.text, "{} mx {program}[{pid}]: {message}", self.stamp),
        };
    }
}
