//! The kernel's notes of what happened to files and directories (inotify), and who wants to know.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::tail::SourceId;

/// Room for some hundred events. More than one buffer of them is fetched at a time, but not without end: a writer that
/// never rests must not keep the reader from reading.
const EVENT_BYTES: usize = 16 * 1024;
const EVENT_READS_MAX: usize = 16;

const FILE: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::DELETE_SELF);

const ITSELF: WatchFlags = WatchFlags::MOVE_SELF
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::MASK_ADD);

/// `ATTRIB` tells of a file that could not be opened and now may be.
const NAMES: WatchFlags = ITSELF
    .union(WatchFlags::CREATE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ATTRIB);

/// One watch: of an inode, not of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WatchId(i32);

/// Who asked for a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The pattern of a source.
    Pattern(SourceId),
    /// One stream of a source.
    Stream(StreamKey),
}

/// A stream: its source, and its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamKey {
    pub(crate) source: SourceId,
    pub(crate) slot: usize,
}

/// What is wanted of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attention {
    /// Only whether the directory itself goes away: it lies on the way to a file.
    Itself,
    /// Also the coming and going of names in it.
    Names,
}

/// One note.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note<'a> {
    pub(crate) watch: WatchId,
    pub(crate) flags: ReadFlags,
    pub(crate) name: Option<&'a OsStr>,
}

/// What was heard.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heard<'a> {
    /// A note for one owner.
    Note(Owner, Note<'a>),
    /// The kernel had more notes than it keeps, and threw some away: anything may have happened.
    Overflow,
}

/// The watches of a tailer. The kernel has one per inode, so several owners may share one.
#[derive(Debug)]
pub(crate) struct Watches {
    inotify: OwnedFd,
    owners: HashMap<WatchId, Vec<Owner>>,
}

impl Watches {
    pub(crate) fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Watches { inotify, owners: HashMap::new() })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Watches a directory. `None` if there is none, or none that may be read: then no news come from there.
    pub(crate) fn add_directory(
        &mut self,
        path: &Path,
        attention: Attention,
        owner: Owner,
    ) -> io::Result<Option<WatchId>> {
        let flags = match attention {
            Attention::Itself => ITSELF,
            Attention::Names => NAMES,
        };
        match inotify::add_watch(&self.inotify, path, flags) {
            Ok(watch) => Ok(Some(self.own(watch, owner))),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::LOOP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Watches an open file. By its descriptor, since the name may mean another file by now.
    pub(crate) fn add_file(&mut self, file: &File, owner: Owner) -> io::Result<WatchId> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let watch = inotify::add_watch(&self.inotify, path, FILE)?;
        Ok(self.own(watch, owner))
    }

    /// Gives a watch back. Who asked twice gives back twice.
    pub(crate) fn release(&mut self, watch: WatchId, owner: Owner) {
        let Some(owners) = self.owners.get_mut(&watch) else { return };
        if let Some(at) = owners.iter().position(|&other| other == owner) {
            owners.swap_remove(at);
        }
        if owners.is_empty() {
            self.owners.remove(&watch);
            // An error says that the inode, and the watch with it, is gone already.
            let _ = inotify::remove_watch(&self.inotify, watch.0);
        }
    }

    /// Takes the notes that are there, without waiting.
    pub(crate) fn listen(&mut self, mut each: impl FnMut(Heard<'_>)) -> io::Result<()> {
        let mut buffer = [const { MaybeUninit::uninit() }; EVENT_BYTES];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut reads = 0;
        loop {
            if reader.is_buffer_empty() {
                reads += 1;
                if reads > EVENT_READS_MAX {
                    return Ok(());
                }
            }
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                each(Heard::Overflow);
                continue;
            }
            let watch = WatchId(event.wd());
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
            let note = Note { watch, flags: event.events(), name };
            for &owner in self.owners.get(&watch).into_iter().flatten() {
                each(Heard::Note(owner, note));
            }
            if note.flags.contains(ReadFlags::IGNORED) {
                self.owners.remove(&watch);
            }
        }
    }

    fn own(&mut self, watch: i32, owner: Owner) -> WatchId {
        let watch = WatchId(watch);
        self.owners.entry(watch).or_default().push(owner);
        watch
    }
}
