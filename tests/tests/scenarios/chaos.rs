//! The watcher is killed at random moments of what it does, and its table thrown away besides: after each time the kernel,
//! the database and `banctl list` say the same, no ban that was answered for is lost, and none that was lifted is back.

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

use crate::guessing::session;

/// So often, unless the environment says otherwise.
const ROUNDS: u32 = 20;
const ROUNDS_VARIABLE: &str = "CHAOS_ROUNDS";
const SEED_VARIABLE: &str = "CHAOS_SEED";

/// Few, so that bans and their ends meet.
const ADDRESSES: u32 = 24;

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
}

struct World {
    site: Site,
    watcher: Option<Running>,
    dice: Dice,
    /// Who must be banned, and who may be, because nobody was answered.
    must: BTreeSet<String>,
    may: BTreeSet<String>,
}

impl World {
    fn deed(&mut self) -> Deed {
        let address = format!("198.51.100.{}", 1 + self.dice.below(ADDRESSES));
        match self.dice.below(10) {
            0..=2 => Deed::Ban(address),
            3..=4 => Deed::Unban(address),
            5 => Deed::Purge,
            6..=7 => Deed::Guess(address),
            8 => Deed::Reload,
            _ => Deed::Flush,
        }
    }

    fn round(&mut self, round: u32, deed: &Deed) -> Result<()> {
        let watcher = self.watcher.take().context("a watcher")?;
        let asked = match deed {
            Deed::Ban(address) => Some(self.ask(&["ban", address, "--for", "1h"])?),
            Deed::Unban(address) => Some(self.ask(&["unban", address])?),
            Deed::Purge => Some(self.ask(&["unban", "--all"])?),
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
        self.expect(deed, answered);
        self.watcher = Some(self.site.start_watcher()?);
        self.check()
    }

    /// Someone asks, and is not waited for.
    fn ask(&self, words: &[&str]) -> Result<Child> {
        let mut command = bound(ours("banctl")?);
        command.arg("--socket").arg(self.site.path("watcher.sock")).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().context("banctl")
    }

    fn expect(&mut self, deed: &Deed, answered: bool) {
        match deed {
            Deed::Ban(address) if answered => drop(self.must.insert(address.clone())),
            Deed::Ban(address) if !self.must.contains(address) => drop(self.may.insert(address.clone())),
            // What stands in the log is read, if not before, then after.
            Deed::Guess(address) => drop(self.must.insert(address.clone())),
            Deed::Unban(address) => {
                if self.must.remove(address) && !answered {
                    self.may.insert(address.clone());
                }
            }
            Deed::Purge => {
                let lifted = std::mem::take(&mut self.must);
                if !answered {
                    self.may.extend(lifted);
                }
            }
            Deed::Ban(_) | Deed::Reload | Deed::Flush => {}
        }
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

/// Every address in the kernel's sets.
fn kernel() -> Result<BTreeSet<String>> {
    let listed: Value = serde_json::from_str(&e2e::process::run("nft", "-j list table inet postern")?)?;
    let objects = listed["nftables"].as_array().context("a list")?.iter();
    let elements = objects.filter_map(|object| object.pointer("/set/elem")?.as_array()).flatten();
    Ok(elements
        .filter_map(|element| element.pointer("/elem/val").unwrap_or(element).as_str())
        .map(str::to_owned)
        .collect())
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
}
