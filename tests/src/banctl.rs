//! What is asked of a program, and what it answers.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// What a program said, and whether it said yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub said: String,
    /// Its standard error.
    pub cried: String,
}

impl Answer {
    /// Runs a command to its end.
    ///
    /// # Errors
    /// It cannot be run, or was killed.
    pub fn of(command: &mut Command) -> Result<Answer> {
        let Output { status, stdout, stderr } =
            command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
        let code = status.code().with_context(|| format!("{command:?}: {status}"))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Answer { code, said: text(stdout), cried: text(stderr) })
    }

    /// The answer, where it is yes.
    ///
    /// # Errors
    /// It is another.
    pub fn yes(self) -> Result<Answer> {
        self.is(0)
    }

    /// The answer, where it has this exit code.
    ///
    /// # Errors
    /// It has another.
    pub fn is(self, code: i32) -> Result<Answer> {
        ensure!(self.code == code, "exit code {} instead of {code}\n{}{}", self.code, self.said, self.cried);
        Ok(self)
    }

    /// What it said, as JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.said).with_context(|| format!("no JSON: {}{}", self.said, self.cried))
    }
}

/// A ban, as far as two of them can be compared: whom, by which jail, from when until when to the nanosecond.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ban {
    /// An address or a network.
    pub subject: String,
    /// The jail.
    pub jail: String,
    /// RFC 3339.
    pub from: String,
    /// RFC 3339.
    pub until: String,
}

impl Ban {
    /// The bans under `"bans"`.
    ///
    /// # Errors
    /// There is no such key, or something else under it.
    pub fn list(answer: &Value) -> Result<BTreeSet<Ban>> {
        let bans = answer.get("bans").and_then(Value::as_array).context("no list `bans`")?;
        bans.iter().map(Ban::read).collect()
    }

    fn read(ban: &Value) -> Result<Ban> {
        let text = |key: &str| {
            let value =
                ban.get(key).and_then(Value::as_str).with_context(|| format!("no `{key}` in {ban}"))?;
            anyhow::Ok(value.to_owned())
        };
        Ok(Ban { subject: text("subject")?, jail: text("jail")?, from: text("from")?, until: text("until")? })
    }
}

/// How often a jail has counted the subject of an answer of `banctl why --json`.
pub fn counted(why: &Value, jail: &str) -> Option<u64> {
    let standing = why.get("standing")?.as_array()?;
    standing
        .iter()
        .find(|standing| standing.get("jail").is_some_and(|name| name == jail))?
        .get("count")?
        .as_u64()
}
