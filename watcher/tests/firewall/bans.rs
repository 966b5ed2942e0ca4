//! Who is kept out, and for how long.

use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use watcher::firewall::{Change, Firewall as _, FirewallError, Lease, Nftables, Ports};

use crate::namespace::{add_address, check_connects, connect, in_namespace, listen, nft};

const HOUR: Duration = Duration::from_secs(3600);

fn lease(network: &str, ports: &Ports, remaining: Duration) -> Lease {
    let network = network.parse().or_else(|_| network.parse().map(|address: IpAddr| address.into())).unwrap();
    Lease { network, ports: ports.clone(), remaining }
}

fn ban(network: &str) -> Change {
    Change::Ban(lease(network, &Ports::All, HOUR))
}

fn unban(network: &str) -> Change {
    let Lease { network, ports, .. } = lease(network, &Ports::All, HOUR);
    Change::Unban { network, ports }
}

fn tcp(ports: impl IntoIterator<Item = u16>) -> Ports {
    Ports::Tcp(ports.into_iter().collect())
}

fn open() -> Nftables {
    let mut firewall = Nftables::open().unwrap();
    assert_eq!(firewall.restore(&mut std::iter::empty()).unwrap(), 0);
    firewall
}

/// Bans `network`, expects that `inside` is kept out and `outside` is not, and that both come in when it is over.
#[track_caller]
fn check_ban(network: &str, server: &str, inside: &str, outside: &str) {
    let (_listener, server) = listen(server);
    let (inside, outside) = (add_address(inside), add_address(outside));
    let mut firewall = open();
    check_connects(inside, server, true);
    firewall.apply(&[ban(network)]).unwrap();
    check_connects(inside, server, false);
    check_connects(outside, server, true);
    let dropped = firewall.dropped().unwrap().total();
    assert!(dropped.packets > 0 && dropped.bytes >= 40 * dropped.packets, "{dropped:?}");
    firewall.apply(&[unban(network)]).unwrap();
    check_connects(inside, server, true);
    assert!(!firewall.damaged().unwrap(), "what we did ourselves is no damage");
}

#[test]
fn an_address_is_kept_out_and_let_in_again() {
    in_namespace(|| check_ban("192.0.2.7", "127.0.0.1", "192.0.2.7", "192.0.2.8"));
}

#[test]
fn an_ipv6_address_is_kept_out() {
    in_namespace(|| check_ban("2001:db8::7", "::1", "2001:db8::7", "2001:db8::8"));
}

#[test]
fn a_mapped_address_is_the_ipv4_address() {
    in_namespace(|| check_ban("::ffff:192.0.2.7", "127.0.0.1", "192.0.2.7", "192.0.2.8"));
}

#[test]
fn an_ipv6_64_is_kept_out_whole() {
    in_namespace(|| check_ban("2001:db8:0:1::/64", "::1", "2001:db8:0:1:ffff::9", "2001:db8:0:2::9"));
}

#[test]
fn an_ipv6_48_is_kept_out_whole() {
    in_namespace(|| check_ban("2001:db8:5::/48", "::1", "2001:db8:5:ffff::9", "2001:db8:6::9"));
}

#[test]
fn a_24_is_kept_out_whole() {
    in_namespace(|| check_ban("198.51.100.0/24", "127.0.0.1", "198.51.100.255", "198.51.101.0"));
}

#[test]
fn the_highest_network_has_no_address_after_it() {
    in_namespace(|| check_ban("128.0.0.0/1", "127.0.0.1", "192.0.2.7", "100.64.0.7"));
}

#[test]
fn an_established_connection_is_cut() {
    in_namespace(|| {
        let (listener, server) = listen("127.0.0.1");
        let client = add_address("192.0.2.7");
        let mut firewall = open();
        let mut stream = connect(client, server, HOUR).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        stream.write_all(b"HELO").unwrap();
        accepted.read_exact(&mut [0; 4]).unwrap();
        firewall.apply(&[ban("192.0.2.7")]).unwrap();
        stream.write_all(b"MAIL").unwrap();
        accepted.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
        assert!(accepted.read(&mut [0; 4]).is_err());
    });
}

#[test]
fn a_ban_ends_by_itself() {
    in_namespace(|| {
        let (_listener, server) = listen("127.0.0.1");
        let client = add_address("192.0.2.7");
        let mut firewall = open();
        let brief = lease("192.0.2.7", &Ports::All, Duration::from_millis(600));
        firewall.apply(&[Change::Ban(brief.clone())]).unwrap();
        check_connects(client, server, false);
        // The first packet is lost; the client's second, a second later, is answered.
        assert!(connect(client, server, Duration::from_secs(10)).is_some());
        assert!(!firewall.holds(brief.network, &Ports::All).unwrap());
    });
}

#[test]
fn only_the_ports_of_a_ban_are_closed() {
    in_namespace(|| {
        let client = add_address("192.0.2.7");
        let (_closed, closed) = listen("127.0.0.1");
        let (_open, opened) = listen("127.0.0.1");
        let mut firewall = open();
        let ports = tcp([closed.port(), 1]);
        firewall.apply(&[Change::Ban(lease("192.0.2.0/24", &ports, HOUR))]).unwrap();
        check_connects(client, closed, false);
        check_connects(client, opened, true);
        // A ban of all ports is another ban, and its end leaves this one alone.
        firewall.apply(&[ban("192.0.2.0/24")]).unwrap();
        check_connects(client, opened, false);
        assert_eq!(
            firewall.meeting(client).unwrap(),
            [("192.0.2.0/24".parse().unwrap(), Ports::All), ("192.0.2.0/24".parse().unwrap(), ports)]
        );
        firewall.apply(&[unban("192.0.2.0/24")]).unwrap();
        check_connects(client, opened, true);
        check_connects(client, closed, false);
    });
}

/// Expects that `nft` lists the ban once, with this timeout and nearly all of it left.
#[track_caller]
fn check_deadline(network: &str, seconds: u64) {
    let list: serde_json::Value = serde_json::from_str(&nft("-j list ruleset")).unwrap();
    let network = network.parse::<IpNet>().unwrap().network().to_string();
    let elements =
        list["nftables"].as_array().unwrap().iter().flat_map(|item| item["set"]["elem"].as_array());
    let listed: Vec<_> = elements
        .flatten()
        .map(|element| &element["elem"])
        .filter(|element| element["val"].to_string().contains(&format!("\"{network}\"")))
        .map(|element| (element["timeout"].as_u64().unwrap(), element["expires"].as_u64().unwrap()))
        .collect();
    assert!(
        matches!(listed[..], [(timeout, expires)] if timeout == seconds && (seconds - 5..=seconds).contains(&expires)),
        "{network} for {seconds}: {listed:?}"
    );
}

#[track_caller]
fn check_new_deadlines(mut firewall: Nftables) {
    for network in ["192.0.2.7/32", "2001:db8::/64", "198.51.100.0/24", "2001:db9::/32"] {
        let brief = Change::Ban(lease(network, &Ports::All, Duration::from_secs(600)));
        for _ in 0..2 {
            firewall.apply(std::slice::from_ref(&brief)).unwrap();
            check_deadline(network, 600);
            firewall.apply(&[ban(network)]).unwrap();
            check_deadline(network, 3600);
        }
        firewall.apply(&[brief.clone(), ban(network), brief]).unwrap();
        check_deadline(network, 600);
        firewall.apply(&[unban(network), ban(network)]).unwrap();
        check_deadline(network, 3600);
        firewall.apply(&[ban(network), unban(network), unban(network)]).unwrap();
        assert!(!firewall.holds(network.parse().unwrap(), &Ports::All).unwrap());
    }
}

#[test]
fn a_second_ban_replaces_the_first_ones_deadline() {
    in_namespace(|| check_new_deadlines(open()));
}

#[test]
fn a_second_ban_replaces_the_first_ones_deadline_on_old_kernels() {
    in_namespace(|| check_new_deadlines(open().as_on_an_old_kernel()));
}

#[test]
fn a_renewed_ban_of_the_same_length_counts_from_now() {
    in_namespace(|| {
        let (_listener, server) = listen("127.0.0.1");
        let client = add_address("192.0.2.7");
        let mut firewall = open();
        let brief = Change::Ban(lease("192.0.2.7", &Ports::All, Duration::from_millis(1600)));
        firewall.apply(std::slice::from_ref(&brief)).unwrap();
        // A second of the kernel's own clock goes by.
        assert!(connect(client, server, Duration::from_millis(1000)).is_none());
        firewall.apply(&[brief]).unwrap();
        // The first ban's time ends before the client's second packet, the second ban's after it.
        assert!(connect(client, server, Duration::from_millis(1300)).is_none());
        assert!(connect(client, server, Duration::from_secs(10)).is_some());
    });
}

#[test]
fn no_remaining_time_is_no_ban_and_little_is_not_for_ever() {
    in_namespace(|| {
        let mut firewall = open();
        let bans = [Duration::ZERO, Duration::from_nanos(1), Duration::MAX].into_iter().zip(1..);
        let bans: Vec<_> =
            bans.map(|(time, n)| Change::Ban(lease(&format!("192.0.2.{n}"), &Ports::All, time))).collect();
        firewall.apply(&bans).unwrap();
        check_deadline("192.0.2.3/32", 3_153_600_000);
        let list = nft("list set inet postern ip4_32_all");
        assert!(!list.contains("192.0.2.1 "), "{list}");
        assert!(!list.contains("192.0.2.2,"), "{list}");
        // Banned, and with no time left: no longer banned.
        firewall.apply(&[Change::Ban(lease("192.0.2.3", &Ports::All, Duration::ZERO))]).unwrap();
        assert!(!nft("list set inet postern ip4_32_all").contains("192.0.2.3"));
    });
}

#[test]
fn ending_what_is_no_ban_is_no_error() {
    in_namespace(|| {
        let mut firewall = open();
        firewall
            .apply(&[unban("192.0.2.7"), unban("10.0.0.0/8"), ban("192.0.2.8"), unban("2001:db8::1")])
            .unwrap();
        assert!(firewall.holds("192.0.2.8/32".parse().unwrap(), &Ports::All).unwrap());
        assert!(!firewall.holds("192.0.2.7/32".parse().unwrap(), &Ports::All).unwrap());
        firewall.apply(&[]).unwrap();
        firewall.apply(&[unban("10.0.0.0/8")]).unwrap();
    });
}

#[test]
fn what_cannot_be_banned_is_named_and_the_rest_is_banned() {
    in_namespace(|| {
        let mut firewall = open();
        let none = Change::Ban(lease("192.0.2.1", &tcp([]), HOUR));
        let many = Change::Ban(lease("192.0.2.2", &tcp(1..=33), HOUR));
        let error = firewall.apply(&[none, ban("192.0.2.3"), many, ban("192.0.2.4")]).unwrap_err();
        let FirewallError::Some { failed } = error else { panic!("{error:?}") };
        assert_eq!(failed.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(failed[0].1.to_string(), "a list of 1 to 32 ports is needed, this one has 0");
        assert!(firewall.holds("192.0.2.3/32".parse().unwrap(), &Ports::All).unwrap());
        assert!(firewall.holds("192.0.2.4/32".parse().unwrap(), &Ports::All).unwrap());
    });
}

#[test]
fn ten_thousand_bans_are_all_in_force() {
    in_namespace(|| {
        let mut firewall = open();
        let bans: Vec<_> = (0..10_000).map(|n| ban(&format!("10.0.{}.{}", n / 256, n % 256))).collect();
        firewall.apply(&bans).unwrap();
        let list: serde_json::Value =
            serde_json::from_str(&nft("-j list set inet postern ip4_32_all")).unwrap();
        assert_eq!(list["nftables"][1]["set"]["elem"].as_array().unwrap().len(), 10_000);
        assert!(!firewall.damaged().unwrap());
        // Once more, all of them and one new.
        firewall.apply(&[&bans[..], &[ban("192.0.2.7")]].concat()).unwrap();
        assert!(firewall.holds("192.0.2.7/32".parse().unwrap(), &Ports::All).unwrap());
        assert!(!firewall.damaged().unwrap());
    });
}

#[test]
fn a_network_can_be_banned_again_as_soon_as_its_ban_is_over() {
    in_namespace(|| {
        let mut firewall = open();
        for network in ["192.0.2.7/32", "2001:db8::/64", "198.51.100.0/24", "2001:db9::/32"] {
            let brief = lease(network, &Ports::All, Duration::from_millis(100));
            firewall.apply(&[Change::Ban(brief.clone()), ban("203.0.113.0/24")]).unwrap();
            // The kernel removes the element later, when it collects what has ended.
            while firewall.holds(brief.network, &Ports::All).unwrap() {}
            firewall.apply(&[ban(network)]).unwrap();
            check_deadline(network, 3600);
            firewall.apply(&[unban(network)]).unwrap();
        }
    });
}

#[test]
fn a_full_set_says_what_it_holds() {
    in_namespace(|| {
        let mut firewall = open();
        firewall.apply(&[ban("192.0.2.1")]).unwrap();
        nft("add set inet postern ip4_32_all { type ipv4_addr; flags timeout; size 2; }");
        let error = firewall.apply(&[ban("192.0.2.2"), ban("192.0.2.3"), ban("2001:db8::1")]).unwrap_err();
        let FirewallError::Some { failed } = error else { panic!("{error:?}") };
        assert_eq!(failed.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
        assert_eq!(
            failed[0].1.to_string(),
            "the set ip4_32_all is full: it holds 2000000 networks and no more"
        );
        assert!(firewall.holds("192.0.2.2/32".parse().unwrap(), &Ports::All).unwrap());
        assert!(firewall.holds("2001:db8::1/128".parse().unwrap(), &Ports::All).unwrap());
    });
}
