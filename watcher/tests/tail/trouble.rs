//! A full disk, a directory where a file was, more notes than the kernel keeps, lines without end.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::process::Command;

use watcher::tail::{LINE_BYTES_MAX, SourceId, Start, Tailer, Target};

use crate::apart::{apart, memory_bytes_peak};
use crate::lab::{Lab, read_to_the_end};

/// Writes a line as a careful daemon does: what could not be written whole is taken back. Says whether it was written;
/// `between` sees the file when half of the line is in it.
fn write_or_take_back(mut log: &File, line: &str, between: impl FnOnce()) -> bool {
    let size = log.metadata().unwrap().len();
    match log.write(line.as_bytes()) {
        Ok(count) if count == line.len() => return true,
        Ok(_) => between(),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
    }
    log.set_len(size).unwrap();
    false
}

#[test]
fn on_a_full_disk_every_line_that_was_written_is_read_once() {
    apart(&["unshare", "--user", "--map-root-user", "--mount", "--"], || {
        let mut lab = Lab::new("disk/log", |dir| {
            fs::create_dir(dir.join("disk")).unwrap();
            let mount = ["-t", "tmpfs", "-o", "size=32k", "tmpfs"];
            assert!(Command::new("mount").args(mount).arg(dir.join("disk")).status().unwrap().success());
        });
        let log = lab.writer("disk/log");
        let mut written = Vec::new();
        let mut refused = 0;
        for round in 0..5 {
            // Now there is room, and then there is none.
            fs::write(lab.path("disk/filler"), vec![b'x'; 8192]).unwrap();
            while refused <= round * 3 {
                let line = format!("line {} {}", written.len(), "y".repeat(written.len() * 37 % 700));
                let is_written =
                    write_or_take_back(&log, &format!("{line}\n"), || lab.read_bytes(usize::MAX));
                refused += usize::from(!is_written);
                written.extend(is_written.then_some(line));
            }
            lab.remove("disk/filler");
        }
        let expected: Vec<_> = written.iter().map(String::as_str).collect();
        lab.expect(&expected);
        lab.expect_losses(&[]);
    });
}

#[test]
fn a_directory_in_the_place_of_a_file_may_come_and_go() {
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", "a\n");
    lab.expect(&["a"]);
    lab.write("log", "b\n");
    lab.remove("log");
    fs::create_dir(lab.path("log")).unwrap();
    lab.expect(&["b"]);
    lab.write("log/current", "c\n");
    lab.expect(&["c"]);
    fs::remove_dir_all(lab.path("log")).unwrap();
    lab.expect(&[]);
    lab.write("log", "d\n");
    lab.expect(&["d"]);
    lab.write("log", "e\n");
    lab.expect(&["e"]);
    lab.expect_losses(&[]);
}

#[test]
fn when_the_kernel_has_thrown_notes_away_nothing_is_lost() {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut tailer = Tailer::new().unwrap();
    let pattern = directory.path().join("*.log").to_str().unwrap().to_owned();
    for name in ["0.log", "1.log", "2.log"] {
        fs::write(path(name), format!("first of {name}\n")).unwrap();
    }
    tailer.follow(SourceId(1), Target::Glob(pattern), Start::Beginning, &[]).unwrap();
    read_to_the_end(&mut tailer, &mut |line| assert!(line.bytes.starts_with(b"first")));
    // Notes of one file in a row are one; those of two files by turns are not.
    let files = [0, 1].map(|log| File::options().append(true).open(path(&format!("{log}.log"))).unwrap());
    let mut expected = vec![Vec::new(); 4];
    let mut write = |mut file: &File, log: usize, number: usize| {
        writeln!(file, "{log} {number}").unwrap();
        expected[log].push(number);
    };
    for number in 0..limit {
        write(&files[number % 2], number % 2, number);
    }
    // Of all this there is no note.
    fs::rename(path("0.log"), path("0.log.1")).unwrap();
    write(&File::create(path("0.log")).unwrap(), 0, limit);
    write(&files[0], 0, limit + 1);
    fs::copy(path("1.log"), path("1.log.1")).unwrap();
    files[1].set_len(0).unwrap();
    write(&files[1], 1, limit);
    write(&File::options().append(true).open(path("2.log")).unwrap(), 2, 0);
    write(&File::create(path("3.log")).unwrap(), 3, 0);
    let mut seen = vec![Vec::new(); 4];
    read_to_the_end(&mut tailer, &mut |line| {
        let (log, number) = str::from_utf8(line.bytes).unwrap().split_once(' ').unwrap();
        seen[log.parse::<usize>().unwrap()].push(number.parse::<usize>().unwrap());
    });
    // Written last, to the file that is the older one.
    expected[0].swap(limit / 2, limit / 2 + 1);
    assert!(seen == expected, "lost, read twice, or out of order");
    assert!(tailer.stats(SourceId(1)).lost.is_empty());
}

/// So long a line is written. In `make soak` it is longer.
fn long_line_bytes() -> u64 {
    std::env::var("TAIL_LONG_LINE_BYTES").map_or(64 << 20, |bytes| bytes.parse().unwrap())
}

/// Far less than the line has.
const MEMORY_BYTES_MAX: u64 = 32 << 20;

#[test]
fn memory_does_not_depend_on_the_length_of_a_line() {
    apart(&["env"], || {
        let mut lab = Lab::new("log", |dir| {
            let log = File::create(dir.join("log")).unwrap();
            log.write_all_at(b"first\nbeginning", 0).unwrap();
            log.write_all_at(b"\nlast\n", long_line_bytes()).unwrap();
        });
        let mut line = b"beginning".to_vec();
        line.resize(LINE_BYTES_MAX, 0);
        lab.expect(&["first", str::from_utf8(&line).unwrap(), "last"]);
        assert!(memory_bytes_peak() < MEMORY_BYTES_MAX);
    });
}

#[test]
fn memory_does_not_depend_on_what_a_compressed_file_becomes() {
    apart(&["env"], || {
        let mut lab = Lab::new("log", |_| {});
        lab.write("log", "first\n");
        lab.expect(&["first"]);
        lab.while_down(|lab| {
            let log = File::create(lab.path("log.1.gz")).unwrap();
            let mut gzip = flate2::write::GzEncoder::new(log, flate2::Compression::fast());
            gzip.write_all(b"first\n").unwrap();
            io::copy(&mut io::repeat(b'x').take(long_line_bytes()), &mut gzip).unwrap();
            gzip.write_all(b"\nlast\n").unwrap();
            gzip.finish().unwrap();
            lab.remove("log");
            lab.write("log", "new\n");
        });
        lab.expect(&[&"x".repeat(LINE_BYTES_MAX), "last", "new"]);
        assert!(memory_bytes_peak() < MEMORY_BYTES_MAX);
    });
}
