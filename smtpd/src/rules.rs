//! What a client may not do, beyond the protocol: every policy of the gate as data, and the pure functions that judge by it.
//!
//! Nothing here asks anybody or remembers anything. A session calls these functions with what it knows; where a name
//! server has to be asked, the session asks (`session::checks`) and a function here judges the answer.

mod helo;
mod hosts;
mod pairs;
mod pattern;
mod policy;
mod spf;
mod spf_local;
mod trace;
mod virtual_users;

use std::net::IpAddr;
use std::time::Duration;

pub use helo::{HeloFault, HeloNames, HeloPolicy};
pub use hosts::Hosts;
pub use pairs::{Pair, Pairs};
pub use pattern::{Pattern, Patterns};
pub use policy::{DomainPolicy, MailPolicy};
pub use spf::{SpfBehavior, SpfFinding, SpfResult, SpfVerdict};
pub use spf_local::{SpfLocal, SpfSubject};
pub use trace::Trace;
pub use virtual_users::{VirtualLine, VirtualUsers};

use crate::blocklist::Blocklist;
use crate::karma::Points;
use crate::mailbox::Mailbox;
use crate::recipients::QuotaPercent;

/// All policies. None of them refuses anything by default, but for a mailbox that is full.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// What is said in greeting and farewell in place of the host's name (`smtpgreeting`).
    pub greeting: Option<String>,
    /// Domains for which mail is taken although it is delivered elsewhere (`rcpthosts`, `morercpthosts.cdb`).
    pub rcpthosts: Hosts,
    /// The domain of recipients at one of our addresses, `user@[192.0.2.1]` (`localiphost`).
    pub localiphost: Option<String>,
    /// Whose mail single addresses elsewhere are (`virtualdomains`).
    pub virtual_users: VirtualUsers,
    /// Addresses that are ours although no interface has them (`moreipme`).
    pub moreipme: Vec<IpAddr>,
    /// How long a client has to wait for the greeting.
    pub greet_delay: Duration,
    /// What becomes of a client that does not wait.
    pub early: Early,
    /// What a client may call itself.
    pub helo: HeloPolicy,
    /// Forbidden names, senders and recipients.
    pub bad: BadLists,
    /// Recipients with `!`, `%` or `@` in the local part are refused (`rejectrelaytest`).
    pub reject_relay_probes: bool,
    /// Bounces are refused for now (`rejectnullsenders`).
    pub reject_null_sender: bool,
    /// A bounce has one recipient: its sender wrote one message.
    pub one_recipient_of_a_bounce: bool,
    /// A message with one bad recipient is refused as a whole.
    pub one_bad_recipient_spoils: bool,
    /// Senders from whom mail is taken for anywhere, whoever the client is (`relaymailfrom`). Anybody can write any
    /// sender, so this is a door for all who know one.
    pub relay_senders: Patterns,
    /// The same of clients alone for whom a rule says so (`RELAYMAILFROM`).
    pub granted_relay_senders: Patterns,
    /// Bad recipients after which a session is closed (`brtlimit`); 0 for no limit.
    pub bad_recipients_max: u32,
    /// Recipients of a session after which all more are refused (`CHKUSER_RCPTLIMIT`); 0 for no limit.
    pub session_recipients_max: u32,
    /// Recipients of a session that do not exist after which all more are refused (`CHKUSER_WRONGRCPTLIMIT`); 0 for no
    /// limit.
    pub session_bad_recipients_max: u32,
    /// The sender's domain must take mail.
    pub sender_domain: bool,
    /// The domain of a recipient elsewhere must take mail (`CHKUSER_RCPT_MX`).
    pub recipient_domain: bool,
    /// Some back end is asked about recipients elsewhere too (`RCPTCHECKRELAYCLIENT`).
    pub checks_relayed: bool,
    /// How full a mailbox may be to take mail (`CHKUSER_MBXQUOTA`).
    pub quota: QuotaPercent,
    /// What follows where the sender's domain does not let this client send (`spfbehavior`).
    pub spf: SpfBehavior,
    /// What is added to what domains say, and said for those that say nothing (`spfrules`, `spfguess`, `spfexp`).
    pub spf_local: SpfLocal,
    /// Who may write to whom (`policy`).
    pub mail_policy: MailPolicy,
    /// Lists of domains that senders must not have.
    pub domain_lists: Vec<Blocklist>,
    /// What each deed does to a client's karma.
    pub points: Points,
    /// When a client with a bad karma is refused.
    pub karma_refuses: KarmaRefuses,
    /// When a client is refused of which something bad is known.
    pub naughty: Naughty,
    /// What the Received field says.
    pub trace: Trace,
}

/// When a client is refused of which something bad is known: that it spoke early, its karma, its name, its sender, a list
/// that has it. The later, the more reasons can be told; a login before takes all of them back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naughty {
    /// As soon as it is known.
    #[default]
    Soon,
    /// At RCPT, with all reasons that are known by then.
    Rcpt,
    /// At DATA, with all reasons; nobody is asked about it any more once there is one.
    Data,
}

/// When a client with a bad karma is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KarmaRefuses {
    /// With its mail, so that it can log in before.
    #[default]
    Mail,
    /// Instead of the greeting.
    Connection,
}

/// What becomes of a client that speaks before the greeting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Early {
    /// It is sent away.
    #[default]
    Reject,
    /// It is greeted all the same.
    Ignore,
}

/// What qmail's files forbid; those that end in `norelay` do not count for who may relay.
#[derive(Clone, Debug, Default)]
pub struct BadLists {
    /// `badhelo`
    pub helo: Patterns,
    /// `badhelonorelay`
    pub helo_norelay: Patterns,
    /// `badmailfrom`
    pub sender: Patterns,
    /// `badmailfromnorelay`
    pub sender_norelay: Patterns,
    /// `badrcptto`
    pub recipient: Patterns,
    /// `badrcpttonorelay`
    pub recipient_norelay: Patterns,
    /// `badmailfromto`
    pub pairs: Pairs,
}

/// Whether a client may send to other hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It may.
    Relay,
    /// It may not.
    None,
}

impl BadLists {
    /// The entry that forbids a name.
    pub fn helo(&self, name: &[u8], trust: Trust) -> Option<&str> {
        forbidding(&self.helo, &self.helo_norelay, name, trust)
    }

    /// The entry that forbids a sender. The null sender stands in no list.
    pub fn sender(&self, sender: &Mailbox, trust: Trust) -> Option<&str> {
        forbidding(&self.sender, &self.sender_norelay, plain(sender).as_bytes(), trust)
    }

    /// The line that forbids this sender to write to this recipient.
    pub fn pair(&self, sender: &Mailbox, recipient: &Mailbox) -> Option<&str> {
        self.pairs.forbidding(plain(sender).as_bytes(), plain(recipient).as_bytes())
    }

    /// The entry that forbids a recipient.
    pub fn recipient(&self, recipient: &Mailbox, trust: Trust) -> Option<&str> {
        forbidding(&self.recipient, &self.recipient_norelay, plain(recipient).as_bytes(), trust)
    }
}

fn forbidding<'p>(
    always: &'p Patterns,
    norelay: &'p Patterns,
    value: &[u8],
    trust: Trust,
) -> Option<&'p str> {
    always.forbidding(value).or_else(|| match trust {
        Trust::Relay => None,
        Trust::None => norelay.forbidding(value),
    })
}

/// An address as qmail sees it, without quotes: those would hide it from the lists.
fn plain(mailbox: &Mailbox) -> String {
    format!("{}@{}", mailbox.local(), mailbox.domain())
}

/// Whether a recipient asks us to send it on from here (`user%elsewhere@here`).
pub fn is_relay_probe(recipient: &Mailbox) -> bool {
    recipient.local().contains(['!', '%', '@'])
}

impl Rules {
    /// The entry by which a sender may have its mail sent anywhere.
    pub fn relaying_sender(&self, sender: &Mailbox, is_granted: bool) -> Option<&str> {
        let value = plain(sender);
        let granted = || self.granted_relay_senders.forbidding(value.as_bytes()).filter(|_| is_granted);
        self.relay_senders.forbidding(value.as_bytes()).or_else(granted)
    }

    /// A recipient at one of our addresses, or that is one of ours by another name, with the name that it is known by; any
    /// other as it is.
    pub fn with_our_name(&self, recipient: Mailbox, local: IpAddr) -> Mailbox {
        let recipient = self.virtual_users.owned(&recipient).unwrap_or(recipient);
        let Some(host) = &self.localiphost else {
            return recipient;
        };
        let literal = recipient.domain().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address = literal.and_then(|literal| literal.trim_start_matches("IPv6:").parse::<IpAddr>().ok());
        match address {
            Some(address) if address == local || self.moreipme.contains(&address) => {
                Mailbox::new(recipient.local(), host).unwrap_or(recipient)
            }
            Some(_) | None => recipient,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_at_our_address_gets_our_name() {
        let rules = Rules {
            localiphost: Some("example.org".into()),
            moreipme: vec!["198.51.100.1".parse().unwrap()],
            ..Rules::default()
        };
        let check = |given: &str, expected: &str| {
            let named = rules.with_our_name(given.parse().unwrap(), "192.0.2.25".parse().unwrap());
            assert_eq!(named.to_string(), expected);
        };
        check("alice@[192.0.2.25]", "alice@example.org");
        check("alice@[198.51.100.1]", "alice@example.org");
        check("alice@[198.51.100.2]", "alice@[198.51.100.2]");
        check("alice@[IPv6:2001:db8::1]", "alice@[IPv6:2001:db8::1]");
        check("alice@example.net", "alice@example.net");
    }

    #[test]
    fn quotes_hide_nobody_from_a_list_and_a_probe_is_known() {
        let bad = BadLists {
            recipient: Patterns::new(vec![Pattern::parse("spam trap@example.org").unwrap()]),
            sender_norelay: Patterns::new(vec![Pattern::parse("@example.org").unwrap()]),
            ..BadLists::default()
        };
        let trap: Mailbox = "\"spam trap\"@example.org".parse().unwrap();
        assert!(bad.recipient(&trap, Trust::Relay).is_some());
        assert_eq!(
            (bad.sender(&trap, Trust::Relay), bad.sender(&trap, Trust::None)),
            (None, Some("@example.org"))
        );
        for (recipient, is_probe) in
            [("a%b@example.org", true), ("b!a@example.org", true), ("a@example.org", false)]
        {
            assert_eq!(is_relay_probe(&recipient.parse().unwrap()), is_probe, "{recipient}");
        }
        assert!(is_relay_probe(&"\"a@b\"@example.org".parse().unwrap()));
    }
}
