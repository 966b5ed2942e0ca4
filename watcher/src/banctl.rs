//! `banctl`, as a library: arguments, questions, answers on a terminal.

mod arguments;
mod quota;
mod show;

use std::io::{self, BufRead as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use arguments::Arguments;
use arguments::{Allow, Command, Whom};

use crate::control::api::{
    AllowRequest, Allows, AskedList, BanRequest, Bans, ExplainRequest, Explained, JailList, Message, Quotas,
    Status, SubjectsRequest, UnbanRequest, Why,
};
use crate::control::client;
use crate::subject::Subject;

/// Asked, and the answer is no.
const NO: ExitCode = ExitCode::FAILURE;

/// Does what was typed: 0 yes, 1 the answer is no.
///
/// # Errors
/// It could not be done.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let asker = Asker(arguments);
    match &arguments.command {
        Command::Status => {
            let status: Status = asker.get("/v1/status")?;
            asker.show(&status, show::status)?;
            Ok(if status.ready { ExitCode::SUCCESS } else { NO })
        }
        Command::List => {
            let bans: Bans = asker.get("/v1/bans")?;
            asker.show(&bans, show::list)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Jails => {
            let jails: JailList = asker.get("/v1/jails")?;
            asker.show(&jails, show::jails)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Why { subject, event: Some(kind), fields } => {
            let (kind, address) = (kind.clone(), subject.to_string());
            let request = ExplainRequest { kind, address, fields: fields.iter().cloned().collect() };
            let explained: Explained = asker.post("/v1/explain", &request)?;
            asker.show(&explained, show::explained)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Why { subject, event: None, .. } => {
            let why: Why = asker.get(&format!("/v1/bans/{}", path_of(subject)))?;
            asker.show(&why, show::why)?;
            Ok(if why.bans.is_empty() { NO } else { ExitCode::SUCCESS })
        }
        Command::Ban { whom, length, reason, jail } => {
            let request = BanRequest {
                subjects: subjects(whom)?,
                for_seconds: length.as_secs(),
                jail: jail.clone(),
                reason: reason.clone(),
            };
            let bans: Bans = asker.post("/v1/bans", &request)?;
            asker.show(&bans, show::banned)?;
            Ok(if bans.refused.is_empty() { ExitCode::SUCCESS } else { NO })
        }
        Command::Unban { whom, jail, all } => {
            let subjects = whom.as_ref().map(subjects).transpose()?.unwrap_or_default();
            let request = UnbanRequest { subjects, jail: jail.clone(), all: *all };
            let bans: Bans = asker.post("/v1/unban", &request)?;
            asker.show(&bans, show::unbanned)?;
            Ok(if bans.refused.is_empty() { ExitCode::SUCCESS } else { NO })
        }
        Command::Allow(allow) => asker.allow(allow),
        Command::Confirm { whom: None, .. } => {
            let asked: AskedList = asker.get("/v1/asked")?;
            asker.show(&asked, show::asked)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Confirm { whom: Some(whom), no } => {
            let request = SubjectsRequest { subjects: subjects(whom)?, ban: !no };
            let bans: Bans = asker.post("/v1/confirm", &request)?;
            asker.show(&bans, show::banned)?;
            Ok(if bans.refused.is_empty() { ExitCode::SUCCESS } else { NO })
        }
        Command::Quota => {
            let quotas: Quotas = asker.get("/v1/quota")?;
            asker.show(&quotas, quota::quota)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Reload => {
            let message: Message = asker.post("/v1/reload", &())?;
            asker.show(&message, |message| format!("{}\n", message.message))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Asks over the socket that was named, and shows as was asked for.
struct Asker<'a>(&'a Arguments);

impl Asker<'_> {
    fn allow(&self, allow: &Allow) -> anyhow::Result<ExitCode> {
        let (allows, words): (Allows, fn(&Allows) -> String) = match allow {
            Allow::List => (self.get("/v1/allow")?, show::allowed),
            Allow::Add { whom, length, note } => {
                let for_seconds = length.map(|length| length.as_secs());
                let request = AllowRequest { subjects: subjects(whom)?, for_seconds, note: note.clone() };
                (self.post("/v1/allow", &request)?, show::allow)
            }
            Allow::Remove { whom } => {
                let request = SubjectsRequest { subjects: subjects(whom)?, ban: true };
                (self.post("/v1/disallow", &request)?, show::disallow)
            }
        };
        self.show(&allows, words)?;
        Ok(if allows.refused.is_empty() { ExitCode::SUCCESS } else { NO })
    }

    fn get<A: DeserializeOwned>(&self, path: &str) -> anyhow::Result<A> {
        self.ask(Method::GET, path, None::<&()>)
    }

    fn post<A: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<A> {
        self.ask(Method::POST, path, Some(body))
    }

    fn ask<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<A> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(client::ask(&self.0.socket, method, path, body))?)
    }

    fn show<A: Serialize>(&self, answer: &A, words: impl Fn(&A) -> String) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        let written = if self.0.json {
            writeln!(out, "{}", serde_json::to_string_pretty(answer)?)
        } else {
            write!(out, "{}", words(answer))
        };
        match written {
            // Whoever piped this into `head` has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }
}

/// The subjects that were named, or those on standard input, one a line.
fn subjects(whom: &Whom) -> anyhow::Result<Vec<String>> {
    match whom {
        Whom::Subject(subject) => Ok(vec![subject.to_string()]),
        Whom::Input => {
            let lines: Vec<String> =
                io::stdin().lock().lines().collect::<Result<_, _>>().context("standard input")?;
            let named = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
            let subjects: Vec<String> =
                lines.iter().map(|line| named(line)).filter(|s| !s.is_empty()).collect();
            if subjects.is_empty() {
                bail!("standard input names nobody; one address or network a line");
            }
            Ok(subjects)
        }
    }
}

/// A subject as a part of a path: what is no letter, digit, dot, colon or slash is written `%HH`.
fn path_of(subject: &Subject) -> String {
    let byte = |byte: u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b':' | b'/' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    subject.to_string().bytes().map(byte).collect()
}
