//! What a client may call itself in HELO, as strictly as the administrator wants it (qpsmtpd's `helo`, SME's policy).
//!
//! RFC 5321 §4.1.4 forbids to refuse mail only because a name cannot be confirmed, so nothing is refused here unless the
//! settings say so. Who has logged in or may relay calls itself what it wants.

use std::net::IpAddr;

/// How strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeloPolicy {
    /// Anything.
    #[default]
    Off,
    /// No lies that show: not our name, not `localhost`, no address but its own and that in brackets.
    Lenient,
    /// And a full name that exists, from an address that has a name.
    Rfc,
    /// And that name is this address's.
    Strict,
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeloFault {
    /// It is `localhost`, from elsewhere.
    Localhost,
    /// It is one of our names.
    Ours,
    /// It is an address without brackets.
    PlainAddress,
    /// It is another's address.
    ForgedLiteral,
    /// It has no domain.
    NotFull,
    /// There is no such name.
    NoForward,
    /// The client's address has no name.
    NoReverse,
    /// The name is another's.
    NoMatch,
}

/// What name servers say of a client and its name; `None` where they did not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeloNames {
    /// The addresses of the name.
    pub forward: Option<Vec<IpAddr>>,
    /// The names of the address.
    pub reverse: Option<Vec<String>>,
}

impl HeloPolicy {
    /// Whether name servers have a say.
    pub fn asks(self) -> bool {
        match self {
            HeloPolicy::Off | HeloPolicy::Lenient => false,
            HeloPolicy::Rfc | HeloPolicy::Strict => true,
        }
    }

    /// What is wrong with a name by itself.
    pub fn judge(self, name: &[u8], client: IpAddr, is_ours: impl Fn(&str) -> bool) -> Option<HeloFault> {
        if self == HeloPolicy::Off {
            return None;
        }
        // What is no text is a name that nobody has.
        let Ok(name) = std::str::from_utf8(name) else {
            return Some(HeloFault::NotFull);
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if let Some(literal) = literal(&name) {
            return (literal != Some(client)).then_some(HeloFault::ForgedLiteral);
        }
        if name.parse::<IpAddr>().is_ok() {
            return Some(HeloFault::PlainAddress);
        }
        if is_ours(&name) && !client.is_loopback() {
            return Some(HeloFault::Ours);
        }
        if matches!(name.as_str(), "localhost" | "localhost.localdomain") {
            return (!client.is_loopback()).then_some(HeloFault::Localhost);
        }
        (self.asks() && !name.contains('.')).then_some(HeloFault::NotFull)
    }

    /// What is wrong with it by what name servers say. Silence is nobody's fault.
    pub fn judge_names(self, name: &[u8], client: IpAddr, names: &HeloNames) -> Option<HeloFault> {
        if !self.asks() || name.starts_with(b"[") {
            return None;
        }
        if names.forward.as_ref().is_some_and(Vec::is_empty) {
            return Some(HeloFault::NoForward);
        }
        if names.reverse.as_ref().is_some_and(Vec::is_empty) {
            return Some(HeloFault::NoReverse);
        }
        let (Some(forward), Some(reverse)) = (&names.forward, &names.reverse) else {
            return None;
        };
        let is_its_own = forward.contains(&client)
            || reverse.iter().any(|own| own.trim_end_matches('.').as_bytes().eq_ignore_ascii_case(name));
        (self == HeloPolicy::Strict && !is_its_own).then_some(HeloFault::NoMatch)
    }
}

/// What stands in brackets: an address, or something that is none.
fn literal(name: &str) -> Option<Option<IpAddr>> {
    let inner = name.strip_prefix('[')?;
    let inner = inner.strip_suffix(']').unwrap_or(inner);
    let inner = inner.strip_prefix("ipv6:").unwrap_or(inner);
    Some(inner.parse::<IpAddr>().ok().map(|address| address.to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str = "203.0.113.7";

    #[track_caller]
    fn check(policy: HeloPolicy, name: &str, fault: Option<HeloFault>) {
        let client = CLIENT.parse().unwrap();
        assert_eq!(policy.judge(name.as_bytes(), client, |name| name == "mx.example.org"), fault, "{name}");
    }

    #[test]
    fn lies_that_show_are_found_without_a_query() {
        use HeloFault::{ForgedLiteral, Localhost, NotFull, Ours, PlainAddress};
        for (name, fault) in [
            ("mail.example.net", None),
            ("laptop", None),
            ("[203.0.113.7]", None),
            ("[203.0.113.8]", Some(ForgedLiteral)),
            ("[IPv6:2001:db8::1]", Some(ForgedLiteral)),
            ("[nonsense]", Some(ForgedLiteral)),
            ("203.0.113.7", Some(PlainAddress)),
            ("localhost", Some(Localhost)),
            ("LOCALHOST.localdomain", Some(Localhost)),
            ("MX.example.org.", Some(Ours)),
        ] {
            check(HeloPolicy::Off, name, None);
            check(HeloPolicy::Lenient, name, fault);
        }
        check(HeloPolicy::Rfc, "laptop", Some(NotFull));
        check(HeloPolicy::Strict, "", Some(NotFull));
        let own = |name: &[u8]| HeloPolicy::Rfc.judge(name, "127.0.0.1".parse().unwrap(), |_| true);
        assert_eq!((own(b"localhost"), own(b"mx.example.org")), (None, None));
        assert_eq!(own(b"\xff.example"), Some(NotFull));
    }

    #[test]
    fn names_are_confirmed_as_strictly_as_wanted_and_silence_is_no_fault() {
        use HeloFault::{NoForward, NoMatch, NoReverse};
        let client: IpAddr = CLIENT.parse().unwrap();
        let other: IpAddr = "203.0.113.8".parse().unwrap();
        let check = |forward: Option<&[IpAddr]>, reverse: Option<&[&str]>, rfc, strict| {
            let names = HeloNames {
                forward: forward.map(<[IpAddr]>::to_vec),
                reverse: reverse.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
            };
            let judge = |policy: HeloPolicy| policy.judge_names(b"mail.example.net", client, &names);
            assert_eq!((judge(HeloPolicy::Rfc), judge(HeloPolicy::Strict)), (rfc, strict), "{names:?}");
            assert_eq!(judge(HeloPolicy::Lenient), None);
        };
        check(Some(&[client]), Some(&["host.example.net"]), None, None);
        check(Some(&[other]), Some(&["Mail.Example.NET."]), None, None);
        check(Some(&[other]), Some(&["host.example.net"]), None, Some(NoMatch));
        check(Some(&[]), Some(&["host.example.net"]), Some(NoForward), Some(NoForward));
        check(Some(&[client]), Some(&[]), Some(NoReverse), Some(NoReverse));
        check(None, Some(&["host.example.net"]), None, None);
        check(Some(&[other]), None, None, None);
    }
}
