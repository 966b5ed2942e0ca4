//! One jail of fail2ban as it is in force: its options, everything in them replaced, and what each means here.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use settings::{Mistake, Mistakes};

use super::seconds::{self, Length};
use crate::fail2ban::definition::Definition;
use crate::fail2ban::layers::{Layers, Tree, Variables};
use crate::fail2ban::options;

/// No ban is without an end here: the longest there can be is of a year.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Where fail2ban reads a jail's lines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    File(String),
    Journal(Vec<String>),
}

/// A jail as it can be had here.
#[derive(Clone, Debug)]
pub(super) struct Jail {
    pub(super) name: String,
    /// The filter's name, and its parameters.
    pub(super) filter: String,
    pub(super) set: Vec<(String, String)>,
    pub(super) from: Vec<Origin>,
    pub(super) maxretry: u32,
    pub(super) findtime: Duration,
    pub(super) bantime: Duration,
    pub(super) growth: f64,
    pub(super) longest: Option<Duration>,
    /// None for all ports.
    pub(super) ports: Option<BTreeSet<u16>>,
    pub(super) ignored: Vec<String>,
}

/// Reads one jail; what cannot be had is told to `notes`.
pub(super) struct Reader<'r> {
    pub(super) tree: &'r dyn Tree,
    pub(super) directory: &'r Path,
    pub(super) layers: &'r mut Layers,
    pub(super) name: &'r str,
    pub(super) notes: &'r mut Vec<String>,
}

impl Reader<'_> {
    fn get(&self, option: &str) -> Result<Option<String>, Mistakes> {
        let value = self.layers.get(self.name, option, &Variables::new()).map_err(|mistake| *mistake)?;
        Ok(value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()))
    }

    fn note(&mut self, note: impl std::fmt::Display) {
        self.notes.push(format!("{}: {note}", self.name));
    }

    /// Whether the jail is switched on.
    pub(super) fn is_enabled(&self) -> Result<bool, Mistakes> {
        let enabled = self.get("enabled")?.unwrap_or_default().to_lowercase();
        Ok(["1", "on", "yes", "true"].contains(&enabled.as_str()))
    }

    /// The jail.
    pub(super) fn read(mut self) -> Result<Jail, Mistakes> {
        let filter = self.get("filter")?.unwrap_or_else(|| self.name.to_owned());
        let named = options::read(&filter).map_err(|why| self.mistake("filter", why))?;
        let mut set = named.options;
        let file = self.directory.join("filter.d").join(format!("{}.conf", named.name));
        let definition = Definition::read(self.tree, &file, &set)?;
        for (option, value) in &definition.known {
            if !option.starts_with("known/") {
                self.layers.knows(self.name, option, value);
            }
        }
        for option in ["prefregex", "failregex", "ignoreregex", "maxlines", "datepattern", "logtimezone"] {
            if let Some(value) = self.get(option)? {
                set.retain(|(known, _)| known != option);
                set.push((option.to_owned(), value));
            }
        }
        self.usedns(&mut set)?;
        let journalmatch = match self.get("journalmatch")? {
            Some(text) => text.lines().map(str::to_owned).collect(),
            None => definition.journalmatch,
        };
        let from = self.from(&journalmatch)?;
        let (bantime, growth, longest) = self.ban()?;
        let maxretry = match self.get("maxretry")?.map(|text| text.parse()) {
            None => DEFAULT_MAXRETRY,
            Some(Ok(0)) | Some(Err(_)) => {
                return Err(self.mistake("maxretry", "it is no number above 0").into());
            }
            Some(Ok(number)) => number,
        };
        let findtime = self.length("findtime")?.unwrap_or(DEFAULT_TIME);
        let ports = self.ports()?;
        let ignored = self.ignored()?;
        self.actions()?;
        self.left_out()?;
        Ok(Jail {
            name: self.name.to_owned(),
            filter: named.name,
            set,
            from,
            maxretry,
            findtime,
            bantime,
            growth,
            longest,
            ports,
            ignored,
        })
    }

    fn mistake(&self, option: &str, why: impl std::fmt::Display) -> Mistake {
        let message = format!("jail {}: `{option}`: {why}", self.name);
        match self.layers.entry(self.name, option) {
            Some(entry) => entry.mistake(message),
            None => Mistake { file: self.directory.join("jail.conf"), line: 1, column: 1, message },
        }
    }

    fn usedns(&mut self, set: &mut Vec<(String, String)>) -> Result<(), Mistakes> {
        match self.get("usedns")?.as_deref() {
            Some("no") => set.push(("usedns".to_owned(), "no".to_owned())),
            Some("yes") => {
                self.note("usedns = yes: no name is looked up here; a failure whose line has a name alone bans nobody");
            }
            _ => {}
        }
        Ok(())
    }

    fn from(&mut self, journalmatch: &[String]) -> Result<Vec<Origin>, Mistakes> {
        let backend = self.get("backend")?.unwrap_or_default();
        let logpath = self.get("logpath")?.unwrap_or_default();
        let mut files = Vec::new();
        for path in logpath.lines().map(str::trim).filter(|path| !path.is_empty()) {
            let path = ["tail", "head"].iter().find_map(|end| path.strip_suffix(end)).map_or(path, |rest| {
                if rest.ends_with(char::is_whitespace) { rest.trim_end() } else { path }
            });
            files.push(Origin::File(path.to_owned()));
        }
        let is_journal = backend.starts_with("systemd");
        if is_journal && let Ok(options::Named { options, .. }) = options::read(&backend) {
            for (option, value) in options {
                self.note(format!(
                    "backend option {option}={value} is not taken over: see journal_directory of a source"
                ));
            }
        }
        if !is_journal {
            if files.is_empty() {
                self.note("it has neither logpath nor a backend of the journal: it reads nothing");
            }
            return Ok(files);
        }
        let mut terms: Vec<String> = Vec::new();
        for line in journalmatch {
            if !terms.is_empty() {
                terms.push("+".to_owned());
            }
            terms.extend(line.split_whitespace().map(|term| term.trim_matches(['"', '\'']).to_owned()));
        }
        if terms.is_empty() {
            self.note("it reads the whole journal: a journalmatch would spare work");
        }
        Ok(vec![Origin::Journal(terms)])
    }

    fn length(&self, option: &str) -> Result<Option<Duration>, Mistakes> {
        let Some(text) = self.get(option)? else { return Ok(None) };
        match seconds::read(&text) {
            Some(Length::For(length)) if !length.is_zero() => Ok(Some(length)),
            _ => Err(self.mistake(option, format!("{text:?} is no length of time")).into()),
        }
    }

    /// How long the first ban lasts, how much longer each further one, and the longest.
    fn ban(&mut self) -> Result<(Duration, f64, Option<Duration>), Mistakes> {
        let text = self.get("bantime")?.unwrap_or_else(|| "10m".to_owned());
        let first = match seconds::read(&text) {
            Some(Length::For(length)) if length.is_zero() => {
                return Err(self.mistake("bantime", "a ban of no time").into());
            }
            Some(Length::For(length)) if length <= LONGEST => length,
            Some(_) => {
                self.note(format!("bantime = {text}: every ban ends here; it lasts a year"));
                LONGEST
            }
            None => return Err(self.mistake("bantime", format!("{text:?} is no length of time")).into()),
        };
        let increments = self.get("bantime.increment")?.unwrap_or_default().to_lowercase();
        if !["1", "on", "yes", "true"].contains(&increments.as_str()) {
            return Ok((first, 1.0, None));
        }
        for (option, what) in [
            ("bantime.rndtime", "a ban lasts as long as is said, no random time longer"),
            ("bantime.overalljails", "former bans of the same jail make a ban longer, not those of others"),
            ("bantime.factor", "a former ban doubles the next one, whatever the factor"),
        ] {
            let value = self.get(option)?;
            if let Some(value) = value.filter(|value| !["false", "1", "0", "no"].contains(&value.as_str())) {
                self.note(format!("{option} = {value}: {what}"));
            }
        }
        let mut longest = self.length("bantime.maxtime")?;
        if longest.is_some_and(|longest| longest < first) {
            longest = Some(first);
        }
        let mut growth = 2.0;
        if let Some(text) = self.get("bantime.multipliers")? {
            (growth, longest) = self.multipliers(&text, first, longest);
        } else if let Some(formula) = self.get("bantime.formula")?.filter(|formula| !is_default(formula)) {
            self.note(format!(
                "bantime.formula = {formula}: it is a program, and no program is run here; a former ban doubles the next"
            ));
        }
        Ok((first, growth, longest))
    }

    /// Multipliers that grow evenly are a growth and a longest ban; of others the evenest is taken.
    fn multipliers(
        &mut self,
        text: &str,
        first: Duration,
        longest: Option<Duration>,
    ) -> (f64, Option<Duration>) {
        let numbers: Vec<f64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let (Some(least), Some(most)) = (numbers.first(), numbers.last()) else {
            self.note(format!("bantime.multipliers = {text}: no numbers; a former ban doubles the next"));
            return (2.0, longest);
        };
        let steps = i32::try_from(numbers.len() - 1).unwrap_or(i32::MAX).max(1);
        let growth = (most / least).powf(1.0 / f64::from(steps)).clamp(1.0, 1000.0);
        let even = numbers
            .iter()
            .zip(0..)
            .all(|(number, n)| (number - least * growth.powi(n)).abs() < 0.01 * number);
        if !even || (least - 1.0).abs() > f64::EPSILON {
            self.note(format!("bantime.multipliers = {text}: taken for a growth of {growth:.2} a ban"));
        }
        let last = Duration::try_from_secs_f64(first.as_secs_f64() * most).unwrap_or(LONGEST).min(LONGEST);
        let last = Duration::from_secs(last.as_secs()).max(first);
        (growth, Some(longest.map_or(last, |longest| longest.min(last))))
    }

    fn ports(&mut self) -> Result<Option<BTreeSet<u16>>, Mistakes> {
        let action = self.get("action")?.unwrap_or_default();
        if action.contains("allports") {
            return Ok(None);
        }
        let protocol = self.get("protocol")?.unwrap_or_else(|| "tcp".to_owned());
        let ports = self.get("port")?.unwrap_or_else(|| "0:65535".to_owned());
        if protocol != "tcp" {
            self.note(format!("protocol = {protocol}: all ports of all protocols are closed"));
            return Ok(None);
        }
        let mut all = BTreeSet::new();
        for port in ports.split([',', ' ', '\n']).filter(|port| !port.is_empty()) {
            match self.port(port) {
                Some(range) if range.len() > PORTS_MAX => return Ok(None),
                Some(range) => all.extend(range),
                None => self.note(format!("port = {port}: there is no port of that name")),
            }
        }
        Ok((!all.is_empty()).then_some(all))
    }

    /// The ports that a number, a range or a name means.
    fn port(&self, text: &str) -> Option<std::ops::RangeInclusive<u16>> {
        if let Some((first, last)) = text.split_once([':', '-'])
            && let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse())
        {
            return Some(first.max(1)..=last);
        }
        if let Ok(port) = text.parse::<crate::jail::Port>() {
            return Some(port.0..=port.0);
        }
        let services = self.tree.read(Path::new("/etc/services"))?.ok()?;
        let number = services.lines().find_map(|line| {
            let mut words = line.split('#').next()?.split_whitespace();
            let (name, number) = (words.next()?, words.next()?.strip_suffix("/tcp")?);
            (name == text || words.any(|alias| alias == text)).then(|| number.parse().ok())?
        })?;
        Some(number..=number)
    }

    fn ignored(&mut self) -> Result<Vec<String>, Mistakes> {
        let text = self.get("ignoreip")?.unwrap_or_default();
        let mut networks = Vec::new();
        for one in text.split([',', ' ', '\n', '\t']).filter(|one| !one.is_empty()) {
            let address = one.parse::<std::net::IpAddr>().map(ipnet::IpNet::from);
            match one.parse::<ipnet::IpNet>().or(address) {
                Ok(network) => networks.push(network.trunc().to_string()),
                Err(_) => {
                    self.note(format!(
                        "ignoreip {one}: no address and no network; no name is looked up here"
                    ));
                }
            }
        }
        if self.get("ignoreself")?.is_some_and(|own| ["false", "no", "0", "off"].contains(&own.as_str())) {
            self.note("ignoreself = false: this machine's own addresses are never banned here");
        }
        Ok(networks)
    }

    fn actions(&mut self) -> Result<(), Mistakes> {
        let actions = self.get("action")?.unwrap_or_default();
        for action in options::split(&actions) {
            let name = options::read(action).map_or_else(|_| action.to_owned(), |named| named.name);
            if name.ends_with(".py") {
                self.note(format!("action {name}: it is a program in Python, and is not run here"));
            } else if !FIREWALLS.iter().any(|firewall| name.starts_with(firewall)) {
                self.note(format!("action {name}: nothing but the ban itself is done here"));
            }
        }
        Ok(())
    }

    fn left_out(&mut self) -> Result<(), Mistakes> {
        for (option, usual, what) in [
            ("ignorecommand", "", "no program is asked whom to spare"),
            (
                "logencoding",
                "auto utf-8 utf8 UTF-8 ascii",
                "lines are taken for UTF-8; other bytes match no letter",
            ),
        ] {
            if let Some(value) =
                self.get(option)?.filter(|value| !usual.split(' ').any(|usual| usual == value))
            {
                self.note(format!("{option} = {value}: {what}"));
            }
        }
        Ok(())
    }
}

/// What fail2ban takes where nobody says.
const DEFAULT_MAXRETRY: u32 = 5;
const DEFAULT_TIME: Duration = Duration::from_secs(600);

/// A ban of more ports than this is of all.
const PORTS_MAX: usize = 64;

/// The actions that close a firewall: what they do is done here without them.
const FIREWALLS: &[&str] = &[
    "iptables",
    "nftables",
    "ipset",
    "firewallcmd",
    "ufw",
    "shorewall",
    "symbiosis",
    "pf",
    "ipfw",
    "ipfilter",
    "bsd-ipfw",
    "npf",
    "osx",
    "route",
    "hostsdeny",
    "dummy",
];

/// The formula that doubles, however it is spaced.
fn is_default(formula: &str) -> bool {
    let squeezed: String = formula.chars().filter(|c| !c.is_whitespace()).collect();
    squeezed == "ban.Time*(1<<(ban.Countifban.Count<20else20))*banFactor"
}
