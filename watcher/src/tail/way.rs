//! The way to a file: through which directories and symbolic links, each of them watched, so that a file is found that
//! appears later, in a directory that appears later, behind a link that is switched.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::inotify::ReadFlags;

use crate::tail::notify::{Attention, Note, Owner, WatchId, Watches};
use crate::tail::pattern;

/// As many links as the kernel follows (path_resolution(7)); more are a circle.
const LINKS_MAX: usize = 40;

/// Where a path leads now, and what must change for it to lead elsewhere.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) places: Vec<Place>,
    /// `None` while a directory on the way is missing.
    pub(crate) end: Option<End>,
}

/// The end of a way. Whether a file is there is not yet known.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) spot: Spot,
    /// The links that lead there from where the path itself points, first to last.
    pub(crate) links: Vec<Spot>,
}

/// A name in a directory that is no link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) directory: PathBuf,
    pub(crate) name: OsString,
}

impl Spot {
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }
}

/// A watched directory on the way.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) watch: WatchId,
    pub(crate) wanted: Wanted,
}

/// What in a directory matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Nothing but that it stays.
    Itself,
    /// One name: a link, or what is missing.
    Name(OsString),
    /// The names that a part of a pattern matches.
    Like(OsString),
    /// The log and its family.
    Family,
}

impl Place {
    /// Whether `note` says that the way may have changed; `is_kin` knows the names of the family.
    pub(crate) fn is_touched(&self, note: Note<'_>, is_kin: impl Fn(&OsStr) -> bool) -> bool {
        const GONE: ReadFlags = ReadFlags::DELETE_SELF
            .union(ReadFlags::MOVE_SELF)
            .union(ReadFlags::IGNORED)
            .union(ReadFlags::UNMOUNT);
        if note.watch != self.watch {
            return false;
        }
        note.flags.intersects(GONE)
            || note.name.is_some_and(|name| match &self.wanted {
                Wanted::Itself => false,
                Wanted::Name(wanted) => name == wanted,
                Wanted::Like(part) => pattern::matches(part.as_bytes(), name.as_bytes()),
                Wanted::Family => is_kin(name),
            })
    }
}

impl Way {
    /// Goes the way of an absolute path. Each directory is watched before it is looked into, so that no change falls
    /// between the two.
    pub(crate) fn to(path: &Path, watches: &mut Watches, owner: Owner) -> io::Result<Way> {
        let mut walk =
            Walk { places: Vec::new(), here: PathBuf::from("/"), ahead: Vec::new(), links: Vec::new() };
        walk.turn_to(path);
        let end = walk.go(watches, owner)?;
        Ok(Way { places: walk.places, end })
    }
}

struct Walk {
    places: Vec<Place>,
    here: PathBuf,
    /// What is still to go, last step first.
    ahead: Vec<Step>,
    links: Vec<Spot>,
}

enum Step {
    Root,
    Up,
    Into(OsString),
}

impl Walk {
    fn go(&mut self, watches: &mut Watches, owner: Owner) -> io::Result<Option<End>> {
        let mut links = 0;
        while let Some(step) = self.ahead.pop() {
            let name = match step {
                Step::Root => {
                    self.here = PathBuf::from("/");
                    continue;
                }
                Step::Up => {
                    self.here.pop();
                    continue;
                }
                Step::Into(name) => name,
            };
            let is_last = self.ahead.is_empty();
            if is_last {
                self.watch(Wanted::Family, watches, owner)?;
            }
            if let Ok(target) = std::fs::read_link(self.here.join(&name)) {
                links += 1;
                if links > LINKS_MAX {
                    return Ok(None);
                }
                self.watch(Wanted::Name(name.clone()), watches, owner)?;
                if is_last {
                    self.links.push(Spot { directory: self.here.clone(), name });
                }
                self.turn_to(&target);
            } else if is_last {
                return Ok(self.arrive(name));
            } else if !self.enter(&name, watches, owner)? {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Steps into a directory, if there is one. If not, its coming is watched for, and then looked for once more: it
    /// may have come between the first look and the watch.
    fn enter(&mut self, name: &OsStr, watches: &mut Watches, owner: Owner) -> io::Result<bool> {
        for _ in 0..2 {
            self.here.push(name);
            if self.here.is_dir() {
                self.watch(Wanted::Itself, watches, owner)?;
                if self.here.is_dir() {
                    return Ok(true);
                }
            }
            self.here.pop();
            self.watch(Wanted::Name(name.to_owned()), watches, owner)?;
        }
        Ok(false)
    }

    fn arrive(&mut self, name: OsString) -> Option<End> {
        let directory = self.here.clone();
        directory
            .is_dir()
            .then(|| End { spot: Spot { directory, name }, links: std::mem::take(&mut self.links) })
    }

    fn watch(&mut self, wanted: Wanted, watches: &mut Watches, owner: Owner) -> io::Result<()> {
        let attention = match wanted {
            Wanted::Itself => Attention::Itself,
            Wanted::Name(_) | Wanted::Like(_) | Wanted::Family => Attention::Names,
        };
        let watch = watches.add_directory(&self.here, attention, owner)?;
        self.places.extend(watch.map(|watch| Place { watch, wanted }));
        Ok(())
    }

    fn turn_to(&mut self, path: &Path) {
        let steps = path.components().rev().filter_map(|component| match component {
            Component::RootDir => Some(Step::Root),
            Component::ParentDir => Some(Step::Up),
            Component::Normal(name) => Some(Step::Into(name.to_owned())),
            Component::CurDir | Component::Prefix(_) => None,
        });
        self.ahead.extend(steps);
    }
}
