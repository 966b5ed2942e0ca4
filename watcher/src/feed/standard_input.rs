//! Standard input, read without waiting for it: `… | postern-watcher run`.
//!
//! What is read is let go of before more is asked for, so a writer that is faster than the engine waits in his own
//! `write`. Its end ends the source, not the daemon.

use std::io::Stdin;
use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::tail::{LineSplitter, Progress, RawLine, Stats};

/// So much is read at a time, and so often before it is another source's turn.
const BLOCK_BYTES: usize = 64 * 1024;
const BLOCKS_MAX: usize = 16;

/// Standard input as a source.
#[derive(Debug)]
pub struct StandardInput {
    stdin: Stdin,
    state: State,
    stats: Stats,
    block: Box<[u8]>,
}

#[derive(Debug)]
enum State {
    Open(LineSplitter),
    /// It has ended, or reading it failed.
    Ended(String),
}

impl StandardInput {
    /// Reads from here on.
    pub fn open() -> StandardInput {
        let state = State::Open(LineSplitter::at(0));
        let block = vec![0; BLOCK_BYTES].into_boxed_slice();
        StandardInput { stdin: std::io::stdin(), state, stats: Stats::default(), block }
    }

    /// Readable when there is something to read, or its end.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Open(_) => Some(self.stdin.as_fd()),
            State::Ended(_) => None,
        }
    }

    /// Reads what there is, up to a limit, and gives each complete line; at the end the unfinished one too, because
    /// nobody is going to finish it.
    pub fn read(&mut self, each: &mut dyn FnMut(RawLine<'_>)) -> Progress {
        let StandardInput { stdin, state, stats, block } = self;
        for _ in 0..BLOCKS_MAX {
            let State::Open(splitter) = state else { return Progress::Idle };
            let mut count = |line: RawLine<'_>| {
                stats.lines += 1;
                stats.cut_lines += u64::from(line.cut);
                each(line);
            };
            // It is not made non-blocking: the description is shared with whoever else holds it, a shell for instance.
            if !is_readable(stdin.as_fd()) {
                return Progress::Idle;
            }
            let end = match rustix::io::read(&*stdin, &mut **block) {
                Ok(0) => "standard input has ended".to_owned(),
                Ok(length) => {
                    stats.bytes += length as u64;
                    splitter.feed(block.get(..length).unwrap_or_default(), count);
                    continue;
                }
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Err(error) => format!("standard input cannot be read: {error}"),
            };
            if let Some(line) = splitter.unfinished() {
                count(line);
            }
            *state = State::Ended(end);
        }
        Progress::More
    }

    /// That it has ended, and how.
    pub fn end(&self) -> Option<&str> {
        match &self.state {
            State::Open(_) => None,
            State::Ended(end) => Some(end),
        }
    }

    /// How it stands.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&at_once)).is_ok_and(|ready| ready > 0)
}
