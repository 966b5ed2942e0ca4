//! Answers about one subject, and the list of all: who is banned, why, and whether the firewall agrees.

use std::net::IpAddr;

use logline::Timestamp;

use crate::control::Listed;
use crate::control::api::{BanView, Filter, Held, Message, MessageView, Standing, Tested, Why};
use crate::jail::{Mode, Ports};
use crate::run::clock;
use crate::run::daemon::Daemon;
use crate::subject::{Network, Subject};

/// `why` names no more messages than this.
const MESSAGES_TOLD: usize = 20;
/// Nor more neighbours.
const NEIGHBOURS_TOLD: usize = 10;

impl Daemon {
    /// What the filter leaves of one part of the bans, copied; whoever asked sorts it on a thread of his own.
    pub(super) fn list(&self, part: usize, filter: &Filter) -> Option<Listed> {
        let at = clock();
        let bans = self.watch.engine.bans_in(part, at)?;
        let bans = bans.filter(|(subject, lease)| filter.takes(subject, lease));
        Some(Listed { at, bans: bans.map(|(subject, lease)| (subject.clone(), lease.clone())).collect() })
    }

    pub(super) fn why(&self, subject: Subject) -> Why {
        let now = clock();
        match subject {
            Subject::Network(network) => self.why_network(network, now),
            Subject::User(_) => {
                let standing = self.watch.engine.standing(&subject, now).iter().map(Standing::of).collect();
                let bans = self.bans_on(std::slice::from_ref(&subject), now);
                Why { standing, bans, ..Why::nothing_about(subject) }
            }
        }
    }

    fn why_network(&self, network: Network, now: Timestamp) -> Why {
        let engine = &self.watch.engine;
        let around = network.and_around();
        let mut counted = vec![network];
        if network.is_host() {
            // A jail counts an IPv6 client by the network around it.
            counted.push(Network::around(network.net().addr(), 32, 64));
        }
        counted.dedup();
        let subjects = counted.iter().map(|network| Subject::Network(*network));
        let mut standing: Vec<Standing> = Vec::new();
        for found in subjects.flat_map(|subject| engine.standing(&subject, now)) {
            let found = Standing::of(&found);
            if !standing.contains(&found) {
                standing.push(found);
            }
        }
        let credit = engine.credit(network, now);
        let messages = self.watch.messages.latest(|address| network.contains(address));
        let (neighbours, neighbours_total) = self.neighbours(network, now);
        Why {
            bans: self.bans_on(&around, now),
            standing,
            exempt: engine.exemption(network, now).map(|why| why.to_string()),
            accounts: credit.accounts,
            known: credit.good,
            asked: engine.asked().any(|asked| around.contains(&asked.subject)),
            messages: messages.take(MESSAGES_TOLD).map(MessageView::of).collect(),
            listed_by: engine.book().listing_zones(network).map(str::to_owned).collect(),
            neighbours,
            neighbours_total,
            ..Why::nothing_about(Subject::Network(network))
        }
    }

    fn bans_on(&self, subjects: &[Subject], now: Timestamp) -> Vec<BanView> {
        let bans = self.watch.engine.bans_on(subjects, now).into_iter();
        bans.map(|(subject, lease)| BanView::of(subject, lease, &[], now)).collect()
    }

    /// Others who are banned nearby: some of them, and how many they are.
    fn neighbours(&self, network: Network, now: Timestamp) -> (Vec<BanView>, usize) {
        let mut others = self.watch.engine.bans_near(network, now);
        others.sort_by(|(a, x), (b, y)| (a, &x.jail).cmp(&(b, &y.jail)));
        let told =
            others.iter().take(NEIGHBOURS_TOLD).map(|(subject, lease)| BanView::of(subject, lease, &[], now));
        (told.collect(), others.len())
    }

    /// Asks the firewall itself about an address.
    pub(super) fn test(&mut self, address: IpAddr) -> Result<Tested, Message> {
        let now = clock();
        let network = Network::host(address);
        let held = self.enforcer.meeting(address).map_err(|message| Message { message })?;
        let mut bans = self.bans_on(&network.and_around(), now);
        bans.retain(|ban| ban.mode == Mode::Enforce);
        let ports = |ports: &Ports| match ports {
            Ports::All => Vec::new(),
            Ports::Tcp(ports) => ports.iter().copied().collect(),
        };
        Ok(Tested {
            address: address.to_canonical().to_string(),
            dropped: !held.is_empty() && self.enforcer.keeps_out(),
            firewall: self.enforcer.name().to_owned(),
            held: held
                .iter()
                .map(|(net, closed)| Held { network: Network::from(*net).to_string(), ports: ports(closed) })
                .collect(),
            bans,
            exempt: self.watch.engine.exemption(network, now).map(|why| why.to_string()),
        })
    }
}
