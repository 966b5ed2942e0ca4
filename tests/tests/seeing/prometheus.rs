//! A real Prometheus that scrapes both daemons of a site each second, and answers as Grafana would be answered.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use e2e::http;
use e2e::process::{Running, bound};
use e2e::site::{SMTPD, Site, WATCHER};
use e2e::wait;
use serde_json::Value;

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// It runs as long as this value lives.
#[derive(Debug)]
pub(crate) struct Prometheus {
    _running: Running,
}

/// What a query found: a series' labels and its values.
pub(crate) type Series = (serde_json::Map<String, Value>, Vec<f64>);

impl Prometheus {
    /// Starts it, with our rules.
    pub(crate) fn start(site: &Site) -> Result<Self> {
        let rules = crate::board::repository().join("dashboards/rules").canonicalize()?;
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
             rule_files: [ {}/*.yml ]\n\
             scrape_configs:\n\
             - {{ job_name: watcher, static_configs: [ {{ targets: [ \"{WATCHER}\" ] }} ] }}\n\
             - {{ job_name: smtpd, static_configs: [ {{ targets: [ \"{SMTPD}\" ] }} ] }}\n",
            rules.display()
        );
        site.write("prometheus.yml", &config)?;
        let mut command = bound("prometheus");
        command.arg(format!("--config.file={}", site.path("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", site.path("prometheus").display()));
        command.arg(format!("--web.listen-address={LISTEN}"));
        let running = Running::start(&mut command, &site.path("prometheus.err"))?;
        let prometheus = Prometheus { _running: running };
        wait::until_true("Prometheus", || {
            http::get(LISTEN, "/-/ready").is_ok_and(|(status, _)| status == 200)
        })?;
        Ok(prometheus)
    }

    /// Waits until both daemons have been scraped so often.
    pub(crate) fn await_scrapes(&self, count: f64) -> Result<()> {
        wait::until_true("enough scrapes", || {
            let found = self.query("min(sum_over_time(up[1h]))").unwrap_or_default();
            let both = self.query("count(up == 1)").unwrap_or_default();
            let value = |found: &[Series]| found.first().and_then(|(_, values)| values.first().copied());
            value(&found).is_some_and(|seen| seen >= count) && value(&both) == Some(2.0)
        })
    }

    /// How often the daemon that was scraped least was.
    pub(crate) fn scrapes(&self) -> Result<f64> {
        let found = self.query("min(sum_over_time(up[1h]))")?;
        found.first().and_then(|(_, values)| values.first().copied()).context("no scrape yet")
    }

    /// What a query finds now.
    pub(crate) fn query(&self, query: &str) -> Result<Vec<Series>> {
        self.ask(&format!("/api/v1/query?query={}", encoded(query)))
    }

    /// What a query finds second by second, in the last `seconds`.
    pub(crate) fn query_range(&self, query: &str, seconds: f64) -> Result<Vec<Series>> {
        let now = self.now()?;
        let start = now - seconds;
        self.ask(&format!("/api/v1/query_range?query={}&start={start}&end={now}&step=1", encoded(query)))
    }

    /// Its clock, in seconds.
    pub(crate) fn now(&self) -> Result<f64> {
        let now = self.query("time()")?;
        now.first().and_then(|(_, values)| values.first().copied()).context("no time")
    }

    /// The series that a query finds now, as Prometheus writes them.
    pub(crate) fn get_instant(&self, query: &str) -> Result<Value> {
        let mut answer = self.get(&format!("/api/v1/query?query={}", encoded(query)))?;
        Ok(answer["data"]["result"].take())
    }

    /// The series that a query finds between two times, as Prometheus writes them.
    pub(crate) fn get_range(&self, query: &str, start: f64, end: f64, step: f64) -> Result<Value> {
        let range = format!("start={start}&end={end}&step={step}");
        let mut answer = self.get(&format!("/api/v1/query_range?query={}&{range}", encoded(query)))?;
        Ok(answer["data"]["result"].take())
    }

    /// The values of a label among the series that a selector names.
    pub(crate) fn label_values(&self, selector: &str, label: &str) -> Result<Vec<String>> {
        let answer = self.get(&format!("/api/v1/series?match[]={}", encoded(selector)))?;
        let series = answer["data"].as_array().cloned().unwrap_or_default();
        let mut values: Vec<String> =
            series.iter().filter_map(|series| series[label].as_str().map(str::to_owned)).collect();
        values.sort();
        values.dedup();
        Ok(values)
    }

    /// Rules that could not be evaluated, and why.
    pub(crate) fn sick_rules(&self) -> Result<Vec<String>> {
        let answer = self.get("/api/v1/rules")?;
        let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten());
        let sick = rules.filter(|rule| rule["health"] == "err");
        Ok(sick.map(|rule| format!("{}: {}", rule["name"], rule["lastError"])).collect())
    }

    fn ask(&self, path: &str) -> Result<Vec<Series>> {
        let answer = self.get(path)?;
        let data = &answer["data"];
        if data["resultType"] == "scalar" {
            return Ok(vec![(serde_json::Map::new(), vec![number(&data["result"][1])])]);
        }
        let found = data["result"].as_array().cloned().unwrap_or_default();
        let series = found.iter().map(|series| {
            let labels = series["metric"].as_object().cloned().unwrap_or_default();
            let one = series["value"].get(1).map(number);
            let many = series["values"].as_array().into_iter().flatten().map(|pair| number(&pair[1]));
            (labels, one.into_iter().chain(many).collect())
        });
        Ok(series.collect())
    }

    fn get(&self, path: &str) -> Result<Value> {
        let (status, body) = http::get(LISTEN, path)?;
        let answer: Value = serde_json::from_str(&body).with_context(|| format!("{status} {body}"))?;
        ensure!(answer["status"] == "success", "{}", answer["error"]);
        Ok(answer)
    }
}

fn number(value: &Value) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}
