//! Whatever is banned and unbanned, nested and in any order: the kernel does what the model says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use ipnet::IpNet;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use watcher::firewall::{Change, DryRun, Firewall, Lease, Nftables, Ports};

use crate::namespace::{add_address, check_connects, in_namespace};

const SMTP: u16 = 25;
const CLIENT: [u8; 4] = [192, 0, 2, 1];

/// Few addresses, so that they meet often: those with the client's and the highest, in networks of many lengths.
fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = (0..4u8, prop_oneof![Just(0u8), Just(255)]).prop_map(|(last, first)| match first {
        0 => Ipv4Addr::from([CLIENT[0], CLIENT[1], CLIENT[2], last]),
        first => Ipv4Addr::from([first, first, first, first - last]),
    });
    let v6 =
        (0..3u16, 0..3u16).prop_map(|(net, host)| Ipv6Addr::from([0x2001, 0xdb8, 0, net, 0, 0, 0, host]));
    prop_oneof![
        v4.clone().prop_map(IpAddr::V4),
        v4.prop_map(|v4| IpAddr::V6(v4.to_ipv6_mapped())),
        v6.prop_map(IpAddr::V6)
    ]
}

fn network() -> impl Strategy<Value = IpNet> {
    let short = prop_oneof![Just(0), Just(1), Just(2), Just(8), Just(16), Just(32), Just(64), Just(97)];
    (address(), short).prop_map(|(address, short)| {
        let longest = IpNet::from(address).prefix_len();
        // A mapped network reaches no further than its 96 bits, or it would be no IPv4 network.
        let shortest = if address.is_ipv6() && address.to_canonical().is_ipv4() { 96 } else { 0 };
        IpNet::new(address, longest.saturating_sub(short).max(shortest)).unwrap()
    })
}

fn ports() -> impl Strategy<Value = Ports> {
    prop_oneof![
        Just(Ports::All),
        Just(Ports::Tcp([SMTP].into())),
        Just(Ports::Tcp([SMTP, 465].into())),
        Just(Ports::Tcp([143].into()))
    ]
}

fn change() -> impl Strategy<Value = Change> {
    (network(), ports(), prop_oneof![Just(0), Just(600), Just(3600)], any::<bool>()).prop_map(
        |(network, ports, seconds, ban)| {
            let remaining = Duration::from_secs(seconds);
            if ban {
                Change::Ban(Lease { network, ports, remaining })
            } else {
                Change::Unban { network, ports }
            }
        },
    )
}

#[track_caller]
fn check_same(kernel: &mut dyn Firewall, model: &mut dyn Firewall, addresses: &[IpAddr], networks: &[IpNet]) {
    let meeting = |firewall: &mut dyn Firewall, address: IpAddr| {
        let mut bans = firewall.meeting(address).unwrap();
        bans.sort();
        bans
    };
    for address in addresses {
        assert_eq!(meeting(kernel, *address), meeting(model, *address), "{address}");
    }
    for network in networks {
        let held = kernel.holds(*network, &Ports::All).unwrap();
        assert_eq!(held, model.holds(*network, &Ports::All).unwrap(), "{network}");
    }
}

/// A client comes in unless it is banned, or the server's own answers are.
fn comes_in(model: &mut dyn Firewall, client: IpAddr, server: SocketAddr) -> bool {
    let closes = |ports: &Ports| match ports {
        Ports::All => true,
        Ports::Tcp(ports) => ports.contains(&server.port()),
    };
    let client = model.meeting(client).unwrap();
    let server = model.meeting(server.ip()).unwrap();
    !client.iter().any(|(_, ports)| closes(ports)) && !server.iter().any(|(_, ports)| *ports == Ports::All)
}

fn check(prepare: fn(Nftables) -> Nftables) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, SMTP)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, SMTP));
    let client = add_address(&Ipv4Addr::from(CLIENT).to_string());
    // A few changes are heard of by who listens for damage; many are not, and go in fewer messages.
    let sizes = prop_oneof![3 => 1..8usize, 1 => 32..64usize];
    let batch = sizes.prop_flat_map(|size| prop::collection::vec(change(), size));
    let batches = prop::collection::vec(batch, 1..8);
    let addresses = prop::collection::vec(address(), 8);
    let networks = prop::collection::vec(network(), 8);
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&(batches, addresses, networks), |(batches, addresses, networks)| {
            let (mut kernel, mut model) = (prepare(Nftables::open().unwrap()), DryRun::new());
            kernel.clear().unwrap();
            kernel.restore(&mut std::iter::empty()).unwrap();
            for batch in &batches {
                kernel.apply(batch).unwrap();
                model.apply(batch).unwrap();
            }
            check_same(&mut kernel, &mut model, &addresses, &networks);
            check_connects(client, server, comes_in(&mut model, client, server));
            // Or its queue would be full one day, and keep out who is not banned.
            while listener.accept().is_ok() {}
            assert!(!kernel.damaged().unwrap());
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_kernel_does_what_the_model_says() {
    in_namespace(|| check(|kernel| kernel));
}

#[test]
fn an_old_kernel_does_what_the_model_says() {
    in_namespace(|| check(Nftables::as_on_an_old_kernel));
}
