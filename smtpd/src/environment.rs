//! What tcpserver, sslserver, tcp-env and their rules say of a client: the environment of qmail-smtpd.
//!
//! The same names stand in the rules of tcpserver (`tcp.smtp`), so one reader serves both: it takes any map of names to
//! values.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use crate::recipients::QuotaPercent;
use crate::rules::{Early, Patterns, SpfBehavior};
use crate::session::{BareNewline, Grant, Policy, Verdict};

/// No client waits longer for a greeting (RFC 5321 §4.5.3.2.1).
const GREET_DELAY_SECONDS_MAX: u64 = 300;

/// What no limit of recipients means, because each of them is kept in memory: some 12 MB of addresses.
const RECIPIENTS_UNLIMITED: usize = 50_000;

/// What an environment says: the value of a name.
pub trait Environment {
    /// The value of `name`; none where it is not set.
    fn value(&self, name: &str) -> Option<Vec<u8>>;

    /// Its number, as `scan_ulong` reads it: the digits at its beginning, 0 where there are none.
    fn number(&self, name: &str) -> Option<u64> {
        let value = self.value(name)?;
        let digits = value.iter().take_while(|byte| byte.is_ascii_digit());
        Some(digits.fold(0u64, |n, digit| n.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
    }

    /// Whether it is set and is no 0.
    fn is_on(&self, name: &str) -> bool {
        self.number(name).is_some_and(|number| number != 0)
    }
}

/// The environment of this process.
#[derive(Clone, Copy, Debug)]
pub struct OfProcess;

impl Environment for OfProcess {
    fn value(&self, name: &str) -> Option<Vec<u8>> {
        std::env::var_os(name).map(OsStringExt::into_vec)
    }
}

/// Names and values, as a rule has them.
impl Environment for [(String, Vec<u8>)] {
    fn value(&self, name: &str) -> Option<Vec<u8>> {
        // The last one wins, as in tcpserver.
        self.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value.clone())
    }
}

/// Both ends of the connection: here, there. `None` where the environment does not tell of the client.
pub fn ends(environment: &(impl Environment + ?Sized)) -> Option<(SocketAddr, SocketAddr)> {
    let end = |address: &str, port: &str| {
        let address = String::from_utf8(environment.value(address)?).ok()?;
        // sslserver writes the scope of a link-local address behind it.
        let address: IpAddr = address.split('%').next()?.parse().ok()?;
        let port = environment.number(port).and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
        Some(SocketAddr::new(address.to_canonical(), port))
    };
    let remote = end("TCPREMOTEIP", "TCPREMOTEPORT").or_else(|| end("TCP6REMOTEIP", "TCP6REMOTEPORT"))?;
    let local = end("TCPLOCALIP", "TCPLOCALPORT").or_else(|| end("TCP6LOCALIP", "TCP6LOCALPORT"));
    Some((local.unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)), remote))
}

/// What the environment grants a client.
pub fn grant(environment: &(impl Environment + ?Sized)) -> Grant {
    let text = |name| environment.value(name).map(|value| String::from_utf8_lossy(&value).into_owned());
    let known = |name| environment.value(name).filter(|value| !value.is_empty());
    let skips = environment.value("DNSBLSKIP").map(|_| Verdict::Pass);
    Grant {
        relay: text("RELAYCLIENT"),
        blocklist: environment.value("RBLSMTPD").map(|value| Verdict::parse(&value)).or(skips),
        host: known("TCPREMOTEHOST"),
        info: known("TCPREMOTEINFO"),
        identify: known("CHKUSER_IDENTIFY"),
        relays_by_sender: environment.value("RELAYMAILFROM").is_some(),
        word: None,
        is_naughty: false,
        is_busy: false,
        encrypted: known("SSL_PROTOCOL").is_some() || known("SSL_CIPHER").is_some(),
    }
}

/// What the environment changes in the rules; true where it changed something.
pub fn settle(environment: &(impl Environment + ?Sized), policy: &mut Policy) -> bool {
    let mut changed = false;
    let rules = &mut policy.rules;
    if let Some(seconds) = environment.number("SMTPD_GREETDELAY") {
        rules.greet_delay = Duration::from_secs(seconds.min(GREET_DELAY_SECONDS_MAX));
        changed = true;
    }
    if let Some(drops) = environment.number("DROP_PRE_GREET") {
        rules.early = if drops == 0 { Early::Ignore } else { Early::Reject };
        changed = true;
    }
    for (name, limit) in [
        ("BRTLIMIT", &mut rules.bad_recipients_max),
        ("CHKUSER_RCPTLIMIT", &mut rules.session_recipients_max),
        ("CHKUSER_WRONGRCPTLIMIT", &mut rules.session_bad_recipients_max),
    ] {
        if let Some(number) = environment.number(name) {
            *limit = u32::try_from(number).unwrap_or(u32::MAX);
            changed = true;
        }
    }
    if let Some(number) = environment.number("REJECTNULLSENDERS") {
        rules.reject_null_sender = number != 0;
        changed = true;
    }
    if let Some(behavior) = environment.number("SPFBEHAVIOR").and_then(SpfBehavior::new) {
        rules.spf = behavior;
        changed = true;
    }
    if environment.value("DISABLE_BADMAILFROM").is_some() {
        rules.bad.sender = Patterns::default();
        rules.bad.sender_norelay = Patterns::default();
        changed = true;
    }
    if let Some(percent) = environment.number("CHKUSER_MBXQUOTA") {
        rules.quota = QuotaPercent(u32::try_from(percent).unwrap_or(u32::MAX));
        changed = true;
    }
    if environment.value("CHKUSER_MUSTAUTH").is_some() {
        policy.auth.required = true;
        changed = true;
    }
    if environment.is_on("RCPTCHECKRELAYCLIENT") {
        rules.checks_relayed = true;
        changed = true;
    }
    if environment.value("DISABLE_MAXRCPT").is_some() {
        policy.limits.recipients_max = RECIPIENTS_UNLIMITED;
        changed = true;
    }
    if let Some(bytes) = environment.number("DATABYTES") {
        // As in qmail, 0 is no limit at all.
        policy.limits.message_bytes_max = if bytes == 0 { u64::MAX } else { bytes };
        changed = true;
    }
    if environment.value("ALLOW_BARELF").is_some() {
        policy.limits.bare_newline = BareNewline::EndsLine;
        changed = true;
    }
    if let Some(modes) = environment.value("SMTPAUTH") {
        policy.auth.set_smtpauth(&modes);
        changed = true;
    }
    if environment.value("FORCETLS").is_some_and(|value| value == b"0") {
        policy.auth.in_clear = true;
        changed = true;
    }
    if environment.is_on("FORCEAUTHMAILFROM") {
        policy.auth.own_sender = true;
        changed = true;
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(values: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        values.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn an_address_is_read_whoever_wrote_it() {
        let check = |values: &[(&str, &str)], expected: Option<(&str, &str)>| {
            let expected = expected.map(|(l, r)| (l.parse().unwrap(), r.parse().unwrap()));
            assert_eq!(ends(&*environment(values)), expected, "{values:?}");
        };
        let local = [("TCPLOCALIP", "192.0.2.25"), ("TCPLOCALPORT", "25")];
        let all = [&local[..], &[("TCPREMOTEIP", "198.51.100.7"), ("TCPREMOTEPORT", "4000")]].concat();
        check(&all, Some(("192.0.2.25:25", "198.51.100.7:4000")));
        check(&[("TCPREMOTEIP", "::ffff:198.51.100.7")], Some(("0.0.0.0:0", "198.51.100.7:0")));
        check(&[("TCPREMOTEIP", "fe80::1%eth0")], Some(("0.0.0.0:0", "[fe80::1]:0")));
        check(&[("TCPREMOTEIP", "unknown")], None);
        check(&local, None);
    }

    #[test]
    fn a_grant_is_what_qmail_smtpd_makes_of_it() {
        let check = |values: &[(&str, &str)], expected: Grant| {
            assert_eq!(grant(&*environment(values)), expected, "{values:?}");
        };
        check(&[], Grant::default());
        check(&[("RELAYCLIENT", "")], Grant { relay: Some(String::new()), ..Grant::default() });
        check(&[("DNSBLSKIP", "")], Grant { blocklist: Some(Verdict::Pass), ..Grant::default() });
        let rejected = Grant { blocklist: Some(Verdict::Reject("no".into())), ..Grant::default() };
        check(&[("RBLSMTPD", "-no"), ("DNSBLSKIP", "")], rejected);
        check(&[("SSL_PROTOCOL", "TLSv1.3")], Grant { encrypted: true, ..Grant::default() });
    }
}
