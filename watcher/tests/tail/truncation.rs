//! Logs that are emptied, with a copy or without, and logs that shrink.

use std::fs;
use std::io::{Seek, SeekFrom, Write};

use watcher::tail::Loss;

use crate::lab::Lab;

#[test]
fn a_log_that_is_copied_and_truncated_is_read_on() {
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", "a\nb\n");
    lab.expect(&["a", "b"]);
    lab.copy_and_truncate("log", "log.1");
    lab.write("log", "c\n");
    lab.expect(&["c"]);
    lab.expect_losses(&[]);
}

#[test]
fn a_log_written_to_between_copy_and_truncation_is_counted_as_a_loss() {
    let long = "a".repeat(300);
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", &format!("{long}\n"));
    lab.expect(&[&long]);
    fs::copy(lab.path("log"), lab.path("log.1")).unwrap();
    // This line is read; whether there was a second one nobody can know.
    lab.write("log", "b\n");
    lab.expect(&["b"]);
    lab.truncate("log", 0);
    lab.write("log", "c\n");
    lab.expect(&["c"]);
    lab.expect_losses(&[(Loss::Race, 1)]);
}

#[test]
fn a_line_that_its_writer_took_back_is_no_loss_and_the_next_one_is_whole() {
    for written_before in ["a", &"a".repeat(300)] {
        let mut lab = Lab::new("log", |_| {});
        lab.write("log", &format!("{written_before}\n"));
        let size = written_before.len() as u64 + 1;
        lab.write("log", "half of a li");
        lab.expect(&[written_before]);
        lab.truncate("log", size);
        lab.write("log", "another line\n");
        lab.expect(&["another line"]);
        lab.write("log", "half");
        lab.expect(&[]);
        lab.truncate("log", size + 13);
        lab.expect(&[]);
        lab.write("log", "b\n");
        lab.expect(&["b"]);
        lab.expect_losses(&[]);
    }
}

#[test]
fn a_copy_is_read_before_what_the_log_held_since_whatever_they_are_called_by_then() {
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", "a\nb\nc\n");
    lab.read_bytes(2);
    lab.copy_and_truncate("log", "log.1");
    lab.write("log", "d\n");
    lab.read_bytes(1);
    lab.while_down(|lab| {
        lab.rename("log.1", "log.2");
        lab.rename("log", "log.1");
        lab.write("log", "e\n");
    });
    lab.expect(&["a", "b", "c", "d", "e"]);
}

#[test]
fn lines_that_are_all_alike_are_told_apart_by_their_files() {
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", &"same\n".repeat(5));
    lab.expect(&["same"; 5]);
    lab.rename("log", "log.1");
    lab.write("log", &"same\n".repeat(5));
    lab.expect(&["same"; 5]);
    lab.rename("log.1", "log.2");
    lab.copy_and_truncate("log", "log.1");
    lab.write("log", &"same\n".repeat(3));
    lab.expect(&["same"; 3]);
    lab.remove("log");
    lab.write("log", &"same\n".repeat(3));
    lab.expect(&["same"; 3]);
    lab.while_down(|lab| {
        lab.rename("log.2", "log.3");
        lab.rename("log.1", "log.2");
        lab.rename("log", "log.1");
        lab.write("log", "same\n");
    });
    lab.expect(&["same"]);
}

#[test]
fn a_truncated_log_that_has_grown_past_the_old_position_is_noticed() {
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", "a\n");
    lab.expect(&["a"]);
    lab.copy_and_truncate("log", "log.1");
    lab.write("log", "much longer than before\nb\n");
    lab.expect(&["much longer than before", "b"]);
}

#[test]
fn what_had_not_been_read_before_a_truncation_is_read_from_the_copy() {
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", "a\n");
    lab.expect(&["a"]);
    lab.write("log", "b\nunfin");
    lab.copy_and_truncate("log", "log.1");
    lab.write("log", "c\n");
    lab.copy_and_truncate("log", "log.2");
    lab.write("log", "d\n");
    lab.rename("log.1", "log.3");
    lab.expect(&["b", "c", "d"]);
    lab.while_down(|lab| {
        lab.write("log", "e\n");
        lab.copy_and_truncate("log", "log.1");
        lab.write("log", "f\n");
    });
    lab.expect(&["e", "f"]);
    lab.while_down(|_| {});
    lab.expect(&[]);
}

#[test]
fn a_truncation_without_a_copy_is_counted_as_a_loss() {
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", "a\n");
    lab.expect(&["a"]);
    lab.write("log", "lost\n");
    lab.truncate("log", 0);
    lab.write("log", "b\n");
    lab.expect(&["b"]);
    lab.expect_losses(&[(Loss::Truncated, 1)]);
}

#[test]
fn a_log_emptied_in_place_that_has_grown_past_the_old_position_is_noticed() {
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", "a\n");
    lab.expect(&["a"]);
    lab.truncate("log", 0);
    lab.write("log", "b\nc\nd\n");
    lab.expect(&["b", "c", "d"]);
    lab.expect_losses(&[(Loss::Truncated, 1)]);
}

#[test]
fn a_writer_that_does_not_append_leaves_a_hole_that_is_no_line() {
    for written_before in [100, 1_000_000] {
        let mut lab = Lab::new("log", |_| {});
        let mut writer = fs::File::create(lab.path("log")).unwrap();
        let long = "x".repeat(written_before);
        for line in long.as_bytes().chunks(50_000) {
            writer.write_all(line).unwrap();
            writer.write_all(b"\n").unwrap();
        }
        lab.expect(
            &long.as_bytes().chunks(50_000).map(|line| str::from_utf8(line).unwrap()).collect::<Vec<_>>(),
        );
        lab.copy_and_truncate("log", "log.1");
        lab.expect(&[]);
        writer.write_all(b"after\n").unwrap();
        lab.expect(&["after"]);
        assert!(writer.seek(SeekFrom::End(0)).unwrap() > written_before as u64);
    }
}

#[test]
fn a_log_that_shrinks_is_not_read_again() {
    let long = "x".repeat(300);
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", &format!("{long}\na\nb\nc\n"));
    lab.expect(&[&long, "a", "b", "c"]);
    lab.truncate("log", 305);
    lab.expect(&[]);
    lab.write("log", "d\n");
    lab.expect(&["d"]);
    lab.expect_losses(&[(Loss::Truncated, 1)]);
    lab.while_down(|lab| lab.truncate("log", 303));
    lab.expect(&[]);
    lab.write("log", "e\n");
    lab.expect(&["e"]);
    // In the middle of a line: what is left of it and what follows are a line that was not there before.
    lab.truncate("log", 100);
    lab.write("log", "y\n");
    lab.expect(&[&("x".repeat(100) + "y")]);
}

#[test]
fn a_log_that_shrinks_before_it_was_read_is_read_as_far_as_it_goes() {
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", "aaaa\nbbbb\ncccc\n");
    lab.read_bytes(5);
    lab.truncate("log", 12);
    lab.expect(&["aaaa", "bbbb"]);
    lab.write("log", "dd\n");
    lab.expect(&["ccdd"]);
}
