//! Who has a mailbox and a password: a file of `name:hash` lines.
//!
//! A name is a local part, which is a mailbox in every domain of this server, or a whole address, which is one in that
//! domain alone. Names are lower case, and may have letters beyond ASCII (RFC 6531); the file is replaced, never changed
//! in place.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::durable;
use crate::mailbox::Mailbox;

/// A user's name: it can stand in a path and in a line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

/// The text can be no user's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has letters, digits and . _ + = - and may end in @ and a domain")]
pub struct NotAName;

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let text = normal(text);
        let (local, domain) = match text.split_once('@') {
            Some((local, domain)) => (local, Some(domain)),
            None => (text.as_str(), None),
        };
        let plain = local.chars().all(|c| c.is_alphanumeric() || "._+=-".contains(c));
        let domain =
            domain.is_none_or(|domain| Mailbox::new("x", domain).is_some() && !domain.starts_with('['));
        if plain && domain && !local.is_empty() && !local.starts_with('.') {
            Ok(Name(text))
        } else {
            Err(NotAName)
        }
    }
}

/// A name or an address as they are compared: in lower case, the domain as name servers know it.
fn normal(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((local, domain)) => {
            let key = Mailbox::new("x", domain).map_or_else(|| domain.to_lowercase(), |own| own.domain_key());
            format!("{}@{key}", local.to_lowercase())
        }
        None => text.to_lowercase(),
    }
}

impl Name {
    /// The name as the file has it.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The local part.
    pub fn local(&self) -> &str {
        self.0.split('@').next().unwrap_or(&self.0)
    }

    fn is_in(&self, domain: &str) -> bool {
        self.0.split_once('@').is_none_or(|(_, own)| own == domain)
    }
}

/// The users of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// In the order of the file: the first is the postmaster where nobody else is.
    names: Vec<Name>,
    hashes: HashMap<String, String>,
}

impl Users {
    /// Reads the file's text. Empty lines and comments are passed over; a line that is neither is told by its number.
    pub fn parse(text: &str) -> (Self, Vec<usize>) {
        let mut users = Users::default();
        let mut wrong = Vec::new();
        for (n, line) in
            text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        {
            match line.split_once(':').map(|(name, hash)| (name.parse::<Name>(), hash)) {
                Some((Ok(name), hash)) if !hash.is_empty() => users.set(name, hash.to_owned()),
                _ => wrong.push(n + 1),
            }
        }
        (users, wrong)
    }

    /// Adds a user, or gives it another hash.
    pub fn set(&mut self, name: Name, hash: String) {
        if self.hashes.insert(name.0.clone(), hash).is_none() {
            self.names.push(name);
        }
    }

    /// Takes a user away; false where there was none.
    pub fn remove(&mut self, name: &Name) -> bool {
        self.names.retain(|other| other != name);
        self.hashes.remove(&name.0).is_some()
    }

    /// All of them.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// The hash of the user that a client says it is; a name without a domain is one of `default_domain` too.
    pub fn hash(&self, user: &[u8], default_domain: &str) -> Option<&str> {
        let user = normal(std::str::from_utf8(user).ok()?);
        let other = match user.split_once('@') {
            Some((local, _)) => local.to_owned(),
            None => format!("{user}@{default_domain}"),
        };
        self.hashes.get(&user).or_else(|| self.hashes.get(&other)).map(String::as_str)
    }

    /// Whose mailbox an address of ours is: the user's own, one of its extensions (`user-ext`, `user+ext`), or, for
    /// postmaster, the first user's (RFC 5321 §4.5.1 demands that somebody reads it).
    pub fn owner(&self, mailbox: &Mailbox) -> Option<&str> {
        let (local, domain) = (mailbox.local().to_lowercase(), mailbox.domain_key());
        let extensions = local.match_indices(['-', '+']).map(|(at, _)| at).rev();
        let found = std::iter::once(local.len())
            .chain(extensions)
            .filter_map(|end| local.get(..end))
            .find_map(|name| self.name(name, &domain));
        let first = || self.names.iter().find(|name| local == "postmaster" && name.is_in(&domain));
        found.or_else(first).map(Name::local)
    }

    fn name(&self, local: &str, domain: &str) -> Option<&Name> {
        let in_domain = format!("{local}@{domain}");
        let key = if self.hashes.contains_key(&in_domain) { &in_domain } else { local };
        self.hashes.get(key).and_then(|_| self.names.iter().find(|name| name.0 == *key))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for name in &self.names {
            if let Some(hash) = self.hashes.get(&name.0) {
                // A string takes every write.
                let _ = writeln!(text, "{}:{hash}", name.0);
            }
        }
        text
    }
}

/// The file, and what was last read from it.
#[derive(Debug)]
pub struct UserFile {
    path: PathBuf,
    /// Owned by the server, which must be able to read a file that root's command makes.
    state: PathBuf,
    seen: Mutex<Option<(Version, Arc<Users>)>>,
}

/// What changes when the file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    inode: u64,
    modified: (i64, i64),
    size_bytes: u64,
}

impl UserFile {
    /// The file at `path`, which need not exist yet; once it does, it belongs to whoever owns the directory `state`.
    pub fn new(path: &Path, state: &Path) -> Self {
        UserFile { path: path.to_owned(), state: state.to_owned(), seen: Mutex::new(None) }
    }

    /// The users as the file has them now. It is read again only after it changed.
    ///
    /// # Errors
    /// Where it is there and cannot be read.
    pub fn users(&self) -> io::Result<Arc<Users>> {
        let version = match fs::metadata(&self.path) {
            Ok(file) => Version {
                inode: file.ino(),
                modified: (file.mtime(), file.mtime_nsec()),
                size_bytes: file.size(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Arc::default()),
            Err(error) => return Err(error),
        };
        // A panic elsewhere leaves an older version, which is read again.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((last, users)) = seen.as_ref().filter(|(last, _)| *last == version) {
            debug_assert_eq!(*last, version);
            return Ok(Arc::clone(users));
        }
        let (users, wrong) = Users::parse(&fs::read_to_string(&self.path)?);
        if !wrong.is_empty() {
            tracing::warn!(file = %self.path.display(), lines = ?wrong, "lines that are no name:hash are passed over");
        }
        let users = Arc::new(users);
        *seen = Some((version, Arc::clone(&users)));
        Ok(users)
    }

    /// Changes the file for good. A running server sees it at the next look-up.
    ///
    /// # Errors
    /// Where it cannot be read or replaced.
    pub fn change<T>(&self, change: impl FnOnce(&mut Users) -> T) -> io::Result<T> {
        let mut users = Users::clone(&*self.users()?);
        let result = change(&mut users);
        durable::replace_like(&self.path, users.text().as_bytes(), 0o600, &self.state)?;
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# users\nalice:1\nbob-smith:2\nbob:3\n\ncarol@example.com:4\nbroken\nx/y:5\n";

    #[track_caller]
    fn check(address: &str, owner: Option<&str>) {
        let users = Users::parse(FILE).0;
        assert_eq!(users.owner(&address.parse().unwrap()), owner, "{address}");
    }

    #[test]
    fn an_address_goes_to_its_user() {
        check("alice@example.org", Some("alice"));
        check("ALICE@Example.ORG", Some("alice"));
        check("alice-list@example.org", Some("alice"));
        check("alice+tag-x@example.org", Some("alice"));
        check("bob-smith@example.org", Some("bob-smith"));
        check("bob-smith-x@example.org", Some("bob-smith"));
        check("bob-x@example.org", Some("bob"));
        check("carol@example.com", Some("carol"));
        check("carol-x@example.com", Some("carol"));
        check("carol@example.org", None);
        check("alic@example.org", None);
        check("-alice@example.org", None);
        check("\"alice \"@example.org", None);
        check("postmaster@example.org", Some("alice"));
        check("POSTMASTER@example.com", Some("alice"));
    }

    #[test]
    fn a_login_may_leave_out_the_default_domain() {
        let (users, wrong) = Users::parse(FILE);
        assert_eq!(wrong, [7, 8]);
        assert_eq!(users.hash(b"Alice", "example.com"), Some("1"));
        assert_eq!(users.hash(b"alice@example.org", "example.com"), Some("1"));
        assert_eq!(users.hash(b"carol", "example.com"), Some("4"));
        assert_eq!(users.hash(b"carol", "example.org"), None);
        assert_eq!(users.hash(b"carol@example.org", "example.com"), None);
        assert_eq!(users.hash(b"\xff", "example.com"), None);
    }

    #[test]
    fn a_change_is_seen_at_the_next_look_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let (running, command) =
            (UserFile::new(&path, directory.path()), UserFile::new(&path, directory.path()));
        assert_eq!(running.users().unwrap().names(), []);
        for name in ["alice", "bob@example.org"] {
            command.change(|users| users.set(name.parse().unwrap(), "h".into())).unwrap();
            assert!(running.users().unwrap().names().iter().any(|n| n.text() == name));
        }
        assert!(command.change(|users| users.remove(&"alice".parse().unwrap())).unwrap());
        assert_eq!(running.users().unwrap().names().len(), 1);
    }

    #[test]
    fn names_may_have_letters_beyond_ascii_and_domains_have_one_form() {
        let users = Users::parse("josé:1\nΧριστίνα@bücher.example:2\nзоя@xn--kln-sna.example:3\n").0;
        for (address, owner) in [
            ("JOSÉ@example.org", Some("josé")),
            ("josé+list@example.org", Some("josé")),
            ("ΧΡΙΣΤΊΝΑ@xn--bcher-kva.example", Some("χριστίνα")),
            ("χριστίνα@BÜCHER.example", Some("χριστίνα")),
            ("Зоя@köln.example", Some("зоя")),
            ("зоя@bücher.example", None),
            ("jose@example.org", None),
        ] {
            assert_eq!(users.owner(&address.parse().unwrap()), owner, "{address}");
            let hash = owner.and_then(|_| users.hash(address.replace("+list", "").as_bytes(), ""));
            assert_eq!(hash.is_some(), owner.is_some(), "{address}");
        }
    }

    #[test]
    fn a_name_cannot_leave_its_directory() {
        for text in [
            "",
            "..",
            ".x",
            "a/b",
            "a:b",
            "a b",
            "a\n",
            "@example.org",
            "a@",
            "a@b/c",
            "a@[192.0.2.1]",
            "a\u{202e}b",
            "e\u{301}",
        ] {
            assert_eq!(text.parse::<Name>(), Err(NotAName), "{text:?}");
        }
    }
}
