//! vpopmail's own files: in the directory of each domain a `vpasswd.cdb` that says who has which password.
//!
//! A value is `hash:uid:flags:gecos:directory:quota`, and perhaps `:password` behind it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::config::ASSIGN;
use crate::fingerprint::Key;
use crate::password::even::Even;
use crate::password::hashed::{self, Memory};
use crate::recipients::vpopmail;
use crate::session::{PasswordAnswer, Secret};
use crate::users::Name;

/// Checks at once; a hash of these costs some milliseconds.
const CHECKS_MAX: usize = 2;

/// Checks that are done or waited for, after which a login is put off (454).
const WAITING_MAX: usize = 64;

/// `NO_SMTP` of vpopmail.h: this user may not log in to send.
const NO_SMTP: u32 = 0x800;

/// What a name that nobody has is checked against until somebody's was seen: the hash that vpopmail makes.
const NOBODY: &str =
    "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1";

/// The domains below a directory.
#[derive(Debug)]
pub struct Vpopmail {
    domains: PathBuf,
    /// `users/cdb`, for domains that are elsewhere.
    assign: PathBuf,
    default_domain: String,
    key: Key,
    checks: Semaphore,
    waiting: Semaphore,
    /// The last hash that was found: an unknown user is answered after as much work as that one's.
    example: Mutex<String>,
    /// Where users have hashes of several kinds, that one's takes another time than theirs.
    even: Even,
}

/// One user's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    hash: String,
    clear: Option<String>,
}

impl Vpopmail {
    /// The domains below `domains`, mostly `/home/vpopmail/domains`.
    pub fn new(domains: &Path, default_domain: &str, key: Key) -> Self {
        Vpopmail {
            domains: domains.to_owned(),
            assign: ASSIGN.into(),
            default_domain: default_domain.to_owned(),
            key,
            checks: Semaphore::new(CHECKS_MAX),
            waiting: Semaphore::new(WAITING_MAX),
            example: Mutex::new(NOBODY.to_owned()),
            even: Even::default(),
        }
    }

    /// Is this the user's password? Waits its turn, unless too many wait.
    pub async fn check(&self, user: &[u8], password: Secret) -> PasswordAnswer {
        let Ok(_waiting) = self.waiting.try_acquire() else {
            return PasswordAnswer::Unavailable;
        };
        let Ok(turn) = self.checks.acquire().await else {
            return PasswordAnswer::Unavailable;
        };
        let asked = Instant::now();
        let Ok(entry) = self.found(user) else {
            return PasswordAnswer::Unavailable;
        };
        let wrong = PasswordAnswer::Wrong(self.key.fingerprint(password.bytes()));
        let is_known = entry.is_some();
        let hash = {
            let mut example = self.example.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = entry {
                *example = entry.hash;
            }
            example.clone()
        };
        let verify = move || hashed::verify(&hash, password.bytes(), &mut Memory::new());
        let verified = tokio::task::spawn_blocking(verify).await;
        drop(turn);
        let rest = self.even.rest(asked, Instant::now());
        match verified {
            Ok(true) if is_known => PasswordAnswer::Right,
            Ok(_) => {
                tokio::time::sleep(rest).await;
                wrong
            }
            Err(error) => {
                tracing::error!(%error, "checking a password failed");
                PasswordAnswer::Unavailable
            }
        }
    }

    /// CRAM-MD5 is checked against the clear password, where vpopmail was built to keep it.
    pub fn respond(&self, user: &[u8], challenge: &str, response: &Secret) -> PasswordAnswer {
        let Ok(entry) = self.found(user) else {
            return PasswordAnswer::Unavailable;
        };
        let clear = entry.and_then(|entry| entry.clear);
        let password = clear.as_deref().unwrap_or("nobody's");
        let is_right = hashed::cram_md5(password.as_bytes(), challenge.as_bytes(), response.bytes());
        if clear.is_some() && is_right { PasswordAnswer::Right } else { PasswordAnswer::WrongProof }
    }

    fn found(&self, user: &[u8]) -> io::Result<Option<Entry>> {
        self.entry(user).inspect_err(|error| {
            tracing::error!(domains = %self.domains.display(), %error, "cannot read a domain of vpopmail");
        })
    }

    fn entry(&self, user: &[u8]) -> io::Result<Option<Entry>> {
        // Only what is a name can stand in a path, so none leads out of the directory.
        let Some(name) = std::str::from_utf8(user).ok().and_then(|user| user.parse::<Name>().ok()) else {
            return Ok(None);
        };
        let domain = name.text().split_once('@').map_or(self.default_domain.as_str(), |(_, domain)| domain);
        let Some(directory) = vpopmail::domain_directory(Some(&self.domains), &self.assign, domain)? else {
            return Ok(None);
        };
        let passwords = vpopmail::passwords(&directory)?;
        Ok(passwords.and_then(|passwords| passwords.get(name.local().as_bytes()).and_then(Entry::parse)))
    }
}

impl Entry {
    /// `None` for a value that is none, and for a user that may not send.
    fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim_end_matches('\0');
        let fields: Vec<&str> = text.split(':').collect();
        let [hash, _uid, flags, _gecos, _directory, _quota, rest @ ..] = fields.as_slice() else {
            return None;
        };
        let may_send = flags.parse::<u32>().is_ok_and(|flags| flags & NO_SMTP == 0);
        let clear = rest.first().filter(|clear| !clear.is_empty()).map(|clear| (*clear).to_owned());
        may_send.then(|| Entry { hash: (*hash).to_owned(), clear })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// A domain whose database Debian's `cdb` makes.
    fn vpopmail(directory: &tempfile::TempDir) -> Vpopmail {
        let domain = directory.path().join("example.org");
        std::fs::create_dir(&domain).unwrap();
        let mut make = Command::new("cdb")
            .args(["-c", "-t"])
            .args([domain.join("tmp"), domain.join("vpasswd.cdb")])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = String::new();
        for (user, flags, more) in [("alice", 0, ""), ("bob", 0, ":secret"), ("carol", NO_SMTP, "")] {
            let value = format!("$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1:1:{flags}:{user}:/x:NOQUOTA{more}");
            lines += &format!("+{},{}:{user}->{value}\n", user.len(), value.len());
        }
        make.stdin.take().unwrap().write_all(format!("{lines}\n").as_bytes()).unwrap();
        assert!(make.wait().unwrap().success());
        let key = Key::open(&directory.path().join("key")).unwrap();
        Vpopmail::new(directory.path(), "example.org", key)
    }

    #[tokio::test]
    async fn a_domain_that_is_hashed_into_another_directory_is_found_by_users_cdb() {
        let directory = tempfile::tempdir().unwrap();
        let mut hashed = vpopmail(&directory);
        std::fs::create_dir(directory.path().join("A")).unwrap();
        let home = directory.path().join("A/example.org");
        std::fs::rename(directory.path().join("example.org"), &home).unwrap();
        let check = async |vpopmail: &Vpopmail| {
            vpopmail.check(b"alice@example.org", Secret::new(b"secret".to_vec())).await
        };
        assert!(matches!(check(&hashed).await, PasswordAnswer::Wrong(_)));
        hashed.assign = directory.path().join("cdb");
        let value = format!("example.org\x0089\x0089\0{}\0-\0\0", home.display());
        let mut make =
            Command::new("cdb").arg("-c").arg(&hashed.assign).stdin(Stdio::piped()).spawn().unwrap();
        let line = format!("+13,{}:!example.org-->{value}\n\n", value.len());
        make.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        assert!(make.wait().unwrap().success());
        assert_eq!(check(&hashed).await, PasswordAnswer::Right);
    }

    #[tokio::test]
    async fn a_password_is_that_of_the_domains_database() {
        let directory = tempfile::tempdir().unwrap();
        let vpopmail = vpopmail(&directory);
        for (user, password, right) in [
            ("alice", "secret", true),
            ("Alice@Example.org", "secret", true),
            ("alice", "guess", false),
            ("carol", "secret", false),
            ("nobody", "secret", false),
            ("alice@example.net", "secret", false),
            ("../../alice", "secret", false),
        ] {
            let answer = vpopmail.check(user.as_bytes(), Secret::new(password.into())).await;
            assert_eq!(answer == PasswordAnswer::Right, right, "{user} {password}");
            assert_ne!(answer, PasswordAnswer::Unavailable, "{user}");
        }
        for (user, right) in [("bob", true), ("alice", false), ("nobody", false)] {
            let response = Secret::new(hashed::response(b"secret", b"<1@mx>").into_bytes());
            let answer = vpopmail.respond(user.as_bytes(), "<1@mx>", &response);
            assert_eq!(answer == PasswordAnswer::Right, right, "{user}");
        }
    }
}
