//! The real multilog of daemontools, rotating every few milliseconds.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use watcher::tail::{Start, Tailer, Target, read_all};

use crate::lab::{SOURCE, read_to_the_end, wait};

const LINES: usize = 20_000;

/// Starts multilog with small archives, and as many of them as there will be: what it prunes before anybody has seen it
/// is lost, and here the question is what is lost otherwise.
fn multilog(directory: &Path) -> Child {
    Command::new("multilog")
        .args(["t", "s4096", "n5000"])
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
