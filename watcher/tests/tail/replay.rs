//! Old logs, read to their end.

use std::fs;
use std::path::Path;

use watcher::tail::{read_all, read_lines};

#[track_caller]
fn check(path: &Path, expected: &[(&str, &str)]) {
    let mut seen = Vec::new();
    read_all(path, &mut |file, line| {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        seen.push((name, String::from_utf8(line.bytes.to_vec()).unwrap()));
    })
    .unwrap();
    let expected: Vec<_> = expected.iter().map(|&(name, line)| (name.to_owned(), line.to_owned())).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_plain_file_is_read_with_its_unfinished_last_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    fs::write(&path, "a\nb\nc").unwrap();
    check(&path, &[("log", "a"), ("log", "b"), ("log", "c")]);
}

#[test]
fn a_multilog_directory_is_read_in_the_order_of_its_stamps() {
    let directory = tempfile::tempdir().unwrap();
    let names = ["@4000000066b9f3a80c3b1f2c.s", "@4000000066b9f3a90c3b1f2c.u", "current"];
    for (name, text) in [(names[1], "2\nunfin"), (names[2], "3\n"), (names[0], "1\n"), ("lock", "no\n")] {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let expected = [(names[0], "1"), (names[1], "2"), (names[1], "unfin"), (names[2], "3")];
    check(directory.path(), &expected);
}

#[test]
fn the_compressed_archives_of_a_multilog_directory_are_read_in_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let stamps = ["@4000000066b9f3a80c3b1f2c.s", "@4000000066b9f3a90c3b1f2c.s"];
    let write = |name: &str, text: &[u8]| fs::write(directory.path().join(name), text).unwrap();
    let zstd = ruzstd::encoding::compress_to_vec(&b"1\n"[..], ruzstd::encoding::CompressionLevel::Fastest);
    write(&format!("{}.zst", stamps[0]), &zstd);
    write(stamps[1], b"2\n");
    // Somebody is compressing it.
    write(&format!("{}.zst", stamps[1]), &zstd[..zstd.len() / 2]);
    write("current", b"3\n");
    let compressed = format!("{}.zst", stamps[0]);
    check(directory.path(), &[(&compressed, "1"), (stamps[1], "2"), ("current", "3")]);
}

#[test]
fn anything_that_can_be_read_has_lines() {
    let mut offsets = Vec::new();
    read_lines(&b"a\n\nbc\n"[..], |line| offsets.push((line.offset, line.bytes.len()))).unwrap();
    assert_eq!(offsets, [(0, 1), (2, 0), (3, 2)]);
}

#[test]
fn a_missing_log_is_an_error() {
    assert!(read_all(Path::new("/no/such/log"), &mut |_, _| {}).is_err());
}
