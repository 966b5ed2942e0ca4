//! Connections that stand when the ban comes.

use std::io::{ErrorKind, Read as _};
use std::net::TcpListener;
use std::time::Duration;

use ipnet::IpNet;
use watcher::firewall::{Ports, connections};

use crate::namespace::{add_address, connect, in_namespace, listen};

const PATIENCE: Duration = Duration::from_secs(5);

/// All ports of these networks.
fn all_of(networks: &[&str]) -> Vec<(IpNet, Ports)> {
    networks.iter().map(|network| (network.parse().unwrap(), Ports::All)).collect()
}

/// Expects that ending the connections of `networks` ends the one from `client` and no other.
#[track_caller]
fn check_end(networks: &[&str], server: &str, client: &str, other: &str) {
    let (listener, server) = listen(server);
    let client = connect(add_address(client), server, PATIENCE);
    let (mut ended, _) = listener.accept().unwrap();
    let mut other = connect(add_address(other), server, PATIENCE).unwrap();
    let (mut kept, _) = listener.accept().unwrap();

    assert_eq!(connections::end(&all_of(networks)).unwrap(), 1);
    assert_eq!(ended.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionAborted);
    assert_eq!(client.unwrap().read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    kept.set_nonblocking(true).unwrap();
    other.set_nonblocking(true).unwrap();
    assert_eq!(kept.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(other.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn an_addresss_connection_is_ended_on_both_sides() {
    in_namespace(|| check_end(&["192.0.2.7/32"], "127.0.0.1", "192.0.2.7", "192.0.2.8"));
}

#[test]
fn a_networks_connections_are_ended() {
    in_namespace(|| check_end(&["2001:db8:1::/48"], "::1", "2001:db8:1:2::3", "2001:db8:2::3"));
}

#[test]
fn of_many_networks_each_ones_connections_are_ended() {
    let many = ["198.51.100.0/24", "2001:db8:1::/48", "192.0.2.7/32", "2001:db8:3::5/128"];
    in_namespace(move || {
        check_end(&many, "127.0.0.1", "192.0.2.7", "192.0.2.8");
        check_end(&many, "::1", "2001:db8:1:2::3", "2001:db8:2::3");
    });
}

#[test]
fn only_connections_to_the_closed_ports_are_ended() {
    in_namespace(|| {
        let (listener, server) = listen("127.0.0.1");
        let client = connect(add_address("192.0.2.7"), server, PATIENCE);
        let network = "192.0.2.0/24".parse().unwrap();
        let ports = |port| Ports::Tcp([port].into());
        assert_eq!(connections::end(&[(network, ports(server.port() ^ 1))]).unwrap(), 0);
        assert_eq!(connections::end(&[(network, ports(server.port()))]).unwrap(), 1);
        assert_eq!(connections::end(&[(network, ports(server.port()))]).unwrap(), 0);
        drop((client, listener));
    });
}

#[test]
fn a_server_for_both_families_is_freed_of_an_ipv4_client() {
    in_namespace(|| {
        let listener = TcpListener::bind("[::]:0").unwrap();
        let server = (std::net::Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port()).into();
        let _client = connect(add_address("192.0.2.7"), server, PATIENCE).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        assert_eq!(connections::end(&all_of(&["192.0.2.7/32"])).unwrap(), 1);
        assert_eq!(accepted.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionAborted);
    });
}

#[test]
fn the_connections_of_many_are_ended_in_one_walk() {
    in_namespace(|| {
        let listener = TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = |address: std::net::IpAddr| (address, port).into();
        let (v4, v6) =
            (server(std::net::Ipv4Addr::LOCALHOST.into()), server(std::net::Ipv6Addr::LOCALHOST.into()));
        let clients =
            [("192.0.2.7", v4), ("2001:db8:1::7", v6), ("192.0.2.9", v4)].map(|(client, server)| {
                let client = connect(add_address(client), server, PATIENCE).unwrap();
                (client, listener.accept().unwrap().0)
            });
        let banned = ["192.0.2.7/32", "2001:db8:1::/64", "203.0.113.0/24"];
        let banned = banned.map(|network| (network.parse().unwrap(), Ports::Tcp([port].into())));
        assert_eq!(connections::end(&banned).unwrap(), 2);
        let ended = clients.map(|(_client, mut accepted)| {
            accepted.set_nonblocking(true).unwrap();
            accepted.read(&mut [0]).unwrap_err().kind() == ErrorKind::ConnectionAborted
        });
        assert_eq!(ended, [true, true, false]);
    });
}
