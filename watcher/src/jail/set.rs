//! The jails in use: those that are shipped, and those of the administrator before them.

use std::path::Path;
use std::sync::Arc;

use settings::{Document, Mistakes};

use crate::jail::{Jail, MANUAL, file};
use crate::overlay;

/// The shipped jails, compiled in so that one binary runs with no file at all.
pub const SHIPPED: &[(&str, &str)] = &[
    ("campaign", include_str!("../../../jails/campaign.toml")),
    ("connection-flood", include_str!("../../../jails/connection-flood.toml")),
    ("dnsbl-listed", include_str!("../../../jails/dnsbl-listed.toml")),
    ("password-guessing", include_str!("../../../jails/password-guessing.toml")),
    ("pregreet", include_str!("../../../jails/pregreet.toml")),
    ("protocol-abuse", include_str!("../../../jails/protocol-abuse.toml")),
    ("recidive", include_str!("../../../jails/recidive.toml")),
    ("recipient-harvest", include_str!("../../../jails/recipient-harvest.toml")),
    ("relay-probe", include_str!("../../../jails/relay-probe.toml")),
    ("slow-guessing", include_str!("../../../jails/slow-guessing.toml")),
    ("spam-source", include_str!("../../../jails/spam-source.toml")),
    ("tls-probe", include_str!("../../../jails/tls-probe.toml")),
];

/// Jails by name, in alphabetical order. A copy costs nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Jails(Arc<[Arc<Jail>]>);

impl Jails {
    /// The shipped ones, each replaced by the file of its name in `directory`, and what else stands there.
    ///
    /// # Errors
    /// Every mistake in every file.
    pub fn read(directory: Option<&Path>) -> Result<Jails, Mistakes> {
        let mut mistakes = Mistakes::new();
        let mut jails = Vec::new();
        for (name, document) in overlay::documents(SHIPPED, directory, &mut mistakes) {
            match one(&name, document) {
                Ok(jail) => jails.push(Arc::new(jail)),
                Err(found) => mistakes.merge(Err(found)),
            }
        }
        mistakes.into_result(Jails(jails.into()))
    }

    /// One jail that stands in no directory, for a test or a bench.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn single(name: &str, text: &str) -> Result<Jails, Mistakes> {
        one(name, Document::parse(format!("{name}.toml"), text)).map(|jail| Jails([Arc::new(jail)].into()))
    }

    /// The jails of several sets as one, for a test or a bench.
    pub fn of(sets: impl IntoIterator<Item = Jails>) -> Jails {
        let all = sets.into_iter().flat_map(|set| set.0.iter().cloned().collect::<Vec<_>>());
        Jails(all.collect())
    }

    /// These jails alone.
    ///
    /// # Errors
    /// The first name that no jail has.
    pub fn only(&self, names: &[String]) -> Result<Jails, String> {
        let named =
            |name: &String| self.0.iter().find(|jail| *jail.name == **name).cloned().ok_or(name.clone());
        names.iter().map(named).collect::<Result<_, _>>().map(Jails)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Jail>> {
        self.0.iter()
    }

    /// The one at this place in the order.
    pub fn get(&self, index: usize) -> Option<&Arc<Jail>> {
        self.0.get(index)
    }

    /// The one of this name, and its place in the order.
    pub fn find(&self, name: &str) -> Option<(usize, &Arc<Jail>)> {
        self.0.iter().enumerate().find(|(_, jail)| &*jail.name == name)
    }
}

fn one(name: &str, document: Document) -> Result<Jail, Mistakes> {
    if name == MANUAL {
        document.root().mistake_at_table(format!("the name `{MANUAL}` is that of bans made by hand"));
    }
    let jail = file::load(name, &document);
    document.finish_with(jail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_jail_loads() {
        assert_eq!(Jails::read(None).unwrap().iter().count(), SHIPPED.len());
    }

    #[test]
    fn only_five_keys_are_required() {
        let text =
            "about = \"x\"\non = [\"auth-failed\"]\nthreshold = 3\nwithin = \"1m\"\n[ban]\nfor = \"1h\"\n";
        let jails = Jails::single("x", text).unwrap();
        let jail = jails.get(0).unwrap();
        assert_eq!(jail.mode, crate::jail::Mode::Enforce);
        assert_eq!(jail.per, crate::jail::Per::Network { ipv4: 32, ipv6: 64 });
    }

    #[test]
    fn what_is_certain_is_about_listings_and_says_which() {
        let jail = |on: &str, certain: &str| {
            let text = format!(
                "about = \"x\"\non = [\"{on}\"]\nthreshold = 3\nwithin = \"1m\"\n[ban]\nfor = \"1h\"\nmax = \"2d\"\n[certain]\n{certain}\n"
            );
            Jails::single("x", &text).map_err(|mistakes| mistakes.to_string())
        };
        assert!(jail("dnsbl-listed", "texts = [\"Listed By XBL\"]").is_ok());
        let refused = jail("auth-failed", "zones = [\"xbl.example\"]").unwrap_err();
        assert!(refused.contains("it is about listings"), "{refused}");
        let refused = jail("dnsbl-listed", "zones = []").unwrap_err();
        assert!(refused.contains("it says of no listing"), "{refused}");
        let refused = jail("dnsbl-listed", "for = \"3d\"\nzones = [\"xbl.example\"]").unwrap_err();
        assert!(refused.contains("longer than `max`"), "{refused}");
        let refused = jail("dnsbl-listed", "codes = { \"xbl.example\" = [\"127.0.0\"] }").unwrap_err();
        assert!(refused.contains("127.0.0"), "{refused}");
    }

    #[test]
    fn every_mistake_is_told_at_its_place() {
        let text = "about = \"x\"\non = [\"auth-faild\"]\nper = \"adress\"\nthreshold = 0\nwithin = 600\n[ban]\nfor = \"1h\"\nmax = \"1m\"\n";
        let mistakes = Jails::single("x", text).unwrap_err();
        let places: Vec<(usize, usize)> = mistakes.iter().map(|m| (m.line, m.column)).collect();
        assert_eq!(places, [(2, 7), (3, 7), (4, 13), (5, 10), (8, 7)], "{mistakes}");
    }
}
