//! What the watcher may do, what it gave up, and what it leaves behind.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::namespace::{add_address, connect, in_namespace, listen, nft};
use crate::watcher::{Watcher, eventually};

const NET_ADMIN: u64 = 1 << 12;

/// A number of `/proc/PID/status`.
#[track_caller]
fn status(pid: u32, key: &str, radix: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t")).unwrap();
    u64::from_str_radix(value, radix).unwrap()
}

/// Every thread of a process.
fn threads(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.map(|task| task.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn every_thread_gave_up_what_it_does_not_need_and_all_goes_on() {
    in_namespace(|| {
        let mut watcher = Watcher::start(
            "firewall = \"nftables\"\n[[hook]]\ncommand = [\"/bin/sh\", \"-c\", \"cat > /dev/null\"]\n",
        );
        // DAC_OVERRIDE, DAC_READ_SEARCH, CHOWN, NET_BIND_SERVICE and NET_ADMIN: here it runs as root.
        let kept = 1 << 1 | 1 << 2 | 1 | 1 << 10 | NET_ADMIN;
        for thread in threads(watcher.pid()) {
            for (key, radix, expected) in [
                ("CapEff", 16, kept),
                ("CapPrm", 16, kept),
                ("CapBnd", 16, kept),
                ("CapInh", 16, 0),
                ("CapAmb", 16, 0),
                ("NoNewPrivs", 10, 1),
                ("Seccomp", 10, 2),
            ] {
                assert_eq!(status(thread, key, radix), expected, "{key}");
            }
        }
        let hooks = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", watcher.pid())).unwrap();
        let hooks: u32 = hooks.trim().parse().unwrap();
        eventually("hooks that cannot change the firewall", || {
            let rights = status(hooks, "CapEff", 16) | status(hooks, "CapBnd", 16);
            (rights & NET_ADMIN == 0).then_some(())
        });
        assert_eq!(watcher.banctl("ban 198.51.100.7").code, 0);
        assert_eq!(watcher.banctl("test 198.51.100.7").code, 0);
        assert_eq!(watcher.banctl("reload").code, 0);
        assert_eq!(watcher.banctl("history 198.51.100.7").code, 0);
        watcher.restart();
        assert_eq!(watcher.banctl("test 198.51.100.7").code, 0);
        let journal = watcher.journal();
        assert!(!journal.contains("cannot give up") && !journal.contains("cannot drop"), "{journal}");
    });
}

#[test]
fn files_are_written_only_beside_the_database_and_the_sockets() {
    in_namespace(|| {
        let elsewhere = tempfile::tempdir().unwrap();
        let socket = elsewhere.path().join("log.sock");
        let watcher = Watcher::start("firewall = \"dry-run\"");
        let toml = std::fs::read_to_string(watcher.path("watcher.toml")).unwrap();
        let source = format!("{toml}\n[[source]]\nsyslog = \"{}\"\n", socket.display());
        std::fs::write(watcher.path("watcher.toml"), &source).unwrap();
        assert_eq!(watcher.banctl("reload").code, 0);
        let trouble = watcher.json("status", 0)["sources"][1]["trouble"].as_str().unwrap().to_owned();
        assert!(trouble.to_lowercase().contains("permission denied"), "{trouble}");
        assert!(!socket.exists());
        // At the next start it is known.
        let mut watcher = watcher;
        watcher.restart();
        assert!(socket.exists());
    });
}

#[test]
fn a_sandbox_that_is_not_wanted_is_not_there() {
    in_namespace(|| {
        let watcher = Watcher::start("firewall = \"dry-run\"\nsandbox = false");
        assert_eq!(status(watcher.pid(), "Seccomp", 10), 0);
        assert!(watcher.journal().contains("keeps all the rights"));
    });
}

#[test]
fn bans_are_left_or_taken_out_at_the_end_as_was_said() {
    in_namespace(|| {
        let mut watcher = Watcher::start("firewall = \"nftables\"");
        assert_eq!(watcher.banctl("ban 198.51.100.7").code, 0);
        watcher.stop();
        assert!(nft("list table inet postern").contains("198.51.100.7"));
        let mut watcher = Watcher::start("firewall = \"nftables\"\non_stop = \"flush\"");
        assert_eq!(watcher.banctl("ban 198.51.100.8").code, 0);
        assert_eq!(watcher.banctl("test 198.51.100.8").code, 0);
        watcher.restart();
        assert_eq!(watcher.banctl("test 198.51.100.8").code, 0);
        watcher.stop();
        assert!(!nft("list tables").contains("postern"));
    });
}

/// Whether a ban by this jail ends the connection that the banned has.
fn ends_connection(watcher: &Watcher, address: &str, jail: &str) -> bool {
    let (listener, server) = listen("127.0.0.1");
    let client = add_address(address);
    let mut near = connect(client, server, Duration::from_secs(5)).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    far.write_all(b"x").unwrap();
    near.read_exact(&mut [0]).unwrap();
    assert_eq!(watcher.banctl(&format!("ban {address} --jail {jail}")).code, 0);
    near.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let is_over = |stream: &mut TcpStream| match stream.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    };
    is_over(&mut near)
}

#[test]
fn a_jail_may_leave_the_connections_of_the_banned_as_they_are() {
    in_namespace(|| {
        let watcher = Watcher::start("firewall = \"nftables\"");
        std::fs::create_dir(watcher.path("jails")).unwrap();
        let jail = "about = \"x\"\non = [\"auth-failed\"]\nthreshold = 5\nwithin = \"1m\"\n[ban]\nfor = \"1h\"\nconnections = \"keep\"\n";
        std::fs::write(watcher.path("jails/gentle.toml"), jail).unwrap();
        assert_eq!(watcher.banctl("reload").code, 0);
        assert!(!ends_connection(&watcher, "198.51.100.7", "gentle"));
        assert!(ends_connection(&watcher, "198.51.100.8", "manual"));
    });
}
