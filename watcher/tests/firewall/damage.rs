//! A table that somebody else touches, that stands from before, or that may not be made.

use std::os::fd::AsFd as _;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use watcher::firewall::{Change, Firewall as _, FirewallError, Lease, Nftables, Ports};

use crate::namespace::{add_address, check_connects, in_namespace, listen, nft, without_capabilities};

fn leases(networks: &[&str]) -> Vec<Lease> {
    let lease = |network: &&str| Lease {
        network: network.parse().unwrap(),
        ports: Ports::All,
        remaining: Duration::from_secs(3600),
    };
    networks.iter().map(lease).collect()
}

fn with_bans(networks: &[&str]) -> Nftables {
    let mut firewall = Nftables::open().unwrap();
    assert_eq!(firewall.restore(&mut leases(networks).into_iter()).unwrap(), networks.len());
    assert!(!firewall.damaged().unwrap());
    firewall
}

#[track_caller]
fn check_readable(firewall: &Nftables, expected: bool) {
    let fd = firewall.watch_fd().unwrap();
    let ready = poll(&mut [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)], Some(&Timespec::default()));
    assert_eq!(ready.unwrap() == 1, expected);
}

/// Expects that what `command` does is noticed, and that a restore puts every ban in force again.
#[track_caller]
fn check_repair(command: &str) {
    let (_listener, server) = listen("127.0.0.1");
    let (address, inside) = (add_address("192.0.2.7"), add_address("198.51.100.7"));
    let bans = ["192.0.2.7/32", "198.51.100.0/24", "2001:db8::/64"];
    let mut firewall = with_bans(&bans);
    check_readable(&firewall, false);
    nft(command);
    check_readable(&firewall, true);
    assert!(firewall.damaged().unwrap(), "{command}");
    assert!(!firewall.damaged().unwrap(), "it is said once");
    firewall.restore(&mut leases(&bans).into_iter()).unwrap();
    check_connects(address, server, false);
    check_connects(inside, server, false);
    assert!(!firewall.damaged().unwrap(), "the repair is no damage");
}

#[test]
fn a_flushed_ruleset_is_put_back() {
    in_namespace(|| check_repair("flush ruleset"));
}

#[test]
fn a_deleted_element_is_put_back() {
    in_namespace(|| check_repair("delete element inet postern ip4_24_all { 198.51.100.0/24 }"));
}

#[test]
fn a_flushed_set_is_put_back() {
    in_namespace(|| check_repair("flush set inet postern ip4_32_all"));
}

#[test]
fn what_is_taken_away_while_bans_are_put_back_is_noticed() {
    in_namespace(|| {
        let networks: Vec<String> = (0..5000).map(|n| format!("198.18.{}.{}/32", n / 250, n % 250)).collect();
        let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
        let mut firewall = with_bans(&[]);
        // By then the kernel has the first of them.
        let flush = |(n, _): &(usize, Lease)| {
            if *n == 4500 {
                nft("flush set inet postern ip4_32_all");
            }
        };
        let mut bans = leases(&networks).into_iter().enumerate().inspect(flush).map(|(_, lease)| lease);
        assert_eq!(firewall.restore(&mut bans).unwrap(), networks.len());
        assert!(firewall.damaged().unwrap());
        firewall.restore(&mut leases(&networks).into_iter()).unwrap();
        assert!(!firewall.damaged().unwrap(), "the repair is no damage");
        for lease in leases(&networks) {
            assert!(firewall.holds(lease.network, &Ports::All).unwrap(), "{}", lease.network);
        }
    });
}

#[test]
fn flushed_rules_are_put_back() {
    in_namespace(|| check_repair("flush table inet postern"));
}

#[test]
fn a_table_that_somebody_made_differently_is_replaced() {
    in_namespace(|| {
        check_repair(
            "delete table inet postern; add table inet postern; \
             add set inet postern ip4_32_all { type ipv6_addr; }",
        );
    });
}

#[test]
fn changes_to_other_tables_are_no_damage() {
    in_namespace(|| {
        let mut firewall = with_bans(&["192.0.2.7/32"]);
        nft("add table inet other");
        nft("add set inet other ip4_32_all { type ipv4_addr; }");
        nft("delete table inet other");
        nft("add element inet postern ip4_32_all { 192.0.2.9 timeout 1h }");
        assert!(!firewall.damaged().unwrap());
    });
}

#[track_caller]
fn check_healing(commands: &[&str]) {
    in_namespace(|| {
        let mut firewall = with_bans(&["198.51.100.0/24"]);
        commands.iter().for_each(|command| _ = nft(command));
        let ban = Change::Ban(leases(&["192.0.2.7/32"]).remove(0));
        firewall.apply(&[ban]).unwrap();
        assert!(firewall.holds("192.0.2.7/32".parse().unwrap(), &Ports::All).unwrap());
        // What else was lost is not back, and that is said.
        assert!(firewall.damaged().unwrap());
    });
}

#[test]
fn a_ban_heals_a_table_that_is_gone() {
    check_healing(&["delete table inet postern"]);
}

#[test]
fn a_ban_heals_a_set_that_is_gone() {
    check_healing(&["flush table inet postern", "delete set inet postern ip4_32_all"]);
}

#[test]
fn bans_and_counts_stand_while_we_restart() {
    in_namespace(|| {
        let (_listener, server) = listen("127.0.0.1");
        let (address, inside) = (add_address("192.0.2.7"), add_address("198.51.100.7"));
        drop(with_bans(&["192.0.2.7/32", "198.51.100.0/24"]));
        check_connects(address, server, false);
        nft("flush chain inet postern drop_all");
        let mut firewall = with_bans(&[]);
        check_connects(address, server, false);
        check_connects(inside, server, false);
        assert!(firewall.dropped().unwrap().total().packets >= 3);
        assert_eq!(firewall.meeting(inside).unwrap(), [("198.51.100.0/24".parse().unwrap(), Ports::All)]);
        let unban = |network: &str| Change::Unban { network: network.parse().unwrap(), ports: Ports::All };
        firewall.apply(&[unban("192.0.2.7/32"), unban("198.51.100.0/24")]).unwrap();
        check_connects(inside, server, true);
    });
}

#[test]
fn a_table_of_another_layout_is_replaced() {
    in_namespace(|| {
        nft("add table inet postern { comment \"postern layout 0\"; }");
        nft("add set inet postern old { type ipv4_addr; }");
        let mut firewall = with_bans(&["192.0.2.7/32"]);
        let list = nft("list ruleset");
        assert!(list.contains("postern layout 1") && !list.contains("set old"), "{list}");
        assert!(firewall.holds("192.0.2.7/32".parse().unwrap(), &Ports::All).unwrap());
    });
}

#[test]
fn what_stands_can_be_saved_and_loaded_by_nft() {
    in_namespace(|| {
        let mut firewall = with_bans(&["192.0.2.7/32", "198.51.100.0/24", "2001:db8::/64"]);
        let closed = Lease { ports: Ports::Tcp([25, 465].into()), ..leases(&["2001:db9::/48"]).remove(0) };
        firewall.apply(&[Change::Ban(closed.clone())]).unwrap();
        let saved = tempfile::NamedTempFile::new().unwrap();
        let list = nft("list ruleset");
        assert!(list.contains("tcp dport { 25, 465 } jump drop_tcp_25_465"), "{list}");
        std::fs::write(saved.path(), &list).unwrap();
        nft("flush ruleset");
        nft(&format!("-f {}", saved.path().display()));
        drop(firewall);
        let mut firewall = with_bans(&[]);
        assert!(firewall.holds(closed.network, &closed.ports).unwrap());
        assert!(firewall.holds("198.51.100.0/24".parse().unwrap(), &Ports::All).unwrap());
    });
}

#[test]
fn clearing_leaves_nothing_behind() {
    in_namespace(|| {
        let mut firewall = with_bans(&["192.0.2.7/32"]);
        firewall.clear().unwrap();
        assert_eq!(nft("list ruleset"), "");
        firewall.clear().unwrap();
        assert!(!firewall.damaged().unwrap());
        assert!(!firewall.holds("192.0.2.7/32".parse().unwrap(), &Ports::All).unwrap());
        assert_eq!(firewall.dropped().unwrap().total().packets, 0);
    });
}

#[test]
fn a_process_without_the_right_is_told_what_to_do() {
    without_capabilities(|| {
        let error = Nftables::open().unwrap_err();
        assert!(matches!(error, FirewallError::Permission), "{error:?}");
        assert_eq!(error.to_string(), "needs CAP_NET_ADMIN: run as root, or set firewall = \"dry-run\"");
    });
}
