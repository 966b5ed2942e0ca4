//! One log, and one thing at a time that is done to it.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::symlink;

use watcher::tail::{LINE_BYTES_MAX, Loss, Start};

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

#[test]
fn a_deleted_log_is_read_to_its_end_before_the_new_one() {
    let mut lab = Lab::new("log", |_| {});
    for generation in 0..5 {
        let mut writer = lab.writer("log");
        let lines: Vec<_> = (0..200).map(|line| format!("{generation} {line}")).collect();
        for line in &lines {
            writeln!(writer, "{line}").unwrap();
        }
        lab.expect(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        writer.write_all(b"before it was deleted\n").unwrap();
        lab.remove("log");
        writer.write_all(b"after it was deleted\n").unwrap();
        lab.expect(&["before it was deleted", "after it was deleted"]);
    }
    lab.expect_losses(&[]);
}

#[test]
fn a_deleted_log_whose_writer_is_gone_does_not_keep_its_disk_space() {
    let mut lab = Lab::new("log", |_| {});
    let mut writer = lab.writer("log");
    writer.write_all(b"a\nunfin").unwrap();
    lab.expect(&["a"]);
    lab.remove("log");
    lab.expect(&[]);
    assert_eq!(lab.stats().files, 1);
    drop(writer);
    lab.expect(&[]);
    assert_eq!(lab.stats().files, 0);
    lab.expect_losses(&[(Loss::Unfinished, 1)]);
}

#[test]
fn a_new_log_with_the_inode_of_a_deleted_one_is_another_log() {
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", "a\n");
    lab.expect(&["a"]);
    lab.while_down(|lab| {
        lab.remove("log");
        // Births are told apart by the ticks of the kernel's clock.
        let born = |path| fs::metadata(path).unwrap().created().unwrap();
        let before = born(lab.path("."));
        fs::write(lab.path("tick"), "").unwrap();
        while born(lab.path("tick")) <= before {
            lab.remove("tick");
            fs::write(lab.path("tick"), "").unwrap();
        }
        lab.remove("tick");
        lab.write("log", "a\n");
    });
    lab.expect(&["a"]);
    lab.expect_losses(&[(Loss::Gone, 1)]);
}

#[test]
fn a_switched_link_is_followed() {
    let mut lab = Lab::new("log", |dir| {
        fs::write(dir.join("one"), "a\n").unwrap();
        fs::write(dir.join("two"), "b\n").unwrap();
        symlink("one", dir.join("log")).unwrap();
    });
    lab.expect(&["a"]);
    lab.write("one", "late\n");
    symlink("two", lab.path("new")).unwrap();
    lab.rename("new", "log");
    lab.write("one", "later\n");
    lab.expect(&["late", "later", "b"]);
    lab.write("two", "c\n");
    lab.write("one", "latest\n");
    lab.expect(&["latest", "c"]);
}

#[test]
fn a_link_switched_from_date_to_date_while_down_misses_none() {
    let mut lab = Lab::new("log", |dir| {
        fs::create_dir(dir.join("logs")).unwrap();
        fs::write(dir.join("logs/2024-08-11.log"), "a\n").unwrap();
        symlink("logs/2024-08-11.log", dir.join("log")).unwrap();
    });
    lab.expect(&["a"]);
    lab.while_down(|lab| {
        lab.write("logs/2024-08-11.log", "b\n");
        lab.write("logs/2024-08-12.log", "c\n");
        lab.write("logs/2024-08-13.log", "d\n");
        lab.remove("log");
        symlink("logs/2024-08-13.log", lab.path("log")).unwrap();
    });
    lab.expect(&["b", "c", "d"]);
}

#[test]
fn a_directory_that_is_a_link_may_be_switched_too() {
    let mut lab = Lab::new("now/log", |dir| {
        for (directory, text) in [("one", "a\n"), ("two", "b\n")] {
            fs::create_dir(dir.join(directory)).unwrap();
            fs::write(dir.join(directory).join("log"), text).unwrap();
        }
        symlink("one", dir.join("now")).unwrap();
    });
    lab.expect(&["a"]);
    lab.remove("now");
    symlink("two", lab.path("now")).unwrap();
    lab.expect(&["b"]);
}

#[test]
fn a_file_moved_into_place_with_content_is_read_from_its_beginning() {
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", "a\n");
    lab.expect(&["a"]);
    lab.write("log", "b\n");
    lab.write("prepared", "c\nd\n");
    lab.rename("prepared", "log");
    lab.expect(&["b", "c", "d"]);
}

#[test]
fn a_missing_file_in_missing_directories_is_waited_for() {
    let mut lab = Lab::new("some/where/log", |_| {});
    lab.expect(&[]);
    fs::create_dir(lab.path("some")).unwrap();
    lab.expect(&[]);
    fs::create_dir(lab.path("some/where")).unwrap();
    lab.expect(&[]);
    lab.write("some/where/log", "a\n");
    lab.expect(&["a"]);
    fs::remove_dir_all(lab.path("some")).unwrap();
    lab.expect(&[]);
    fs::create_dir_all(lab.path("some/where")).unwrap();
    lab.write("some/where/log", "b\n");
    lab.expect(&["b"]);
}

#[test]
fn a_missing_directory_does_not_cost_the_cursors() {
    let mut lab = Lab::new("mount/log", |dir| fs::create_dir(dir.join("mount")).unwrap());
    lab.write("mount/log", "a\n");
    lab.expect(&["a"]);
    lab.while_down(|lab| lab.rename("mount", "unmounted"));
    lab.expect(&[]);
    lab.while_down(|_| {});
    lab.rename("unmounted", "mount");
    lab.write("mount/log", "b\n");
    lab.expect(&["b"]);
    lab.expect_losses(&[]);
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
fn what_is_no_regular_file_is_waited_on_and_not_for() {
    let mut lab = Lab::new("log", |dir| {
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.join("log"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
    });
    lab.expect(&[]);
    lab.remove("log");
    lab.write("log", "a\n");
    lab.expect(&["a"]);
}

#[test]
fn nothing_is_to_be_heard_of_a_log_that_rests() {
    let mut lab = Lab::new("log", |dir| fs::write(dir.join("log"), "a\n").unwrap());
    lab.expect(&["a"]);
    lab.write("another", "x\n");
    lab.expect(&[]);
    assert_eq!(lab.stats().behind_bytes, 0);
}
