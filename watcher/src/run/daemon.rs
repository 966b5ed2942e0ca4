//! The loop: waits for lines, questions, signals and the end of bans, and does what the engine says about each.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use logline::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::config::{Config, OnStop};
use crate::control::{Command, Wake};
use crate::engine::{Exemptions, Input, Output};
use crate::feed::{Arrival, Feed};
use crate::metrics::Metrics;
use crate::news::{Item, Topic};
use crate::pace::Pace;
use crate::run::acting::{Acting, Cause, Gathered};
use crate::run::alive::Alive;
use crate::run::clock;
use crate::run::desk::Desk;
use crate::run::enforcer::Enforcer;
use crate::run::orders::Orders;
use crate::run::own::{Resolver, Surroundings};
use crate::run::saver::Saver;
use crate::run::signals::Signals;
use crate::run::sources::Sources;
use crate::run::words::Words;
use crate::store::Position;
use crate::tail::{Progress, SourceId, Stats, Tailer};
use crate::watch::{Now, Watch};

/// So much is read before questions and signals are looked at again: some milliseconds of work.
const READ_BYTES: usize = 4 << 20;

/// The addresses of this machine, and who is logged in to it, are looked up again so often.
const OWN_ADDRESSES: Duration = Duration::from_secs(60);

/// A log that could not be read is tried again so often.
const READ_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Daemon {
    pub(super) file: Option<PathBuf>,
    pub(super) config: Config,
    pub(super) watch: Watch,
    pub(super) tailer: Tailer,
    pub(super) sources: Sources,
    pub(super) enforcer: Enforcer,
    pub(super) saver: Saver,
    pub(super) metrics: Arc<Metrics>,
    pub(super) desk: Desk,
    /// What a person ordered, and is being written.
    pub(super) orders: Orders,
    pub(super) questions: Receiver<Command>,
    pub(super) wake: Wake,
    /// What is exempt by what stands around.
    pub(super) surroundings: Surroundings,
    pub(super) resolver: Resolver,
    /// Packets of the banned that were dropped, when it was last asked.
    pub(super) dropped: u64,
    pub(super) started: Timestamp,
    /// When a log that could not be read is tried again.
    pub(super) read_again: Option<Instant>,
    /// How often lines may wake the loop.
    pub(super) pace: Pace,
    /// Who is told that the loop is alive.
    pub(super) alive: Alive,
    /// What the engine said about the last lines.
    pub(super) gathered: Gathered,
    /// What a mail server is asked to do.
    pub(super) words: Words,
}

impl Daemon {
    pub(super) fn run(mut self, signals: &Signals) -> anyhow::Result<()> {
        // Nobody listens where there is no systemd.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        let bans = self.watch.engine.bans_len(clock());
        tracing::info!("watching; firewall {}, {bans} bans in force", self.enforcer.name());
        let (mut more, mut asked) = (true, false);
        let mut addresses_due = Instant::now() + OWN_ADDRESSES;
        while !signals.stop() {
            self.alive.beat(Instant::now());
            if !more && !asked {
                self.wait(signals, addresses_due)?;
            }
            more = self.read();
            if signals.take_reload() {
                // Whoever sent the signal reads the outcome in the log.
                let _ = self.reload();
            }
            asked = self.answer();
            self.settle();
            self.desk.tell_gathered(Instant::now(), clock());
            self.take_host_addresses();
            self.expire();
            self.words.look_after(Instant::now(), clock());
            self.look_after();
            self.look_at_sources();
            if addresses_due <= Instant::now() {
                addresses_due = Instant::now() + OWN_ADDRESSES;
                self.look_around();
                self.count_dropped();
                self.look_for_logs();
                self.desk.hooks.look_after();
                self.tick();
            }
            if self.saver.is_due() {
                self.save();
            }
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        self.save();
        self.orders.take_all().into_iter().for_each(|order| self.carry_out(order));
        self.desk.hooks.stop();
        match self.config.on_stop {
            OnStop::Keep => tracing::info!("stopped; bans stay in force until they end"),
            OnStop::Flush => self.enforcer.flush(),
        }
        Ok(())
    }

    /// Sleeps until something is to be done. Files that are written to too often wake nobody for a moment ([`Pace`]); all
    /// else does, and what sends as well: its buffers are small, and it is held up or loses lines when they are full.
    fn wait(&mut self, signals: &Signals, addresses_due: Instant) -> anyhow::Result<()> {
        let (files, kernel) = (self.tailer.fd(), self.enforcer.watch());
        let sent: Vec<_> = self.sources.feeds.values().flat_map(Feed::fds).collect();
        let mut fds = vec![
            PollFd::new(&files, PollFlags::IN),
            PollFd::new(signals, PollFlags::IN),
            PollFd::new(&self.wake, PollFlags::IN),
        ];
        fds.extend(kernel.iter().chain(&sent).map(|fd| PollFd::new(fd, PollFlags::IN)));
        let now = Instant::now();
        let due = self.due(now, addresses_due);
        let pause = self.pace.pause(now).map(|pause| due.min(now + pause));
        let is_up_early = match pause {
            Some(until) => sleep(fds.get_mut(1..).unwrap_or_default(), until)? || until == due,
            None => false,
        };
        if !is_up_early {
            sleep(&mut fds, due)?;
        }
        let is_ready = |at: usize| fds.get(at).is_some_and(|fd: &PollFd<'_>| !fd.revents().is_empty());
        if is_ready(0) {
            self.pace.woken(Instant::now());
        }
        if is_ready(1) {
            signals.drain();
        }
        if is_ready(2) {
            self.wake.drain();
        }
        Ok(())
    }

    /// When something is to be done, whatever comes.
    fn due(&self, now: Instant, addresses_due: Instant) -> Instant {
        let end = self.watch.engine.next_end().map(|end| now + end.since(clock()));
        let look_at = Some(self.sources.look_at);
        let deadlines = [
            end,
            look_at,
            self.alive.due_at(),
            self.saver.due_at(),
            self.enforcer.retry_at(),
            self.read_again,
            self.words.due_at(),
            self.orders.due_at(),
            self.desk.due_at(),
        ];
        let feeds = self.sources.feeds.values().filter_map(Feed::due);
        deadlines.into_iter().flatten().chain(feeds).min().map_or(addresses_due, |due| due.min(addresses_due))
    }

    /// Reads what there is, up to a limit; all bans are in force when it returns, and those of a line at most
    /// [`LINES_MAX`](super::acting::LINES_MAX) lines later. Tells whether there is more.
    fn read(&mut self) -> bool {
        let (files, feeds) = (self.read_files(), self.read_feeds());
        files == Progress::More || feeds == Progress::More
    }

    /// A log that cannot be read keeps the others from nothing, and is tried again.
    fn read_files(&mut self) -> Progress {
        let Daemon { tailer, watch, enforcer, saver, metrics, desk, words, gathered, .. } = self;
        let mut acting = Acting { enforcer, saver, metrics, desk, words };
        let read = tailer.read(READ_BYTES, &mut |line| {
            let now = clock();
            let index = usize::from(line.source.0);
            let reading = watch.line(index, line.bytes, Now::Clock(now), &mut gathered.outputs);
            acting.read(gathered, reading, now);
        });
        acting.act(gathered, clock());
        match read {
            Ok(progress) => {
                self.read_again = None;
                progress
            }
            Err(error) => {
                if self.read_again.is_none() {
                    tracing::error!("a log cannot be read and is tried again: {error}");
                }
                self.read_again = Some(Instant::now() + READ_AGAIN);
                Progress::Idle
            }
        }
    }

    /// The sources that send.
    fn read_feeds(&mut self) -> Progress {
        let Daemon { sources, config, watch, enforcer, saver, metrics, desk, words, gathered, .. } = self;
        let mut acting = Acting { enforcer, saver, metrics, desk, words };
        let mut progress = Progress::Idle;
        for (id, feed) in &mut sources.feeds {
            let index = usize::from(id.0);
            let Some(source) = config.sources.get(index) else { continue };
            let read = feed.read(Instant::now(), clock(), &source.zone, &mut |arrival| {
                let (now, out) = (clock(), &mut gathered.outputs);
                let reading = match arrival {
                    Arrival::Line(line) => watch.line(index, line, Now::Clock(now), out),
                    Arrival::Sent(sent) => watch.sent(index, &sent, Now::Clock(now), out),
                };
                acting.read(gathered, reading, now);
            });
            acting.act(gathered, clock());
            if read == Progress::More {
                progress = Progress::More;
            }
        }
        progress
    }

    /// How a source stands.
    pub(super) fn stats(&self, id: SourceId) -> Stats {
        self.sources.feeds.get(&id).map_or_else(|| self.tailer.stats(id), |feed| feed.stats().clone())
    }

    /// How far a source was read.
    pub(super) fn positions(&self, id: SourceId) -> Vec<Position> {
        match self.sources.feeds.get(&id) {
            Some(feed) => feed.position().cloned().map(Position::Journal).into_iter().collect(),
            None => self.tailer.cursors(id).into_iter().map(Position::File).collect(),
        }
    }

    fn expire(&mut self) {
        if self.watch.engine.next_end().is_some_and(|end| end <= clock()) {
            self.tick();
        }
    }

    fn tick(&mut self) {
        let (now, mut out) = (clock(), Vec::new());
        self.watch.engine.handle(now, Input::Tick, &mut out);
        self.act(out, now);
    }

    fn look_after(&mut self) {
        let Some(repair) = self.enforcer.look_after(&self.watch.engine, clock()) else { return };
        tracing::warn!(
            "somebody else changed our table; {} bans were missing and are in force again",
            repair.missing
        );
        let text =
            format!("somebody else changed the firewall's table; {} bans were missing", repair.missing);
        self.desk.tell(&Item::new(Topic::FirewallRepaired, clock(), text));
        self.metrics.firewall.repaired(repair.missing);
    }

    fn look_around(&mut self) {
        let around = Surroundings::look(&self.config, &self.surroundings);
        self.surround(around);
    }

    /// The addresses of exempt hosts that were looked up meanwhile.
    fn take_host_addresses(&mut self) {
        let answers: Vec<_> = self.resolver.answers().collect();
        if !answers.is_empty() {
            let mut around = self.surroundings.clone();
            answers.into_iter().for_each(|answer| around.resolved(answer));
            self.surround(around);
        }
    }

    fn surround(&mut self, around: Surroundings) {
        if around != self.surroundings {
            self.surroundings = around;
            let exemptions = self.exemptions();
            let (now, jails, mut out) = (clock(), self.config.jails.clone(), Vec::new());
            self.watch.engine.reconfigure(now, jails, exemptions, &mut out);
            self.act(out, now);
        }
    }

    /// What the kernel dropped tells how many look-ups the bans have spared.
    fn count_dropped(&mut self) {
        let Some((packets, _)) = self.enforcer.dropped() else { return };
        let more = packets.saturating_sub(self.dropped);
        // The kernel's counter begins anew with its table; what was there before our start is not ours.
        if more > 0 && self.dropped > 0 {
            self.watch.engine.handle(clock(), Input::Dropped { packets: more }, &mut Vec::new());
        }
        self.dropped = packets;
    }

    pub(super) fn exemptions(&self) -> Exemptions {
        self.surroundings.exemptions(&self.config)
    }

    pub(super) fn act(&mut self, out: Vec<Output>, now: Timestamp) {
        self.act_because(out, now, Cause::Itself);
    }

    pub(super) fn act_because(&mut self, out: Vec<Output>, now: Timestamp, cause: Cause) {
        let Daemon { enforcer, saver, metrics, desk, words, .. } = self;
        Acting { enforcer, saver, metrics, desk, words }.act(&mut Gathered::of(out, cause), now);
    }

    pub(super) fn save(&mut self) {
        let sources = (0..).zip(&self.config.sources);
        let cursors =
            sources.map(|(id, source)| (source.name.clone(), self.positions(SourceId(id)))).collect();
        self.saver.save(&mut self.watch, cursors, &self.config.sources);
    }
}

/// Waits for one of these descriptors until then; tells whether one became ready, or a signal came.
fn sleep(fds: &mut [PollFd<'_>], until: Instant) -> anyhow::Result<bool> {
    let timeout = Timespec::try_from(until.saturating_duration_since(Instant::now())).ok();
    match poll(fds, timeout.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(true),
        Err(error) => Err(std::io::Error::from(error).into()),
    }
}
