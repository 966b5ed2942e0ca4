//! Asking over the socket that was named, and showing as was asked for.

use std::io::{self, Write as _};
use std::process::ExitCode;

use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::banctl::arguments::{Allow, Arguments};
use crate::banctl::{named, show};
use crate::control::api::{AllowRequest, Allows, BanRequest, Bans, SubjectsRequest, UnbanRequest};
use crate::control::client;

/// Asked, and the answer is no.
pub(super) const NO: ExitCode = ExitCode::FAILURE;

/// So many subjects go into one request: the watcher's lines wait for no more than that.
const AT_ONCE: usize = 10_000;

/// Asks over the socket that was named, and shows as was asked for.
pub(super) struct Asker<'a>(pub(super) &'a Arguments);

impl Asker<'_> {
    pub(super) fn allow(&self, allow: &Allow) -> anyhow::Result<ExitCode> {
        let (allows, words): (Allows, fn(&Allows) -> String) = match allow {
            Allow::List => (self.get("/v1/allow")?, show::allowed),
            Allow::Add { whom, length, note } => {
                let for_seconds = length.map(|length| length.as_secs());
                let subjects = named::all(&whom.whom, &whom.files)?;
                let request = AllowRequest { subjects, for_seconds, note: note.clone() };
                (self.post("/v1/allow", &request)?, show::allow)
            }
            Allow::Remove { whom } => {
                let subjects = named::all(&whom.whom, &whom.files)?;
                let request = SubjectsRequest { subjects, ban: true };
                (self.post("/v1/disallow", &request)?, show::disallow)
            }
        };
        self.show(&allows, words)?;
        Ok(said(allows.refused.is_empty()))
    }

    /// Bans these, so many at a time.
    pub(super) fn ban(&self, request: BanRequest) -> anyhow::Result<ExitCode> {
        let BanRequest { subjects, for_seconds, jail, reason } = request;
        let bans = self.piecemeal("/v1/bans", &subjects, |subjects| BanRequest {
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

    fn piecemeal<R: Serialize>(
        &self,
        path: &str,
        subjects: &[String],
        request: impl Fn(Vec<String>) -> R,
    ) -> anyhow::Result<Bans> {
        let mut answer = Bans::default();
        for part in subjects.chunks(AT_ONCE) {
            let Bans { bans, refused, .. } = self.post(path, &request(part.to_vec()))?;
            answer.bans.extend(bans);
            answer.refused.extend(refused);
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
