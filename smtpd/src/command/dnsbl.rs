//! `postern-smtpd dnsbl [ADDRESS]`: what the configured blocklists say, asked now and not from memory.

use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use crate::blocklist::{Action, Blocklist, Finding};
use crate::command::{Answer, Failure, Print, print, print_json};
use crate::config::Config;
use crate::names::Names;

/// Every working list lists this address, and none lists the other two (RFC 5782 §5).
const ALWAYS_LISTED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const NEVER_LISTED: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::new(240, 0, 0, 1))];

/// What a list says.
#[derive(Debug, Serialize)]
struct Line {
    zone: String,
    #[serde(flatten)]
    word: Word,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "says", rename_all = "kebab-case")]
enum Word {
    /// It lists the address.
    Listed { text: String, codes: Vec<Ipv4Addr> },
    /// It does not.
    Clear,
    /// It works.
    Well,
    /// Nobody should believe it.
    Bad { why: String },
}

/// Asks each list: whether it has this address, or, without one, whether it works.
///
/// # Errors
/// Where the name servers cannot be asked.
pub fn dnsbl(config: &Config, address: Option<IpAddr>, how: Print) -> Result<Answer, Failure> {
    let names = Names::new(&config.name_servers).map_err(Failure::Resolver)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Start)?;
    let lines: Vec<Line> = runtime.block_on(async {
        let mut lines = Vec::new();
        for list in &config.policy.blocklists {
            let word = match address {
                Some(address) => word(&ask(&names, list, address).await),
                None => test(&names, list).await,
            };
            lines.push(Line { zone: list.shown_zone().to_owned(), word });
        }
        lines
    });
    match how {
        Print::Json => print_json(&serde_json::json!({ "lists": lines }))?,
        Print::Text => print(&lines.iter().map(text).collect::<String>())?,
    }
    let yes = match address {
        Some(_) => lines.iter().any(|line| matches!(line.word, Word::Listed { .. })),
        None => lines.iter().all(|line| line.word == Word::Well),
    };
    Ok(if yes { Answer::Yes } else { Answer::No })
}

async fn ask(names: &Names, list: &Blocklist, address: IpAddr) -> Finding {
    list.judge(address, &names.blocklist(&list.query(address), |_| true).await)
}

async fn test(names: &Names, list: &Blocklist) -> Word {
    if let Some(why) = list.dead() {
        return Word::Bad { why: format!("it is no more: {why}") };
    }
    match ask(names, list, ALWAYS_LISTED).await {
        Finding::Listed(_) => {}
        Finding::Clear if list.action() == Action::Accept => {}
        Finding::Clear => {
            return Word::Bad { why: "it does not list 127.0.0.2, so it lists nobody".to_owned() };
        }
        // A list of the good may have a code of its own for that, or none.
        Finding::Error(_) if list.action() == Action::Accept => {}
        Finding::Error(error) => return Word::Bad { why: printable(error.as_bytes()) },
    }
    for address in NEVER_LISTED {
        if let Finding::Listed(_) = ask(names, list, address).await {
            return Word::Bad { why: format!("it lists {address}, so it lists everybody") };
        }
    }
    Word::Well
}

fn word(finding: &Finding) -> Word {
    match finding {
        Finding::Clear => Word::Clear,
        Finding::Listed(listing) => {
            Word::Listed { text: printable(&listing.text), codes: listing.codes.clone() }
        }
        Finding::Error(error) => Word::Bad { why: printable(error.as_bytes()) },
    }
}

fn text(line: &Line) -> String {
    let zone = &line.zone;
    match &line.word {
        Word::Listed { text, .. } => format!("{zone}: listed: {text}\n"),
        Word::Clear => format!("{zone}: not listed\n"),
        Word::Well => format!("{zone}: works\n"),
        Word::Bad { why } => format!("{zone}: NOT TO BE BELIEVED: {why}\n"),
    }
}

/// A list's words, for a terminal.
fn printable(text: &[u8]) -> String {
    text.escape_ascii().to_string()
}
