//! The numbers of messages: one after another for all processes that put mail into a queue.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};

use crate::clock::now;
use crate::queue::MessageId;

/// Digits of the largest number.
const DIGITS: usize = 10;

/// The last number that was given, in a file that is locked while it changes.
#[derive(Debug)]
pub(super) struct Numbers(Mutex<File>);

impl Numbers {
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join("last");
        let file =
            File::options().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)?;
        Ok(Numbers(Mutex::new(file)))
    }

    /// A number that nobody was given lately: numbers follow the clock, so that one is not met again in a log soon,
    /// even where the file was lost.
    pub(super) fn next(&self) -> io::Result<MessageId> {
        // Processes exclude each other by the lock of the file, threads by the mutex.
        let file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        flock(&*file, FlockOperation::LockExclusive)?;
        let next = advance(&file);
        flock(&*file, FlockOperation::Unlock)?;
        next
    }
}

fn advance(file: &File) -> io::Result<MessageId> {
    let mut digits = [0; DIGITS];
    let length = file.read_at(&mut digits, 0)?;
    let last = digits.get(..length).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u32>().ok());
    let clock = u32::try_from(now().seconds()).unwrap_or(0);
    let next = last.map_or(clock, |last| last.wrapping_add(1).max(clock));
    file.write_all_at(format!("{next:0DIGITS$}").as_bytes(), 0)?;
    Ok(MessageId(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_given_twice() {
        let directory = tempfile::tempdir().unwrap();
        let two = [(); 2].map(|()| Numbers::open(directory.path()).unwrap());
        let numbers: Vec<u32> =
            (0..10).flat_map(|_| two.each_ref().map(|numbers| numbers.next().unwrap().0)).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        drop(two);
        assert!(Numbers::open(directory.path()).unwrap().next().unwrap().0 > numbers[19]);
        std::fs::write(directory.path().join("last"), "what?").unwrap();
        assert!(Numbers::open(directory.path()).unwrap().next().unwrap().0 >= numbers[0]);
    }
}
