//! The budgets of DNS blocklists, in words.

use std::fmt::Write as _;

use logline::Timestamp;

use crate::banctl::show::table;
use crate::control::api::{Quotas, rfc3339};
use crate::quota::{Forecast, ZoneView};

pub(super) fn quota(quotas: &Quotas) -> String {
    if quotas.zones.is_empty() {
        return "no blocklist was asked, and none has a budget: [quota.\"ZONE\"] in watcher.toml\n"
            .to_owned();
    }
    let heads = ["ZONE", "USED", "LEFT", "EXPECTED", "SPENT", "LISTED", "ALONE", "AVOIDED"];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(quotas.zones.iter().map(|zone| {
        let left = zone.left.map_or("no limit".to_owned(), |left| left.to_string());
        let avoided = zone.avoided.bans + zone.avoided.cache + zone.avoided.known;
        [
            zone.zone.clone(),
            zone.used.to_string(),
            left,
            format!("{} ({}..{})", zone.forecast.total, zone.forecast.low, zone.forecast.high),
            spent(zone),
            zone.listed.to_string(),
            zone.alone.to_string(),
            avoided.to_string(),
        ]
    }));
    let mut told = table(&rows);
    for zone in &quotas.zones {
        if let Some(why) = &zone.off {
            let why = logline::Text::from(why).readable().to_string();
            let _ = writeln!(told, "{} answers with errors, its listings do not count: {why}", zone.zone);
        }
        let avoided = &zone.avoided;
        if avoided.bans + avoided.cache + avoided.known > 0 {
            let _ = writeln!(
                told,
                "{}: not asked: about {} for bans, {} for remembered answers, {} for known clients",
                zone.zone, avoided.bans, avoided.cache, avoided.known
            );
        }
        if zone.limit.is_some() && !zone.forecast.seasoned {
            let _ = writeln!(told, "{}: the forecast is rough until there is a week of history", zone.zone);
        }
    }
    told
}

fn spent(zone: &ZoneView) -> String {
    let Forecast { spent, earliest, .. } = &zone.forecast;
    let at = |seconds: i64| rfc3339(Timestamp::from_seconds(seconds));
    match (zone.limit, spent, earliest) {
        (None, ..) => String::new(),
        (Some(limit), ..) if zone.used >= limit => "spent".to_owned(),
        (Some(_), Some(spent), _) => at(*spent),
        (Some(_), None, Some(earliest)) => format!("perhaps {}", at(*earliest)),
        (Some(_), None, None) => "lasts".to_owned(),
    }
}
