//! What name a client's address must have (qpsmtpd's `fcrdns`): whoever sends mail for a living has one, and it leads back.
//!
//! Nothing is refused unless the settings say so: RFC 5321 demands no such name, and small senders have none at times.

use std::net::IpAddr;

/// How strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientPolicy {
    /// Any address will do.
    #[default]
    Off,
    /// It has a name.
    Named,
    /// And the name leads back to it.
    Confirmed,
    /// And is not one that a provider gives to all its customers.
    Own,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFault {
    /// It has no name.
    NoName,
    /// None of its names leads back to it.
    Unconfirmed,
    /// Its name is one of many alike.
    Generic,
}

/// What name servers say; `None` where they did not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientNames {
    /// The names of the address.
    pub names: Option<Vec<String>>,
    /// That of them which leads back to it, or that there is none.
    pub confirmed: Option<Option<String>>,
}

impl ClientPolicy {
    /// What is wrong with a client. Silence is nobody's fault.
    pub fn judge(self, client: IpAddr, names: &ClientNames) -> Option<ClientFault> {
        if self >= ClientPolicy::Named && names.names.as_ref().is_some_and(Vec::is_empty) {
            return Some(ClientFault::NoName);
        }
        match names.confirmed.as_ref() {
            Some(None) if self >= ClientPolicy::Confirmed => Some(ClientFault::Unconfirmed),
            Some(Some(name)) if self == ClientPolicy::Own && is_generic(name, client) => {
                Some(ClientFault::Generic)
            }
            Some(_) | None => None,
        }
    }
}

/// Whether a name is made of the address: its last two numbers stand in it, by themselves or with zeros in front. Of IPv6
/// such names have its last eight digits.
fn is_generic(name: &str, client: IpAddr) -> bool {
    let name = name.to_ascii_lowercase();
    match client {
        IpAddr::V4(client) => {
            let [.., third, fourth] = client.octets();
            let numbers: Vec<u32> =
                name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
            let stands = |octet: u8| numbers.contains(&u32::from(octet));
            let in_hexadecimal = format!("{:08x}", client.to_bits());
            (stands(third) && stands(fourth)) || name.contains(&in_hexadecimal)
        }
        IpAddr::V6(client) => {
            let digits = format!("{:032x}", client.to_bits());
            let plain: String = name.chars().filter(char::is_ascii_hexdigit).collect();
            digits.get(24..).is_some_and(|last| plain.contains(last))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_judged_by_the_name_of_its_address() {
        let client: IpAddr = "203.0.113.7".parse().unwrap();
        let check = |names: Option<&[&str]>,
                     confirmed: Option<Option<&str>>,
                     faults: [Option<ClientFault>; 4]| {
            let names = ClientNames {
                names: names.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
                confirmed: confirmed.map(|name| name.map(str::to_owned)),
            };
            let all = [ClientPolicy::Off, ClientPolicy::Named, ClientPolicy::Confirmed, ClientPolicy::Own];
            assert_eq!(all.map(|policy| policy.judge(client, &names)), faults, "{names:?}");
        };
        use ClientFault::{Generic, NoName, Unconfirmed};
        check(Some(&[]), Some(None), [None, Some(NoName), Some(NoName), Some(NoName)]);
        check(Some(&["x.example"]), Some(None), [None, None, Some(Unconfirmed), Some(Unconfirmed)]);
        check(Some(&["mx1.example"]), Some(Some("mx1.example")), [None; 4]);
        for name in
            ["203-0-113-7.dyn.example", "host7.113.pool.example", "CB007107.dip.example", "p007x113.example"]
        {
            check(Some(&[name]), Some(Some(name)), [None, None, None, Some(Generic)]);
        }
        check(None, None, [None; 4]);
        check(Some(&["x.example"]), None, [None; 4]);
        assert!(!is_generic("mx1.v6.example", "2001:db8::1:2".parse().unwrap()));
        assert!(is_generic("x-0001-0002.v6.example", "2001:db8::1:2".parse().unwrap()));
    }
}
