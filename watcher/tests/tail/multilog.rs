//! The real multilog of daemontools, rotating every few milliseconds.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use watcher::tail::{Loss, Start, Tailer, Target, read_all};

use crate::lab::{SOURCE, read_to_the_end, wait};

const LINES: usize = 20_000;

/// Starts multilog with small archives, and as many of them as there will be: what it prunes before anybody has seen it
/// is lost, and here the question is what is lost otherwise.
fn multilog(directory: &Path) -> Child {
    multilog_with(&["t", "s4096", "n5000"], directory)
}

fn multilog_with(script: &[&str], directory: &Path) -> Child {
    Command::new("multilog")
        .args(script)
        .arg(directory)
        .stdin(Stdio::piped())
        .spawn()
        .expect("multilog of the package daemontools is installed")
}

fn write_lines(child: &mut Child) {
    let mut input = BufWriter::new(child.stdin.take().unwrap());
    for number in 0..LINES {
        writeln!(input, "line {number}").unwrap();
        if number % 20 == 0 {
            input.flush().unwrap();
        }
    }
}

fn number(line: &[u8]) -> usize {
    let text = std::str::from_utf8(line).unwrap();
    text.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn every_line_of_a_busy_multilog_is_seen_once_and_in_order() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("smtpd");
    let mut tailer = Tailer::new().unwrap();
    let target = Target::parse(directory.to_str().unwrap());
    tailer.follow(SOURCE, target, Start::Beginning, &[]).unwrap();

    let mut child = multilog(&directory);
    let writer = std::thread::spawn(move || {
        write_lines(&mut child);
        child.wait().unwrap()
    });
    let mut seen = Vec::with_capacity(LINES);
    while seen.len() < LINES && (!writer.is_finished() || wait(&tailer, 0)) {
        wait(&tailer, 1);
        tailer.read(usize::MAX, &mut |line| seen.push(number(line.bytes))).unwrap();
    }
    assert!(writer.join().unwrap().success());
    read_to_the_end(&mut tailer, &mut |line| seen.push(number(line.bytes)));

    assert_eq!(seen.len(), LINES);
    assert!(seen.iter().copied().eq(0..LINES), "out of order");
    assert!(tailer.stats(SOURCE).lost.is_empty());
    assert!(tailer.stats(SOURCE).rotations > 100);
}

#[test]
fn a_directory_of_multilog_is_read_at_once_as_it_was_followed() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("smtpd");
    let mut child = multilog(&directory);
    write_lines(&mut child);
    assert!(child.wait().unwrap().success());
    let mut seen = Vec::with_capacity(LINES);
    read_all(&directory, &mut |_, line| seen.push(number(line.bytes))).unwrap();
    assert!(seen.into_iter().eq(0..LINES));
}

/// Reads a busy multilog, ends after some lines without saving the last of them, and starts again from what was saved;
/// once in a while when multilog has come to its end meanwhile.
#[track_caller]
fn check_restarts(script: &'static [&str]) {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("smtpd");
    let target = Target::Directory(directory.clone());
    let mut child = multilog_with(script, &directory);
    let writer = std::thread::spawn(move || {
        write_lines(&mut child);
        child.wait().unwrap()
    });
    let (mut seen, mut saved, mut cursors) = (Vec::with_capacity(LINES), 0, Vec::new());
    let mut lost = std::collections::BTreeMap::new();
    for life in 1.. {
        let is_last = writer.is_finished();
        seen.truncate(saved);
        let mut tailer = Tailer::new().unwrap();
        tailer.follow(SOURCE, target.clone(), Start::Beginning, &cursors).unwrap();
        if is_last {
            read_to_the_end(&mut tailer, &mut |line| seen.push(number(line.bytes)));
        } else {
            for read in 0..life % 7 {
                wait(&tailer, 1);
                tailer.read(20_000, &mut |line| seen.push(number(line.bytes))).unwrap();
                if read % 3 == 0 {
                    (saved, cursors) = (seen.len(), tailer.cursors(SOURCE));
                }
            }
        }
        lost.append(&mut tailer.stats(SOURCE).lost);
        if is_last {
            break;
        }
    }
    assert!(writer.join().unwrap().success());
    assert_eq!(seen.len(), LINES);
    assert!(seen.into_iter().eq(0..LINES), "out of order");
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn every_line_of_a_busy_multilog_is_seen_once_by_a_tailer_that_is_killed_again_and_again() {
    check_restarts(&["t", "s4096", "n5000"]);
}

#[test]
fn every_line_is_seen_once_where_a_processor_compresses() {
    check_restarts(&["t", "s16384", "n5000", "!gzip"]);
}

#[test]
fn what_multilog_has_pruned_is_counted_once_and_the_rest_is_read_in_order() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("smtpd");
    let target = Target::Directory(directory.clone());
    let mut child = multilog_with(&["t", "s4096", "n2"], &directory);
    let mut input = child.stdin.take().unwrap();
    let mut tailer = Tailer::new().unwrap();
    tailer.follow(SOURCE, target.clone(), Start::Beginning, &[]).unwrap();
    let mut seen = Vec::new();
    writeln!(input, "line 0").unwrap();
    while seen.is_empty() {
        wait(&tailer, 1);
        tailer.read(usize::MAX, &mut |line| seen.push(number(line.bytes))).unwrap();
    }
    let cursors = tailer.cursors(SOURCE);
    drop(tailer);
    for number in 1..2000 {
        writeln!(input, "line {number}").unwrap();
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    let mut tailer = Tailer::new().unwrap();
    tailer.follow(SOURCE, target, Start::Beginning, &cursors).unwrap();
    let mut rest = Vec::new();
    read_to_the_end(&mut tailer, &mut |line| rest.push(number(line.bytes)));
    let first = rest.first().copied().unwrap();
    assert!(first > 1 && rest.into_iter().eq(first..2000));
    assert_eq!(tailer.stats(SOURCE).lost, [(Loss::Gone, 1)].into());
}
