//! Several threads read an old log; one keeps the order.
//!
//! What a line says by itself is looked for block by block, by whoever is free; what depends on the lines before it is then
//! settled by one, block after block. So the outcome is the same for any number of threads, and for any size of a block.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

use self_cell::self_cell;

use crate::interpret::{Reader, Scratch, Sight};

/// Lines that one thread reads at a time.
#[derive(Debug)]
pub(super) struct Block {
    reader: Arc<Reader>,
    bytes: Vec<u8>,
    /// Of which source each line is, and where it ends.
    ends: Vec<(usize, usize)>,
}

impl Block {
    fn new(reader: Arc<Reader>) -> Self {
        Block { reader, bytes: Vec::new(), ends: Vec::new() }
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        let line = |(start, (source, end)): (usize, &(usize, usize))| {
            (*source, self.bytes.get(start..*end).unwrap_or_default())
        };
        starts.zip(&self.ends).map(line)
    }

    fn look(self, scratch: &mut Scratch) -> Looked {
        Looked::new(self, |block| {
            let seen = block.lines().map(|(source, line)| (source, line, block.reader.look(scratch, line)));
            seen.collect()
        })
    }
}

/// Lines, each with its source and what was seen in it.
type Seen<'b> = Vec<(usize, &'b [u8], Sight<'b>)>;

/// Who settles a line: its source, its text, and what was seen in it.
type Settle<'s> = dyn FnMut(usize, &[u8], Sight<'_>) + 's;

self_cell!(
    struct Looked {
        owner: Block,
        #[covariant]
        dependent: Seen,
    }
);

/// The threads that read, and what they were given.
#[derive(Debug)]
pub(super) struct Crew {
    work: Arc<Work>,
    block: Block,
    block_bytes: usize,
    /// Blocks that are being read, in their order.
    given: VecDeque<Receiver<Looked>>,
    given_max: usize,
    scratch: Scratch,
}

impl Crew {
    /// Sets `helpers` threads to work, besides the one that calls. Each reads at least so many bytes at a time.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        helpers: usize,
        reader: Arc<Reader>,
        block_bytes: usize,
    ) -> Self {
        let work = Arc::new(Work::default());
        for _ in 0..helpers {
            let work = Arc::clone(&work);
            scope.spawn(move || {
                let mut scratch = Scratch::default();
                while let Some(task) = work.wait() {
                    task.done(&mut scratch);
                }
            });
        }
        let (block, given) = (Block::new(reader), VecDeque::new());
        // Two for each: one is read while the one before it is settled.
        Crew { work, block, block_bytes, given, given_max: 2 * (helpers + 1), scratch: Scratch::default() }
    }

    /// Takes in the next line of that source, and settles those whose turn it is.
    pub(super) fn line(&mut self, source: usize, line: &[u8], settle: &mut Settle<'_>) {
        self.block.bytes.extend_from_slice(line);
        self.block.ends.push((source, self.block.bytes.len()));
        if self.block.bytes.len() >= self.block_bytes {
            self.give();
            while self.given.len() > self.given_max {
                self.settle_next(settle);
            }
        }
    }

    /// Settles all that is left.
    pub(super) fn finish(&mut self, settle: &mut Settle<'_>) {
        self.give();
        while !self.given.is_empty() {
            self.settle_next(settle);
        }
    }

    fn give(&mut self) {
        let mut next = Block::new(Arc::clone(&self.block.reader));
        next.bytes.reserve(self.block.bytes.len());
        next.ends.reserve(self.block.ends.len());
        let (done, given) = sync_channel(1);
        self.given.push_back(given);
        self.work.give(Task { block: std::mem::replace(&mut self.block, next), done });
    }

    /// Settles the oldest block; while it is not read yet, reads others.
    fn settle_next(&mut self, settle: &mut Settle<'_>) {
        let Some(next) = self.given.pop_front() else { return };
        let mut looked = loop {
            match next.try_recv() {
                Ok(looked) => break looked,
                Err(TryRecvError::Empty) => match self.work.take() {
                    Some(task) => task.done(&mut self.scratch),
                    None => break next.recv().expect("who takes a block sends it back"),
                },
                Err(TryRecvError::Disconnected) => unreachable!("who takes a block sends it back"),
            }
        };
        looked.with_dependent_mut(|_, seen| {
            seen.drain(..).for_each(|(source, line, sight)| settle(source, line, sight));
        });
    }
}

impl Drop for Crew {
    /// Nobody waits for work that does not come.
    fn drop(&mut self) {
        self.work.close();
    }
}

/// A block to be read, and where it is awaited.
#[derive(Debug)]
struct Task {
    block: Block,
    done: SyncSender<Looked>,
}

impl Task {
    fn done(self, scratch: &mut Scratch) {
        // Nobody awaits it any more where a log could not be read to its end.
        let _ = self.done.send(self.block.look(scratch));
    }
}

/// Blocks that nobody reads yet.
#[derive(Debug, Default)]
struct Work {
    tasks: Mutex<Tasks>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct Tasks {
    waiting: VecDeque<Task>,
    closed: bool,
}

impl Work {
    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        // A queue is whole after each step, whoever panicked while he held it.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, task: Task) {
        self.tasks().waiting.push_back(task);
        self.came.notify_one();
    }

    fn take(&self) -> Option<Task> {
        self.tasks().waiting.pop_front()
    }

    /// The next task; none when there will be no more.
    fn wait(&self) -> Option<Task> {
        let empty = |tasks: &mut Tasks| tasks.waiting.is_empty() && !tasks.closed;
        let mut tasks = self.came.wait_while(self.tasks(), empty).unwrap_or_else(PoisonError::into_inner);
        tasks.waiting.pop_front()
    }

    fn close(&self) {
        let mut tasks = self.tasks();
        tasks.closed = true;
        tasks.waiting.clear();
        self.came.notify_all();
    }
}
