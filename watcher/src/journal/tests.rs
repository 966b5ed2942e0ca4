use super::*;

/// Reads until `is_done`, in a time that passes as the journal wants to be read.
fn read_until(journal: &mut Journal, now: &mut Instant, is_done: impl Fn(&Journal) -> bool) {
    for _ in 0..1000 {
        if is_done(journal) {
            return;
        }
        match (journal.due(), journal.fd()) {
            (Some(due), _) => *now = due,
            (None, Some(fd)) => {
                let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
                rustix::event::poll(&mut fds, None).unwrap();
            }
            (None, None) => {}
        }
        journal.read(*now, &mut |_| {});
    }
    panic!("it never came to that");
}

#[test]
fn a_journalctl_that_is_missing_is_a_trouble_and_looked_for_again() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("journalctl");
    let mut now = Instant::now();
    let selection = Selection { matches: Vec::new(), directory: None };
    let mut journal = Journal { programs: vec![program.clone()], ..Journal::new(selection, None, now) };
    let mut pauses = Vec::new();
    for _ in 0..8 {
        journal.read(now, &mut |_| {});
        let due = journal.due().unwrap();
        pauses.push((due - now).as_secs());
        now = due;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    let trouble = journal.trouble().unwrap();
    assert_eq!(trouble, "there is no journalctl here; it belongs to systemd (tried again 8 times)");
    // Installed meanwhile: one that has nothing to say, and says it in the right order.
    let says_nothing = "#!/bin/sh\ncase \"$*\" in *--follow*) exec sleep 1000;; esac\n";
    std::fs::write(&program, says_nothing).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    read_until(&mut journal, &mut now, |journal| matches!(journal.stage, Stage::Running(Pass::Follow, _)));
    assert_eq!(journal.trouble(), None);
}

#[test]
fn entries_of_other_machines_do_not_count() {
    let own = Journal {
        machine: Some(7),
        ..Journal::new(Selection { matches: Vec::new(), directory: None }, None, Instant::now())
    };
    let copy = Journal {
        machine: None,
        ..Journal::new(
            Selection { matches: Vec::new(), directory: Some("/copy".into()) },
            None,
            Instant::now(),
        )
    };
    for (mut journal, expected) in [(own, vec!["1", "3"]), (copy, vec!["1", "2", "3"])] {
        let mut lines = Vec::new();
        for (n, machine) in [(1, Some(7)), (2, Some(8)), (3, None)] {
            let message = Some(n.to_string().into_bytes());
            let entry = Entry { cursor: n.to_string(), machine, message, ..Entry::default() };
            journal.take(&entry, &mut |sent| lines.push(String::from_utf8_lossy(sent.line).into_owned()));
        }
        assert_eq!(lines, expected);
    }
}
