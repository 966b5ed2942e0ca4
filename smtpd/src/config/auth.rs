//! `[auth]`: who may log in, how, and who checks the passwords.

use std::ffi::OsString;
use std::path::PathBuf;

use logline::Mechanism;
use settings::{DeValue, Table, Value, mismatch, one_of};

use crate::session::{AuthRules, NonceKey};

/// Who checks passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passwords {
    /// The file of `users`.
    File,
    /// `checkpassword`: a program, and what it is to run.
    Checkpassword(Vec<OsString>),
    /// `vpopmail`: the directory of the domains, in which each has its `vpasswd.cdb`.
    Vpopmail(PathBuf),
    /// `dovecot`: the socket of its authentication server.
    Dovecot(PathBuf),
}

pub(super) fn auth(table: &Table<'_>) -> (AuthRules, Passwords) {
    let usual = AuthRules::new(NonceKey::random());
    let mechanisms = table.get::<Vec<Offered>>("mechanisms");
    let rules = AuthRules {
        mechanisms: mechanisms
            .map_or(usual.mechanisms, |list| list.into_iter().map(|Offered(own)| own).collect()),
        in_clear: table.get_or("in_clear", false),
        required: table.get_or("required", false),
        own_sender: table.get_or("own_sender", false),
        nonce_key: usual.nonce_key,
    };
    let passwords = passwords(table);
    let is_scram = |m: &Mechanism| matches!(m, Mechanism::ScramSha256 | Mechanism::ScramSha256Plus);
    if rules.mechanisms.iter().any(is_scram) && passwords != Passwords::File {
        table.mistake("mechanisms", "SCRAM needs credentials that only the file of `users` keeps");
    }
    if rules.mechanisms.contains(&Mechanism::CramMd5) && matches!(passwords, Passwords::Dovecot(_)) {
        table.mistake("mechanisms", "dovecot answers only CRAM-MD5 challenges of its own");
    }
    (rules, passwords)
}

fn passwords(table: &Table<'_>) -> Passwords {
    let program = table.get::<Vec<String>>("checkpassword");
    match (program, table.path("vpopmail"), table.path("dovecot")) {
        (None, None, None) => Passwords::File,
        (Some(words), None, None) => {
            if words.is_empty() {
                table.mistake("checkpassword", "expected a program, and what it is to run");
            }
            Passwords::Checkpassword(words.into_iter().map(OsString::from).collect())
        }
        (None, Some(domains), None) => Passwords::Vpopmail(domains),
        (None, None, Some(socket)) => Passwords::Dovecot(socket),
        _ => {
            table.mistake_at_table(
                "checkpassword, vpopmail and dovecot: only one of them can check passwords",
            );
            Passwords::File
        }
    }
}

struct Offered(Mechanism);

impl Value for Offered {
    const EXPECTED: &'static str =
        "\"login\", \"plain\", \"scram-sha-256\", \"scram-sha-256-plus\" or \"cram-md5\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let names: Vec<(&str, Mechanism)> = Mechanism::ALL.iter().map(|own| (own.name(), *own)).collect();
        one_of(value, &names).map(Offered).map_err(|_| mismatch(Self::EXPECTED, value))
    }
}
