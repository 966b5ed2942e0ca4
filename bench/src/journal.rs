//! Lines of a mail server under attack, as they come: made, not recorded, so that there can be any number of them.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use logline::Timestamp;

/// 2026-11-21 12:00:00 UTC.
pub const START: Timestamp = Timestamp::from_seconds(1_795_262_400);

/// Between two lines of a log.
const STEP_NS: i64 = 1_000_000;

/// So many sessions come before live traffic repeats itself.
const EVENING: u32 = 20_000;

/// So many clients never send a mail.
const OFFENDERS: u32 = 2000;

/// The `n`th client, one of 65,536 (RFC 2544's test network): few enough to come again, too many to be kept in mind.
pub fn client(n: u32) -> Ipv4Addr {
    let [_, _, high, low] = n.to_be_bytes();
    Ipv4Addr::new(198, 18, high, low)
}

/// Sessions of this many clients, a mix of a busy evening: of each ten, six deliver a mail, two are refused a
/// recipient, one guesses a password, one hangs up.
pub fn busy_evening(sessions: u32) -> String {
    let mut log = Log { text: String::new(), at_ns: START.nanos() };
    for session in 0..sessions {
        log.session(session);
    }
    log.text
}

/// The same evening over and over, each line stamped when it is asked for: what a live log gets.
#[derive(Debug)]
pub struct Traffic {
    messages: Vec<String>,
    next: usize,
}

impl Traffic {
    /// From its beginning.
    pub fn new() -> Self {
        let stamp = Timestamp::TAI64N_BYTES;
        let evening = busy_evening(EVENING);
        let messages = evening.lines().filter_map(|line| line.get(stamp..)).map(str::to_owned).collect();
        Traffic { messages, next: 0 }
    }

    /// The next line, written at this time.
    pub fn line(&mut self, at: Timestamp) -> String {
        let message = self.messages.get(self.next).map_or("", String::as_str);
        self.next = (self.next + 1) % self.messages.len();
        format!("{}{message}\n", at.tai64n())
    }
}

impl Default for Traffic {
    fn default() -> Self {
        Traffic::new()
    }
}

struct Log {
    text: String,
    at_ns: i64,
}

impl Log {
    fn session(&mut self, n: u32) {
        // Mail comes from everywhere: a multiplication spreads the clients. The offenders are few and come again.
        let address = if n % 10 < 6 { client(n.wrapping_mul(40_503)) } else { client(n % OFFENDERS) };
        // Numbers of sessions are reused, as process ids are.
        let pid = 1000 + n % 30_000;
        self.line(format_args!("tcpserver: status: {}/1000", n % 40 + 1));
        self.line(format_args!("tcpserver: pid {pid} from {address}"));
        self.line(format_args!("tcpserver: ok {pid} mx.example.org:192.0.2.25:25 :{address}::4711"));
        match n % 10 {
            0..6 => self.delivery(n, pid, address),
            6 | 7 => self.refusal(n, pid, address),
            8 => self.guess(n, pid, address),
            _ => {}
        }
        self.line(format_args!("tcpserver: end {pid} status 0"));
        self.line(format_args!("tcpserver: status: {}/1000", n % 40));
    }

    fn delivery(&mut self, n: u32, pid: u32, address: Ipv4Addr) {
        let (envelope, sender) = (self.envelope(address, pid), "news@example.net");
        self.line(format_args!(
            "CHKUSER accepted rcpt: from <{sender}|remoteinfo/auth:|chkuser-identify:> remote \
             <helo:mail.example.net|remotehostname:unknown|remotehostip:{address}> rcpt <info@example.org> : \
             found existing recipient pid={pid}"
        ));
        self.line(format_args!(
            "qlogreceived: result=accepted code=250 reason=queueaccept detail= helo=mail.example.net \
             mailfrom={sender} rcptto=info@example.org relay=no rcpthosts=yes size=2000 {envelope}"
        ));
        self.line(format_args!("new msg {n}"));
        self.line(format_args!("info msg {n}: bytes 2000 from <{sender}> qp {n} uid 89"));
        self.line(format_args!("starting delivery {n}: msg {n} to local info@example.org"));
        self.line(format_args!("status: local 1/10 remote 0/20"));
        self.line(format_args!("delivery {n}: success: Message-ID:_<{n}.1@example.net>/did_1+0+0/"));
        self.line(format_args!("status: local 0/10 remote 0/20"));
        self.line(format_args!("end msg {n}"));
    }

    fn refusal(&mut self, n: u32, pid: u32, address: Ipv4Addr) {
        let envelope = self.envelope(address, pid);
        self.line(format_args!(
            "CHKUSER rejected rcpt: from <x@example.com|remoteinfo/auth:|chkuser-identify:> remote \
             <helo:h|remotehostname:unknown|remotehostip:{address}> rcpt <nobody{n}@example.org> : \
             not existing recipient pid={pid}"
        ));
        self.line(format_args!(
            "qlogenvelope: result=rejected code=550 reason=chkuser detail=nomailbox helo=h mailfrom=x@example.com \
             rcptto=nobody{n}@example.org relay=no rcpthosts=yes size= {envelope}"
        ));
    }

    fn guess(&mut self, n: u32, pid: u32, address: Ipv4Addr) {
        let envelope = self.envelope(address, pid);
        self.line(format_args!(
            "qmail-smtpd[{pid}]: auth: auth-failed type=plain user=<info@example.org> fingerprint={:04x}",
            n & 0xffff
        ));
        self.line(format_args!(
            "qlogenvelope: result=rejected code=535 reason=authfailed detail= helo=h mailfrom= rcptto= relay=no \
             rcpthosts= size= {envelope}"
        ));
    }

    fn envelope(&self, address: Ipv4Addr, pid: u32) -> String {
        format!(
            "authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip={address} \
             remoteport=4711 remotehost= qp= pid={pid}"
        )
    }

    fn line(&mut self, message: std::fmt::Arguments<'_>) {
        self.at_ns += STEP_NS;
        // A string takes every write.
        let _ = writeln!(self.text, "{} {message}", Timestamp::from_nanos(self.at_ns).tai64n());
    }
}
