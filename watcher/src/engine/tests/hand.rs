//! Bans and exemptions by hand, many at a time, against a model that looks at everything.

use std::collections::BTreeMap;

use super::*;

const NETWORKS: [&str; 12] = [
    "192.0.2.1",
    "192.0.2.9",
    "192.0.2.0/28",
    "192.0.2.0/24",
    "192.0.0.0/16",
    "198.51.100.7",
    "2001:db8::1",
    "2001:db8::/64",
    "2001:db8:0:1::/64",
    "2001:db8:0:1::5",
    "2001:db8::/48",
    "2001:db8::/32",
];

#[derive(Clone, Debug)]
enum Step {
    Ban(usize, u64),
    Unban(Vec<usize>),
    Allow(Vec<usize>),
    Disallow(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let some = || prop::collection::vec(0..NETWORKS.len(), 1..4);
    prop_oneof![
        4 => (0..NETWORKS.len(), 1u64..50).prop_map(|(network, length)| Step::Ban(network, length)),
        2 => some().prop_map(Step::Unban),
        1 => some().prop_map(Step::Allow),
        1 => (0..NETWORKS.len()).prop_map(Step::Disallow),
        2 => (1u64..40).prop_map(Step::Wait),
    ]
}

fn network(n: usize) -> Network {
    NETWORKS[n].parse().unwrap()
}

proptest! {
    #[test]
    fn what_is_looked_up_is_what_looking_at_every_ban_would_find(steps in prop::collection::vec(step(), 1..60)) {
        let mut engine = Engine::new(Jails::single("j", GUESSING).unwrap(), Exemptions::new(&[], &[], false));
        let mut now = Timestamp::from_seconds(1_000);
        let (mut bans, mut allowed): (BTreeMap<Network, Timestamp>, Vec<Network>) = Default::default();
        let mut out = Vec::new();
        for step in steps {
            match step {
                Step::Ban(n, length) => {
                    let until = now + Duration::from_secs(length);
                    let (jail, ports) = (MANUAL.into(), Ports::All);
                    let order = Order { network: network(n), jail, until, reason: None, ports };
                    engine.handle(now, Input::Ban(order), &mut out);
                    if !allowed.iter().any(|allowed| allowed.overlaps(network(n))) {
                        bans.insert(network(n), until);
                    }
                }
                Step::Unban(which) => {
                    let subjects = which.iter().map(|n| Subject::Network(network(*n))).collect();
                    engine.handle(now, Input::Unban(Release::Subjects(subjects)), &mut out);
                    which.iter().for_each(|n| _ = bans.remove(&network(*n)));
                }
                Step::Allow(which) => {
                    let networks: Vec<Network> = which.iter().map(|n| network(*n)).collect();
                    bans.retain(|banned, _| !networks.iter().any(|network| network.overlaps(*banned)));
                    allowed.extend(&networks);
                    engine.handle(now, Input::Allow { networks, until: None, note: None }, &mut out);
                }
                Step::Disallow(n) => {
                    allowed.retain(|allowed| *allowed != network(n));
                    engine.handle(now, Input::Disallow(network(n)), &mut out);
                }
                Step::Wait(seconds) => {
                    now = now + Duration::from_secs(seconds);
                    engine.handle(now, Input::Tick, &mut out);
                    bans.retain(|_, until| *until > now);
                }
            }
            let expected: Vec<Network> = bans.keys().copied().collect();
            let sorted = |bans: Vec<(&Subject, &Lease)>| {
                let mut networks: Vec<Network> = bans.iter().filter_map(|(subject, _)| subject.network()).collect();
                networks.sort();
                networks
            };
            prop_assert_eq!(sorted(engine.bans(now).collect()), expected.clone());
            let parts = (0..).map_while(|part| engine.bans_in(part, now)).flatten();
            prop_assert_eq!(sorted(parts.collect()), expected.clone());
            prop_assert_eq!(engine.bans_len(now), expected.len());
            for n in 0..NETWORKS.len() {
                let near = Network::around(network(n).net().addr(), 24, 48);
                let is_near = |other: &Network| !other.overlaps(network(n)) && other.overlaps(near);
                let neighbours: Vec<Network> = expected.iter().copied().filter(is_near).collect();
                prop_assert_eq!(sorted(engine.bans_near(network(n), now)), neighbours);
            }
            for (network, until) in &bans {
                let word = Output::Enforce { network: *network, ports: Ports::All, until: *until };
                prop_assert_eq!(engine.word_on(*network, &Ports::All, now), word);
            }
        }
    }
}
