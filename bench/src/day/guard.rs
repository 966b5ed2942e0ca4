//! The watcher of the day: its real middle reads the server's lines, and a book stands for the kernel's table.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use logline::Timestamp;
use watcher::config::Config;
use watcher::engine::{Engine, Exemptions, Input, Output};
use watcher::interpret::Interpreter;
use watcher::jail::Ports;
use watcher::quota::ZoneView;
use watcher::subject::Network;
use watcher::watch::{Now, Watch};

/// Reads and bans.
#[derive(Debug)]
pub struct Guard {
    watch: Watch,
    now: Timestamp,
    out: Vec<Output>,
    /// Who is kept out of what, and until when.
    table: HashMap<Network, Vec<(Ports, Timestamp)>>,
    /// The lengths of the networks in the table.
    lengths: BTreeSet<u8>,
    /// Bans that were made.
    pub bans: u32,
    /// Everybody who was ever banned.
    pub banned: HashSet<Network>,
}

impl Guard {
    /// A watcher with the shipped filters and jails and these settings.
    ///
    /// # Errors
    /// The settings are wrong.
    pub fn new(settings: &str, start: Timestamp) -> Result<Self> {
        let config = Config::parse("watcher.toml", settings)
            .map_err(|mistakes| anyhow::anyhow!("the settings of the day: {mistakes}"))?;
        let zone = jiff::tz::TimeZone::UTC;
        let interpreter = Interpreter::new(config.filters.iter().cloned(), zone);
        let exemptions = Exemptions::new(&config.exempt, &[], config.private);
        let engine = Engine::new(config.jails.clone(), exemptions).with_quotas(&config.quotas);
        let watch = Watch::new(vec![interpreter], engine);
        Ok(Guard {
            watch,
            now: start,
            out: Vec::new(),
            table: HashMap::new(),
            lengths: BTreeSet::new(),
            bans: 0,
            banned: HashSet::new(),
        })
    }

    /// Whether a packet from there to that port would be dropped.
    pub fn drops(&self, now: Timestamp, client: Ipv4Addr, port: u16) -> bool {
        let held = |ports: &Ports| match ports {
            Ports::All => true,
            Ports::Tcp(ports) => ports.contains(&port),
        };
        self.lengths.iter().any(|length| {
            let network = Network::around(IpAddr::V4(client), *length, 128);
            let bans = self.table.get(&network).into_iter().flatten();
            bans.into_iter().any(|(ports, until)| *until > now && held(ports))
        })
    }

    /// Time goes on.
    pub fn tick(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        if self.watch.engine.next_end().is_some_and(|end| end <= self.now) {
            self.watch.engine.handle(self.now, Input::Tick, &mut self.out);
            self.obey();
        }
    }

    /// The server wrote a line.
    pub fn line(&mut self, line: &[u8]) {
        if let Some(reading) = self.watch.line(0, line, Now::Lines(self.now), &mut self.out) {
            self.now = self.now.max(reading.at);
        }
        if !self.out.is_empty() {
            self.obey();
        }
    }

    /// The engine's books.
    pub fn engine(&self) -> &Engine {
        &self.watch.engine
    }

    /// The book of the day's one zone.
    pub fn zone(&self, now: Timestamp) -> Option<ZoneView> {
        self.watch.engine.book().view(now).into_iter().next()
    }

    /// Does to the table what the kernel would have done.
    fn obey(&mut self) {
        for output in self.out.drain(..) {
            match output {
                Output::Enforce { network, ports, until } => {
                    self.lengths.insert(network.net().prefix_len());
                    let bans = self.table.entry(network).or_default();
                    bans.retain(|(held, _)| *held != ports);
                    bans.push((ports, until));
                    self.banned.insert(network);
                }
                Output::Admit { network, ports } => {
                    if let Some(bans) = self.table.get_mut(&network) {
                        bans.retain(|(held, _)| *held != ports);
                    }
                }
                Output::Banned(_) => self.bans += 1,
                Output::Ended { .. }
                | Output::Spared { .. }
                | Output::Asked(_)
                | Output::Allowed { .. }
                | Output::Disallowed { .. }
                | Output::Zone(_) => {}
            }
        }
    }
}
