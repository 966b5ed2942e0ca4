//! The real logrotate, in the ways in which it is configured.

use std::fs;
use std::process::Command;

use crate::lab::Lab;

/// Lets logrotate rotate the log at once.
fn rotate(lab: &Lab, options: &str) {
    let config = lab.path("logrotate.conf");
    let log = lab.path("log");
    fs::write(&config, format!("{} {{\nsu root root\nrotate 50\n{options}\n}}\n", log.display())).unwrap();
    let output = Command::new("/usr/sbin/logrotate")
        .arg("--force")
        .arg("--state")
        .arg(lab.path("state"))
        .arg(config)
        .output()
        .expect("logrotate of the package of that name is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Rotates while the log is followed, while it was read in part, and while nobody is there.
#[track_caller]
fn check(options: &str) {
    let mut lab = Lab::new("log", |_| {});
    let mut number = 0;
    let mut write = |lab: &Lab, lines: usize| {
        number += lines;
        let added = number - lines..number;
        let text: String = added.clone().map(|line| format!("line {line}\n")).collect();
        lab.write("log", &text);
    };
    write(&lab, 3);
    let mut seen = lab.take();
    for _ in 0..5 {
        write(&lab, 3);
        rotate(&lab, options);
        write(&lab, 2);
        lab.read_bytes(10);
        lab.while_down(|lab| {
            for _ in 0..3 {
                write(lab, 4);
                rotate(lab, options);
            }
            write(lab, 1);
        });
        seen.extend(lab.take());
    }
    lab.while_down(|_| {});
    seen.extend(lab.take());
    assert_eq!(seen, (0..number).map(|line| format!("line {line}")).collect::<Vec<_>>(), "{options}");
    lab.expect_losses(&[]);
}

#[test]
fn what_logrotate_renames_and_compresses_is_read_once() {
    check("create");
    check("compress");
    check("compress\ndelaycompress");
    check("compress\ncompresscmd /usr/bin/xz\ncompressext .xz");
}

#[test]
fn what_logrotate_copies_and_truncates_is_read_once() {
    check("copytruncate");
    check("copytruncate\ncompress");
    check("copytruncate\ncompress\ndelaycompress");
}

#[test]
fn what_logrotate_dates_is_read_once() {
    check("dateext\ndateformat -%Y%m%d-%s\npostrotate\nsleep 1\nendscript\ncompress");
}
