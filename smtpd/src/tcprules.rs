//! tcpserver's rules (`tcp.smtp`, tcprules(1)): who may connect, and what is special about whom. As text, or as the cdb
//! that `tcprules` makes of it.
//!
//! ```text
//! 192.168.:allow,RELAYCLIENT="",DATABYTES="0"
//! 203.0.113.5-9:deny
//! :allow,SMTPD_GREETDELAY="5"
//! ```

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use crate::cdb::Cdb;
use crate::environment;
use crate::session::{Grant, Policy};
use crate::watched::Watched;

/// The rules, and the policy that they change.
#[derive(Debug)]
pub struct TcpRules {
    file: Watched<Table>,
    policy: Arc<Policy>,
}

/// What the file holds.
#[derive(Debug)]
pub enum Table {
    /// Rules by the address, or the part of one, that they are for.
    Text(HashMap<String, Rule>),
    /// The same, made by `tcprules`.
    Cdb(Cdb),
}

/// What is said of a client: that it may not connect, or names and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It may not.
    Deny,
    /// It may, in this environment.
    Allow(Vec<(String, Vec<u8>)>),
}

/// What follows for a client.
#[derive(Debug)]
pub enum Door {
    /// It is not let in.
    Closed,
    /// It is, by these rules.
    Open(Arc<Policy>, Grant),
}

impl TcpRules {
    /// The rules at `path`: a cdb where its name ends so, else text.
    pub fn new(path: &Path, policy: Arc<Policy>) -> Self {
        TcpRules { file: Watched::new(path), policy }
    }

    /// What the rules say of a client. Where they cannot be read nobody is let in, as with tcpserver: a rule that is lost
    /// may be the one that denies.
    pub fn door(&self, client: IpAddr) -> Door {
        match self.file.current(Table::read) {
            Ok(Some(table)) => self.open(table.rule(client)),
            Ok(None) => {
                tracing::error!(file = %self.file.path().display(), "the rules for clients are gone; nobody is let in");
                Door::Closed
            }
            Err(error) => {
                tracing::error!(file = %self.file.path().display(), %error, "cannot read the rules for clients; nobody is let in");
                Door::Closed
            }
        }
    }

    fn open(&self, rule: Option<Rule>) -> Door {
        match rule {
            Some(Rule::Deny) => Door::Closed,
            None => Door::Open(Arc::clone(&self.policy), Grant::default()),
            Some(Rule::Allow(values)) => {
                let mut policy = Policy::clone(&self.policy);
                let changed = environment::settle(&*values, &mut policy);
                let policy = if changed { Arc::new(policy) } else { Arc::clone(&self.policy) };
                Door::Open(policy, environment::grant(&*values))
            }
        }
    }
}

impl Table {
    /// Reads the file.
    ///
    /// # Errors
    /// Where it cannot be read, or a line is no rule.
    pub fn read(path: &Path) -> io::Result<Self> {
        if path.extension().is_some_and(|extension| extension == "cdb") {
            return Cdb::read(path).map(Table::Cdb);
        }
        let rules = parse(&std::fs::read_to_string(path)?);
        rules.map(Table::Text).map_err(|(line, what)| {
            io::Error::new(io::ErrorKind::InvalidData, format!("line {line}: {what}"))
        })
    }

    /// The rule for an address: that for itself, for the longest part of it that ends in a dot or colon, or for all.
    pub fn rule(&self, client: IpAddr) -> Option<Rule> {
        let client = client.to_string();
        let parts = client.rmatch_indices(['.', ':']).filter_map(|(at, _)| client.get(..=at));
        std::iter::once(client.as_str()).chain(parts).chain(std::iter::once("")).find_map(|key| match self {
            Table::Text(rules) => rules.get(key).cloned(),
            Table::Cdb(cdb) => cdb.get(key.as_bytes()).map(of_cdb),
        })
    }
}

/// `D`, or `+NAME=VALUE` and a NUL, as often as there are values.
fn of_cdb(data: &[u8]) -> Rule {
    if data.first() == Some(&b'D') {
        return Rule::Deny;
    }
    let values = data.split(|byte| *byte == 0).filter_map(|value| {
        let (name, value) = value.strip_prefix(b"+")?.split_at_checked(memchr::memchr(b'=', value)? - 1)?;
        Some((String::from_utf8_lossy(name).into_owned(), value.get(1..)?.to_vec()))
    });
    Rule::Allow(values.collect())
}

fn parse(text: &str) -> Result<HashMap<String, Rule>, (usize, &'static str)> {
    let mut rules = HashMap::new();
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let wrong = |what| (n + 1, what);
        let (at, verdict) = [":allow", ":deny"]
            .into_iter()
            .filter_map(|verdict| line.find(verdict).map(|at| (at, verdict)))
            .min()
            .ok_or(wrong("expected ADDRESS:allow or ADDRESS:deny"))?;
        let (address, rest) =
            (line.get(..at).unwrap_or_default(), line.get(at + verdict.len()..).unwrap_or_default());
        if address.contains(['=', '@']) {
            return Err(wrong("rules for names are not possible here: no name is looked up"));
        }
        let rule = match verdict {
            ":deny" => Rule::Deny,
            _ => Rule::Allow(values(rest).ok_or(wrong("expected ,NAME=\"VALUE\" behind allow"))?),
        };
        for key in expanded(address).ok_or(wrong("expected a range such as 192.0.2.5-9"))? {
            // The first one counts, as in the cdb.
            rules.entry(key).or_insert_with(|| rule.clone());
        }
    }
    Ok(rules)
}

/// `,NAME="VALUE"`, as often as there are values; any character may stand for the quotes.
fn values(mut rest: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let mut values = Vec::new();
    while let Some(value) = rest.strip_prefix(',') {
        let (name, value) = value.split_once('=')?;
        let quote = value.chars().next()?;
        let (value, after) = value.get(quote.len_utf8()..)?.split_once(quote)?;
        values.push((name.to_owned(), value.as_bytes().to_vec()));
        rest = after;
    }
    rest.trim_end().is_empty().then_some(values)
}

/// `192.0.2.5-9` is five addresses.
fn expanded(address: &str) -> Option<Vec<String>> {
    let Some((from, to)) = address.split_once('-') else {
        return Some(vec![address.to_owned()]);
    };
    let (to, dot) = match to.strip_suffix('.') {
        Some(to) => (to, "."),
        None => (to, ""),
    };
    let (start, from) = from.rsplit_once('.').map_or(("", from), |(start, from)| (start, from));
    let (from, to): (u8, u8) = (from.parse().ok()?, to.parse().ok()?);
    let start = if start.is_empty() { String::new() } else { format!("{start}.") };
    (from <= to).then(|| (from..=to).map(|n| format!("{start}{n}{dot}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# rules\n127.:allow,RELAYCLIENT=\"\"\n192.0.2.7:deny\n192.0.2.:allow,DATABYTES=\"5\",RBLSMTPD=/-no \"x\"/\n\
                        203.0.113.5-7:deny\n10-11.:deny\n2001:db8::7:deny\n:allow,SMTPD_GREETDELAY=\"3\"\n";

    fn tables() -> [Table; 2] {
        let directory = tempfile::tempdir().unwrap();
        let (text, cdb) = (directory.path().join("rules"), directory.path().join("rules.cdb"));
        // Debian's tcprules knows no IPv6.
        std::fs::write(&text, TEXT.replace("2001:db8::7:deny\n", "")).unwrap();
        let made = std::process::Command::new("tcprules")
            .args([&cdb, &directory.path().join("tmp")])
            .stdin(std::fs::File::open(&text).unwrap())
            .status()
            .unwrap();
        assert!(made.success());
        std::fs::write(&text, TEXT).unwrap();
        [Table::read(&text).unwrap(), Table::read(&cdb).unwrap()]
    }

    #[test]
    fn text_and_cdb_say_the_same_of_everybody() {
        let allow = |values: &[(&str, &str)]| {
            Some(Rule::Allow(values.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect()))
        };
        for table in tables() {
            for (client, rule) in [
                ("127.0.0.1", allow(&[("RELAYCLIENT", "")])),
                ("192.0.2.7", Some(Rule::Deny)),
                ("192.0.2.70", allow(&[("DATABYTES", "5"), ("RBLSMTPD", "-no \"x\"")])),
                ("203.0.113.4", allow(&[("SMTPD_GREETDELAY", "3")])),
                ("203.0.113.5", Some(Rule::Deny)),
                ("203.0.113.7", Some(Rule::Deny)),
                ("203.0.113.8", allow(&[("SMTPD_GREETDELAY", "3")])),
                ("11.2.3.4", Some(Rule::Deny)),
                ("12.2.3.4", allow(&[("SMTPD_GREETDELAY", "3")])),
            ] {
                assert_eq!(table.rule(client.parse().unwrap()), rule, "{client} {table:?}");
            }
        }
        let [text, _] = tables();
        assert_eq!(text.rule("2001:db8::7".parse().unwrap()), Some(Rule::Deny));
    }

    #[test]
    fn a_line_that_is_no_rule_is_told() {
        for (text, line) in [
            ("127.0.0.1", 1),
            (":allow\n127.0.0.1:alow", 2),
            ("127.:allow,X", 1),
            ("127.:allow,X=\"y", 1),
            ("127.:allow X", 1),
            ("127.5-a:deny", 1),
            ("=host.example:deny", 1),
        ] {
            assert_eq!(parse(text).unwrap_err().0, line, "{text}");
        }
    }

    #[test]
    fn a_door_opens_by_the_rule() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules");
        let policy = Arc::new(crate::config::Config::parse("x", "").unwrap().policy);
        let rules = TcpRules::new(&path, policy);
        let client = "192.0.2.7".parse().unwrap();
        assert!(matches!(rules.door(client), Door::Closed), "no file lets nobody in");
        std::fs::write(&path, ":allow,RELAYCLIENT=\"\",DATABYTES=\"7\"\n").unwrap();
        let Door::Open(policy, grant) = rules.door(client) else { unreachable!("it is allowed") };
        assert_eq!((policy.limits.message_bytes_max, grant.relay.as_deref()), (7, Some("")));
        std::fs::write(&path, "192.:deny\n").unwrap();
        assert!(matches!(rules.door(client), Door::Closed), "a change is seen at once");
        std::fs::write(&path, "what?\n").unwrap();
        assert!(matches!(rules.door(client), Door::Closed), "what it said before holds");
    }
}
