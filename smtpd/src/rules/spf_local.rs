//! What this server adds to what domains say by SPF: qmail's `spfrules`, `spfguess` and `spfexp`.

use std::fmt::Write as _;
use std::net::IpAddr;

use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::spf::Spf;

/// What a record begins with.
const VERSION: &str = "v=spf1";

/// The additions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpfLocal {
    /// Mechanisms that are put before the end of each domain's record (`spfrules`).
    pub rules: Option<String>,
    /// What stands for the record of a domain that has none (`spfguess`).
    pub guess: Option<String>,
    /// What who is refused is told where the domain has no words of its own (`spfexp`).
    pub explanation: Option<String>,
}

/// What the explanation may name.
#[derive(Clone, Copy, Debug)]
pub struct SpfSubject<'a> {
    /// The client.
    pub client: IpAddr,
    /// What it calls itself.
    pub helo: &'a str,
    /// The sender, or the postmaster of the client's name.
    pub sender: &'a str,
    /// This host.
    pub hostname: &'a str,
}

impl SpfLocal {
    /// Whether these mechanisms can be read.
    pub fn is_record(mechanisms: &str) -> bool {
        Spf::parse(format!("{VERSION} {mechanisms}").as_bytes()).is_ok()
    }

    /// Whether a domain's record has to be looked at before it is judged.
    pub fn changes_records(&self) -> bool {
        self.rules.is_some() || self.guess.is_some()
    }

    /// The record to judge by, where it is another than the domain's own, which stands in these texts.
    pub fn record(&self, texts: &[Vec<u8>]) -> Option<Vec<u8>> {
        let rules = self.rules.as_deref().unwrap_or_default();
        let mut records = texts.iter().filter(|text| is_record(text));
        match (records.next(), records.next()) {
            (Some(own), None) if !rules.is_empty() => Some(with_rules(own, rules)),
            (Some(_), _) => None,
            (None, _) => {
                let guess = self.guess.as_deref().unwrap_or_default();
                Some(format!("{VERSION} {guess} {rules}").into_bytes())
            }
        }
    }

    /// What the client is told.
    pub fn explain(&self, about: SpfSubject<'_>) -> Option<String> {
        let text = self.explanation.as_deref()?;
        let mut told = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('%') {
            told.push_str(before);
            let (what, behind) = macro_of(behind);
            match what {
                Some(letter) => about.append(letter, &mut told),
                None => told.push('%'),
            }
            rest = behind;
        }
        told.push_str(rest);
        Some(told)
    }
}

fn is_record(text: &[u8]) -> bool {
    let (version, rest) = text.split_at_checked(VERSION.len()).unwrap_or_default();
    version.eq_ignore_ascii_case(VERSION.as_bytes()) && matches!(rest, [] | [b' ', ..])
}

/// As the patch of qmail has it: before `-all`, and before the mechanisms right in front of that which refuse alike. Where
/// there is no such end, at the end.
fn with_rules(own: &[u8], rules: &str) -> Vec<u8> {
    let mut terms: Vec<&[u8]> = own.split(|byte| *byte == b' ').filter(|term| !term.is_empty()).collect();
    let is_end = |term: &&[u8]| term.get(1..).is_some_and(|rest| rest.eq_ignore_ascii_case(b"all"));
    let end = terms.iter().position(|term| matches!(term, [b'-' | b'~' | b'?', ..]) && is_end(term));
    let at = match end {
        Some(end) => {
            let sign = terms.get(end).and_then(|term| term.first()).copied();
            let alike = terms.iter().take(end).rev().take_while(|term| term.first().copied() == sign);
            end - alike.count()
        }
        None => terms.len(),
    };
    terms.insert(at, rules.as_bytes());
    terms.join(&b' ')
}

/// Reads what stands behind a `%`: the letter of `{s}`, a sign that stands for itself, or nothing.
fn macro_of(behind: &str) -> (Option<char>, &str) {
    if let Some((inner, rest)) = behind.strip_prefix('{').and_then(|inner| inner.split_once('}'))
        && let Some(letter) = inner.chars().next()
    {
        return (Some(letter), rest);
    }
    match behind.chars().next() {
        Some(sign @ ('%' | '_' | '-')) => (Some(sign), behind.get(1..).unwrap_or_default()),
        Some(_) | None => (None, behind),
    }
}

impl SpfSubject<'_> {
    /// Appends what a macro of RFC 7208 §7 stands for; a large letter is escaped for an address of the web.
    fn append(&self, letter: char, told: &mut String) {
        let (local, domain) = self.sender.rsplit_once('@').unwrap_or(("postmaster", self.sender));
        let client = self.client.to_string();
        let value = match letter.to_ascii_lowercase() {
            's' => self.sender,
            'l' => local,
            'o' | 'd' => domain,
            'i' | 'c' => &client,
            'h' => self.helo,
            'r' => self.hostname,
            '%' => "%",
            '_' => " ",
            '-' => "%20",
            _ => "",
        };
        if !letter.is_ascii_uppercase() {
            return told.push_str(value);
        }
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    told.push(char::from(byte));
                }
                // A string takes all that is written.
                byte => drop(write!(told, "%{byte:02X}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rules: &str, guess: &str, texts: &[&str], expected: Option<&str>) {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let local = SpfLocal { rules: some(rules), guess: some(guess), explanation: None };
        let texts: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        let record = local.record(&texts).map(|record| String::from_utf8(record).unwrap());
        assert_eq!(record.as_deref(), expected, "{texts:?}");
    }

    #[test]
    fn rules_stand_before_the_refusal_of_all_others() {
        let rules = "include:ours.example";
        for (own, expected) in [
            ("v=spf1 mx -all", "v=spf1 mx include:ours.example -all"),
            ("v=spf1 a ~ip4:192.0.2.1 ~ALL", "v=spf1 a include:ours.example ~ip4:192.0.2.1 ~ALL"),
            ("v=spf1 -ip4:192.0.2.1 mx ?all", "v=spf1 -ip4:192.0.2.1 mx include:ours.example ?all"),
            ("v=spf1 mx", "v=spf1 mx include:ours.example"),
        ] {
            check(rules, "", &["other=x", own], Some(expected));
        }
        check(rules, "", &["v=spf1 mx -all", "v=spf1 a -all"], None);
        check("", "a mx ?all", &["v=spf1 -all"], None);
    }

    #[test]
    fn a_guess_stands_for_no_record() {
        check("", "a/24 mx ?all", &["v=spf10 x"], Some("v=spf1 a/24 mx ?all "));
        check("include:ours.example", "a ?all", &[], Some("v=spf1 a ?all include:ours.example"));
        assert!(SpfLocal::is_record("include:ours.example ?all") && !SpfLocal::is_record("ip4:nonsense"));
    }

    #[test]
    fn an_explanation_names_what_it_is_about() {
        let about = SpfSubject {
            client: "192.0.2.7".parse().unwrap(),
            helo: "mail.example.net",
            sender: "a+b@example.net",
            hostname: "mx.example.org",
        };
        let told = |text: &str| {
            SpfLocal { explanation: Some(text.to_owned()), ..SpfLocal::default() }.explain(about).unwrap()
        };
        assert_eq!(
            told("%{i} is not %{d}'s (100%%), see http://x.example/?s=%{S}&r=%{r}%_%{l} %{h} %"),
            "192.0.2.7 is not example.net's (100%), see http://x.example/?s=a%2Bb%40example.net&r=mx.example.org a+b mail.example.net %"
        );
    }
}
