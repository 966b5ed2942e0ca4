//! Does what the engine says: the kernel first, then everybody who wants to know.
//!
//! What lines that came together lead to is done together: the kernel takes a hundred bans in the time of ten. A line
//! that comes alone waits for no other.

use std::time::Instant;

use logline::Timestamp;

use crate::control::Telling;
use crate::engine::{End, Output};
use crate::interpret::Reading;
use crate::jail::Mode;
use crate::metrics::Metrics;
use crate::news::{self, AT_ONCE_MAX, Item, Topic};
use crate::quota::Notice;
use crate::run::clock;
use crate::run::desk::Desk;
use crate::run::enforcer::Enforcer;
use crate::run::saver::Saver;
use crate::run::words::Words;

/// A ban waits for no more lines than this: a tenth of a millisecond's work.
pub(super) const LINES_MAX: u32 = 128;

/// Of more bans at once the log tells how many they are, and not each.
const TOLD_EACH_MAX: usize = 128;

/// Why the engine said something.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Cause {
    /// A line, or time, or another configuration.
    #[default]
    Itself,
    /// A person.
    Ordered(Telling),
    /// A person, and the database has it already.
    Written(Telling),
}

/// What the engine said and nobody has done yet.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) outputs: Vec<Output>,
    /// How many of them are looked through.
    seen: usize,
    /// When the lines were written that led to bans.
    banned: Vec<Timestamp>,
    /// How many lines were read since the first of them.
    lines: u32,
    cause: Cause,
}

impl Gathered {
    /// What came of no line.
    pub(super) fn of(outputs: Vec<Output>, cause: Cause) -> Gathered {
        Gathered { seen: outputs.len(), outputs, cause, ..Gathered::default() }
    }

    /// A line was read. Tells whether what waits is to be done now.
    fn is_due(&mut self, line: Option<Reading>) -> bool {
        if self.outputs.is_empty() {
            return false;
        }
        let new = self.outputs.get(self.seen..).unwrap_or_default();
        if let Some(line) = line
            && new.iter().any(|output| matches!(output, Output::Enforce { .. }))
        {
            self.banned.push(line.at);
        }
        self.seen = self.outputs.len();
        self.lines += 1;
        self.lines >= LINES_MAX
    }
}

/// Who does what the engine says.
pub(super) struct Acting<'d> {
    pub(super) enforcer: &'d mut Enforcer,
    pub(super) saver: &'d mut Saver,
    pub(super) metrics: &'d Metrics,
    pub(super) desk: &'d mut Desk,
    pub(super) words: &'d mut Words,
}

impl Acting<'_> {
    /// A line was read, and what came of it was gathered.
    pub(super) fn read(&mut self, gathered: &mut Gathered, line: Option<Reading>, now: Timestamp) {
        self.saver.touch();
        if gathered.is_due(line) {
            self.act(gathered, now);
        }
    }

    /// Does what was gathered.
    pub(super) fn act(&mut self, gathered: &mut Gathered, now: Timestamp) {
        let Gathered { outputs, banned, seen, lines, cause } = gathered;
        if outputs.is_empty() {
            return;
        }
        let (began, was_whole) = (Instant::now(), self.enforcer.is_whole());
        match self.enforcer.carry_out(outputs, now) {
            Ok(true) => {
                let latency = &self.metrics.firewall;
                latency.applied_in(began.elapsed());
                let done = clock();
                banned.iter().for_each(|written| latency.banned_after(done.since(*written)));
            }
            Ok(false) => {}
            Err(error) => {
                self.metrics.firewall.refused();
                if was_whole {
                    let text = format!("the firewall refuses a ban: {error}");
                    self.desk.tell(&Item::new(Topic::FirewallTrouble, now, text));
                }
            }
        }
        self.tell(outputs, *cause, now);
        match cause {
            Cause::Itself | Cause::Ordered(_) => self.saver.note(outputs.drain(..)),
            Cause::Written(_) => outputs.clear(),
        }
        banned.clear();
        (*seen, *lines) = (0, 0);
    }

    fn tell(&mut self, outputs: &[Output], cause: Cause, now: Timestamp) {
        outputs.iter().for_each(|output| self.metrics.bans.note(output));
        self.words.note(outputs);
        let is_number = matches!(cause, Cause::Ordered(Telling::Number) | Cause::Written(Telling::Number));
        if is_number || outputs.len() > AT_ONCE_MAX {
            // A file of a hundred thousand addresses is a line a second in the log.
            return self.desk.gather(outputs);
        }
        if outputs.len() <= TOLD_EACH_MAX {
            outputs.iter().for_each(tell);
        } else {
            let counts = news::counted(outputs).into_iter();
            let items = counts.map(|(topic, count)| Item::of_many(topic, count, now));
            items.for_each(|item| tracing::info!("{}", item.news.text));
        }
        self.desk.outputs(outputs, now);
    }
}

fn tell(output: &Output) {
    match output {
        Output::Banned(ban) => {
            let (jail, before) = (&ban.lease.jail, ban.lease.before);
            let until = crate::control::api::rfc3339(ban.lease.until);
            let verb = match ban.lease.mode {
                Mode::Enforce => "banned",
                Mode::Watch => "would ban",
            };
            tracing::info!("{verb} {} until {until}: {jail}, banned {before} times before", ban.subject);
        }
        Output::Ended { subject, jail, why, .. } => {
            let verb = match why {
                End::Expired => "is over",
                End::Lifted => "was lifted",
                End::Exempted => "was lifted: exempt now",
            };
            tracing::info!("the ban of {subject} in {jail} {verb}");
        }
        Output::Spared { subject, jail, exemption } => {
            tracing::info!("{subject} earned a ban in {jail} and has none: {exemption}");
        }
        Output::Asked(asked) => {
            let (subject, jail) = (&asked.subject, &asked.lease.jail);
            tracing::warn!(
                "{subject} earned a ban in {jail}, and {} accounts log in from there: banctl confirm {subject}",
                asked.accounts
            );
        }
        Output::Allowed { network } => tracing::info!("{network} is exempt from now on"),
        Output::Disallowed { network } => tracing::info!("{network} is exempt no longer"),
        Output::Zone(notice) => tell_zone(notice),
        Output::Enforce { .. } | Output::Admit { .. } => {}
    }
}

fn tell_zone(notice: &Notice) {
    match notice {
        Notice::Off { zone, why } => {
            tracing::error!("{zone} answers with errors, its listings do not count until it answers: {why}");
        }
        Notice::On { zone } => tracing::info!("{zone} answers again"),
        Notice::Low { zone, used, limit } => {
            tracing::warn!("{zone}: {used} of {limit} queries are used, and they will not last the period");
        }
        Notice::Spent { zone, limit } => {
            tracing::error!("{zone}: all {limit} queries of this period are used");
        }
    }
}
