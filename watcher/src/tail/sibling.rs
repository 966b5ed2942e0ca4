//! The files beside a log, and which of them are generations of it that have not been read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

use crate::tail::cursor::{self, Cursor, FileId};
use crate::tail::family::{self, Family, Rank};
use crate::tail::generation;
use crate::tail::head::{Head, HeadPrint};
use crate::tail::packed::Form;

/// A file as it was found beside a log, or in the log's own place.
#[derive(Clone, Debug)]
pub(crate) struct Sibling {
    pub(crate) path: PathBuf,
    pub(crate) id: FileId,
    pub(crate) size: u64,
    /// When it came to be. Where the file system does not tell, when it was last written to, which puts rotated files
    /// into the same order.
    pub(crate) age_ns: i64,
    pub(crate) rank: Rank,
    modified_ns: i64,
    /// `None` where only the content can tell.
    form: Option<Form>,
}

/// What is to be done with a file that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A generation that came and went unseen: it is read from its beginning.
    Generation,
    /// A copy of the log as it is, perhaps half made: of use only if the log is then truncated.
    Copy,
    /// Never part of what is to be read.
    Stranger,
    /// Not to be told yet.
    Undecided,
}

/// What became of opening a sibling.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It is open.
    File(File, Form),
    /// Its name means another file by now, or none: what was listed is out of date.
    Changed,
    /// It may not be read.
    Forbidden,
}

/// What is no longer where it was: a file that began with `print`, of which the lines to `offset` had been read, and of
/// the next as much as goes to `seen`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Displaced {
    pub(crate) file: FileId,
    pub(crate) print: HeadPrint,
    pub(crate) offset: u64,
    pub(crate) seen: u64,
}

impl Sibling {
    pub(crate) fn new(path: PathBuf, metadata: &Metadata, rank: Rank, form: Option<Form>) -> Self {
        let id = FileId::of(metadata);
        let modified_ns = cursor::modified_ns(metadata);
        // A compressed file came to be when it was compressed; it keeps the time when the log was last written to.
        let is_birth_told = id.born_ns != 0 && form != Some(Form::Packed);
        let age_ns = if is_birth_told { id.born_ns } else { modified_ns };
        Sibling { path, id, size: metadata.len(), age_ns, rank, modified_ns, form }
    }

    /// Whether its name says that it is compressed.
    pub(crate) fn is_named_packed(&self) -> bool {
        self.form == Some(Form::Packed)
    }

    /// Whether it is compressed; of an archive the content tells.
    pub(crate) fn is_packed(&self) -> io::Result<bool> {
        match self.form {
            Some(form) => Ok(form == Form::Packed),
            None => Ok(matches!(self.open()?, Opened::File(_, Form::Packed))),
        }
    }

    /// Whether it is what its name says.
    pub(crate) fn holds_packed(&self) -> io::Result<bool> {
        Ok(match self.open()? {
            Opened::File(file, _) => Form::of(&file)? == Form::Packed,
            Opened::Changed | Opened::Forbidden => false,
        })
    }

    /// Whether it was last written to before that time, and so holds nothing that came later.
    pub(crate) fn is_from_before(&self, time_ns: i64) -> bool {
        self.modified_ns < time_ns
    }

    /// Judges a file that is not known and not compressed. `live` is what has the log's name now; it must have been opened after the
    /// siblings were listed. Nothing born before `floor_ns` is a generation that was missed.
    ///
    /// A generation is older than the file that took its place. What is younger than the log itself was made from it
    /// (`copytruncate`) or has nothing to do with it. Of equal age, to the tick of the kernel's clock, the content
    /// tells.
    ///
    /// `None` if the file has another name by now.
    pub(crate) fn judge(&self, live: Option<&Live>, floor_ns: i64) -> io::Result<Option<Verdict>> {
        if self.is_restored() {
            return Ok(Some(Verdict::Stranger));
        }
        if let Some(live) = live
            && self.age_ns >= live.age_ns
        {
            let Some(head) = self.head()? else { return Ok(None) };
            let is_known = !head.bytes().is_empty() && !live.head.bytes().is_empty();
            if is_known && head.agrees_with(&live.head) {
                return Ok(Some(Verdict::Copy));
            }
            if self.age_ns > live.age_ns {
                return Ok(Some(if is_known { Verdict::Stranger } else { Verdict::Undecided }));
            }
        }
        Ok(Some(if self.age_ns >= floor_ns { Verdict::Generation } else { Verdict::Stranger }))
    }

    /// Whether it holds what that file held, or the beginning of it. `None` if it has another name by now.
    pub(crate) fn is_copy_of(&self, displaced: Displaced) -> io::Result<Option<bool>> {
        Ok(match self.open()? {
            Opened::File(file, form) => Some(Head::within(&file, form)?.bears(displaced.print)),
            Opened::Changed => None,
            Opened::Forbidden => Some(false),
        })
    }

    /// What it begins with. `None` if it has another name by now.
    pub(crate) fn head(&self) -> io::Result<Option<Head>> {
        match self.open()? {
            Opened::File(file, form) => Ok(Some(Head::within(&file, form)?)),
            Opened::Changed => Ok(None),
            Opened::Forbidden => Ok(Some(Head::EMPTY)),
        }
    }

    /// Opens it, if its name still means the same file.
    pub(crate) fn open(&self) -> io::Result<Opened> {
        match generation::open(&self.path) {
            Ok(Some((file, metadata))) if FileId::of(&metadata) == self.id => {
                let form = self.form.map_or_else(|| Form::of(&file), Ok)?;
                Ok(Opened::File(file, form))
            }
            Ok(_) => Ok(Opened::Changed),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound => Ok(Opened::Changed),
                io::ErrorKind::PermissionDenied => Ok(Opened::Forbidden),
                _ => Err(error),
            },
        }
    }

    /// Whether it ends before what had been read. Of a compressed file it is known when it has been read.
    pub(crate) fn ends_before(&self, offset: u64) -> io::Result<bool> {
        Ok(self.size < offset && !self.is_packed()?)
    }

    /// Whether it came to be, and was last written to, after `other`.
    pub(crate) fn is_younger_in_all(&self, other: &Sibling) -> bool {
        self.age_ns > other.age_ns && self.modified_ns > other.modified_ns
    }

    /// Whether it was last written to before it came to be: unpacked or copied with its old date. A log is not, but
    /// for one that was compressed.
    pub(crate) fn is_restored(&self) -> bool {
        !self.is_named_packed() && self.id.born_ns != 0 && self.modified_ns < self.id.born_ns
    }
}

/// What has the log's name.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) age_ns: i64,
    /// What it began with when it was read; if it has not been read, what it begins with.
    pub(crate) head: Head,
}

/// The family of a log in some directories, as it was listed.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) siblings: Vec<Sibling>,
    /// Whether names changed while the files were looked at. Then the list is of no moment that ever was, and a file may
    /// be missing in it.
    pub(crate) is_blurred: bool,
}

impl Listing {
    /// Adds the family in a directory, but for the files that are settled, and those that are there uncompressed too:
    /// somebody is compressing them. A directory that cannot be listed holds none.
    pub(crate) fn add(&mut self, directory: &Path, family: &Family, is_settled: impl Fn(&Path) -> bool) {
        let names = names(directory, family);
        for name in names.keys() {
            let path = directory.join(name);
            let Some(rank) = family.rank(name).filter(|_| !is_settled(&path)) else { continue };
            let plain = family::plain_name(name);
            if plain.is_some_and(|plain| names.contains_key(plain)) {
                continue;
            }
            let form = match (plain, family) {
                (Some(_), _) => Some(Form::Packed),
                (None, Family::Rotated(_)) => Some(Form::Plain),
                (None, Family::Archives) => None,
            };
            if let Ok(metadata) = std::fs::symlink_metadata(&path)
                && metadata.is_file()
            {
                self.siblings.push(Sibling::new(path, &metadata, rank, form));
            }
        }
        self.is_blurred |= self::names(directory, family) != names;
    }
}

/// The names of the family, with the inode numbers that the directory has. These need not be the files' own, where a
/// file is mounted by itself or on an overlay; but they change if and only if names do. The kernel fills a buffer with
/// names at once, so a few hundred of them are of one moment.
fn names(directory: &Path, family: &Family) -> BTreeMap<OsString, u64> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| family.rank(&entry.file_name()).is_some())
        .map(|entry| (entry.file_name(), entry.ino()))
        .collect()
}

/// Finds the file of a cursor, whatever it is called now.
pub(crate) fn find(directory: &Path, cursor: &Cursor) -> Option<Sibling> {
    let entries = std::fs::read_dir(directory).ok()?;
    entries.flatten().filter(|entry| entry.ino() == cursor.inode).find_map(|entry| {
        let metadata = entry.metadata().ok().filter(Metadata::is_file)?;
        let form = if cursor.is_packed { Form::Packed } else { Form::Plain };
        let is_it = cursor.is_in(FileId::of(&metadata));
        is_it.then(|| Sibling::new(entry.path(), &metadata, Rank::Unknown, Some(form)))
    })
}
