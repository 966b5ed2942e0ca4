//! The dashboards as pictures for the documentation: what a real Prometheus answers to each query, drawn by a page of ours,
//! because a Grafana is not to be had everywhere. Nothing in them is invented.

use std::path::Path;

use anyhow::Result;
use e2e::browser::{Browser, Window};
use e2e::site::Site;
use serde_json::{Value, json};

use crate::board::{Board, Panel, text};
use crate::prometheus::Prometheus;

/// So many seconds are drawn.
pub(crate) const SECONDS: f64 = 300.0;

/// A point each.
const STEP: f64 = 2.0;

/// Height of one row of the grid with the gap below it, and of what stands above the grid.
const ROW: i64 = 38;
const HEAD: i64 = 60;

/// A picture of each board in this directory; `fill` makes a query of what stands in a panel.
pub(crate) fn paint(
    prometheus: &Prometheus,
    site: &Site,
    directory: &Path,
    fill: impl Fn(&Board, &str) -> Result<String>,
) -> Result<()> {
    for board in Board::all()? {
        let now = prometheus.now()?;
        let mut panels = Vec::new();
        for panel in board.json["panels"].as_array().into_iter().flatten() {
            let mut series = Vec::new();
            for target in panel["targets"].as_array().into_iter().flatten() {
                let query = fill(&board, text(&target["expr"]))?;
                series.extend(answer(prometheus, &query, target, now)?);
            }
            let defaults = &panel["fieldConfig"]["defaults"];
            panels.push(json!({
                "title": panel["title"], "type": panel["type"], "gridPos": panel["gridPos"], "defaults": defaults, "series": series,
            }));
        }
        let data = json!({
            "title": board.json["title"], "panels": panels, "from": now - SECONDS, "now": now, "step": STEP,
        });
        // In a script element nothing but `</` could end it.
        let data = data.to_string().replace("</", "<\\/");
        let page = include_str!("../../clients/boards.html").replacen("DATA", &data, 1);
        site.write("board.html", &page)?;
        let picture = directory.join(board.name.replace(".json", ".png"));
        let window = Window { width: 1424, height: height(&board), dark: false };
        let mut browser =
            Browser::open(&format!("file://{}", site.path("board.html").display()), window, &picture)?;
        browser.until("document.body?.dataset.ready === 'yes'")?;
        browser.close()?;
    }
    Ok(())
}

fn height(board: &Board) -> u32 {
    let bottom = |panel: Panel<'_>| {
        let at = |key: &str| panel.json["gridPos"][key].as_i64().unwrap_or_default();
        at("y") + at("h")
    };
    let rows = board.panels().map(bottom).max().unwrap_or_default();
    u32::try_from(HEAD + rows * ROW).unwrap_or(u32::MAX)
}

/// What a target finds: its series, each with its labels, its name in the legend, and its points.
fn answer(prometheus: &Prometheus, query: &str, target: &Value, now: f64) -> Result<Vec<Value>> {
    let found = if target["instant"] == true {
        prometheus.get_instant(query)?
    } else {
        prometheus.get_range(query, now - SECONDS, now, STEP)?
    };
    let series = |found: &Value| {
        let labels = &found["metric"];
        let points =
            if found["values"].is_array() { found["values"].clone() } else { json!([found["value"]]) };
        json!({ "labels": labels, "legend": legend(text(&target["legendFormat"]), labels), "points": points })
    };
    Ok(found.as_array().into_iter().flatten().map(series).collect())
}

/// What a legend says of a series.
fn legend(format: &str, labels: &Value) -> String {
    let fill = |name: String, (label, value): (&String, &Value)| {
        name.replace(&format!("{{{{{label}}}}}"), text(value))
    };
    labels.as_object().into_iter().flatten().fold(format.to_owned(), fill)
}
