//! The policies of the gate. A key that stands at the top has the name of qmail's control file, and counts before it.

use std::time::Duration;

use jiff::tz::TimeZone;
use settings::{DeValue, Table, Text, Value, one_of};

use super::Domain;
use super::control::Control;
use crate::cdb::Cdb;
use crate::recipients::QuotaPercent;
use crate::rules::{
    BadLists, DomainPolicy, Early, HeloPolicy, Hosts, KarmaRefuses, MailPolicy, Naughty, Pair, Pairs,
    Pattern, Patterns, Rules, SpfBehavior, SpfLocal, Trace, VirtualLine, VirtualUsers,
};

pub(super) fn rules(root: &Table<'_>, control: &Control) -> Rules {
    let greet = root.table_or_empty("greet");
    let helo = root.table_or_empty("helo");
    let sender = root.table_or_empty("sender");
    let limits = root.table_or_empty("limits");
    let bounces = root.table_or_empty("bounces");
    let recipient = root.table_or_empty("recipient");
    let karma = root.table_or_empty("karma");
    let usual_quota = QuotaPercent::default().0;
    Rules {
        greeting: root.get("smtpgreeting").or_else(|| control.line("smtpgreeting")),
        rcpthosts: hosts(root, control),
        localiphost: domain(root, control, "localiphost"),
        virtual_users: VirtualUsers::default(),
        moreipme: root.get("moreipme").or_else(|| control.entries("moreipme")).unwrap_or_default(),
        greet_delay: greet.get_or("delay", Duration::ZERO),
        early: greet.get_or("early", Early::Reject),
        helo: helo.get_or("policy", HeloPolicy::Off),
        bad: BadLists {
            helo: patterns(root, control, "badhelo"),
            helo_norelay: patterns(root, control, "badhelonorelay"),
            sender: patterns(root, control, "badmailfrom"),
            sender_norelay: patterns(root, control, "badmailfromnorelay"),
            recipient: patterns(root, control, "badrcptto"),
            recipient_norelay: patterns(root, control, "badrcpttonorelay"),
            pairs: pairs(root, control),
        },
        reject_relay_probes: switch(root, control, "rejectrelaytest"),
        reject_null_sender: switch(root, control, "rejectnullsenders"),
        one_recipient_of_a_bounce: bounces.get_or("one_recipient", false),
        one_bad_recipient_spoils: limits.get_or("one_bad_recipient_spoils", false),
        relay_senders: relay_senders(root),
        granted_relay_senders: Patterns::new(control.entries("relaymailfrom").unwrap_or_default()),
        bad_recipients_max: (limits.get("bad_recipients_max"))
            .or_else(|| control.number_as("brtlimit"))
            .unwrap_or(0),
        session_recipients_max: limits.get_or("session_recipients_max", 0),
        session_bad_recipients_max: limits.get_or("session_bad_recipients_max", 0),
        sender_domain: sender.get_or("domain", false),
        recipient_domain: recipient.get_or("domain", false),
        checks_relayed: false,
        quota: QuotaPercent(recipient.get_or("quota_percent_max", usual_quota)),
        spf: spf(root, control),
        spf_local: spf_local(root, control),
        mail_policy: mail_policy(root, control),
        domain_lists: root.tables("rhsbl").iter().filter_map(super::dnsbl::domain_list).collect(),
        points: super::limits::points(&karma),
        karma_refuses: karma.get_or("refuse", KarmaRefuses::Mail),
        naughty: root.table_or_empty("naughty").get_or("refuse", Naughty::Soon),
        trace: trace(&root.table_or_empty("received")),
    }
}

/// `[received]`
fn trace(table: &Table<'_>) -> Trace {
    let zone = if table.get_or("local_time", false) { TimeZone::system() } else { TimeZone::UTC };
    Trace { hides_clients: table.get_or("hide_clients", false), zone }
}

/// `relaymailfrom`. It counts for everybody, so the control file of that name, which may have been forgotten years ago,
/// is not meant by it: that one needs a rule for each client.
fn relay_senders(root: &Table<'_>) -> Patterns {
    let own = root.get::<Vec<Text<Pattern>>>("relaymailfrom").unwrap_or_default();
    if !own.is_empty() {
        tracing::warn!(
            "relaymailfrom lets whoever writes one of these senders send anywhere: this is an open relay"
        );
    }
    Patterns::new(own.into_iter().map(|Text(pattern)| pattern).collect())
}

fn pairs(root: &Table<'_>, control: &Control) -> Pairs {
    let own = root.get::<Vec<Text<Pair>>>("badmailfromto");
    let own = own.map(|own| own.into_iter().map(|Text(pair)| pair).collect());
    Pairs::new(own.or_else(|| control.entries("badmailfromto")).unwrap_or_default())
}

fn spf(root: &Table<'_>, control: &Control) -> SpfBehavior {
    let wrong = || "expected a number from 0 to 6".to_owned();
    if let Some(number) = root.get::<u64>("spfbehavior") {
        return SpfBehavior::new(number).unwrap_or_else(|| {
            root.mistake("spfbehavior", wrong());
            SpfBehavior::default()
        });
    }
    let Some(number) = control.number("spfbehavior") else {
        return SpfBehavior::default();
    };
    SpfBehavior::new(number).unwrap_or_else(|| {
        control.mistake("spfbehavior", 1, wrong());
        SpfBehavior::default()
    })
}

fn spf_local(root: &Table<'_>, control: &Control) -> SpfLocal {
    let mechanisms = |name: &'static str| {
        let (line, is_own) = match root.get::<String>(name) {
            Some(line) => (Some(line), true),
            None => (control.line(name), false),
        };
        line.filter(|line| match SpfLocal::is_record(line) {
            true => true,
            false if is_own => {
                root.mistake(name, "expected mechanisms of SPF such as \"include:spf.example.net ?all\"");
                false
            }
            false => {
                control.mistake(name, 1, "expected mechanisms of SPF".to_owned());
                false
            }
        })
    };
    SpfLocal {
        rules: mechanisms("spfrules"),
        guess: mechanisms("spfguess"),
        explanation: root.get("spfexp").or_else(|| control.line("spfexp")),
    }
}

fn mail_policy(root: &Table<'_>, control: &Control) -> MailPolicy {
    let own = root.get::<Vec<Text<DomainPolicy>>>("policy");
    let own = own.map(|lines| lines.into_iter().map(|Text(line)| line).collect::<Vec<_>>());
    MailPolicy::new(own.or_else(|| control.entries("policy")).unwrap_or_default())
}

fn switch(root: &Table<'_>, control: &Control, name: &'static str) -> bool {
    root.get(name).or_else(|| control.is_on(name)).unwrap_or(false)
}

/// A domain, of the settings or of the control file of the same name.
pub(super) fn domain(root: &Table<'_>, control: &Control, name: &'static str) -> Option<String> {
    let own = root.get::<Text<Domain>>(name).map(|Text(Domain(name))| name);
    own.or_else(|| {
        let line = control.line(name)?;
        let read = line.parse::<Domain>();
        read.inspect_err(|error| control.mistake(name, 1, (*error).to_owned())).ok().map(|Domain(name)| name)
    })
}

fn patterns(root: &Table<'_>, control: &Control, name: &'static str) -> Patterns {
    let own = root.get::<Vec<Text<Pattern>>>(name);
    let own = own.map(|own| own.into_iter().map(|Text(pattern)| pattern).collect());
    Patterns::new(own.or_else(|| control.entries(name)).unwrap_or_default())
}

fn hosts(root: &Table<'_>, control: &Control) -> Hosts {
    let own = root.get::<Vec<String>>("rcpthosts");
    let names = own.or_else(|| Some(control.lines("rcpthosts")?.into_iter().map(|(_, line)| line).collect()));
    let place = root.place("morercpthosts");
    let (path, is_own) = match root.path("morercpthosts") {
        Some(path) => (Some(path), true),
        None => (control.file("morercpthosts.cdb"), false),
    };
    let more = path.and_then(|path| {
        let read = Cdb::read(&path);
        read.inspect_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            if is_own {
                root.document().mistake_at(place, message);
            } else {
                control.mistake("morercpthosts.cdb", 1, message);
            }
        })
        .ok()
    });
    Hosts::new(names.unwrap_or_default(), more)
}

/// The lines of `virtualdomains`.
pub(super) fn virtual_lines(root: &Table<'_>, control: &Control) -> Option<Vec<VirtualLine>> {
    let own = root.get::<Vec<Text<VirtualLine>>>("virtualdomains");
    let own = own.map(|lines| lines.into_iter().map(|Text(line)| line).collect());
    own.or_else(|| control.entries("virtualdomains"))
}

/// The domains that are delivered here: `locals`, and whole domains of `virtualdomains`.
pub(super) fn domains(control: &Control, virtuals: Option<&[VirtualLine]>) -> Option<Vec<String>> {
    let locals = control.entries::<Domain, _>("locals");
    if locals.is_none() && virtuals.is_none() {
        return None;
    }
    let locals = locals.into_iter().flatten().map(|Domain(name)| name);
    let whole = virtuals.unwrap_or_default().iter().filter_map(|line| match line {
        VirtualLine::Domain(domain) => Some(domain.clone()),
        VirtualLine::Users { .. } | VirtualLine::Not => None,
    });
    Some(locals.chain(whole).collect())
}

impl Value for HeloPolicy {
    const EXPECTED: &'static str = "\"off\", \"lenient\", \"rfc\" or \"strict\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(
            value,
            &[
                ("off", HeloPolicy::Off),
                ("lenient", HeloPolicy::Lenient),
                ("rfc", HeloPolicy::Rfc),
                ("strict", HeloPolicy::Strict),
            ],
        )
    }
}

impl Value for Naughty {
    const EXPECTED: &'static str = "\"soon\", \"rcpt\" or \"data\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(value, &[("soon", Naughty::Soon), ("rcpt", Naughty::Rcpt), ("data", Naughty::Data)])
    }
}

impl Value for KarmaRefuses {
    const EXPECTED: &'static str = "\"mail\" or \"connection\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(value, &[("mail", KarmaRefuses::Mail), ("connection", KarmaRefuses::Connection)])
    }
}

impl Value for Early {
    const EXPECTED: &'static str = "\"reject\" or \"ignore\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(value, &[("reject", Early::Reject), ("ignore", Early::Ignore)])
    }
}
