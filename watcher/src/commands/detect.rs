//! `detect`: which logs of this machine are read where none is named, and why.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use crate::config::Origin;
use crate::detect::{Detected, Found, detect};

/// `detect`: what the watcher finds on this machine.
#[derive(Debug, clap::Args)]
pub struct Detect {
    /// JSON instead of a configuration with comments.
    #[arg(long)]
    json: bool,
}

impl Detect {
    /// Does it; whether anything was found.
    ///
    /// # Errors
    /// Nothing can be printed.
    pub fn run(self) -> anyhow::Result<bool> {
        let found = detect_here();
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{:#}", json(&found))?;
        } else {
            out.write_all(toml(&found).as_bytes())?;
        }
        Ok(!found.taken.is_empty())
    }
}

/// What this machine has now.
pub(super) fn detect_here() -> Detected {
    detect(Path::new("/"), std::time::SystemTime::now().into())
}

/// What can be appended to `watcher.toml` as it is.
fn toml(found: &Detected) -> String {
    let mut told = String::new();
    for Found { origin, why } in &found.taken {
        let _ = writeln!(told, "# {why}\n[[source]]\n{}\n", key(origin));
    }
    if found.taken.is_empty() {
        told += "# No log of a mail server was found: name one in [[source]].\n";
    }
    for passed in &found.passed_over {
        let name = logline::Text::from(passed.name.as_bytes()).readable().to_string();
        let _ = writeln!(told, "# not read: {name}: {}", passed.why);
    }
    told
}

fn key(origin: &Origin) -> String {
    // A string of JSON is one of TOML.
    match origin {
        Origin::File(path) => format!("file = {}", json!(path.to_string_lossy())),
        Origin::Journal(selection) => format!("journal = {}", json!(selection.matches)),
        Origin::Syslog(address) => format!("syslog = {}", json!(address.to_string())),
        Origin::Input => "stdin = true".to_owned(),
    }
}

fn json(found: &Detected) -> Value {
    let taken = found.taken.iter().map(|Found { origin, why }| {
        let mut source = json!({ "kind": origin.kind(), "name": origin.to_string(), "why": why });
        if let (Value::Object(source), Origin::Journal(selection)) = (&mut source, origin) {
            source.insert("journal".to_owned(), json!(selection.matches));
        }
        source
    });
    let passed = found.passed_over.iter().map(|passed| json!({ "name": passed.name, "why": passed.why }));
    json!({ "sources": taken.collect::<Vec<_>>(), "passed_over": passed.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use settings::Document;

    use super::*;
    use crate::detect::PassedOver;
    use crate::journal::Selection;

    #[test]
    fn what_is_printed_is_a_configuration() {
        let matches = vec!["_SYSTEMD_UNIT=a.service".to_owned(), "_SYSTEMD_UNIT=b.service".to_owned()];
        let found = Detected {
            taken: vec![
                Found { origin: Origin::File("/var/log/a \"b\"".into()), why: "why".to_owned() },
                Found {
                    origin: Origin::Journal(Selection { matches, directory: None }),
                    why: "why".to_owned(),
                },
            ],
            passed_over: vec![PassedOver { name: "/x\n[[source]]".to_owned(), why: "why".to_owned() }],
        };
        let document = Document::parse("watcher.toml", toml(&found));
        let sources = document.root().tables("source");
        assert_eq!(sources[0].get::<String>("file").as_deref(), Some("/var/log/a \"b\""));
        assert_eq!(sources[1].get::<Vec<String>>("journal").unwrap().len(), 2);
        assert_eq!(sources.len(), 2);
        document.finish().unwrap();
    }
}
