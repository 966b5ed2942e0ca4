//! The watcher is killed at random moments of what it does, and its table thrown away besides: after each time the kernel,
//! the database and `banctl list` say the same, no ban that was answered for is lost, none that was lifted is back, and
//! nobody is banned who is exempt by hand.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::namespace::isolated;
use e2e::process::{Running, bound, ours};
use e2e::site::Site;
use e2e::wait;
use rustix::process::Signal;
use serde_json::Value;
use watcher::subject::Network;

use crate::guessing::session;

/// So often, unless the environment says otherwise.
const ROUNDS: u32 = 24;
const ROUNDS_VARIABLE: &str = "CHAOS_ROUNDS";
const SEED_VARIABLE: &str = "CHAOS_SEED";

/// Few, so that bans and their ends meet.
const ADDRESSES: u32 = 24;

/// Of every kind that the kernel keeps in its own way; the first has all addresses in it.
const NETWORKS: [&str; 4] = ["198.51.100.0/24", "203.0.113.0/26", "2001:db8:7::/64", "2001:db8:8::/48"];

/// A kill comes no later than so long after what it is to disturb.
const MOMENT_MS: u32 = 40;

#[test]
fn whenever_the_watcher_is_killed_kernel_and_database_and_list_agree() {
    isolated(|| {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
        let seed = number(SEED_VARIABLE).unwrap_or(1);
        let site = Site::new()?;
        let mut world = World {
            watcher: Some(site.start_watcher()?),
            site,
            dice: Dice(seed | 1),
            must: BTreeSet::new(),
            may: BTreeSet::new(),
            exempt: BTreeSet::new(),
        };
        for round in 0..number(ROUNDS_VARIABLE).unwrap_or(ROUNDS) {
            let deed = world.deed();
            world.round(round, &deed).with_context(|| format!("seed {seed}, round {round}, {deed:?}"))?;
        }
        Ok(())
    });
}

/// What is going on when the kill comes.
#[derive(Debug)]
enum Deed {
    Ban(String),
    Unban(String),
    Purge,
    Guess(String),
    Reload,
    Flush,
    Allow(String),
    Disallow(String),
}

struct World {
    site: Site,
    watcher: Option<Running>,
    dice: Dice,
    /// Who must be banned, and who may be, because nobody was answered.
    must: BTreeSet<String>,
    may: BTreeSet<String>,
    /// Who is exempt by hand.
    exempt: BTreeSet<String>,
}

impl World {
    fn deed(&mut self) -> Deed {
        let address = format!("198.51.100.{}", 1 + self.dice.below(ADDRESSES));
        let network = *self.dice.one_of(&NETWORKS);
        let exempt: Vec<String> = self.exempt.iter().cloned().collect();
        match self.dice.below(16) {
            0..=2 => Deed::Ban(address),
            3..=4 => Deed::Ban(network.to_owned()),
            5 => Deed::Unban(address),
            6 => Deed::Unban(network.to_owned()),
            7 => Deed::Purge,
            8..=10 => Deed::Guess(address),
            11 => Deed::Reload,
            12 => Deed::Flush,
            13 => Deed::Allow(address),
            // All addresses would be too many to go on with.
            14 if network != NETWORKS[0] => Deed::Allow(network.to_owned()),
            _ if exempt.is_empty() => Deed::Reload,
            _ => Deed::Disallow(self.dice.one_of(&exempt).clone()),
        }
    }

    fn round(&mut self, round: u32, deed: &Deed) -> Result<()> {
        let watcher = self.watcher.take().context("a watcher")?;
        let asked = match deed {
            Deed::Ban(address) => Some(self.ask(&["ban", address, "--for", "1h"])?),
            Deed::Unban(address) => Some(self.ask(&["unban", address])?),
            Deed::Purge => Some(self.ask(&["unban", "--all"])?),
            Deed::Allow(network) => Some(self.ask(&["allow", "add", network])?),
            Deed::Disallow(network) => Some(self.ask(&["allow", "remove", network])?),
            Deed::Guess(address) => {
                self.site.append("smtpd.log", session(1000 + round, address).as_bytes())?;
                None
            }
            Deed::Reload => {
                watcher.signal(Signal::HUP)?;
                None
            }
            Deed::Flush => {
                e2e::process::run("nft", "flush ruleset")?;
                None
            }
        };
        std::thread::sleep(Duration::from_millis(self.dice.below(MOMENT_MS).into()));
        watcher.kill()?;
        let answered = asked.map(was_answered).transpose()?.unwrap_or(true);
        if self.dice.below(4) == 0 {
            e2e::process::run("nft", "flush ruleset")?;
        }
        self.expect(deed, answered)?;
        self.watcher = Some(self.site.start_watcher()?);
        self.check_exempt(deed, answered)?;
        self.check()
    }

    /// Someone asks, and is not waited for.
    fn ask(&self, words: &[&str]) -> Result<Child> {
        let mut command = bound(ours("banctl")?);
        command.arg("--socket").arg(self.site.path("watcher.sock")).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().context("banctl")
    }

    fn expect(&mut self, deed: &Deed, answered: bool) -> Result<()> {
        match deed {
            // Who is exempt is not banned, whoever wants it.
            Deed::Ban(subject) | Deed::Guess(subject) if self.is_exempt(subject)? => {}
            Deed::Ban(subject) if answered => drop(self.must.insert(subject.clone())),
            Deed::Ban(subject) if !self.must.contains(subject) => drop(self.may.insert(subject.clone())),
            // What stands in the log is read, if not before, then after.
            Deed::Guess(address) => drop(self.must.insert(address.clone())),
            Deed::Unban(subject) => self.lifted(answered, |banned| Ok(banned == subject))?,
            Deed::Purge => self.lifted(answered, |_| Ok(true))?,
            Deed::Allow(exempt) => self.lifted(answered, |banned| meet(banned, exempt))?,
            Deed::Ban(_) | Deed::Reload | Deed::Flush | Deed::Disallow(_) => {}
        }
        Ok(())
    }

    /// These bans are gone, or may be, where nobody was answered.
    fn lifted(&mut self, answered: bool, which: impl Fn(&str) -> Result<bool>) -> Result<()> {
        for banned in std::mem::take(&mut self.must) {
            match (which(&banned)?, answered) {
                (true, true) => {}
                (true, false) => drop(self.may.insert(banned)),
                (false, _) => drop(self.must.insert(banned)),
            }
        }
        Ok(())
    }

    fn is_exempt(&self, subject: &str) -> Result<bool> {
        self.exempt.iter().try_fold(false, |is, exempt| Ok(is || meet(exempt, subject)?))
    }

    fn check_exempt(&mut self, deed: &Deed, answered: bool) -> Result<()> {
        let listed = self.site.banctl("allow list --json")?.yes()?.json()?;
        let listed = listed["allowed"].as_array().context("a list")?.iter();
        let listed: BTreeSet<String> =
            listed.filter_map(|entry| entry["subject"].as_str()).map(str::to_owned).collect();
        let mut changed = self.exempt.clone();
        match deed {
            Deed::Allow(network) => drop(changed.insert(network.clone())),
            Deed::Disallow(network) => drop(changed.remove(network)),
            _ => {}
        }
        let is_right = listed == changed || (!answered && listed == self.exempt);
        ensure!(is_right, "exempt are {listed:?}, were {:?}, answered {answered}", self.exempt);
        self.exempt = listed;
        Ok(())
    }

    fn check(&mut self) -> Result<()> {
        let must = self.must.clone();
        wait::until_true("every ban that must be", || {
            self.site.banned().is_ok_and(|listed| listed.is_superset(&must))
        })
        .with_context(|| format!("must be {must:?}, listed {:?}", self.site.banned()))?;
        let listed = self.site.banned()?;
        let kernel = kernel()?;
        ensure!(kernel == listed, "kernel {kernel:?}\nlisted {listed:?}");
        let stale: Vec<&String> =
            listed.iter().filter(|one| !self.must.contains(*one) && !self.may.contains(*one)).collect();
        ensure!(stale.is_empty(), "nobody wanted {stale:?}");
        for banned in &listed {
            ensure!(!self.is_exempt(banned)?, "{banned} is banned, and exempt are {:?}", self.exempt);
        }
        self.must = listed;
        self.may.clear();
        Ok(())
    }
}

/// Whether `banctl` got its answer before the watcher was killed.
fn was_answered(mut banctl: Child) -> Result<bool> {
    let status = wait::until("banctl to end", || banctl.try_wait().ok().flatten())?;
    Ok(matches!(status.code(), Some(0 | 1)))
}

/// Whether two networks have an address in common.
fn meet(a: &str, b: &str) -> Result<bool> {
    let network = |text: &str| text.parse::<Network>().map_err(anyhow::Error::msg);
    Ok(network(a)?.overlaps(network(b)?))
}

/// Every address and network in the kernel's sets, whose names tell their length: `ip4_24_all`.
fn kernel() -> Result<BTreeSet<String>> {
    let listed: Value = serde_json::from_str(&e2e::process::run("nft", "-j list table inet postern")?)?;
    let mut held = BTreeSet::new();
    for set in listed["nftables"].as_array().context("a list")?.iter().filter_map(|object| object.get("set"))
    {
        let length =
            set["name"].as_str().and_then(|name| name.split('_').nth(1)).context("a set's length")?;
        for element in set["elem"].as_array().into_iter().flatten() {
            let value = element.pointer("/elem/val").unwrap_or(element);
            let address = value.as_str().or_else(|| value.pointer("/prefix/addr")?.as_str());
            let network: Network =
                format!("{}/{length}", address.context("an address")?).parse().map_err(anyhow::Error::msg)?;
            held.insert(network.to_string());
        }
    }
    Ok(held)
}

/// What happens next, by chance, and the same for the same seed.
struct Dice(u32);

impl Dice {
    /// Less than `bound`.
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % bound
    }

    /// One of these, which are some.
    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(u32::try_from(all.len()).unwrap_or(u32::MAX)) as usize]
    }
}
