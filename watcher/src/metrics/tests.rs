use std::net::{IpAddr, Ipv4Addr};

use logline::{Text, Timestamp};

use super::*;
use crate::engine::{Engine, Exemptions, Input};
use crate::event::{Event, Kind};
use crate::jail::{Jails, Mode};
use crate::quota::Quota;

fn prepared() -> Metrics {
    let metrics = Metrics::new();
    metrics.sources.prepare("/var/log/x");
    metrics.sources.stand("/var/log/x", Standing { kind: "file", ..Standing::default() }, None);
    metrics.bans.prepare_jail("password-guessing", Mode::Enforce);
    metrics.blocklists.prepare("list.example");
    metrics.firewall.stand("dry-run", false);
    metrics
}

fn text(metrics: &Metrics) -> String {
    String::from_utf8(metrics.expose()).unwrap()
}

/// Series alone, without their values.
fn series(metrics: &Metrics) -> Vec<String> {
    let text = text(metrics);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' ').map(|(series, _)| series.to_owned())).collect()
}

#[test]
fn every_name_is_exported_from_the_start() {
    let text = text(&prepared());
    for family in family::ALL {
        assert!(text.contains(&format!("# HELP {} {}\n", family.name, family.help)), "{}", family.name);
        let sample = text.lines().find(|line| line.starts_with(family.name)).unwrap_or_default();
        for label in family.labels {
            assert!(sample.contains(&format!("{label}=\"")), "{}: no {label} in {sample}", family.name);
        }
    }
}

#[test]
fn what_goes_takes_its_series_with_it() {
    let metrics = prepared();
    let before = series(&metrics);
    metrics.sources.prepare("/var/log/y");
    metrics.bans.prepare_jail("other", Mode::Watch);
    metrics.blocklists.prepare("second.example");
    assert!(series(&metrics).len() > before.len());
    let names = ["/var/log/x", "/var/log/y"].map(str::to_owned);
    metrics.sources.keep(&names, &names[..1]);
    metrics.sources.prepare("/var/log/x");
    metrics.sources.stand("/var/log/x", Standing { kind: "file", ..Standing::default() }, None);
    metrics.bans.forget_jail("other");
    metrics.blocklists.forget("second.example");
    metrics.blocklists.overlap([("list.example", "list.example", 0)].into_iter());
    assert_eq!(series(&metrics), before);
}

#[test]
fn a_million_attackers_leave_the_series_as_they_are() {
    let jails = Jails::read(None).unwrap();
    let metrics = prepared();
    let quota = Quota::daily("list.example", 1000);
    jails.iter().for_each(|jail| metrics.bans.prepare_jail(&jail.name, jail.mode));
    let before = series(&metrics);
    let mut engine = Engine::new(jails.clone(), Exemptions::default()).with_quotas(&[quota]);
    let (mut out, mut kinds) = (Vec::new(), Kind::ALL.iter().cycle());
    for n in 0..1_000_000u32 {
        let at = Timestamp::from_seconds(1_700_000_000 + i64::from(n) / 1000);
        let name = format!("x{n}\"}} 1\nwatcher_forged{{}}");
        let event = Event {
            kind: *kinds.next().unwrap(),
            at,
            address: Some(IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + n))),
            weight: 1000,
            fields: vec![("user", Text::from(name.as_str())), ("zone", Text::from(name.as_str()))],
            line: name.as_bytes(),
        };
        engine.handle(at, Input::Event(&event), &mut out);
        out.drain(..).for_each(|output| metrics.bans.note(&output));
    }
    let now = Timestamp::from_seconds(1_700_001_001);
    metrics.bans.set_active(engine.bans_in_force(), jails.iter().map(|jail| &*jail.name));
    engine.book().view(now).iter().filter(|zone| engine.book().is_configured(&zone.zone)).for_each(|zone| {
        metrics.blocklists.stand(zone);
    });
    metrics.blocklists.overlap(engine.book().overlaps());
    assert!(engine.bans_len(now) > 1000, "the attackers are banned");
    assert_eq!(series(&metrics), before);
}
