//! What is saved comes back, and what was half done does not.

use std::net::IpAddr;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::*;
use crate::connections::Connections;
use crate::engine::Evidence;
use crate::jail::{Mode, Ports};
use crate::subject::Network;

fn now() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}

fn ban(subject: &str, from: Timestamp, length: Duration) -> Ban {
    let lease = Lease {
        jail: "j".into(),
        mode: Mode::Enforce,
        from,
        until: from + length,
        before: 1,
        ports: Ports::Tcp([25, 587].into()),
        reason: None,
    };
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
        },
    );
    let (_store, saved) = Store::open(&path).unwrap();
    let expected = ban("192.0.2.7", from, HOUR);
    assert_eq!(saved.bans, [(expected.subject.clone(), expected.lease.clone())]);
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
    let subjects: Vec<String> = saved.bans.iter().map(|(subject, _)| subject.to_string()).collect();
    assert_eq!(subjects, ["192.0.2.8"]);
}

#[test]
fn flushing_answers_after_what_came_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("watcher.db");
    let (store, _) = Store::open(&path).unwrap();
    let from = now();
    store.write(Batch { bans: vec![made("2001:db8::/64", from, HOUR)], ..Batch::default() }).unwrap();
    let (done, written) = sync_channel(1);
    store.flush(done);
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
