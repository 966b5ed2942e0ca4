//! Globs, directories, and several sources.

use std::fs;
use std::io::Write;

use watcher::tail::{SourceId, Start, Tailer, Target};

use crate::lab::{Lab, is_readable, read_to_the_end};

const CURRENT: &str = "logs/current";

fn archive(number: u32) -> String {
    format!("logs/@40000000{number:08x}00000000.s")
}

/// What multilog does when `current` is full.
fn archive_current(lab: &Lab, number: u32) {
    lab.rename(CURRENT, "logs/previous");
    lab.write(CURRENT, "");
    fs::hard_link(lab.path("logs/previous"), lab.path(&archive(number))).unwrap();
    lab.remove("logs/previous");
}

#[test]
fn a_path_says_what_it_means() {
    assert_eq!(Target::parse("/var/log/*.log"), Target::Glob("/var/log/*.log".into()));
    assert_eq!(Target::parse("/var/log/smtp[0-9]"), Target::Glob("/var/log/smtp[0-9]".into()));
    assert_eq!(Target::parse("/no/such/directory/"), Target::Directory("/no/such/directory/".into()));
    assert_eq!(Target::parse("/tmp"), Target::Directory("/tmp".into()));
    assert_eq!(Target::parse("/no/such/file"), Target::File("/no/such/file".into()));
}

#[test]
fn a_glob_has_all_its_members_and_those_that_come_later() {
    let mut lab = Lab::new("*.log", |dir| {
        fs::write(dir.join("a.log"), "a\n").unwrap();
        fs::write(dir.join("b.log"), "b\n").unwrap();
        fs::write(dir.join("c.txt"), "no\n").unwrap();
    });
    lab.expect(&["a", "b"]);
    lab.write("c.log", "c\n");
    lab.write(".hidden.log", "no\n");
    lab.expect(&["c"]);
    lab.rename("c.txt", "d.log");
    lab.expect(&["no"]);
    lab.write("a.log", "a2\n");
    lab.expect(&["a2"]);
    lab.while_down(|lab| {
        lab.write("a.log", "a3\n");
        lab.write("e.log", "e\n");
    });
    lab.expect(&["a3", "e"]);
}

#[test]
fn a_glob_may_stand_for_directories_that_come_later() {
    let mut lab = Lab::new("*/main/*.log", |_| {});
    fs::create_dir_all(lab.path("smtp/main")).unwrap();
    lab.expect(&[]);
    lab.write("smtp/main/x.log", "x\n");
    lab.expect(&["x"]);
    fs::create_dir_all(lab.path("pop3/main")).unwrap();
    lab.write("pop3/main/y.log", "y\n");
    lab.expect(&["y"]);
    fs::remove_dir_all(lab.path("smtp")).unwrap();
    lab.expect(&[]);
    fs::create_dir_all(lab.path("smtp/main")).unwrap();
    lab.write("smtp/main/x.log", "x2\n");
    lab.expect(&["x2"]);
}

#[test]
fn each_member_of_a_glob_is_followed_through_its_rotations() {
    let mut lab = Lab::new("*.log", |_| {});
    lab.write("a.log", "1\n");
    lab.expect(&["1"]);
    lab.write("a.log", "2\n");
    lab.rename("a.log", "a.log.1");
    lab.write("a.log", "3\n");
    lab.rename("a.log.1", "a.log.2");
    lab.rename("a.log", "a.log.1");
    lab.write("a.log", "4\n");
    lab.expect(&["2", "3", "4"]);
    lab.while_down(|lab| {
        lab.write("a.log", "5\n");
        lab.rename("a.log", "a.log.3");
    });
    lab.expect(&["5"]);
    lab.expect_losses(&[]);
}

#[test]
fn rotated_files_that_a_glob_matches_are_read_before_the_log_and_once() {
    let mut lab = Lab::new("mail.log*", |dir| {
        for (name, text) in [("mail.log.2", "1\n"), ("mail.log.1", "2\n"), ("mail.log", "3\n")] {
            fs::write(dir.join(name), text).unwrap();
        }
        fs::write(dir.join("mail.log.3.gz"), "not text\n").unwrap();
    });
    lab.expect(&["1", "2", "3"]);
    lab.rename("mail.log.2", "mail.log.3");
    lab.rename("mail.log.1", "mail.log.2");
    lab.rename("mail.log", "mail.log.1");
    lab.write("mail.log", "4\n");
    lab.expect(&["4"]);
    lab.while_down(|_| {});
    lab.expect(&[]);
}

#[test]
fn three_hundred_files_share_the_budget() {
    let directory = tempfile::tempdir().unwrap();
    let pattern = directory.path().join("*.log").to_str().unwrap().to_owned();
    for number in 0..300 {
        fs::write(directory.path().join(format!("{number}.log")), "0123456789\n".repeat(100)).unwrap();
    }
    let mut tailer = Tailer::new().unwrap();
    tailer.follow(SourceId(1), Target::Glob(pattern), Start::Beginning, &[]).unwrap();
    let mut lines = std::collections::BTreeMap::new();
    // Each file gets its turn before any file gets a second.
    while lines.len() < 300 {
        tailer.read(1100, &mut |line| *lines.entry(line.file).or_insert(0) += 1).unwrap();
        assert!(lines.values().all(|&count| count == 100));
    }
    read_to_the_end(&mut tailer, &mut |_| unreachable!("all was read"));
}

#[test]
fn a_budget_is_kept_and_nothing_is_lost_by_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let lines: Vec<_> = (0..1000).map(|number| format!("line {number}")).collect();
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let mut tailer = Tailer::new().unwrap();
    tailer.follow(SourceId(1), Target::File(path), Start::Beginning, &[]).unwrap();
    let mut seen = Vec::new();
    let mut reads = 0;
    while seen.len() < lines.len() {
        tailer.read(100, &mut |line| seen.push(String::from_utf8(line.bytes.to_vec()).unwrap())).unwrap();
        reads += 1;
    }
    assert_eq!(seen, lines);
    assert!(reads >= fs::metadata(directory.path().join("log")).unwrap().len() / 100);
}

#[test]
fn a_multilog_directory_is_read_archives_first() {
    let mut lab = Lab::new("logs", |dir| {
        fs::create_dir(dir.join("logs")).unwrap();
        for (name, text) in [(archive(2).as_str(), "2\n"), (&archive(1), "1\n"), (CURRENT, "3\n")] {
            fs::write(dir.join(name), text).unwrap();
        }
        fs::write(dir.join("logs/state"), "no\n").unwrap();
    });
    lab.expect(&["1", "2", "3"]);
    for number in 4..40 {
        lab.write(CURRENT, &format!("{number}\n"));
        archive_current(&lab, number);
    }
    lab.expect(
        &(4..40).map(|n| n.to_string()).collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>(),
    );
    lab.while_down(|lab| {
        for number in 40..43 {
            lab.write(CURRENT, &format!("{number}\n"));
            archive_current(lab, number);
        }
        for number in 2..20 {
            let _ = fs::remove_file(lab.path(&archive(number)));
        }
    });
    lab.expect(&["40", "41", "42"]);
    lab.expect_losses(&[]);
}

#[test]
fn a_path_that_becomes_a_multilog_directory_is_taken_as_one() {
    let mut lab = Lab::new("logs", |_| {});
    fs::create_dir(lab.path("logs")).unwrap();
    lab.expect(&[]);
    lab.write(CURRENT, "1\n");
    archive_current(&lab, 1);
    lab.write(CURRENT, "2\n");
    lab.expect(&["1", "2"]);
}

#[test]
fn a_glob_may_stand_for_multilog_directories() {
    let mut lab = Lab::new("*", |dir| fs::create_dir(dir.join("logs")).unwrap());
    lab.write(CURRENT, "1\n");
    lab.expect(&["1"]);
    lab.write(CURRENT, "2\n");
    archive_current(&lab, 2);
    lab.write(CURRENT, "3\n");
    archive_current(&lab, 3);
    lab.expect(&["2", "3"]);
    lab.while_down(|lab| {
        lab.write(CURRENT, "4\n");
        archive_current(lab, 4);
        lab.write(CURRENT, "5\n");
        archive_current(lab, 5);
    });
    lab.expect(&["4", "5"]);
}

#[test]
fn more_archives_than_may_be_open_are_read_in_order() {
    let mut lab = Lab::new("logs/", |dir| {
        fs::create_dir(dir.join("logs")).unwrap();
        for number in 0..300 {
            fs::write(dir.join(archive(number)), format!("{number}\n")).unwrap();
        }
        fs::write(dir.join(CURRENT), "300\n").unwrap();
    });
    assert!(lab.stats().files <= 65);
    let numbers: Vec<_> = (0..=300).map(|number| number.to_string()).collect();
    lab.expect(&numbers.iter().map(String::as_str).collect::<Vec<_>>());
    lab.while_down(|_| {});
    lab.expect(&[]);
}

#[test]
fn a_restart_before_all_archives_were_opened_loses_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    for number in 0..300 {
        let name = format!("@40000000{number:08x}00000000.s");
        fs::write(path.join(name), format!("{number}\n")).unwrap();
    }
    fs::write(path.join("current"), "300\n").unwrap();
    let mut seen = Vec::new();
    let mut cursors = Vec::new();
    for _ in 0..30 {
        let mut tailer = Tailer::new().unwrap();
        tailer.follow(SourceId(1), Target::Directory(path.clone()), Start::Beginning, &cursors).unwrap();
        for budget in [1, 40] {
            tailer
                .read(budget, &mut |line| seen.push(String::from_utf8(line.bytes.to_vec()).unwrap()))
                .unwrap();
        }
        cursors = tailer.cursors(SourceId(1));
        assert!(cursors.len() < 400);
    }
    assert_eq!(seen, (0..=300).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn two_sources_may_follow_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut tailer = Tailer::new().unwrap();
    for source in [SourceId(1), SourceId(2)] {
        tailer.follow(source, Target::File(path.clone()), Start::Beginning, &[]).unwrap();
    }
    let mut writer = fs::File::create(&path).unwrap();
    writer.write_all(b"a\n").unwrap();
    let mut seen = Vec::new();
    read_to_the_end(&mut tailer, &mut |line| seen.push(line.source.0));
    tailer.unfollow(SourceId(1));
    writer.write_all(b"b\n").unwrap();
    read_to_the_end(&mut tailer, &mut |line| seen.push(line.source.0));
    assert_eq!(seen, [1, 2, 2]);
    tailer.unfollow(SourceId(2));
    read_to_the_end(&mut tailer, &mut |_| {});
    writer.write_all(b"c\n").unwrap();
    assert!(!is_readable(&tailer));
}
