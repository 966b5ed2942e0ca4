//! The daemon: opens everything, then lets one thread carry lines to the engine and its decisions to the kernel. It owns
//! the files, the clock and the netlink socket, and decides nothing.

mod acting;
mod alive;
mod answer;
pub(crate) mod confine;
mod daemon;
mod desk;
mod enforcer;
mod explaining;
mod hooks;
mod ordering;
mod orders;
mod own;
mod publish;
mod reload;
mod saver;
mod sessions;
mod signals;
mod sources;
mod weighing;
mod words;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use logline::Timestamp;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Notify;

use crate::config::Config;
use crate::control::{Commands, Live, Server, Wake};
use crate::engine::Engine;
use crate::fail2ban::Foreign;
use crate::interpret::Interpreter;
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::store::{Saved, Store};
use crate::tail::{SourceId, Tailer};
use crate::watch::Watch;

use acting::Gathered;
use alive::Alive;
use daemon::Daemon;
use desk::Desk;
use enforcer::Enforcer;
use hooks::Hooks;
use orders::Orders;
use own::{Resolver, Surroundings};
use saver::Saver;
use signals::Signals;
use sources::Sources;
use words::Words;

/// Runs until it is told to stop.
///
/// # Errors
/// Something that it cannot do without cannot be had; the message says what, and what to do.
pub fn run(file: Option<&Path>, mut config: Config) -> anyhow::Result<()> {
    let signals = Signals::register().context("cannot take signals")?;
    take_descriptors();
    if config.sources.is_empty() {
        sources::find_or_say(&mut config);
    }
    // Their process comes first: it is not held to what is given up next. Threads come after, for each has rights of its
    // own.
    let mut hooks = Hooks::start(&config.hooks);
    confine::confine(&config);
    hooks.attend();
    let server = Server::bind(&config.socket, config.listen, config.page_token.clone())?;
    let (store, mut saved) = Store::open(&config.database)?;
    let metrics = Arc::new(Metrics::new());
    let now = clock();
    let surroundings = Surroundings::look(&config, &Surroundings::default());
    let exemptions = surroundings.exemptions(&config);
    let seed = saved.seed();
    let engine = Engine::new(config.jails.clone(), exemptions)
        .with_quotas(&config.quotas)
        .with_seed(seed)
        .with_counters_max(config.counters_max);
    let mut watch = Watch::new(interpreters(&config), engine);
    watch.foreign = config.sources.iter().map(|source| Foreign::new(&source.fail2ban)).collect();
    let mut tailer = Tailer::new().context("cannot watch files (inotify)")?;
    let mut sources = Sources::new();
    restore(&mut watch, &config, &mut saved, now);
    for (id, source) in (0..).zip(&config.sources) {
        sources.follow(&mut tailer, SourceId(id), source, &saved);
        metrics.sources.prepare(&source.name);
    }
    config.jails.iter().for_each(|jail| metrics.bans.prepare_jail(&jail.name, jail.mode));
    config.quotas.iter().for_each(|quota| metrics.blocklists.prepare(&quota.zone));
    metrics.house.configured(now);
    let wake = Wake::new().context("cannot make an event descriptor")?;
    let resolver =
        Resolver::start(&config.exempt_hosts, wake.clone()).context("cannot start looking up hosts")?;
    let (commands, questions) = Commands::channel(wake.clone());
    let stop = Arc::new(Notify::new());
    let live = Live::default();
    let control = server
        .start(commands, Arc::clone(&metrics), config.database.clone(), live.clone(), Arc::clone(&stop))
        .context("cannot start the control server")?;
    let enforcer = Enforcer::start(&config.firewall, &watch.engine, now);
    let words = Words::of(&config, &watch.engine, now);
    let daemon = Daemon {
        file: file.map(Path::to_owned),
        config,
        watch,
        tailer,
        sources,
        enforcer,
        saver: Saver::new(store, seed),
        metrics,
        desk: Desk::new(live, hooks),
        orders: Orders::default(),
        questions,
        wake,
        surroundings,
        resolver,
        dropped: 0,
        started: now,
        read_again: None,
        pace: Pace::default(),
        alive: Alive::new(),
        gathered: Gathered::default(),
        words,
    };
    let ended = daemon.run(&signals);
    stop.notify_one();
    // A thread that panicked has said so itself.
    let _ = control.join();
    ended
}

/// Takes as many file descriptors as the system allows: each log that is followed costs one, and up to four more for
/// its rotated files. Without them a log would be tried again and again, and told of.
fn take_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
}

/// The time, from the clock of this machine. Here alone it is read.
fn clock() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}

fn interpreters(config: &Config) -> Vec<Interpreter> {
    config
        .sources
        .iter()
        .map(|source| Interpreter::new(source.filters.iter().cloned(), source.zone.clone()))
        .collect()
}

/// Takes up where the last run was: bans, counters in flight, open sessions.
fn restore(watch: &mut Watch, config: &Config, saved: &mut Saved, now: Timestamp) {
    // Exemptions by hand come before the bans that they keep from coming back.
    for (key, row) in &saved.state {
        watch.engine.restore_state(key, row);
    }
    // They may be a million: what was taken over is kept no second time.
    watch.engine.restore_bans(now, std::mem::take(&mut saved.bans));
    for (key, row) in std::mem::take(&mut saved.counters) {
        watch.engine.restore_counter(&key, row);
    }
    for (name, pid, session) in &saved.sessions {
        let index = config.sources.iter().position(|source| source.name == *name);
        if let Some(interpreter) = index.and_then(|index| watch.interpreters.get_mut(index)) {
            interpreter.connections.restore(*pid, session.clone());
        }
    }
}
