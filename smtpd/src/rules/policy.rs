//! Who may write to whom: eMPF's rules, as qmail's `control/policy` has them.
//!
//! ```text
//! example.org:rL,boss:R,trainee:r(*@example.com)L(boss@example.org),
//! ```
//!
//! A line is a domain, what holds for it, and what holds for some of its users. A small letter forbids, a large one forbids
//! all else; in brackets stands whom it is about.
//!
//! | letter | mail |
//! |---|---|
//! | `l` | to the own domain |
//! | `r` | to any other |
//! | `i` | from the own domain |
//! | `e` | from any other |
//!
//! What a user's rules do not say, the domain's do. A domain without a line may do all.

use std::collections::HashMap;
use std::str::FromStr;

use regex::bytes::Regex;

use super::pattern::{compile, expression_of};
use super::plain;
use crate::mailbox::Mailbox;

/// Users of one domain that have rules of their own, and patterns in brackets; a line is no longer than that.
const PARTS_MAX: usize = 10_000;

/// The rules of all domains.
#[derive(Clone, Debug, Default)]
pub struct MailPolicy(HashMap<String, DomainPolicy>);

/// The rules of one domain: a line of the file.
#[derive(Clone, Debug)]
pub struct DomainPolicy {
    domain: String,
    own: Verdicts,
    users: Vec<(Glob, Verdicts)>,
}

/// What holds for one way of mail each; the last letter of a kind counts, as in eMPF.
#[derive(Clone, Debug, Default)]
struct Verdicts {
    local: Option<Verdict>,
    remote: Option<Verdict>,
    internal: Option<Verdict>,
    external: Option<Verdict>,
}

/// A way of mail, as the domain sees it whose rule it is.
#[derive(Clone, Copy, Debug)]
enum Way {
    Local,
    Remote,
    Internal,
    External,
}

/// What a letter says.
#[derive(Clone, Debug)]
enum Verdict {
    /// Not with these; with nobody, where there are none.
    Forbids(Vec<Glob>),
    /// Only with these; with all, where there are none.
    Allows(Vec<Glob>),
}

/// A pattern of a shell, in any case.
#[derive(Clone, Debug)]
struct Glob(Regex);

impl MailPolicy {
    /// The rules of these domains; the first line of a domain counts.
    pub fn new(lines: impl IntoIterator<Item = DomainPolicy>) -> Self {
        let mut domains = HashMap::new();
        for line in lines {
            domains.entry(line.domain.clone()).or_insert(line);
        }
        MailPolicy(domains)
    }

    /// Whether there are no rules at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether mail from here to there is forbidden, by the sender's rules or the recipient's.
    pub fn forbids(&self, sender: Option<&Mailbox>, recipient: &Mailbox) -> bool {
        let (from, to) = (sender.and_then(|sender| self.of(sender)), self.of(recipient));
        let same = matches!((from, to), (Some(from), Some(to)) if from.domain == to.domain);
        let (sent, received) = if same { (Way::Local, Way::Internal) } else { (Way::Remote, Way::External) };
        let sender_name = sender.map(plain).unwrap_or_default();
        let recipient_name = plain(recipient);
        from.is_some_and(|policy| policy.forbids(sent, &sender_name, &recipient_name))
            || to.is_some_and(|policy| policy.forbids(received, &recipient_name, &sender_name))
    }

    fn of(&self, mailbox: &Mailbox) -> Option<&DomainPolicy> {
        if self.0.is_empty() { None } else { self.0.get(&mailbox.domain_key()) }
    }
}

impl DomainPolicy {
    fn forbids(&self, way: Way, own: &str, other: &str) -> bool {
        let user = self.users.iter().rev().find(|(user, _)| user.fits(own));
        match user.and_then(|(_, verdicts)| verdicts.of(way)) {
            Some(Verdict::Forbids(whom)) => whom.is_empty() || whom.iter().any(|glob| glob.fits(other)),
            Some(Verdict::Allows(whom)) => !whom.is_empty() && !whom.iter().any(|glob| glob.fits(other)),
            // For a whole domain brackets say nothing, as in eMPF.
            None => matches!(self.own.of(way), Some(Verdict::Forbids(_))),
        }
    }
}

impl Verdicts {
    fn of(&self, way: Way) -> Option<&Verdict> {
        match way {
            Way::Local => self.local.as_ref(),
            Way::Remote => self.remote.as_ref(),
            Way::Internal => self.internal.as_ref(),
            Way::External => self.external.as_ref(),
        }
    }

    /// Reads letters, each with or without brackets behind it.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let mut verdicts = Verdicts::default();
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
            let mut whom = Vec::new();
            if let Some(inner) = rest.strip_prefix('(') {
                let (inner, behind) = inner.split_once(')').ok_or("expected a closing bracket")?;
                whom = inner.split(',').map(Glob::parse).collect::<Result<_, _>>()?;
                rest = behind;
            }
            let verdict =
                if letter.is_ascii_lowercase() { Verdict::Forbids(whom) } else { Verdict::Allows(whom) };
            let place = match letter.to_ascii_lowercase() {
                'l' => &mut verdicts.local,
                'r' => &mut verdicts.remote,
                'i' => &mut verdicts.internal,
                'e' => &mut verdicts.external,
                _ => return Err("expected one of the letters l, r, i, e, L, R, I, E"),
            };
            *place = Some(verdict);
        }
        Ok(verdicts)
    }
}

impl FromStr for DomainPolicy {
    type Err = &'static str;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let (domain, rest) = line.split_once(':').ok_or("expected DOMAIN:LETTERS,USER:LETTERS,")?;
        let domain = domain.trim().to_ascii_lowercase();
        if Mailbox::new("postmaster", &domain).is_none() {
            return Err("expected a domain such as example.org before the first colon");
        }
        let mut parts = outside_brackets(rest.trim_end()).into_iter();
        let own = Verdicts::parse(parts.next().unwrap_or_default())?;
        let mut users = Vec::new();
        // A comma stands behind the last one too.
        for part in parts.filter(|part| !part.is_empty()) {
            let (user, letters) = part.split_once(':').ok_or("expected USER:LETTERS behind a comma")?;
            if user.is_empty() || letters.is_empty() {
                return Err("expected a user and letters");
            }
            users.push((Glob::parse(&format!("{user}@{domain}"))?, Verdicts::parse(letters)?));
        }
        if users.len() > PARTS_MAX {
            return Err("this line has too many users");
        }
        Ok(DomainPolicy { domain, own, users })
    }
}

/// Cuts at the commas that stand in no bracket.
fn outside_brackets(text: &str) -> Vec<&str> {
    let mut is_inside = false;
    text.split(|c| {
        match c {
            '(' => is_inside = true,
            ')' => is_inside = false,
            _ => {}
        }
        c == ',' && !is_inside
    })
    .collect()
}

impl Glob {
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("expected an address or a pattern between brackets and commas");
        }
        compile(&expression_of(text)).map(Glob).map_err(|_| "this pattern is too large")
    }

    fn fits(&self, address: &str) -> bool {
        self.0.is_match(address.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What may go, by lines of a file: `ok` or `no` for each pair.
    #[track_caller]
    fn check(lines: &[&str], mails: &[(&str, &str, bool)]) {
        let policy = MailPolicy::new(lines.iter().map(|line| line.parse().unwrap()));
        for (from, to, goes) in mails {
            let sender: Option<Mailbox> = (!from.is_empty()).then(|| from.parse().unwrap());
            let forbids = policy.forbids(sender.as_ref(), &to.parse().unwrap());
            assert_eq!(!forbids, *goes, "{lines:?}: {from} to {to}");
        }
    }

    #[test]
    fn a_domain_may_do_all_but_what_its_line_forbids() {
        let mails = |local, remote, external| {
            [
                ("a@example.org", "b@Example.ORG", local),
                ("a@example.org", "b@example.com", remote),
                ("a@example.com", "b@example.org", external),
                ("", "b@example.org", external),
                ("a@example.com", "b@example.net", true),
            ]
        };
        check(&[], &mails(true, true, true));
        check(&["example.org:r,"], &mails(true, false, true));
        check(&["example.org:le,"], &mails(false, true, false));
        check(&["example.org:i"], &mails(false, true, true));
        check(&["example.org:rR"], &mails(true, true, true));
        check(&["example.org:", "example.org:lre"], &mails(true, true, true));
    }

    #[test]
    fn a_user_has_rules_of_its_own_and_the_domains_for_the_rest() {
        check(
            &[
                "example.org:re,boss:RE,trainee:L(boss@example.org)R(*@partner.example,?@friend.example),list*:i(*@example.org),",
            ],
            &[
                ("boss@example.org", "x@example.com", true),
                ("x@example.com", "boss@example.org", true),
                ("clerk@example.org", "x@example.com", false),
                ("x@example.com", "clerk@example.org", false),
                ("trainee@example.org", "boss@example.org", true),
                ("trainee@example.org", "clerk@example.org", false),
                ("Trainee@example.org", "x@PARTNER.example", true),
                ("trainee@example.org", "y@friend.example", true),
                ("trainee@example.org", "yy@friend.example", false),
                ("x@example.com", "trainee@example.org", false),
                ("clerk@example.org", "list-1@example.org", false),
            ],
        );
        // Both have a say.
        check(
            &["example.org:", "example.com:E(boss@example.org),sales:E(boss@example.org),"],
            &[
                ("boss@example.org", "sales@example.com", true),
                ("clerk@example.org", "sales@example.com", false),
                ("clerk@example.org", "other@example.com", true),
            ],
        );
    }

    #[test]
    fn what_is_no_line_is_told() {
        for line in ["", "example.org", "a b:r,", "example.org:x", "example.org:r(", "example.org:r(a,)"] {
            assert!(line.parse::<DomainPolicy>().is_err(), "{line}");
        }
        for line in ["example.org:r,boss", "example.org:r,:R,", "example.org:r,boss:,"] {
            assert!(line.parse::<DomainPolicy>().is_err(), "{line}");
        }
    }
}
