use std::time::SystemTime;

use super::*;

/// Makes a tree: a name that ends in a slash is a directory, `a -> b` a link, `a @DAYS` a file of that age.
fn tree(names: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for name in names {
        let (name, link) = name.split_once(" -> ").map_or((*name, None), |(name, link)| (name, Some(link)));
        let (name, days) = name.split_once(" @").map_or((name, None), |(name, days)| (name, Some(days)));
        let path = root.path().join(name);
        std::fs::create_dir_all(if name.ends_with('/') { &path } else { path.parent().unwrap() }).unwrap();
        if let Some(link) = link {
            std::os::unix::fs::symlink(link, path).unwrap();
        } else if !name.ends_with('/') {
            let file = std::fs::File::create(path).unwrap();
            let age = Duration::from_secs(days.map_or(0, |days| days.parse::<u64>().unwrap() * 86_400));
            file.set_modified(SystemTime::now() - age).unwrap();
        }
    }
    root
}

/// What is taken, and what is passed over.
#[track_caller]
fn check(names: &[&str], taken: &[&str], passed_over: &[(&str, &str)]) {
    let root = tree(names);
    let found = detect(root.path(), SystemTime::now().into());
    let names: Vec<String> = found.taken.iter().map(|found| found.origin.to_string()).collect();
    assert_eq!(names, taken);
    let passed: Vec<(&str, &str)> =
        found.passed_over.iter().map(|passed| (passed.name.as_str(), passed.why.as_str())).collect();
    assert_eq!(passed, passed_over);
}

#[test]
fn an_empty_machine_has_nothing() {
    check(&[], &[], &[]);
    check(&["var/log/journal/", "var/log/syslog"], &[], &[]);
}

#[test]
fn the_directories_of_qmail_are_found_once_however_they_are_reached() {
    check(
        &[
            "var/log/qmail/smtpd/current",
            "var/log/qmail/smtpd/qlog/current",
            "var/log/qmail/send/current",
            "var/log/qmail/empty/",
            "var/qmail/supervise/smtpd/log/main -> ../../../../log/qmail/smtpd",
            "service/qmail-smtpd -> ../var/qmail/supervise/smtpd",
            "service/dnscache/log/main/current",
            "service/qmail-pop3d/log/main/current",
        ],
        &["/var/log/qmail/send", "/var/log/qmail/smtpd", "/service/qmail-pop3d/log/main"],
        &[
            ("/var/log/qmail/smtpd/qlog", "as a rule its lines stand in /var/log/qmail/smtpd too"),
            ("/service/qmail-smtpd/log/main", "it is another name of /var/log/qmail/smtpd"),
            ("/var/qmail/supervise/smtpd/log/main", "it is another name of /var/log/qmail/smtpd"),
        ],
    );
}

#[test]
fn the_watcher_does_not_read_itself() {
    check(
        &[
            "var/log/qmail/smtpd/current",
            "var/log/qmail/watcher/current",
            "service/postern-watcher/log/main/current",
        ],
        &["/var/log/qmail/smtpd"],
        &[
            ("/var/log/qmail/watcher", "what the watcher says itself"),
            ("/service/postern-watcher/log/main", "what the watcher says itself"),
        ],
    );
}

#[test]
fn plain_files_among_the_directories_are_found_and_their_rotations_are_not() {
    check(
        &["var/log/qmail/smtpd", "var/log/qmail/smtpd.1", "var/log/qmail/lock", "var/log/postern/smtpd.log"],
        &["/var/log/qmail/smtpd", "/var/log/postern/smtpd.log"],
        &[],
    );
}

#[test]
fn directories_of_other_loggers_are_found_by_their_names() {
    check(
        &["var/log/smtpd/current", "var/log/nginx/current", "var/multilog/qmail-smtpd/current"],
        &["/var/log/smtpd", "/var/multilog/qmail-smtpd"],
        &[],
    );
}

#[test]
fn a_file_is_preferred_to_the_journal_that_it_came_through() {
    check(
        &[
            "var/log/journal/",
            "lib/systemd/system/postfix@.service",
            "lib/systemd/system/ssh.service",
            "var/log/mail.log",
            "var/log/mail.err",
            "var/log/auth.log",
        ],
        &["/var/log/mail.log", "/var/log/auth.log"],
        &[
            ("/var/log/mail.err", "its lines stand in /var/log/mail.log too"),
            ("journal _SYSTEMD_UNIT=postfix@-.service", "its lines stand in /var/log/mail.log too"),
            ("journal _SYSTEMD_UNIT=ssh.service", "its lines stand in /var/log/auth.log too"),
        ],
    );
}

#[test]
fn without_a_file_the_journal_is_read_for_the_units_that_are_there() {
    check(
        &[
            "run/log/journal/",
            "usr/lib/systemd/system/dovecot.service",
            "etc/systemd/system/postern-smtpd.service",
            "lib/systemd/system/sshd.service",
            "lib/systemd/system/postfix.service",
        ],
        &[
            "journal _SYSTEMD_UNIT=postern-smtpd.service",
            "journal _SYSTEMD_UNIT=postfix.service _SYSTEMD_UNIT=dovecot.service",
            "journal _SYSTEMD_UNIT=sshd.service",
        ],
        &[],
    );
}

#[test]
fn a_file_that_nobody_writes_any_more_gives_way_to_the_journal() {
    let units = ["var/log/journal/", "lib/systemd/system/postfix.service"];
    check(
        &[units[0], units[1], "var/log/mail.log @40"],
        &["journal _SYSTEMD_UNIT=postfix.service"],
        &[("/var/log/mail.log", "it was not written for 40d; the journal has these lines")],
    );
    check(&["var/log/mail.log @40"], &["/var/log/mail.log"], &[]);
    check(
        &[units[0], units[1], "var/log/mail.log @6"],
        &["/var/log/mail.log"],
        &[("journal _SYSTEMD_UNIT=postfix.service", "its lines stand in /var/log/mail.log too")],
    );
}

#[test]
fn of_two_files_for_the_same_one_is_read() {
    check(
        &["var/log/maillog", "var/log/mail.log -> maillog", "var/log/secure"],
        &["/var/log/mail.log", "/var/log/secure"],
        &[("/var/log/maillog", "/var/log/mail.log is read, which is for the same")],
    );
    check(
        &[
            "var/log/exim4/mainlog",
            "var/log/exim4/rejectlog",
            "var/log/dovecot.log",
            "var/log/dovecot-info.log",
        ],
        &["/var/log/exim4/mainlog", "/var/log/dovecot.log", "/var/log/dovecot-info.log"],
        &[("/var/log/exim4/rejectlog", "its lines stand in /var/log/exim4/mainlog too")],
    );
}
