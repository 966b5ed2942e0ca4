//! Every query of every dashboard, asked of a real Prometheus after real attacks.

use anyhow::{Context as _, Result, ensure};
use e2e::blocklist::Blocklist;
use e2e::client::Client;
use e2e::demo;
use e2e::http;
use e2e::namespace::isolated;
use e2e::process::{Running, bound};
use e2e::site::{SMTPD, Site, USERS, WATCHER, WRONG};
use serde_json::Value;

use crate::board::{Board, Panel, text};
use crate::painted;
use crate::prometheus::{Prometheus, Series};

const GUESSER: &str = "198.51.100.66";
const GUESSER6: (u8, u8) = (1, 1);
const HARVESTER: &str = "203.0.113.9";
const LISTED: &str = "198.51.100.30";
const CLEAR: &str = "198.51.100.31";
const NEIGHBOUR: &str = "198.51.100.20";

/// A host with both daemons, a blocklist with a budget, and all that was started.
struct Lively {
    site: Site,
    _list: Blocklist,
    _running: [Running; 2],
}

impl Lively {
    fn start() -> Result<Self> {
        let site = Site::new()?;
        let list = Blocklist::start(&site, &[LISTED])?;
        let smtpd = site.start_smtpd()?;
        let watcher = site.start_watcher()?;
        Ok(Lively { site, _list: list, _running: [smtpd, watcher] })
    }

    /// What happens at any mail server, and is over when this returns.
    fn live(&self) -> Result<()> {
        let site = &self.site;
        let client = |address| Client::of(&site.network, address);
        let [(alice, _), (bob, password)] = USERS;
        let to = format!("{alice}@example.org");
        client(NEIGHBOUR).run("send.py", &[bob, password, &to, "Lunch?"])?.yes()?;
        client(GUESSER).guess(alice, &WRONG[..5])?;
        site.await_ban(GUESSER)?;
        // A second ban by the same jail, so that there is one who came again.
        site.banctl(&format!("unban {GUESSER}"))?.yes()?;
        client(GUESSER).guess(alice, &WRONG[..5])?;
        site.await_ban(GUESSER)?;
        ensure!(!client(GUESSER).is_greeted(25)?, "he is banned");
        let six = e2e::network::Network::client6(GUESSER6.0, GUESSER6.1);
        Client::of(&site.network, &six).guess(alice, &WRONG[..5])?;
        let names: Vec<String> = (0..12).map(|n| format!("nobody{n}@example.org")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        client(HARVESTER).ask_for(&names)?;
        for address in [LISTED, CLEAR, LISTED, CLEAR] {
            client(address).ask_for(&[&to])?;
        }
        site.await_read()
    }

    /// The same again and again, until there is enough for a picture.
    fn live_on(&self, prometheus: &Prometheus) -> Result<()> {
        let end = prometheus.now()? + painted::SECONDS;
        while prometheus.now()? < end {
            self.live()?;
            prometheus.await_scrapes(prometheus.scrapes()? + 10.0)?;
            self.site.banctl("unban --all")?.yes()?;
        }
        self.live()?;
        prometheus.await_scrapes(prometheus.scrapes()? + 4.0)
    }
}

#[test]
fn every_query_of_every_dashboard_has_an_answer_after_real_attacks() {
    isolated(|| {
        let lively = Lively::start()?;
        let prometheus = Prometheus::start(&lively.site)?;
        prometheus.await_scrapes(3.0)?;
        lively.live()?;
        let avoided = "watcher_dnsbl_queries_avoided_total{by=\"cache\",zone=\"list.example\"}";
        ensure!(http::metric(WATCHER, avoided)? >= 2.0, "what was remembered was not asked");
        prometheus.await_scrapes(prometheus.scrapes()? + 4.0)?;
        every_answer(&prometheus)?;
        if std::env::var_os("UPDATE_PICTURES").is_some() {
            lively.live_on(&prometheus)?;
            let directory = crate::board::repository().join("docs/pictures");
            painted::paint(&prometheus, &lively.site, &directory, |board, query| {
                let [all, _] = variables(&prometheus, board, &mut Vec::new())?;
                Ok(filled(query, &all))
            })?;
        }
        Ok(())
    });
}

/// Asks every query of every board, with all of everything and with the first of each, and looks at every variable and rule.
fn every_answer(prometheus: &Prometheus) -> Result<()> {
    let mut faults = Vec::new();
    for board in Board::all()? {
        let choices = variables(prometheus, &board, &mut faults)?;
        for panel in board.panels() {
            for target in panel.targets() {
                for choice in &choices {
                    let fault = look(prometheus, &panel, target, choice);
                    faults.extend(fault.map(|fault| format!("{}: {}: {fault}", board.name, panel.title)));
                }
            }
        }
    }
    faults.extend(prometheus.sick_rules()?);
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

/// `make demo`, with a Prometheus beside it.
#[test]
fn every_query_of_every_dashboard_has_an_answer_after_the_demo() {
    isolated(|| {
        let mut prometheus = None;
        let mut beside = |when: demo::Moment, site: &Site| -> Result<()> {
            match (when, &prometheus) {
                (demo::Moment::Begun, _) => {
                    let started = Prometheus::start(site)?;
                    started.await_scrapes(3.0)?;
                    prometheus = Some(started);
                    Ok(())
                }
                (demo::Moment::Played, Some(prometheus)) => {
                    prometheus.await_scrapes(prometheus.scrapes()? + 4.0)?;
                    every_answer(prometheus)
                }
                (demo::Moment::Played, None) => anyhow::bail!("the daemons did not start"),
            }
        };
        ensure!(demo::play(None, &mut beside)?, "a step did not happen");
        Ok(())
    });
}

/// A name and what stands for it in a query.
type Choice = Vec<(String, String)>;

/// What a reader may choose: all of everything, and of each the first that there is.
fn variables(prometheus: &Prometheus, board: &Board, faults: &mut Vec<String>) -> Result<[Choice; 2]> {
    let (mut all, mut one) = (Choice::new(), Choice::new());
    for variable in board.variables() {
        let (name, query) = (text(&variable["name"]), text(&variable["query"]));
        let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (selector, label) = inside.and_then(|inside| inside.rsplit_once(", ")).context("label_values")?;
        let found = prometheus.label_values(&filled(selector, &all), label)?;
        let Some(first) = found.first() else {
            faults.push(format!("{}: nothing to choose for {name}", board.name));
            continue;
        };
        all.push((name.to_owned(), ".+".to_owned()));
        one.push((name.to_owned(), first.replace('.', "\\\\.")));
    }
    Ok([all, one])
}

/// A query as Grafana asks it: a rate is taken over four scrapes, here of a second.
fn filled(query: &str, choice: &Choice) -> String {
    let query = query.replace("$__rate_interval", "4s").replace("$__range", "5m");
    choice.iter().fold(query, |query, (name, value)| query.replace(&format!("${name}"), value))
}

/// What is wrong with an answer, if anything is.
fn look(prometheus: &Prometheus, panel: &Panel<'_>, target: &Value, choice: &Choice) -> Option<String> {
    let query = filled(text(&target["expr"]), choice);
    let found = if target["instant"] == true {
        prometheus.query(&query)
    } else {
        prometheus.query_range(&query, 60.0)
    };
    let found = match found {
        Ok(found) => found,
        Err(error) => return Some(format!("{error:#} in {query}")),
    };
    let is_empty = found.iter().all(|(_, values)| values.iter().all(|value| value.is_nan()));
    let may_be_empty = panel.description.contains("may be empty: ");
    if is_empty {
        return (!may_be_empty).then(|| format!("nothing is found by {query}"));
    }
    legend(text(&target["legendFormat"]), &found)
}

/// A legend may name only labels that are there.
fn legend(format: &str, found: &[Series]) -> Option<String> {
    let labels = format.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    let mut missing = labels.filter(|label| found.iter().any(|(labels, _)| !labels.contains_key(*label)));
    missing.next().map(|label| format!("the legend names {label}, which is not there"))
}

#[test]
fn promtool_finds_nothing_wrong_with_what_the_daemons_say() {
    isolated(|| {
        let lively = Lively::start()?;
        for daemon in [WATCHER, SMTPD] {
            let (_, body) = http::get(daemon, "/metrics")?;
            lively.site.write("metrics", &body)?;
            let mut promtool = bound("sh");
            promtool
                .args(["-c", "exec promtool check metrics <\"$1\"", "sh"])
                .arg(lively.site.path("metrics"));
            let output = promtool.output()?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(output.status.success() && said.is_empty(), "{daemon}: {said}");
        }
        Ok(())
    });
}
