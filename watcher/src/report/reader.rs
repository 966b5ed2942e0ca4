//! Takes in lines and sees to it that each table hears what concerns it.

use jiff::tz::TimeZone;
use logline::{Record, SessionId, Timestamp};
use memchr::memmem;

use super::finding::{Findings, Lines};
use super::flow::{Causes, Hours};
use super::network::Networks;
use super::queue::Queues;
use super::suspect::Suspects;
use super::user::Users;
use super::zone::Zones;
use super::{Options, Places};
use crate::control::api::rfc3339;
use crate::envelope::{Opened, json};
use crate::event::Event;
use crate::filter::{Filters, Rule};
use crate::interpret::{Interpreter, Meaning};
use crate::replay::Sink;
use crate::twins::Twins;

/// Reads all logs as one.
pub(super) struct Reader<'o> {
    filters: &'o Filters,
    zone: &'o TimeZone,
    places: &'o Places,
    interpreters: Vec<Interpreter>,
    twins: Twins,
    now: Timestamp,
    first: Option<Timestamp>,
    tables: Tables,
}

/// All that is counted.
struct Tables {
    since: Option<Timestamp>,
    lines: Lines,
    hours: Hours,
    causes: Causes,
    networks: Networks,
    users: Users,
    zones: Zones,
    suspects: Suspects,
    queues: Queues,
}

impl<'o> Reader<'o> {
    pub(super) fn new(options: &'o Options) -> Self {
        let tables = Tables {
            since: options.since,
            lines: Lines::default(),
            hours: Hours::default(),
            causes: Causes::default(),
            networks: Networks::default(),
            users: Users::default(),
            zones: Zones::default(),
            suspects: Suspects::default(),
            queues: Queues::default(),
        };
        Reader {
            filters: &options.filters,
            zone: &options.zone,
            places: &options.places,
            interpreters: Vec::new(),
            twins: Twins::default(),
            now: Timestamp::from_nanos(0),
            first: None,
            tables,
        }
    }

    /// What was found.
    pub(super) fn findings(self) -> Findings {
        let Tables { lines, hours, causes, networks, users, zones, suspects, queues, .. } = self.tables;
        let full = [
            ("networks", networks.is_full()),
            ("users", users.is_full()),
            ("zones", zones.is_full()),
            ("false_positives", suspects.is_full()),
            ("queue", queues.is_full()),
        ];
        let false_positives = suspects.findings(&zones);
        let (owners, countries) = networks.owners(self.places);
        let (zones, overlap) = zones.findings();
        Findings {
            from: self.first.map(rfc3339),
            until: self.first.map(|_| rfc3339(self.now)),
            lines,
            total: hours.total(),
            hours: hours.findings(self.zone),
            rejected: causes.findings(),
            networks: networks.findings(self.places),
            owners,
            countries,
            users: users.findings(),
            zones,
            overlap,
            false_positives,
            queue: queues.findings(),
            full: full.into_iter().filter(|(_, is_full)| *is_full).map(|(name, _)| name).collect(),
        }
    }
}

impl Sink for Reader<'_> {
    /// That tells the year of the first lines, where they do not tell it themselves.
    fn starts(&mut self, written: Timestamp) {
        self.now = written;
    }

    fn line(&mut self, source: usize, line: &[u8]) {
        let Reader { filters, zone, interpreters, twins, tables, now, .. } = self;
        while interpreters.len() <= source {
            interpreters.push(Interpreter::new(filters.iter().cloned(), (*zone).clone()));
        }
        let Some(interpreter) = interpreters.get_mut(source) else { return };
        let mut twice = 0;
        let reading = interpreter.read(line, *now, &mut |event, rule| {
            if twins.repeats(event, rule) {
                twice += 1;
            } else {
                tables.event(event, rule);
            }
        });
        tables.meaning(reading.meaning, twice);
        tables.record(source, line, reading.at);
        if self.first.is_none() {
            (self.first, self.now) = (Some(reading.at), reading.at);
        }
        self.now = self.now.max(reading.at);
    }
}

impl Tables {
    fn counts(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= at)
    }

    fn event(&mut self, event: &Event<'_>, rule: &Rule) {
        // Who is good, and which recipients exist, may be known from earlier.
        self.suspects.event(event);
        if !self.counts(event.at) {
            return;
        }
        self.hours.event(event);
        self.causes.event(event, rule);
        self.networks.event(event);
        self.users.event(event);
        self.zones.event(event);
    }

    fn meaning(&mut self, meaning: Meaning, twice: u64) {
        self.lines.read += 1;
        self.lines.repeated += twice;
        match meaning {
            Meaning::Unknown => self.lines.unknown += 1,
            Meaning::Ambiguous => self.lines.ambiguous += 1,
            Meaning::Repeated => self.lines.repeated += 1,
            Meaning::Nothing | Meaning::Part | Meaning::Events(_) => {}
        }
    }

    /// What a line says that is no event: a command of a listed client, a message's way through the queue.
    fn record(&mut self, source: usize, line: &[u8], at: Timestamp) {
        let is_wanted = [&b"rblsmtpd"[..], b"msg", b"delivery"];
        if !is_wanted.iter().any(|word| memmem::find(line, word).is_some()) || !self.counts(at) {
            return;
        }
        if let Some((_, record)) = json::read(line) {
            self.take(source, &record, at);
            return;
        }
        let opened = Opened::read(line.strip_suffix(b"\r").unwrap_or(line));
        let pid = opened.pid.map(SessionId);
        let named = opened.program.and_then(|program| Record::parse_of(program, pid, opened.message));
        if let Some(record) = named.or_else(|| Record::parse(opened.message)) {
            self.take(source, &record, at);
        }
    }

    fn take(&mut self, source: usize, record: &Record<'_>, at: Timestamp) {
        match record {
            Record::Rblsmtpd(said) => self.suspects.said(source, said, at),
            Record::Queue(queue) => {
                if let Some(recipient) = self.queues.note(source, queue, at) {
                    self.suspects.delivered_to(&recipient);
                }
            }
            _ => {}
        }
    }
}
