//! Constant databases (cr.yp.to/cdb/cdb.txt): the tables of qmail, tcpserver and vpopmail. Read only, and wholly in
//! memory, so that a look-up is no I/O and a file that is replaced meanwhile does no harm.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Largest database that is read: a million recipients fit.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

const TABLES: u32 = 256;

/// One database.
#[derive(Clone, PartialEq, Eq)]
pub struct Cdb(Arc<[u8]>);

impl std::fmt::Debug for Cdb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cdb({} bytes)", self.0.len())
    }
}

impl Cdb {
    /// Reads a file.
    ///
    /// # Errors
    /// Where it cannot be read, is too large, or is shorter than any database.
    pub fn read(path: &Path) -> io::Result<Self> {
        if fs::metadata(path)?.len() > BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the database is larger than 256 MB"));
        }
        Cdb::new(fs::read(path)?)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "this is no cdb: it is too short"))
    }

    /// Takes the bytes of a file.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() >= 8 * TABLES as usize).then(|| Cdb(bytes.into()))
    }

    /// The first value of `key`. A damaged file has none, rather than a wrong one or no end.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let hash = hash(key);
        let (table, slots) = self.pair(8 * (hash % TABLES))?;
        let start = (hash >> 8).checked_rem(slots)?;
        for n in 0..slots {
            let slot = (u64::from(start) + u64::from(n)) % u64::from(slots);
            let slot = u32::try_from(u64::from(table) + 8 * slot).ok()?;
            let (found, record) = self.pair(slot)?;
            if record == 0 {
                return None;
            }
            if found == hash {
                let (key_bytes, value_bytes) = self.pair(record)?;
                let key_at = record.checked_add(8)?;
                let value_at = key_at.checked_add(key_bytes)?;
                if self.slice(key_at, key_bytes)? == key {
                    return self.slice(value_at, value_bytes);
                }
            }
        }
        None
    }

    fn pair(&self, at: u32) -> Option<(u32, u32)> {
        let bytes = self.slice(at, 8)?;
        let (first, second) = bytes.split_at_checked(4)?;
        Some((u32::from_le_bytes(first.try_into().ok()?), u32::from_le_bytes(second.try_into().ok()?)))
    }

    fn slice(&self, at: u32, length: u32) -> Option<&[u8]> {
        let at = usize::try_from(at).ok()?;
        self.0.get(at..at.checked_add(usize::try_from(length).ok()?)?)
    }
}

fn hash(key: &[u8]) -> u32 {
    key.iter().fold(5381, |hash: u32, byte| (hash << 5).wrapping_add(hash) ^ u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    /// A database as Debian's `cdb` makes it.
    fn made(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made.cdb");
        let mut child = Command::new("cdb")
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .expect("tinycdb is installed");
        let mut text = Vec::new();
        for (key, value) in pairs {
            text.extend(format!("+{},{}:", key.len(), value.len()).bytes());
            text.extend([*key, b"->", *value, b"\n"].concat());
        }
        text.push(b'\n');
        child.stdin.take().unwrap().write_all(&text).unwrap();
        assert!(child.wait().unwrap().success());
        fs::read(path).unwrap()
    }

    #[test]
    fn what_another_program_wrote_is_found() {
        let keys: Vec<Vec<u8>> = (0..1000).map(|n| format!("user{n}@example.org").into_bytes()).collect();
        let mut pairs: Vec<(&[u8], &[u8])> = keys.iter().map(|key| (key.as_slice(), &b""[..])).collect();
        pairs.push((b"one", b"first"));
        pairs.push((b"one", b"second"));
        pairs.push((b"", b"empty\0key"));
        let cdb = Cdb::new(made(&pairs)).unwrap();
        for key in &keys {
            assert_eq!(cdb.get(key), Some(&b""[..]), "{}", String::from_utf8_lossy(key));
        }
        assert_eq!(cdb.get(b"one"), Some(&b"first"[..]));
        assert_eq!(cdb.get(b""), Some(&b"empty\0key"[..]));
        assert_eq!(cdb.get(b"user1000@example.org"), None);
        let empty = Cdb::new(made(&[])).unwrap();
        assert_eq!(empty.get(b""), None);
    }

    proptest! {
        #[test]
        fn a_damaged_file_is_survived(mut bytes in prop::collection::vec(any::<u8>(), 2048..3000), key: Vec<u8>) {
            Cdb::new(bytes.clone()).unwrap().get(&key);
            // Every table is the whole file and has no end of its own.
            for pair in bytes.chunks_mut(8).take(256) {
                pair.copy_from_slice(&[0, 0, 0, 0, 255, 255, 0, 0]);
            }
            Cdb::new(bytes).unwrap().get(&key);
        }
    }

    #[test]
    fn what_is_too_short_is_none() {
        assert_eq!(Cdb::new(vec![0; 2047]), None);
    }
}
