//! Rotated files that are compressed before they were read, or half read.

use std::fs;
use std::io::Write;

use watcher::tail::Loss;

use crate::lab::Lab;
use crate::packing::Packer;

/// A log of which one line has been read.
fn begun() -> Lab {
    let mut lab = Lab::new("log", |_| {});
    lab.write("log", "1\n");
    lab.expect(&["1"]);
    lab
}

fn pack(lab: &Lab, name: &str) {
    Packer::Gzip.replace(&lab.path(name));
}

#[test]
fn a_log_compressed_while_down_is_read_from_where_it_had_been_read() {
    for packer in Packer::ALL {
        let mut lab = begun();
        lab.while_down(|lab| {
            lab.write("log", "2\n3\n");
            lab.rename("log", "log.1");
            packer.replace(&lab.path("log.1"));
            lab.write("log", "4\n");
        });
        lab.expect(&["2", "3", "4"]);
        lab.while_down(|_| {});
        lab.expect(&[]);
        lab.expect_losses(&[]);
    }
}

#[test]
fn rotations_as_logrotate_makes_them_while_down_are_read_in_order() {
    let mut lab = begun();
    lab.while_down(|lab| {
        for number in 2..10 {
            lab.write("log", &format!("{number}\n"));
            for rotated in (2..10).rev().filter(|rotated| lab.path(&format!("log.{rotated}.gz")).exists()) {
                lab.rename(&format!("log.{rotated}.gz"), &format!("log.{}.gz", rotated + 1));
            }
            // The option is called delaycompress.
            if lab.path("log.1").exists() {
                lab.rename("log.1", "log.2");
                pack(lab, "log.2");
            }
            lab.rename("log", "log.1");
        }
        lab.write("log", "10\n");
    });
    lab.expect(&["2", "3", "4", "5", "6", "7", "8", "9", "10"]);
    lab.while_down(|_| {});
    lab.expect(&[]);
    lab.expect_losses(&[]);
}

#[test]
fn dated_rotations_compressed_while_down_are_read_in_order() {
    let mut lab = begun();
    lab.while_down(|lab| {
        for day in 11..14 {
            lab.write("log", &format!("{day}\n"));
            let name = format!("log-202408{day}");
            lab.rename("log", &name);
            pack(lab, &name);
        }
        lab.write("log", "last\n");
    });
    lab.expect(&["11", "12", "13", "last"]);
    lab.expect_losses(&[]);
}

#[test]
fn what_was_read_is_not_read_again_when_it_is_compressed() {
    let mut lab = begun();
    for number in 2..12 {
        lab.rename("log", "log.1");
        lab.write("log", &format!("{number}\n"));
        lab.expect(&[&number.to_string()]);
        lab.rename("log.1", &format!("log.{}", 100 - number));
        pack(&lab, &format!("log.{}", 100 - number));
        lab.expect(&[]);
        if number % 3 == 0 {
            lab.while_down(|_| {});
            lab.expect(&[]);
        }
    }
    lab.while_down(|lab| {
        lab.rename("log", "log.1");
        pack(lab, "log.1");
        lab.write("log", "12\n");
    });
    lab.expect(&["12"]);
    lab.expect_losses(&[]);
}

#[test]
fn a_rotation_that_is_compressed_at_once_is_read_by_one_that_was_busy() {
    let mut lab = begun();
    lab.write("log", "2\n");
    lab.rename("log", "log.1");
    lab.write("log", "3\n");
    lab.rename("log.1", "log.2");
    pack(&lab, "log.2");
    lab.rename("log", "log.1");
    pack(&lab, "log.1");
    lab.write("log", "4\n");
    lab.expect(&["2", "3", "4"]);
    lab.expect_losses(&[]);
}

#[test]
fn a_copy_of_a_truncated_log_may_be_compressed_too() {
    let mut lab = begun();
    lab.write("log", "2\n");
    lab.copy_and_truncate("log", "log.1");
    pack(&lab, "log.1");
    lab.write("log", "3\n");
    lab.expect(&["2", "3"]);
    lab.while_down(|lab| {
        lab.write("log", "4\n");
        lab.rename("log.1.gz", "log.2.gz");
        lab.copy_and_truncate("log", "log.1");
        pack(lab, "log.1");
        lab.write("log", "5\n");
    });
    lab.expect(&["4", "5"]);
    lab.expect_losses(&[]);
}

#[test]
fn a_kill_in_the_middle_of_a_compressed_file_goes_on_there() {
    for packer in Packer::ALL {
        let lines: Vec<_> = (2..30_000).map(|number| number.to_string()).collect();
        let mut lab = begun();
        lab.while_down(|lab| {
            lab.write("log", &(lines.join("\n") + "\n"));
            lab.rename("log", "log.1");
            packer.replace(&lab.path("log.1"));
            lab.write("log", "last\n");
        });
        for _ in 0..20 {
            lab.read_bytes(5_000);
            lab.while_down(|_| {});
        }
        let mut expected: Vec<_> = lines.iter().map(String::as_str).collect();
        expected.push("last");
        lab.expect(&expected);
        lab.expect_losses(&[]);
    }
}

#[test]
fn what_is_being_compressed_is_read_from_what_is_there_uncompressed() {
    let mut lab = begun();
    lab.while_down(|lab| {
        lab.write("log", "2\n");
        lab.rename("log", "log.1");
        let half = &Packer::Gzip.pack(b"1\n2\n")[..15];
        fs::write(lab.path("log.1.gz"), half).unwrap();
        lab.write("log", "3\n");
    });
    lab.expect(&["2", "3"]);
    lab.remove("log.1.gz");
    pack(&lab, "log.1");
    lab.expect(&[]);
    lab.while_down(|_| {});
    lab.expect(&[]);
    lab.expect_losses(&[]);
}

#[test]
fn a_damaged_compressed_file_is_counted_and_what_can_be_read_of_it_is_read() {
    let mut lab = begun();
    let lines: Vec<_> = (2..100_000).map(|number| number.to_string()).collect();
    lab.while_down(|lab| {
        lab.write("log", &(lines.join("\n") + "\n"));
        lab.rename("log", "log.1");
        pack(lab, "log.1");
        let size = fs::metadata(lab.path("log.1.gz")).unwrap().len();
        lab.truncate("log.1.gz", size / 2);
        lab.write("log", "last\n");
    });
    let seen = lab.take();
    assert!(seen.len() > 10_000);
    assert!(seen.iter().zip(&lines).take(10_000).all(|(seen, line)| seen == line));
    assert_eq!(seen.last().unwrap(), "last");
    lab.expect_losses(&[(Loss::Unreadable, 1)]);
}

#[test]
fn what_was_compressed_before_the_beginning_is_not_read() {
    let mut lab = Lab::new("log", |dir| {
        fs::write(dir.join("log.2.gz"), Packer::Gzip.pack(b"old\n")).unwrap();
        fs::write(dir.join("log.1"), "less old\n").unwrap();
        fs::write(dir.join("log"), "1\n").unwrap();
    });
    lab.expect(&["1"]);
    lab.rename("log.2.gz", "log.3.gz");
    lab.rename("log.1", "log.2");
    pack(&lab, "log.2");
    lab.rename("log", "log.1");
    lab.write("log", "2\n");
    lab.expect(&["2"]);
    lab.while_down(|lab| {
        lab.rename("log.1", "log.1.a");
        pack(lab, "log.1.a");
    });
    lab.expect(&[]);
}

fn archive(number: u32) -> String {
    format!("logs/@40000000{number:08x}00000000.s")
}

/// What multilog does when `current` is full and a processor compresses.
fn process_current(lab: &Lab, number: u32) {
    lab.rename("logs/current", "logs/previous");
    lab.write("logs/current", "");
    let packed = Packer::Gzip.pack(&fs::read(lab.path("logs/previous")).unwrap());
    fs::File::create_new(lab.path("logs/processed")).unwrap().write_all(&packed).unwrap();
    lab.remove("logs/previous");
    lab.rename("logs/processed", &archive(number));
}

#[test]
fn what_a_processor_of_multilog_compressed_is_read_whatever_it_is_called() {
    let mut lab = Lab::new("logs", |dir| fs::create_dir(dir.join("logs")).unwrap());
    for number in 1..10 {
        lab.write("logs/current", &format!("{number}\n"));
        if number % 2 == 0 {
            lab.expect(&[&number.to_string()]);
            process_current(&lab, number);
            lab.expect(&[]);
        } else {
            lab.while_down(|lab| process_current(lab, number));
            lab.expect(&[&number.to_string()]);
        }
    }
    lab.while_down(|lab| {
        for number in 10..30 {
            lab.write("logs/current", &format!("{number}\n"));
            process_current(lab, number);
        }
    });
    let numbers: Vec<_> = (10..30).map(|number| number.to_string()).collect();
    lab.expect(&numbers.iter().map(String::as_str).collect::<Vec<_>>());
    lab.while_down(|_| {});
    lab.expect(&[]);
    lab.expect_losses(&[]);
}
