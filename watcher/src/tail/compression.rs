//! Compressed logs, known by their first bytes: a name may say anything.
//!
//! All of it is decompressed by Rust. A file that wants more memory than logs are ever compressed with is refused.

use std::io::{self, BufRead, BufReader, Read};

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The longest of the beginnings below.
const MAGIC_BYTES: usize = 6;

/// What `xz -9` needs to decompress is half of this, and what `zstd --long` does, all of it.
const MEMORY_BYTES_MAX: u32 = 128 << 20;

/// What `from` holds: decompressed where it is gzip, xz, zstd or bzip2, else as it is. A log that was appended to after it
/// was compressed is several streams, one after the other.
///
/// # Errors
/// Where the beginning cannot be read.
pub fn decompressed<'r>(mut from: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let mut magic = Vec::with_capacity(MAGIC_BYTES);
    from.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut magic)?;
    let form = Form::of(&magic);
    let whole = io::Cursor::new(magic).chain(from);
    Ok(match form {
        Form::Plain => Box::new(whole),
        Form::Gzip => Box::new(MultiGzDecoder::new(whole)),
        Form::Xz => Box::new(XzReader::new_mem_limit(BufReader::new(whole), true, MEMORY_BYTES_MAX / 1024)),
        Form::Zstd => Box::new(Zstd::new(BufReader::new(whole))),
        Form::Bzip2 => Box::new(MultiBzDecoder::new(whole)),
    })
}

/// Whether a file that begins so is compressed, in a way that can be read.
pub(crate) fn is_packed(beginning: &[u8]) -> bool {
    match Form::of(beginning.get(..MAGIC_BYTES).unwrap_or(beginning)) {
        Form::Plain => false,
        Form::Gzip | Form::Xz | Form::Zstd | Form::Bzip2 => true,
    }
}

enum Form {
    Plain,
    Gzip,
    Xz,
    Zstd,
    Bzip2,
}

impl Form {
    fn of(magic: &[u8]) -> Form {
        match magic {
            [0x1f, 0x8b, ..] => Form::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Form::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Form::Zstd,
            // The header, and the first bytes of a block or of an end without one.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41] | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72] => {
                Form::Bzip2
            }
            _ => Form::Plain,
        }
    }
}

/// All frames of a zstd file; the library's own reader ends with the first.
struct Zstd<R> {
    from: R,
    frame: FrameDecoder,
    begun: bool,
}

impl<R: BufRead> Zstd<R> {
    fn new(from: R) -> Self {
        let mut frame = FrameDecoder::new();
        frame.set_max_window_size(MEMORY_BYTES_MAX.into());
        Zstd { from, frame, begun: false }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.frame.can_collect() == 0 {
            if self.begun && !self.frame.is_finished() {
                let some = BlockDecodingStrategy::UptoBlocks(1);
                self.frame.decode_blocks(&mut self.from, some).map_err(io::Error::other)?;
            } else if self.from.fill_buf()?.is_empty() {
                return Ok(0);
            } else {
                self.frame.reset(&mut self.from).map_err(io::Error::other)?;
                self.begun = true;
            }
        }
        self.frame.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use lzma_rust2::{XzOptions, XzWriter};
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    /// A log of some blocks, in each of the forms.
    fn forms() -> (Vec<u8>, Vec<Vec<u8>>) {
        let log = "@4000000062b22ef4269d79a4 tcpserver: status: 0/40\n".repeat(20_000).into_bytes();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&log).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&log).unwrap();
        let mut xz = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).unwrap();
        xz.write_all(&log).unwrap();
        let zstd = compress_to_vec(log.as_slice(), CompressionLevel::Fastest);
        (log, vec![gzip.finish().unwrap(), bzip2.finish().unwrap(), xz.finish().unwrap(), zstd])
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut read = Vec::new();
        decompressed(bytes)?.read_to_end(&mut read)?;
        Ok(read)
    }

    #[test]
    fn every_form_gives_the_log_that_went_in() {
        let (log, forms) = forms();
        for form in forms {
            assert_eq!(read(&form).unwrap(), log);
        }
        assert_eq!(read(&log).unwrap(), log);
    }

    #[test]
    fn a_log_compressed_in_pieces_is_read_to_its_end() {
        let (log, forms) = forms();
        for form in forms {
            assert_eq!(read(&[form.as_slice(), &form].concat()).unwrap(), log.repeat(2));
        }
    }

    #[test]
    fn a_compressed_log_that_breaks_off_is_an_error() {
        for form in forms().1 {
            assert!(read(form.get(..form.len() - 9).unwrap()).is_err());
        }
    }

    #[test]
    fn short_and_empty_logs_are_plain() {
        for log in ["", "x", "BZh9 is no archive\n"] {
            assert_eq!(read(log.as_bytes()).unwrap(), log.as_bytes());
        }
    }
}
