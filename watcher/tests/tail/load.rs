//! A writer that never rests, in a thread of its own: what happens between two steps of the tailer happens here.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::thread;

use watcher::tail::{Start, Tailer, Target};

use crate::lab::{SOURCE, read_to_the_end, wait};

const LINES: usize = 20_000;
const LINES_A_FILE: usize = 200;

/// Writes numbered lines, a few with each `write`, and now and then replaces the file.
fn write_lines(path: &Path, replace: impl Fn(&Path, usize)) {
    let open = || OpenOptions::new().create(true).append(true).open(path).unwrap();
    let mut file = open();
    for number in 0..LINES {
        if number > 0 && number % LINES_A_FILE == 0 {
            replace(path, number / LINES_A_FILE);
            // The old file is still written to, as by any daemon until it is told.
            writeln!(file, "{number}").unwrap();
            file = open();
        } else {
            writeln!(file, "{number}").unwrap();
        }
    }
}

/// Follows the log while it is written, from its last cursors each time the tailer has been ended.
#[track_caller]
fn check(replace: impl Fn(&Path, usize) + Send + 'static, ends_every: Option<usize>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let follow = |cursors: &[_]| {
        let mut tailer = Tailer::new().unwrap();
        tailer.follow(SOURCE, Target::File(path.clone()), Start::Beginning, cursors).unwrap();
        tailer
    };
    let mut tailer = follow(&[]);
    let written_to = path.clone();
    let writer = thread::spawn(move || write_lines(&written_to, replace));
    let mut seen: Vec<usize> = Vec::with_capacity(LINES);
    let mut ended_at = 0;
    while !writer.is_finished() {
        wait(&tailer, 1);
        tailer
            .read(1000, &mut |line| seen.push(str::from_utf8(line.bytes).unwrap().parse().unwrap()))
            .unwrap();
        if ends_every.is_some_and(|every| seen.len() >= ended_at + every) {
            ended_at = seen.len();
            tailer = follow(&tailer.cursors(SOURCE));
        }
    }
    writer.join().unwrap();
    read_to_the_end(&mut tailer, &mut |line| seen.push(str::from_utf8(line.bytes).unwrap().parse().unwrap()));
    assert_eq!(seen.len(), LINES);
    assert!(seen.iter().copied().eq(0..LINES), "out of order");
    assert!(tailer.stats(SOURCE).lost.is_empty());
}

/// Renames `log.1` to `log.2` and so on, and `log` to `log.1`; as many as there are.
fn shift(path: &Path, count: usize) {
    let name = |number: usize| match number {
        0 => path.to_owned(),
        number => path.with_file_name(format!("log.{number}")),
    };
    for number in (0..count).rev() {
        fs::rename(name(number), name(number + 1)).unwrap();
    }
}

fn stamp(path: &Path, count: usize) {
    fs::rename(path, path.with_file_name(format!("log-{:08}", 20_240_000 + count))).unwrap();
}

#[test]
fn a_log_that_is_renamed_under_load_is_read_once_and_in_order() {
    check(shift, None);
    check(stamp, None);
}

#[test]
fn a_log_that_is_renamed_under_load_is_read_once_by_a_tailer_that_ends_and_starts() {
    check(shift, Some(700));
    check(stamp, Some(700));
}
