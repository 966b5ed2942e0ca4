//! One log that is written to, renamed, and read across restarts.

use std::fs;
use std::io::Write;

use watcher::tail::{LINE_BYTES_MAX, Start};

use crate::lab::Lab;

#[test]
fn a_log_is_read_from_its_beginning_and_as_it_grows() {
    let mut lab = Lab::new("log", |dir| fs::write(dir.join("log"), "a\nb\n").unwrap());
    lab.expect(&["a", "b"]);
    lab.write("log", "c\n");
    lab.expect(&["c"]);
    assert_eq!((lab.stats().lines, lab.stats().bytes, lab.stats().behind_bytes), (3, 6, 0));
}

#[test]
fn a_log_can_be_read_from_its_end() {
    let mut lab = Lab::starting("log", Start::End, |dir| fs::write(dir.join("log"), "a\nb\nunfin").unwrap());
    lab.expect(&[]);
    lab.write("log", "ished\nc\n");
    lab.expect(&["unfinished", "c"]);
    lab.rename("log", "log.1");
    lab.write("log", "new\n");
    lab.expect(&["new"]);
}

#[test]
fn a_line_written_in_two_halves_is_one_line() {
    let mut lab = Lab::new("log", |_| {});
    let mut writer = lab.writer("log");
    for _ in 0..20 {
        writer.write_all(b"half ").unwrap();
        lab.expect(&[]);
        writer.write_all(b"and half\n").unwrap();
        lab.expect(&["half and half"]);
    }
}

#[test]
fn bytes_that_are_no_text_are_a_line_like_any_other() {
    let mut lab = Lab::new("log", |_| {});
    lab.writer("log").write_all(b"\0nul\0\n\xff\xfe\n\r\nafter\n").unwrap();
    lab.expect(&["\0nul\0", "\u{fffd}\u{fffd}", "\r", "after"]);
}

#[test]
fn a_line_of_ten_megabytes_is_cut_and_the_next_line_is_whole() {
    let mut lab = Lab::new("log", |_| {});
    let mut writer = lab.writer("log");
    for _ in 0..10 {
        writer.write_all(&vec![b'x'; 1_000_000]).unwrap();
        lab.expect(&[]);
    }
    lab.while_down(|_| {});
    writer.write_all(b"\nnext\n").unwrap();
    lab.expect(&[&"x".repeat(LINE_BYTES_MAX), "next"]);
    assert_eq!(lab.stats().cut_lines, 1);
}

#[test]
fn a_renamed_log_is_read_to_its_end_while_its_writer_has_not_noticed() {
    let mut lab = Lab::new("log", |_| {});
    let mut old = lab.writer("log");
    old.write_all(b"a\n").unwrap();
    lab.rename("log", "log.1");
    old.write_all(b"b\n").unwrap();
    lab.write("log", "d\n");
    old.write_all(b"c\n").unwrap();
    lab.expect(&["a", "b", "c", "d"]);
    old.write_all(b"late\n").unwrap();
    lab.expect(&["late"]);
    assert_eq!(lab.stats().rotations, 1);
    lab.expect_losses(&[]);
}

#[test]
fn a_line_begun_before_a_rotation_and_finished_after_it_is_one_line() {
    let mut lab = Lab::new("log", |_| {});
    let mut old = lab.writer("log");
    old.write_all(b"beginning ").unwrap();
    lab.expect(&[]);
    lab.rename("log", "log.1");
    lab.write("log", "new\n");
    lab.expect(&["new"]);
    old.write_all(b"end\n").unwrap();
    lab.expect(&["beginning end"]);
}

/// Renames the numbered files as logrotate does, oldest first.
fn shift(lab: &Lab, name: &str) {
    let numbered = |number: u32| format!("{name}.{number}");
    let count = (1..).take_while(|&number| lab.path(&numbered(number)).exists()).count();
    for number in (1..=u32::try_from(count).unwrap()).rev() {
        lab.rename(&numbered(number), &numbered(number + 1));
    }
    lab.rename(name, &numbered(1));
}

#[test]
fn twenty_rotations_between_two_looks_are_read_in_order() {
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", "0\n");
    lab.expect(&["0"]);
    let numbers: Vec<_> = (1..=20).map(|number| number.to_string()).collect();
    for number in &numbers {
        lab.write("log", &format!("{number}\n"));
        shift(&lab, "log");
    }
    lab.write("log", "last\n");
    let mut expected: Vec<_> = numbers.iter().map(String::as_str).collect();
    expected.push("last");
    lab.expect(&expected);
    lab.expect_losses(&[]);
}

#[test]
fn twenty_rotations_while_down_are_read_in_order() {
    let numbers: Vec<_> = (1..=20).map(|number| number.to_string()).collect();
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", "0\n");
    lab.expect(&["0"]);
    lab.while_down(|lab| {
        for number in &numbers {
            lab.write("log", &format!("{number}\n"));
            shift(lab, "log");
        }
    });
    lab.expect(&numbers.iter().map(String::as_str).collect::<Vec<_>>());
    lab.while_down(|_| {});
    lab.expect(&[]);
    lab.expect_losses(&[]);
}

#[test]
fn dated_rotations_while_down_are_read_in_order() {
    let mut lab = Lab::new("mail.log", |_| {});
    lab.write("mail.log", "a\n");
    lab.expect(&["a"]);
    lab.while_down(|lab| {
        lab.write("mail.log", "b\n");
        lab.rename("mail.log", "mail.log-20240811");
        lab.write("mail.log", "c\n");
        lab.rename("mail.log", "mail.log-20240812");
        lab.write("mail.log", "d\n");
    });
    lab.expect(&["b", "c", "d"]);
}

#[test]
fn a_log_renamed_out_of_its_directory_while_down_is_found_by_what_it_is() {
    let mut lab = Lab::new("log", |dir| fs::create_dir(dir.join("old")).unwrap());
    let mut writer = lab.writer("log");
    writer.write_all(b"a\n").unwrap();
    lab.expect(&["a"]);
    // logrotate's olddir: while the watcher runs it learns of the place …
    lab.rename("log", "old/log.1");
    lab.write("log", "b\n");
    lab.expect(&["b"]);
    // … and finds the file there again.
    lab.while_down(|_| writer.write_all(b"late\n").unwrap());
    lab.expect(&["late"]);
    lab.while_down(|lab| {
        lab.write("log", "c\n");
        lab.rename("log", "whatever");
        lab.write("log", "d\n");
    });
    lab.expect(&["c", "d"]);
    lab.expect_losses(&[]);
}

#[test]
fn numbers_that_grow_with_time_are_read_in_the_order_of_time() {
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", "0\n");
    lab.expect(&["0"]);
    lab.while_down(|lab| {
        for number in 1..5 {
            lab.write("log", &format!("{number}\n"));
            lab.rename("log", &format!("log.{number}"));
            // Births are as exact as the kernel's clock; this one must tick.
            let before = fs::metadata(lab.path(&format!("log.{number}"))).unwrap().modified().unwrap();
            while {
                lab.write("tick", "");
                let now = fs::metadata(lab.path("tick")).unwrap().created().unwrap();
                lab.remove("tick");
                now <= before
            } {}
        }
    });
    lab.expect(&["1", "2", "3", "4"]);
}

#[test]
fn what_was_written_while_down_is_read() {
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", "a\nmid");
    lab.expect(&["a"]);
    lab.while_down(|lab| lab.write("log", "dle\nb\n"));
    lab.expect(&["middle", "b"]);
}

#[test]
fn a_rotated_file_is_known_after_a_restart_even_when_nothing_is_left_in_it() {
    let mut lab = Lab::new("log", |_| {});
    for number in 0..10 {
        lab.write("log", &format!("{number}\n"));
        lab.expect(&[&number.to_string()]);
        shift(&lab, "log");
    }
    lab.while_down(|_| {});
    lab.expect(&[]);
    lab.write("log", "new\n");
    lab.expect(&["new"]);
}

#[test]
fn a_file_that_was_unpacked_beside_the_log_is_not_read() {
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", "a\n");
    lab.expect(&["a"]);
    lab.write("log.2", "old\n");
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::options().append(true).open(lab.path("log.2")).unwrap().set_modified(old).unwrap();
    lab.expect(&[]);
    lab.while_down(|lab| {
        lab.rename("log", "log.1");
        lab.write("log", "b\n");
    });
    lab.expect(&["b"]);
}

#[test]
fn rotated_files_from_before_the_beginning_are_not_read() {
    let mut lab = Lab::new("log", |dir| {
        fs::write(dir.join("log.1"), "old\n").unwrap();
        fs::write(dir.join("log"), "a\n").unwrap();
    });
    lab.expect(&["a"]);
    lab.rename("log.1", "log.2");
    lab.rename("log", "log.1");
    lab.write("log", "b\n");
    lab.expect(&["b"]);
    lab.while_down(|_| {});
    lab.expect(&[]);
}

#[test]
fn nothing_is_to_be_heard_of_a_log_that_rests() {
    let mut lab = Lab::new("log", |dir| fs::write(dir.join("log"), "a\n").unwrap());
    lab.expect(&["a"]);
    lab.write("another", "x\n");
    lab.expect(&[]);
    assert_eq!(lab.stats().behind_bytes, 0);
}
