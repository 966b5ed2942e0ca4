//! Compressing files as gzip, xz, zstd and bzip2 do.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use lzma_rust2::{XzOptions, XzWriter};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// A program that compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packer {
    Gzip,
    Xz,
    Zstd,
    Bzip2,
}

impl Packer {
    pub(crate) const ALL: [Packer; 4] = [Packer::Gzip, Packer::Xz, Packer::Zstd, Packer::Bzip2];

    fn ending(self) -> &'static str {
        match self {
            Packer::Gzip => ".gz",
            Packer::Xz => ".xz",
            Packer::Zstd => ".zst",
            Packer::Bzip2 => ".bz2",
        }
    }

    pub(crate) fn pack(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Packer::Gzip => {
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                gzip.write_all(bytes).unwrap();
                gzip.finish().unwrap()
            }
            Packer::Xz => {
                let mut xz = XzWriter::new(Vec::new(), XzOptions::with_preset(0)).unwrap();
                xz.write_all(bytes).unwrap();
                xz.finish().unwrap()
            }
            Packer::Zstd => compress_to_vec(bytes, CompressionLevel::Fastest),
            Packer::Bzip2 => {
                let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                bzip2.write_all(bytes).unwrap();
                bzip2.finish().unwrap()
            }
        }
    }

    /// What a file is called when it is compressed.
    pub(crate) fn name(self, path: &Path) -> PathBuf {
        let mut name = OsString::from(path);
        name.push(self.ending());
        PathBuf::from(name)
    }

    /// Puts a compressed file in the place of `path`, with its time.
    pub(crate) fn replace(self, path: &Path) {
        self.write(path, &self.name(path));
        fs::remove_file(path).unwrap();
    }

    /// Compresses `from` into a new file `to`, which gets the time of `from` as the programs have it.
    pub(crate) fn write(self, from: &Path, to: &Path) {
        let mut file = File::create_new(to).unwrap();
        file.write_all(&self.pack(&fs::read(from).unwrap())).unwrap();
        file.set_modified(fs::metadata(from).unwrap().modified().unwrap()).unwrap();
    }
}
