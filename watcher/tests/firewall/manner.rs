//! In what manner the banned are kept out.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use socket2::{Domain, Socket, Type};
use watcher::firewall::{Change, Firewall as _, Lease, Manner, Nftables, Ports, Treatment};

use crate::namespace::{add_address, check_connects, in_namespace, listen, nft, run};

fn ban(address: IpAddr, ports: &Ports) -> Change {
    let remaining = Duration::from_secs(3600);
    Change::Ban(Lease { network: IpNet::from(address), ports: ports.clone(), remaining })
}

fn open(treatment: Treatment, ingress: &[&str]) -> Nftables {
    let ingress = ingress.iter().map(|name| (*name).to_owned()).collect();
    let mut firewall = Nftables::open().unwrap().in_manner(Manner { treatment, ingress });
    firewall.restore(&mut std::iter::empty()).unwrap();
    firewall
}

/// Why one address cannot connect to another.
#[track_caller]
fn refusal(from: IpAddr, to: SocketAddr) -> ErrorKind {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    socket.connect_timeout(&to.into(), Duration::from_secs(5)).unwrap_err().kind()
}

#[test]
fn who_is_rejected_is_told_so_at_once() {
    in_namespace(|| {
        for (client, server) in [("192.0.2.7", "127.0.0.1"), ("2001:db8::7", "::1")] {
            let ((_listener, server), client) = (listen(server), add_address(client));
            let mut firewall = open(Treatment::Reject, &[]);
            check_connects(client, server, true);
            firewall.apply(&[ban(client, &Ports::Tcp([server.port()].into()))]).unwrap();
            assert_eq!(refusal(client, server), ErrorKind::ConnectionRefused);
            assert!(firewall.dropped().unwrap().total().packets > 0);
            // Another manner is taken up without losing a ban.
            let mut firewall = open(Treatment::Drop, &[]);
            assert!(firewall.holds(IpNet::from(client), &Ports::Tcp([server.port()].into())).unwrap());
            check_connects(client, server, false);
            firewall.clear().unwrap();
        }
    });
}

#[test]
fn packets_are_dropped_as_they_come_in_where_devices_are_named() {
    in_namespace(|| {
        let ((_listener, server), client) = (listen("127.0.0.1"), add_address("192.0.2.7"));
        let other = add_address("192.0.2.8");
        let mut firewall = open(Treatment::Drop, &["lo", "nothere"]);
        check_connects(client, server, true);
        let ports = Ports::Tcp([server.port()].into());
        firewall.apply(&[ban(client, &ports), ban(other, &Ports::All)]).unwrap();
        check_connects(client, server, false);
        check_connects(other, server, false);
        let listed = nft("list chain inet postern ingress");
        assert!(
            listed.contains("hook ingress device \"lo\"") || listed.contains("devices = { \"lo\" }"),
            "{listed}"
        );
        let dropped = firewall.dropped().unwrap().total().packets;
        assert!(dropped > 0);
        // The other chain saw none of them: it would have dropped them as well, and its rules be gone.
        run("nft", "flush chain inet postern input");
        check_connects(client, server, false);
        assert!(firewall.damaged().unwrap());
    });
}

#[test]
fn a_table_of_other_devices_is_replaced_and_holds_its_bans_again() {
    in_namespace(|| {
        let ((_listener, server), client) = (listen("127.0.0.1"), add_address("192.0.2.7"));
        let mut firewall = open(Treatment::Drop, &["lo"]);
        firewall.apply(&[ban(client, &Ports::All)]).unwrap();
        let mut firewall = Nftables::open().unwrap();
        let Change::Ban(lease) = ban(client, &Ports::All) else { return };
        assert_eq!(firewall.restore(&mut std::iter::once(lease)).unwrap(), 1);
        check_connects(client, server, false);
        assert!(!nft("list table inet postern").contains("ingress"));
    });
}
