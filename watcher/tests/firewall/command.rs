//! Bans by a program.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use watcher::firewall::{Change, Command, Firewall as _, Lease, Ports, Programs};

use crate::namespace::{in_namespace, run};

const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(30);

type Program<'p> = (&'p str, Option<&'p str>);

fn start(ban: Program<'_>, unban: Program<'_>) -> Command {
    let argv = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (bans, unbans) = (argv(ban.0), argv(unban.0));
    Command::start(Programs::parse((&bans, ban.1), (&unbans, unban.1)).unwrap()).unwrap()
}

/// A firewall whose bans are directories, made as many at once as `blank` says.
fn directories(blank: &str) -> (Command, tempfile::TempDir) {
    let place = tempfile::tempdir().unwrap();
    // `env -C` goes there first.
    let argv = |program: &str| format!("/usr/bin/env -C {} {program} {blank}", place.path().display());
    let (ban, unban) = (argv("mkdir"), argv("rmdir"));
    (start((&ban, None), (&unban, None)), place)
}

fn ban(network: &str, remaining: Duration) -> Change {
    Change::Ban(Lease { network: network.parse().unwrap(), ports: Ports::Tcp([25].into()), remaining })
}

fn unban(network: &str) -> Change {
    Change::Unban { network: network.parse().unwrap(), ports: Ports::Tcp([25].into()) }
}

#[track_caller]
fn apply(firewall: &mut Command, changes: &[Change]) {
    firewall.apply(changes).unwrap();
    assert!(firewall.wait(PATIENCE));
}

fn names(place: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(place).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_program_is_run_for_a_ban_and_for_its_end() {
    let (mut firewall, place) = directories("{address}-{ports}");
    apply(&mut firewall, &[ban("::ffff:192.0.2.7/128", HOUR), unban("192.0.2.8/32")]);
    assert_eq!(names(place.path()), ["192.0.2.7-25"]);
    assert!(firewall.holds("192.0.2.7/32".parse().unwrap(), &Ports::Tcp([25].into())).unwrap());
    apply(&mut firewall, &[unban("192.0.2.7/32")]);
    assert!(names(place.path()).is_empty());
}

#[test]
fn the_end_of_a_ban_runs_the_program_and_so_does_the_end_of_all() {
    let (mut firewall, place) = directories("{addresses}");
    apply(&mut firewall, &[ban("192.0.2.7/32", Duration::from_millis(50)), ban("192.0.2.8/32", HOUR)]);
    let start = Instant::now();
    while names(place.path()) != ["192.0.2.8"] {
        assert!(start.elapsed() < PATIENCE, "{:?}", names(place.path()));
        std::thread::sleep(Duration::from_millis(5));
    }
    firewall.clear().unwrap();
    assert!(names(place.path()).is_empty());
}

#[test]
fn a_program_that_fails_is_told_of_and_the_others_are_banned() {
    let (mut firewall, place) = directories("{addresses}");
    std::fs::create_dir(place.path().join("192.0.2.7")).unwrap();
    std::fs::write(place.path().join("192.0.2.7/file"), "").unwrap();
    // The directory is there: `mkdir` fails, for whoever is in its company too, and all are tried alone.
    apply(&mut firewall, &[ban("192.0.2.6/32", HOUR), ban("192.0.2.7/32", HOUR), ban("192.0.2.8/32", HOUR)]);
    let fd = firewall.watch_fd().unwrap();
    assert_eq!(poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&Timespec::default())), Ok(1));
    assert!(!firewall.damaged().unwrap());
    let told = firewall.report().unwrap().unwrap_err().to_string();
    // Those who were made before the failure are there already when they are tried alone.
    assert!(told.contains("192.0.2.") && told.contains("cannot create directory"), "{told}");
    assert_eq!(names(place.path()), ["192.0.2.6", "192.0.2.7", "192.0.2.8"]);
    assert!(firewall.report().is_none() && !firewall.is_settled());
    assert_eq!(firewall.meeting("192.0.2.7".parse().unwrap()).unwrap(), []);
}

#[test]
fn a_storm_of_bans_is_no_storm_of_processes() {
    let (mut firewall, place) = directories("{address}");
    let storm: Vec<_> = (0..30).map(|n| ban(&format!("192.0.2.{n}/32"), HOUR)).collect();
    let start = Instant::now();
    apply(&mut firewall, &storm);
    // 20 in the first second, and 10 in the next.
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(names(place.path()).len(), 30);
    let (mut firewall, place) = directories("{addresses}");
    let storm: Vec<_> = (0..3000).map(|n| ban(&format!("192.0.{}.{}/32", n / 250, n % 250), HOUR)).collect();
    apply(&mut firewall, &storm);
    assert_eq!(names(place.path()).len(), 3000);
}

#[test]
fn a_program_that_hangs_keeps_nobody_waiting_and_goes_with_all_that_it_started() {
    let place = tempfile::tempdir().unwrap();
    let script = place.path().join("hang");
    std::fs::write(&script, format!("sleep 97 & echo $! >{}; wait", place.path().join("pid").display()))
        .unwrap();
    let hang = format!("/bin/sh {} {{address}}", script.display());
    let mut firewall = start((&hang, None), (&hang, None));
    let start = Instant::now();
    firewall.apply(&[ban("192.0.2.7/32", HOUR)]).unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
    let pid = loop {
        let written = std::fs::read_to_string(place.path().join("pid")).unwrap_or_default();
        if let Ok(pid) = written.trim().parse::<u32>() {
            break pid;
        }
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(firewall.wait(PATIENCE));
    let told = firewall.report().unwrap().unwrap_err().to_string();
    assert!(told.contains("killed after 10 seconds"), "{told}");
    // It was sent the signal before that was told; it is gone when the kernel next turns to it.
    let runs = || {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !state.is_empty() && !state.contains(") Z ")
    };
    while runs() {
        assert!(start.elapsed() < PATIENCE, "{pid} runs still");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn ipset_is_told_of_many_at_once_and_of_the_one_that_it_refuses() {
    in_namespace(|| {
        run("ipset", "create banned4 hash:net timeout 0");
        run("ipset", "create banned6 hash:net family inet6 timeout 0");
        let mut firewall = start(
            ("/usr/sbin/ipset -exist restore", Some("add banned{family} {network} timeout {seconds}")),
            ("/usr/sbin/ipset -exist restore", Some("del banned{family} {network}")),
        );
        let bans: Vec<_> = (1..200).map(|n| ban(&format!("192.0.2.{n}/32"), HOUR)).collect();
        apply(&mut firewall, &bans);
        apply(
            &mut firewall,
            &[ban("198.51.100.0/24", HOUR), ban("2001:db8::/64", HOUR), unban("192.0.2.9/32")],
        );
        let listed = run("ipset", "list");
        assert!(
            listed.contains("\n198.51.100.0/24 timeout ") && listed.contains("\n2001:db8::/64 timeout "),
            "{listed}"
        );
        assert_eq!(listed.matches("\n192.0.2.").count(), 198);
        assert!(firewall.report().is_none());
        // It cannot hold networks of no length.
        apply(&mut firewall, &[ban("203.0.113.1/32", HOUR), ban("0.0.0.0/0", HOUR)]);
        let told = firewall.report().unwrap().unwrap_err().to_string();
        assert!(told.contains("that of 0.0.0.0/0: it ended with exit status: 1: ipset v"), "{told}");
        assert!(run("ipset", "list banned4").contains("\n203.0.113.1 timeout "));
    });
}
