//! Asking over the socket that was named, and showing as was asked for.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::banctl::arguments::{Allow, Arguments};
use crate::banctl::{named, show};
use crate::control::api::{AllowRequest, Allows, BanRequest, Bans, SubjectsRequest, UnbanRequest};
use crate::control::client;

/// Asked, and the answer is no.
pub(super) const NO: ExitCode = ExitCode::FAILURE;

/// So many subjects go into one request: a fraction of what the watcher takes at once.
const AT_ONCE: usize = 10_000;

/// An answer that comes in parts.
trait Parts: Default + DeserializeOwned {
    /// Takes in one more.
    fn add(&mut self, part: Self);
}

impl Parts for Bans {
    fn add(&mut self, part: Self) {
        self.bans.extend(part.bans);
        self.refused.extend(part.refused);
    }
}

impl Parts for Allows {
    fn add(&mut self, part: Self) {
        self.allowed.extend(part.allowed);
        self.refused.extend(part.refused);
    }
}

/// Asks over the socket that was named, and shows as was asked for.
pub(super) struct Asker<'a>(pub(super) &'a Arguments);

impl Asker<'_> {
    pub(super) fn allow(&self, allow: &Allow) -> anyhow::Result<ExitCode> {
        let (allows, words): (Allows, fn(&Allows) -> String) = match allow {
            Allow::List => (self.get("/v1/allow")?, show::allowed),
            Allow::Add { whom, length, note } => {
                let for_seconds = length.map(|length| length.as_secs());
                let subjects = named::all(&whom.whom, &whom.files)?;
                let request = |subjects| AllowRequest { subjects, for_seconds, note: note.clone() };
                (self.piecemeal("/v1/allow", &subjects, request)?, show::allow)
            }
            Allow::Remove { whom } => {
                let subjects = named::all(&whom.whom, &whom.files)?;
                let request = |subjects| SubjectsRequest { subjects, ban: true };
                (self.piecemeal("/v1/disallow", &subjects, request)?, show::disallow)
            }
        };
        self.show(&allows, words)?;
        Ok(said(allows.refused.is_empty()))
    }

    /// Bans these, so many at a time.
    pub(super) fn ban(&self, request: BanRequest) -> anyhow::Result<ExitCode> {
        let BanRequest { subjects, for_seconds, jail, reason } = request;
        let bans: Bans = self.piecemeal("/v1/bans", &subjects, |subjects| BanRequest {
            subjects,
            for_seconds,
            jail: jail.clone(),
            reason: reason.clone(),
        })?;
        self.show(&bans, show::banned)?;
        Ok(said(bans.refused.is_empty()))
    }

    pub(super) fn unban(&self, request: &UnbanRequest) -> anyhow::Result<ExitCode> {
        let bans = if request.subjects.is_empty() {
            self.post("/v1/unban", request)?
        } else {
            let part = |subjects| UnbanRequest { subjects, ..UnbanRequest::default() };
            self.piecemeal("/v1/unban", &request.subjects, part)?
        };
        self.show(&bans, show::unbanned)?;
        Ok(said(bans.refused.is_empty()))
    }

    /// Asks the same about all of these, so many at a time.
    fn piecemeal<R: Serialize, A: Parts>(
        &self,
        path: &str,
        subjects: &[String],
        request: impl Fn(Vec<String>) -> R,
    ) -> anyhow::Result<A> {
        let mut answer = A::default();
        for (done, part) in subjects.chunks(AT_ONCE).enumerate() {
            let part = self.post(path, &request(part.to_vec()));
            let told = || format!("after {} of {} were dealt with", done * AT_ONCE, subjects.len());
            answer.add(if done > 0 { part.with_context(told)? } else { part? });
        }
        Ok(answer)
    }

    pub(super) fn get<A: DeserializeOwned>(&self, path: &str) -> anyhow::Result<A> {
        self.ask(Method::GET, path, None::<&()>)
    }

    pub(super) fn post<A: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<A> {
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

    /// Passes an answer on as it comes, be it as long as it may.
    pub(super) fn copy(&self, path: &str) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut out = io::stdout().lock();
        let copied =
            runtime.block_on(client::copy(&self.0.socket, path, &mut |piece| out.write_all(piece)))?;
        enough(copied)
    }

    pub(super) fn show<A: Serialize>(&self, answer: &A, words: impl Fn(&A) -> String) -> anyhow::Result<()> {
        let told = if self.0.json { serde_json::to_string_pretty(answer)? + "\n" } else { words(answer) };
        write(&told)
    }
}

/// Writes to standard output.
pub(super) fn write(text: &str) -> anyhow::Result<()> {
    enough(io::stdout().lock().write_all(text.as_bytes()))
}

fn enough(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        // Whoever piped this into `head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// The exit code of a yes or a no.
pub(super) fn said(yes: bool) -> ExitCode {
    if yes { ExitCode::SUCCESS } else { NO }
}
