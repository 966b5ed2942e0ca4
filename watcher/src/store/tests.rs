//! What is saved comes back, and what was half done does not.

use std::net::IpAddr;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::*;
use crate::connections::Connections;
use crate::engine::{Evidence, Lease, Terms};
use crate::jail::{Mode, Ports};
use crate::subject::Network;

fn now() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}

fn ban(subject: &str, from: Timestamp, length: Duration) -> Ban {
    let ports = Ports::Tcp([25, 587].into());
    let terms = Terms { jail: "j".into(), mode: Mode::Enforce, ports, reason: None };
    let lease = Lease { from, until: from + length, terms: terms.into(), before: 1 };
    let evidence = vec![Evidence { at: from, line: "the line".into() }];
    Ban { subject: subject.parse().unwrap(), lease, evidence }
}

fn made(subject: &str, from: Timestamp, length: Duration) -> BanChange {
    BanChange::Made(ban(subject, from, length))
}

const HOUR: Duration = Duration::from_secs(3600);

#[track_caller]
fn write(path: &std::path::Path, batch: Batch) {
    let (store, _) = Store::open(path).unwrap();
    store.write(batch).unwrap();
}

#[test]
fn a_batch_comes_back_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/watcher.db");
    let from = now();
    let cursor = Cursor {
        path: "/var/log/x".into(),
        device: 1,
        inode: 2,
        born_ns: 3,
        offset: u64::from(u32::MAX) + 4,
        head_len: 5,
        head_hash: u64::MAX,
        modified_ns: 6,
        is_packed: true,
        is_over: false,
    };
    let entry = crate::journal::Position { cursor: "s=1;i=2".into(), taken_us: 3 };
    let cursors = vec![Position::File(cursor), Position::Journal(entry)];
    let mut connections = Connections::default();
    connections.open(SessionId(7), IpAddr::from([192, 0, 2, 7]), from);
    let sessions = connections.take_changes();
    write(
        &path,
        Batch {
            bans: vec![made("192.0.2.7", from, HOUR)],
            counters: Vec::new(),
            state: vec![("known x".into(), Some("{}".into())), ("known y".into(), None)],
            sessions: sessions.iter().map(|(pid, s)| ("x".to_owned(), *pid, s.clone())).collect(),
            cursors: vec![("x".to_owned(), cursors.clone())],
            ..Batch::default()
        },
    );
    let (_store, saved) = Store::open(&path).unwrap();
    let expected = ban("192.0.2.7", from, HOUR);
    assert_eq!(saved.bans.leases().collect::<Vec<_>>(), [(&expected.subject, &expected.lease)]);
    let positions: Vec<_> = cursors.into_iter().map(|position| ("x".to_owned(), position)).collect();
    assert_eq!(saved.cursors, positions);
    assert_eq!(saved.sessions.len(), 1);
    assert_eq!(saved.state, [("known x".to_owned(), "{}".to_owned())]);
    let found =
        Reader::open(&path).unwrap().bans(&"192.0.2.7".parse::<Network>().unwrap().and_around(), 10).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].evidence, expected.evidence);
}

#[test]
fn the_same_ban_read_twice_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("watcher.db");
    let from = now();
    write(&path, Batch { bans: vec![made("192.0.2.7", from, HOUR)], ..Batch::default() });
    write(&path, Batch { bans: vec![made("192.0.2.7", from, HOUR)], ..Batch::default() });
    let (_store, saved) = Store::open(&path).unwrap();
    assert_eq!(saved.bans.len(), 1);
}

#[test]
fn a_lifted_ban_does_not_come_back_and_an_ended_one_is_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("watcher.db");
    let from = now() - 2 * HOUR;
    let end = |subject: &str, why| BanChange::Ended {
        subject: subject.parse().unwrap(),
        jail: "j".into(),
        why,
        at: from + HOUR,
    };
    let bans = vec![
        made("192.0.2.7", from, 3 * HOUR),
        made("192.0.2.8", from, HOUR),
        end("192.0.2.7", End::Lifted),
        end("192.0.2.8", End::Expired),
    ];
    write(&path, Batch { bans, ..Batch::default() });
    let (_store, saved) = Store::open(&path).unwrap();
    let subjects: Vec<String> = saved.bans.leases().map(|(subject, _)| subject.to_string()).collect();
    assert_eq!(subjects, ["192.0.2.8"]);
}

#[test]
fn what_a_lifted_ban_had_taken_the_place_of_does_not_come_back_either() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("watcher.db");
    let from = now();
    let bans = ["192.0.2.7", "192.0.2.8"].into_iter().flat_map(|subject| {
        let subjects = [made(subject, from, 3 * HOUR), made(subject, from + HOUR / 60, 2 * HOUR)];
        let lifted = BanChange::Ended {
            subject: subject.parse().unwrap(),
            jail: "j".into(),
            why: End::Lifted,
            at: from + HOUR / 30,
        };
        subjects.into_iter().chain([lifted])
    });
    let again = made("192.0.2.8", from + HOUR / 20, HOUR);
    write(&path, Batch { bans: bans.chain([again]).collect(), ..Batch::default() });
    let (_store, saved) = Store::open(&path).unwrap();
    let found: Vec<_> =
        saved.bans.leases().map(|(subject, lease)| (subject.to_string(), lease.from)).collect();
    assert_eq!(found, [("192.0.2.8".to_owned(), from + HOUR / 20)]);
}

#[test]
fn flushing_answers_after_what_came_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("watcher.db");
    let (store, _) = Store::open(&path).unwrap();
    let from = now();
    store.write(Batch { bans: vec![made("2001:db8::/64", from, HOUR)], ..Batch::default() }).unwrap();
    let (done, written) = sync_channel(1);
    store.flush(move || done.send(()).unwrap());
    written.recv().unwrap();
    let found = Reader::open(&path)
        .unwrap()
        .bans(&"2001:db8::9".parse::<Network>().unwrap().and_around(), 10)
        .unwrap();
    assert_eq!(found.len(), 1);
}

#[test]
fn a_newer_layout_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("watcher.db");
    drop(Store::open(&path).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
}

#[test]
fn a_ban_that_ended_long_ago_is_removed_with_its_evidence() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("watcher.db");
    let bans =
        vec![made("192.0.2.7", now() - 2 * crate::engine::MEMORY, HOUR), made("192.0.2.8", now(), HOUR)];
    write(&path, Batch { bans, ..Batch::default() });
    let connection = rusqlite::Connection::open(&path).unwrap();
    let count = |table: &str| -> i64 {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count("ban"), count("evidence")), (1, 1));
}

/// A database with so many bans, after `damage` was done to its bytes; what is saved of it, and whether all is wanted.
#[track_caller]
fn check_damage(bans: usize, damage: impl Fn(&mut Vec<u8>)) -> (Saved, bool) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("watcher.db");
    let made = |n: usize| made(&format!("198.18.{}.{}", n / 256, n % 256), now(), HOUR);
    write(&path, Batch { bans: (0..bans).map(made).collect(), ..Batch::default() });
    let mut bytes = std::fs::read(&path).unwrap();
    damage(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
    let (store, saved) = Store::open(&path).unwrap();
    let (done, begun) = sync_channel(1);
    store.flush(move || done.send(()).unwrap());
    begun.recv().unwrap();
    let wants_all = store.wants_all();
    assert_eq!(directory.path().join("watcher.db.damaged").exists(), wants_all);
    // It can be used again, and what it is given comes back.
    store
        .write(Batch { bans: vec![BanChange::Made(ban("192.0.2.7", now(), HOUR))], ..Batch::default() })
        .unwrap();
    drop(store);
    let (_store, again) = Store::open(&path).unwrap();
    assert!(again.bans.leases().any(|(subject, _)| subject.to_string() == "192.0.2.7"));
    (saved, wants_all)
}

#[test]
fn a_file_that_is_no_database_is_moved_aside_and_all_is_wanted_again() {
    let (saved, wants_all) = check_damage(10, |bytes| bytes.fill(0x5a));
    assert!(saved.is_empty() && wants_all);
    let (saved, wants_all) = check_damage(10, |_| ());
    assert_eq!((saved.bans.len(), wants_all), (10, false));
}

#[test]
fn of_a_damaged_file_what_can_be_read_comes_back() {
    let (saved, wants_all) = check_damage(2000, |bytes| {
        let half = bytes.len() / 2;
        bytes[half..].fill(0x5a);
    });
    assert!(wants_all && !saved.bans.is_empty() && saved.bans.len() < 2000, "{}", saved.bans.len());
}

#[test]
fn bans_that_are_written_again_after_damage_have_the_lines_that_can_still_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("watcher.db");
    let from = now();
    let bans = || (0..2000).map(|n| ban(&format!("198.18.{}.{}", n / 256, n % 256), from, HOUR));
    write(&path, Batch { bans: bans().map(BanChange::Made).collect(), ..Batch::default() });
    let mut bytes = std::fs::read(&path).unwrap();
    // Something in its first third that reading all bans comes upon, and the last tenth.
    let (third, end) = (bytes.len() / 3, bytes.len());
    bytes[third..third + 8192].fill(0x5a);
    bytes[end - end / 10..].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let (store, _) = Store::open(&path).unwrap();
    let bare = bans().map(|ban| BanChange::Made(Ban { evidence: Vec::new(), ..ban })).collect();
    store.write(Batch { bans: bare, is_all: true, ..Batch::default() }).unwrap();
    drop(store);
    let reader = Reader::open(&path).unwrap();
    let subjects: Vec<_> = bans().map(|ban| ban.subject).collect();
    let found = reader.bans(&subjects, 2000).unwrap();
    let with_lines = found.iter().filter(|ban| ban.evidence.len() == 1).count();
    assert!(found.len() == 2000 && with_lines > 100, "{} bans, {with_lines} with lines", found.len());
    assert!(found.iter().flat_map(|ban| &ban.evidence).all(|evidence| evidence.line == "the line"));
}

#[test]
fn one_row_that_makes_no_sense_costs_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("watcher.db");
    write(
        &path,
        Batch {
            bans: vec![made("192.0.2.7", now(), HOUR), made("192.0.2.8", now(), HOUR)],
            ..Batch::default()
        },
    );
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute("UPDATE ban SET mode = 'nonsense' WHERE subject = '192.0.2.7'", []).unwrap();
    drop(connection);
    let (_store, saved) = Store::open(&path).unwrap();
    let subjects: Vec<String> = saved.bans.leases().map(|(subject, _)| subject.to_string()).collect();
    assert_eq!(subjects, ["192.0.2.8"]);
}
