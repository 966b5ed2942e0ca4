//! Logs that are deleted, replaced by another file, reached by a link that is switched, or not there yet.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use watcher::tail::Loss;

use crate::lab::Lab;

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
