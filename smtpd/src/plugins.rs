//! Runs the programs of qmail-spp: without a shell, with nothing on standard input, for so long and no longer.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::rules::{PluginOpinion, PluginProgram, PluginVerdict};
use crate::session::Consultation;

/// Programs at once, of all sessions. Others wait; a flood of clients must not become a flood of processes.
static RUNNING: Semaphore = Semaphore::const_new(16);

/// How long one may take, waiting included.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of what one says that are heard; behind those it speaks to nobody.
const SAID_BYTES_MAX: u64 = 16 * 1024;

/// Bytes of its complaints that are told.
const COMPLAINED_BYTES_MAX: u64 = 512;

/// What qmail-spp takes for "cannot be run".
const CANNOT: i32 = 120;

/// Asks one program after the other, until one says that that is all.
pub(crate) async fn consult(mut consultation: Consultation) -> PluginOpinion {
    let mut opinion = PluginOpinion::default();
    for program in std::mem::take(&mut consultation.programs) {
        let said = match timeout(PATIENCE, run(&program, &consultation, &opinion)).await {
            Ok(Ok(said)) => said,
            Ok(Err(error)) => {
                tracing::error!(program = %program.path.display(), %error, "cannot run a plugin");
                return PluginOpinion { verdict: PluginVerdict::Failed, ..opinion };
            }
            Err(_) => {
                tracing::error!(program = %program.path.display(), "a plugin did not end in time");
                return PluginOpinion { verdict: PluginVerdict::Failed, ..opinion };
            }
        };
        if opinion.hear(&said) {
            break;
        }
    }
    opinion
}

async fn run(
    program: &PluginProgram,
    consultation: &Consultation,
    before: &PluginOpinion,
) -> io::Result<Vec<u8>> {
    let _permit = RUNNING.acquire().await.map_err(io::Error::other)?;
    let mut command = Command::new(&program.path);
    // An environment cannot hold a NUL, and a client can send one.
    let given = consultation.variables.iter().map(|(name, value)| (name, value.replace('\0', "")));
    command
        .args(&program.arguments)
        .envs(given)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let (Some(name), Some(address)) = (consultation.address, &before.address) {
        command.env(name, address);
    }
    for (name, value) in &before.variables {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut child = command.spawn()?;
    let (said, complained) =
        tokio::try_join!(heard(child.stdout.take(), SAID_BYTES_MAX), complaints(child.stderr.take()))?;
    let status = child.wait().await?;
    if !complained.is_empty() {
        let complained = complained.escape_ascii().to_string();
        tracing::info!(program = %program.path.display(), complained, "a plugin complains");
    }
    match status.code() {
        // It may have been told to be quiet by a pipe that nobody reads any more.
        Some(code) if code != CANNOT => Ok(said),
        None if said.len() as u64 >= SAID_BYTES_MAX => Ok(said),
        Some(_) | None => Err(io::Error::other(format!("it ended with {status}"))),
    }
}

/// The beginning of what a program says; the pipe is closed behind it.
async fn heard(pipe: Option<impl AsyncRead + Unpin>, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(bytes_max).read_to_end(&mut said).await?;
    }
    Ok(said)
}

/// The beginning of what a program complains of. The rest is read and forgotten: nobody is ended for complaining.
async fn complaints(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let Some(pipe) = pipe else {
        return Ok(Vec::new());
    };
    let mut pipe = pipe.take(COMPLAINED_BYTES_MAX);
    let mut complained = Vec::new();
    pipe.read_to_end(&mut complained).await?;
    tokio::io::copy(&mut pipe.into_inner(), &mut tokio::io::sink()).await?;
    Ok(complained)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::rules::Stage;

    fn script(directory: &Path, name: &str, text: &str) -> PluginProgram {
        let path = directory.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        PluginProgram { path, arguments: vec!["x".to_owned()] }
    }

    async fn asked(scripts: &[&str]) -> PluginOpinion {
        let directory = tempfile::tempdir().unwrap();
        let named = scripts.iter().enumerate();
        let programs = named.map(|(n, text)| script(directory.path(), &n.to_string(), text)).collect();
        let variables = vec![("SMTPRCPTTO".to_owned(), "$(reboot)\0@example.org".to_owned())];
        consult(Consultation { stage: Stage::Rcpt, programs, variables, address: Some("SMTPRCPTTO") }).await
    }

    #[tokio::test]
    async fn programs_are_asked_in_turn_and_hear_of_each_other() {
        let opinion = asked(&[
            "echo \"HX-To: $SMTPRCPTTO $1\"; echo Sseen=1; echo Ctrap@example.org; echo oh >&2",
            "[ \"$seen $SMTPRCPTTO\" = '1 trap@example.org' ] && echo 'E550 trapped'",
            "echo N",
        ])
        .await;
        assert_eq!(opinion.verdict, PluginVerdict::Refuse("550 trapped".into()));
        assert_eq!(opinion.fields, ["X-To: $(reboot)@example.org x"]);
        assert_eq!(asked(&["exit 1", "echo A", "exit 120"]).await.verdict, PluginVerdict::Accept);
        assert_eq!(asked(&[]).await, PluginOpinion::default());
    }

    #[tokio::test]
    async fn a_program_that_cannot_be_run_or_dies_is_a_failure_and_one_that_never_stops_is_cut_off() {
        for scripts in [["exit 120"], ["kill -9 $$"]] {
            assert_eq!(asked(&scripts).await.verdict, PluginVerdict::Failed, "{scripts:?}");
        }
        assert_eq!(asked(&["echo N; yes P"]).await.verdict, PluginVerdict::Next);
        let complains = "head -c 1000000 /dev/zero >&2; echo N";
        assert_eq!(asked(&[complains]).await.verdict, PluginVerdict::Next);
        let program = PluginProgram { path: "/nonexistent".into(), arguments: Vec::new() };
        let consultation = Consultation {
            stage: Stage::Data,
            programs: vec![program],
            variables: Vec::new(),
            address: None,
        };
        assert_eq!(consult(consultation).await.verdict, PluginVerdict::Failed);
    }
}
