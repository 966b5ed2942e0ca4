//! `postern-smtpd dns DOMAIN`: what the domain's owner publishes so that its mail comes here and is believed elsewhere.
//!
//! The key that the DKIM record is of is made here the first time; mail is signed once it is there.

use std::io;
use std::path::Path;

use serde::Serialize;

use crate::command::{Answer, DKIM_KEY, Failure, Print, print, print_json};
use crate::config::Config;
use crate::dkim;
use crate::mailbox::Mailbox;
use crate::names::{Names, NoAnswer};

/// Whether the name servers are asked what stands there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// They are.
    Up,
    /// Nobody is asked.
    Away,
}

/// One record.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Line {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    value: String,
    purpose: &'static str,
    /// Whether it stands there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<Published>,
}

/// What stands at a name now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Published {
    /// This, or something that says as much.
    Yes,
    /// Nothing like it.
    No,
    /// The name servers do not say.
    Unknown,
}

/// Prints the records.
///
/// # Errors
/// Where the domain is none, the key of the signatures can neither be read nor made, or the name servers cannot be asked.
pub fn dns(config: &Config, domain: &str, look: Look, how: Print) -> Result<Answer, Failure> {
    let Some(mailbox) = Mailbox::new("postmaster", domain.trim_end_matches('.')) else {
        return Err(Failure::Domain { domain: domain.to_owned() });
    };
    let mut lines = lines(config, &mailbox, &public_key(&config.dkim.key)?);
    if look == Look::Up {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let names = Names::new(&config.name_servers).map_err(Failure::Resolver)?;
        runtime.map_err(Failure::Start)?.block_on(look_up(&names, &mut lines));
    }
    match how {
        Print::Json => print_json(&serde_json::json!({ "domain": mailbox.domain_key(), "records": lines }))?,
        Print::Text => print(&lines.iter().map(text).collect::<String>())?,
    }
    let missing = lines.iter().any(|line| matches!(line.published, Some(Published::No | Published::Unknown)));
    Ok(if missing { Answer::No } else { Answer::Yes })
}

/// The DKIM record of the key in a file that is made where it is missing.
fn public_key(path: &Path) -> Result<String, Failure> {
    let record = match dkim::record(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            dkim::make(path).and_then(|()| dkim::record(path))
        }
        record => record,
    };
    record.map_err(|cause| Failure::File { path: path.to_owned(), what: DKIM_KEY, cause })
}

fn lines(config: &Config, mailbox: &Mailbox, public_key: &str) -> Vec<Line> {
    let (domain, host) = (mailbox.domain_key(), &config.policy.hostname);
    let line = |name: String, kind, value, purpose| Line { name, kind, value, purpose, published: None };
    // Mail that goes by a smarthost comes from the smarthost.
    let smarthost = config.remote.smarthost.as_ref().map(|smarthost| format!(" a:{}", smarthost.host));
    vec![
        line(domain.clone(), "MX", format!("10 {host}."), "mail for the domain comes here"),
        line(
            domain.clone(),
            "TXT",
            format!("v=spf1 mx{} -all", smarthost.unwrap_or_default()),
            "SPF: mail of the domain comes from no other host",
        ),
        line(
            format!("{}._domainkey.{domain}", config.dkim.selector),
            "TXT",
            public_key.to_owned(),
            "DKIM: others can tell that mail signed in the domain's name is its own",
        ),
        line(
            format!("_dmarc.{domain}"),
            "TXT",
            format!("v=DMARC1; p=none; rua=mailto:postmaster@{domain}"),
            "DMARC: others report what they get in the domain's name; p=quarantine once the reports are good",
        ),
    ]
}

fn text(line: &Line) -> String {
    let Line { name, kind, value, purpose, published } = line;
    let value = if *kind == "TXT" { strings(value) } else { value.clone() };
    let published = match published {
        None => "",
        Some(Published::Yes) => " (it is there)",
        Some(Published::No) => " (MISSING)",
        Some(Published::Unknown) => " (the name servers do not say whether it is there)",
    };
    format!("; {purpose}{published}\n{name}. IN {kind} {value}\n")
}

/// A text as strings of the most bytes that one may have (RFC 1035 §3.3.14); whoever reads them joins them.
fn strings(text: &str) -> String {
    const STRING_BYTES_MAX: usize = 255;
    let strings = text.as_bytes().chunks(STRING_BYTES_MAX);
    strings.map(|string| format!("\"{}\"", String::from_utf8_lossy(string))).collect::<Vec<_>>().join(" ")
}

/// Another mechanism in an SPF record or another policy in a DMARC record is the owner's choice, so any will do; of a DKIM
/// record only this key will.
async fn look_up(names: &Names, lines: &mut [Line]) {
    for line in lines {
        let found = if line.kind == "MX" {
            let wanted = line.value.trim_start_matches("10 ").trim_end_matches('.').to_ascii_lowercase();
            let found = names.exchangers(&line.name).await;
            found.map(|hosts| hosts.iter().any(|host| host.host.to_ascii_lowercase() == wanted))
        } else {
            let version = line.value.split([' ', ';']).next().unwrap_or_default();
            let key = line.value.split_once("k=rsa; p=").map(|(_, key)| key.as_bytes()).unwrap_or_default();
            let found = names.texts(&line.name).await;
            found.map(|texts| {
                texts.iter().any(|text| text.starts_with(version.as_bytes()) && text.ends_with(key))
            })
        };
        line.published = Some(match found {
            Ok(true) => Published::Yes,
            Ok(false) | Err(NoAnswer::NoName | NoAnswer::NoRecord) => Published::No,
            Err(NoAnswer::Failed) => Published::Unknown,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_told_what_to_publish() {
        let config = "hostname = \"mx.example.org\"\n[remote]\nsmarthost = \"relay.example.net:25\"\n";
        let config = Config::parse("smtpd.toml", config).unwrap();
        let mailbox = Mailbox::new("postmaster", "BÜCHER.example").unwrap();
        let key = format!("v=DKIM1; k=rsa; p={}", "A".repeat(392));
        let text: String = lines(&config, &mailbox, &key).iter().map(text).collect();
        assert!(text.contains("\nxn--bcher-kva.example. IN MX 10 mx.example.org.\n"), "{text}");
        assert!(text.contains(" IN TXT \"v=spf1 mx a:relay.example.net -all\"\n"), "{text}");
        let rest = "A".repeat(392 - (255 - 18));
        assert!(
            text.contains("\npostern._domainkey.xn--bcher-kva.example. IN TXT \"v=DKIM1; k=rsa; p=A"),
            "{text}"
        );
        assert!(text.contains(&format!("A\" \"{rest}\"\n")), "{text}");
        assert!(
            text.contains(
                "\n_dmarc.xn--bcher-kva.example. IN TXT \"v=DMARC1; p=none; rua=mailto:postmaster@"
            ),
            "{text}"
        );
    }
}
