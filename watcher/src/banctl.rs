//! `banctl`, as a library: arguments, questions, answers on a terminal.

mod arguments;
mod ask;
mod export;
mod list;
mod manual;
mod named;
mod quota;
mod show;
mod top;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use hyper::StatusCode;

pub use arguments::Arguments;
use arguments::{Command, Format};
use ask::{Asker, said};

use crate::control::api::{
    AskedList, BanRequest, Bans, ExplainRequest, Explained, Histories, JailList, Message, Quotas, Status,
    SubjectsRequest, Tested, UnbanRequest, Why,
};
use crate::control::client::ClientError;
use crate::subject::Subject;

/// `reload --wait` waits no longer.
const RELOAD_WAIT: Duration = Duration::from_secs(60);
/// And looks again so often.
const RELOAD_LOOK: Duration = Duration::from_millis(100);

/// The exit code of what could not be done: 78 where the configuration is wrong (sysexits.h: EX_CONFIG), 2 for all else.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let is_misconfigured = matches!(
        error.downcast_ref(),
        // The watcher says so of a configuration alone.
        Some(ClientError::Refused { status: StatusCode::UNPROCESSABLE_ENTITY, .. })
    );
    ExitCode::from(if is_misconfigured { 78 } else { 2 })
}

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
            Ok(said(status.ready))
        }
        Command::List(list) => list::list(&asker, list),
        Command::Jails => tell::<JailList>(&asker, "/v1/jails", show::jails),
        Command::Quota => tell::<Quotas>(&asker, "/v1/quota", quota::quota),
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
            Ok(said(!why.bans.is_empty()))
        }
        Command::History { subject, jail, since, limit } => {
            let found: Histories =
                asker.get(&history(subject.as_ref(), jail.as_deref(), since.as_deref(), *limit))?;
            asker.show(&found, show::history)?;
            Ok(said(!found.bans.is_empty()))
        }
        Command::Test { address } => {
            let tested: Tested = asker.get(&format!("/v1/test/{address}"))?;
            asker.show(&tested, show::tested)?;
            Ok(said(tested.dropped))
        }
        Command::Ban { whom, length, reason, jail } => asker.ban(BanRequest {
            subjects: named::all(&whom.whom, &whom.files)?,
            for_seconds: length.as_secs(),
            jail: jail.clone(),
            reason: reason.clone(),
        }),
        Command::Unban { whom, files, jail, all } => {
            asker.unban(&UnbanRequest { subjects: named::all(whom, files)?, jail: jail.clone(), all: *all })
        }
        Command::Allow(allow) => asker.allow(allow),
        Command::Confirm { whom: None, .. } => tell::<AskedList>(&asker, "/v1/asked", show::asked),
        Command::Confirm { whom: Some(whom), no } => {
            let subjects = named::all(std::slice::from_ref(whom), &[])?;
            let bans: Bans = asker.post("/v1/confirm", &SubjectsRequest { subjects, ban: !no })?;
            asker.show(&bans, show::banned)?;
            Ok(said(bans.refused.is_empty()))
        }
        Command::Top => top::run(&arguments.socket),
        Command::Reload { wait } => reload(&asker, *wait),
        Command::Export { format } => export(&asker, *format),
        Command::Completions { shell } => raw(&manual::completions(*shell)),
        Command::Man => raw(&manual::page()?),
    }
}

/// Asks one question and shows the answer, which is always a yes.
fn tell<A: serde::Serialize + serde::de::DeserializeOwned>(
    asker: &Asker<'_>,
    path: &str,
    words: impl Fn(&A) -> String,
) -> anyhow::Result<ExitCode> {
    asker.show(&asker.get::<A>(path)?, words)?;
    Ok(ExitCode::SUCCESS)
}

fn reload(asker: &Asker<'_>, wait: bool) -> anyhow::Result<ExitCode> {
    let message: Message = asker.post("/v1/reload", &())?;
    let until = Instant::now() + RELOAD_WAIT;
    while wait && !asker.get::<Status>("/v1/status")?.ready {
        if Instant::now() >= until {
            bail!("{}; but bans are not in force: banctl status says why", message.message);
        }
        std::thread::sleep(RELOAD_LOOK);
    }
    asker.show(&message, |message| format!("{}\n", message.message))?;
    Ok(ExitCode::SUCCESS)
}

fn export(asker: &Asker<'_>, format: Format) -> anyhow::Result<ExitCode> {
    const ALL: &str = "/v1/bans?order=subject";
    let text = match format {
        Format::Json => {
            asker.copy(ALL)?;
            return Ok(ExitCode::SUCCESS);
        }
        Format::Nft => export::nft(&asker.get(ALL)?),
        Format::Csv => export::csv(&asker.get(ALL)?),
        Format::Rbldnsd => export::rbldnsd(&asker.get(ALL)?),
    };
    ask::write(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn raw(bytes: &[u8]) -> anyhow::Result<ExitCode> {
    io::stdout().lock().write_all(bytes)?;
    Ok(ExitCode::SUCCESS)
}

fn history(subject: Option<&Subject>, jail: Option<&str>, since: Option<&str>, limit: u32) -> String {
    let subject = subject.map(|subject| format!("/{}", path_of(subject))).unwrap_or_default();
    let jail = jail.map(|jail| format!("&jail={}", list::escaped(jail))).unwrap_or_default();
    let since = since.map(|since| format!("&since={}", list::escaped(since))).unwrap_or_default();
    format!("/v1/history{subject}?limit={limit}{jail}{since}")
}

/// A subject as a part of a path.
fn path_of(subject: &Subject) -> String {
    list::escaped(&subject.to_string())
}
