//! Bans by a program.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use watcher::firewall::{Change, Command, Firewall as _, FirewallError, Lease, Ports};

/// A firewall whose bans are directories.
fn directories() -> (Command, tempfile::TempDir) {
    let place = tempfile::tempdir().unwrap();
    let argument = format!("{}/{{address}}-{{ports}}", place.path().display());
    let argv = |program: &str| [program.to_owned(), argument.clone()];
    (Command::new(&argv("/bin/mkdir"), &argv("/bin/rmdir")).unwrap(), place)
}

fn ban(network: &str, remaining: Duration) -> Change {
    Change::Ban(Lease { network: network.parse().unwrap(), ports: Ports::Tcp([25].into()), remaining })
}

fn unban(network: &str) -> Change {
    Change::Unban { network: network.parse().unwrap(), ports: Ports::Tcp([25].into()) }
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_program_is_run_for_a_ban_and_for_its_end() {
    let (mut firewall, place) = directories();
    firewall.apply(&[ban("::ffff:192.0.2.7/128", HOUR), unban("192.0.2.8/32")]).unwrap();
    assert!(place.path().join("192.0.2.7-25").is_dir());
    assert!(firewall.holds("192.0.2.7/32".parse().unwrap(), &Ports::Tcp([25].into())).unwrap());
    firewall.apply(&[unban("192.0.2.7/32")]).unwrap();
    assert!(!place.path().join("192.0.2.7-25").exists());
}

#[test]
fn the_end_of_a_ban_wakes_and_runs_the_program() {
    let (mut firewall, place) = directories();
    firewall.apply(&[ban("192.0.2.7/32", Duration::from_millis(50)), ban("192.0.2.8/32", HOUR)]).unwrap();
    let fd = firewall.watch_fd().unwrap();
    let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
    assert_eq!(poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&patience)), Ok(1));
    assert!(!firewall.damaged().unwrap());
    assert!(!place.path().join("192.0.2.7-25").exists());
    assert!(place.path().join("192.0.2.8-25").exists());
    let fd = firewall.watch_fd().unwrap();
    assert_eq!(poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&Timespec::default())), Ok(0));
    firewall.clear().unwrap();
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[track_caller]
fn check_failed(result: Result<(), FirewallError>, expected: &[(usize, &str)]) {
    let Err(FirewallError::Some { failed }) = result else { panic!("{result:?}") };
    let failed: Vec<_> = failed.iter().map(|(index, error)| (*index, error.to_string())).collect();
    let expected: Vec<_> = expected.iter().map(|(index, error)| (*index, (*error).to_owned())).collect();
    assert_eq!(failed, expected);
}

#[test]
fn a_program_that_fails_leaves_no_ban_and_the_others_are_made() {
    let (mut firewall, place) = directories();
    std::fs::create_dir(place.path().join("192.0.2.7-25")).unwrap();
    let changes = [ban("192.0.2.7/32", HOUR), ban("192.0.2.0/24", HOUR), ban("192.0.2.8/32", HOUR)];
    let no_network = "/bin/mkdir takes an address, not a network";
    check_failed(firewall.apply(&changes), &[(0, "the program ended with exit status: 1"), (1, no_network)]);
    assert!(place.path().join("192.0.2.8-25").is_dir());
    assert_eq!(firewall.meeting("192.0.2.7".parse().unwrap()).unwrap(), []);
}

#[test]
fn a_storm_of_bans_is_no_storm_of_processes() {
    let (mut firewall, place) = directories();
    let storm: Vec<_> = (0..60).map(|n| ban(&format!("192.0.2.{n}/32"), HOUR)).collect();
    let start = Instant::now();
    let Err(FirewallError::Some { failed }) = firewall.apply(&storm) else { panic!("all were run") };
    let run = std::fs::read_dir(place.path()).unwrap().count();
    assert_eq!(run + failed.len(), storm.len());
    assert!(run as u64 <= 20 * (start.elapsed().as_secs() + 1), "{run}");
    assert_eq!(failed[0].1.to_string(), "20 programs were run within a second, and that is the limit");
}
