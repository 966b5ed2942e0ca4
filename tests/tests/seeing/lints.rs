//! What every dashboard keeps to: the rules of Grafana's linter, and ours.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::board::{Board, Panel, repository, text};
use crate::reference;

/// Grafana has no Angular panels any more.
const TYPES: [&str; 7] = ["stat", "timeseries", "table", "bargauge", "heatmap", "text", "row"];

/// Asks every board, and fails with all that any of them said.
#[track_caller]
fn check_boards(look: impl Fn(&Board, &mut Vec<String>)) {
    let mut faults = Vec::new();
    let boards = Board::all().unwrap();
    assert!(boards.len() >= 6, "six boards are shipped");
    for board in &boards {
        let mut found = Vec::new();
        look(board, &mut found);
        faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", board.name)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[track_caller]
fn check_panels(look: impl Fn(&Panel<'_>) -> Option<String>) {
    check_boards(|board, faults| {
        for panel in board.panels() {
            faults.extend(look(&panel).map(|fault| format!("{}: {fault}", panel.title)));
        }
    });
}

#[track_caller]
fn check_queries(look: impl Fn(&str) -> Option<String>) {
    check_panels(|panel| panel.targets().find_map(|target| look(text(&target["expr"]))));
}

#[test]
fn a_board_has_a_name_of_its_own_and_cannot_be_edited_in_place() {
    let mut uids = BTreeSet::new();
    for board in Board::all().unwrap() {
        assert!(uids.insert(text(&board.json["uid"]).to_owned()), "{}", board.name);
        assert_eq!(board.json["editable"], false, "{}", board.name);
        assert!(!text(&board.json["description"]).is_empty(), "{}", board.name);
        assert!(board.json["tags"].as_array().unwrap().contains(&"postern".into()), "{}", board.name);
    }
}

#[test]
fn a_board_lets_the_reader_choose_data_source_job_and_instance() {
    check_boards(|board, faults| {
        let list = board.json["templating"]["list"].as_array().unwrap();
        let named = |name: &str| list.iter().find(|variable| variable["name"] == name);
        if named("datasource").is_none_or(|v| v["type"] != "datasource" || v["query"] != "prometheus") {
            faults.push("no data source to choose".to_owned());
        }
        for name in ["job", "instance"] {
            if named(name).is_none() {
                faults.push(format!("no {name} to choose"));
            }
        }
        for variable in board.variables() {
            let name = text(&variable["name"]);
            let query = text(&variable["query"]);
            let is_right = query.starts_with("label_values(")
                && variable["refresh"] == 2
                && variable["multi"] == true
                && variable["includeAll"] == true
                && variable["allValue"] == ".+"
                && !text(&variable["label"]).is_empty()
                && variable["datasource"]["uid"] == "${datasource}";
            if !is_right {
                faults.push(format!("the variable {name}"));
            }
        }
    });
}

#[test]
fn a_panel_says_what_it_shows_in_which_unit_and_where_to_read_on() {
    check_panels(|panel| {
        let json = panel.json;
        let sentence = panel.description.ends_with('.');
        let unit = !text(&json["fieldConfig"]["defaults"]["unit"]).is_empty();
        let source = json["datasource"]["uid"] == "${datasource}";
        let known = TYPES.contains(&text(&json["type"]));
        let asks = panel.targets().next().is_some();
        (!(sentence && unit && source && known && asks && !panel.title.is_empty()))
            .then(|| format!("sentence {sentence}, unit {unit}, source {source}, type {known}, asks {asks}"))
    });
    check_panels(|panel| {
        let url = text(&panel.json["links"][0]["url"]);
        let page = url.rsplit('/').next().unwrap_or_default();
        (page.is_empty() || !repository().join("docs").join(page).is_file())
            .then(|| format!("there is no page {page:?}"))
    });
}

/// Units of Grafana's that our panels use; one that it does not know is shown as a plain number.
const UNITS: [&str; 8] = ["short", "s", "bytes", "Bps", "pps", "cps", "percentunit", "dateTimeFromNow"];

#[test]
fn a_panel_has_a_unit_that_fits_what_it_asks() {
    check_panels(|panel| {
        let unit = text(&panel.json["fieldConfig"]["defaults"]["unit"]);
        let asks = |words: &[&str]| {
            panel.targets().any(|target| words.iter().any(|word| text(&target["expr"]).contains(word)))
        };
        // A share is a quotient, and a quantile has the unit of its buckets.
        let is_a_share = asks(&[" / "]);
        let is_a_rate = asks(&["rate("]) && !asks(&["histogram_quantile("]) && !is_a_share;
        let fits = match unit {
            "cps" | "pps" | "Bps" => is_a_rate,
            "percentunit" => is_a_share || asks(&["process_cpu_seconds_total"]),
            "s" => asks(&["_seconds"]),
            "bytes" => asks(&["_bytes"]),
            "short" => !is_a_rate,
            _ => UNITS.contains(&unit),
        };
        (!fits).then(|| format!("its unit is {unit}"))
    });
}

#[test]
fn a_figure_that_counts_what_happened_is_a_whole_number() {
    check_panels(|panel| {
        let defaults = &panel.json["fieldConfig"]["defaults"];
        let counts = panel.json["type"] == "stat"
            && defaults["unit"] == "short"
            && panel.targets().any(|target| text(&target["expr"]).contains("increase("));
        // Prometheus reckons what may have happened at the ends of the range: 48.2 bans.
        (counts && defaults["decimals"] != 0).then(|| "it shows fractions".to_owned())
    });
}

#[test]
fn panels_have_numbers_of_their_own_and_lie_beside_each_other() {
    check_boards(|board, faults| {
        let panels = board.json["panels"].as_array().unwrap();
        let mut ids = BTreeSet::new();
        let mut taken: BTreeMap<(i64, i64), &str> = BTreeMap::new();
        for panel in panels {
            let title = text(&panel["title"]);
            if !ids.insert(panel["id"].as_i64()) {
                faults.push(format!("{title}: its number is taken"));
            }
            let at = |key: &str| panel["gridPos"][key].as_i64().unwrap_or(-1);
            let (x, y, w, h) = (at("x"), at("y"), at("w"), at("h"));
            if x < 0 || y < 0 || w < 1 || h < 1 || x + w > 24 {
                faults.push(format!("{title}: it lies outside"));
            }
            for (column, line) in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                if let Some(other) = taken.insert((column, line), title) {
                    faults.push(format!("{title} lies on {other}"));
                    return;
                }
            }
        }
    });
}

/// The names in a query, each with what stands in braces behind it.
fn selectors(query: &str) -> Vec<(&str, &str, usize)> {
    let mut found = Vec::new();
    for (at, _) in query.match_indices(['w', 's', 'p']) {
        let rest = query.get(at..).unwrap_or_default();
        let starts = ["watcher_", "smtpd_", "process_"].iter().any(|prefix| rest.starts_with(prefix));
        let is_inside = query.get(..at).and_then(|before| before.chars().last()).is_some_and(is_of_a_name);
        if starts && !is_inside {
            let end = rest.find(|c| !is_of_a_name(c)).unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            let braces = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
            found.push((name, braces, at));
        }
    }
    found
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[test]
fn every_query_is_about_the_chosen_job_and_instance() {
    check_queries(|query| {
        let missing = selectors(query).into_iter().find(|(_, braces, _)| {
            !braces.contains("job=~\"$job\"") || !braces.contains("instance=~\"$instance\"")
        });
        missing.map(|(name, ..)| format!("{name} is asked of everybody"))
    });
}

#[test]
fn a_counter_is_never_shown_as_it_is() {
    check_queries(|query| {
        let raw = selectors(query).into_iter().find(|(name, _, at)| {
            let counts = name.ends_with("_total") || name.ends_with("_bucket");
            let before = query.get(..*at).unwrap_or_default();
            counts && !["rate(", "irate(", "increase("].iter().any(|function| before.ends_with(function))
        });
        raw.map(|(name, ..)| format!("{name} grows for ever"))
    });
}

#[test]
fn a_rate_is_taken_over_a_time_that_fits_the_scrapes() {
    check_queries(|query| {
        let ranges = query.split('[').skip(1).filter_map(|rest| rest.split(']').next());
        let mut wrong = ranges.filter(|range| !["$__rate_interval", "$__range"].contains(range));
        wrong.next().map(|range| format!("[{range}]"))
    });
}

#[test]
fn dashboards_and_rules_use_exported_names_only() {
    let exported = reference::names();
    let is_exported = |name: &str| {
        let plain =
            ["_bucket", "_sum", "_count"].iter().fold(name, |n, part| n.strip_suffix(part).unwrap_or(n));
        exported.contains(name) || exported.contains(plain)
    };
    let unknown =
        |text: &str| selectors(text).into_iter().map(|(name, ..)| name.to_owned()).find(|n| !is_exported(n));
    check_queries(|query| unknown(query).map(|name| format!("{name} is not exported")));
    check_boards(|board, faults| {
        faults.extend(board.variables().filter_map(|variable| unknown(text(&variable["query"]))));
    });
    for file in ["watcher.yml", "smtpd.yml", "recording.yml"] {
        let rules = std::fs::read_to_string(repository().join("dashboards/rules").join(file)).unwrap();
        for line in rules.lines().filter(|line| line.trim_start().starts_with("expr:")) {
            assert_eq!(unknown(line), None, "{file}: {line}");
        }
    }
}

#[test]
fn every_name_that_is_exported_is_drawn_or_watched_somewhere() {
    let mut shown = String::new();
    for board in Board::all().unwrap() {
        shown.push_str(&Value::to_string(&board.json));
    }
    for file in ["watcher.yml", "smtpd.yml"] {
        shown.push_str(&std::fs::read_to_string(repository().join("dashboards/rules").join(file)).unwrap());
    }
    let unseen: Vec<String> = reference::names()
        .into_iter()
        .filter(|name| !name.starts_with("process_") && !shown.contains(name))
        .collect();
    assert!(unseen.is_empty(), "{unseen:?}");
}
