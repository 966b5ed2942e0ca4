//! Where a network is and whose, from databases in MaxMind's format: GeoLite2, DB-IP, ipinfo and others of the kind.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use maxminddb::{MaxMindDbError, Reader};
use serde_json::Value;

/// What is shown of a name from a database.
const NAME_CHARS_MAX: usize = 60;

/// Some databases; none of them knows nothing.
#[derive(Debug, Default)]
pub struct Places {
    readers: Vec<Reader<Vec<u8>>>,
}

/// What is known of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The number of its autonomous system.
    pub asn: Option<u32>,
    /// Who owns it.
    pub owner: Option<String>,
    /// Its country, by its two letters.
    pub country: Option<String>,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the database {}: {why}", path.display())]
pub struct PlaceError {
    path: PathBuf,
    /// No source: its words hold those of its own cause already.
    why: MaxMindDbError,
}

impl Places {
    /// Opens databases: one may know the country and another one the owner.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn open(files: &[PathBuf]) -> Result<Self, PlaceError> {
        let open = |path: &PathBuf| {
            let failed = |why| PlaceError { path: path.clone(), why };
            Reader::open_readfile(Path::new(path)).map_err(failed)
        };
        Ok(Places { readers: files.iter().map(open).collect::<Result<_, _>>()? })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.readers.is_empty()
    }

    /// What the databases know; the first that knows something wins.
    pub fn of(&self, address: IpAddr) -> Place {
        let mut place = Place::default();
        for reader in &self.readers {
            // A database that is damaged at this place knows nothing of it.
            let found = reader.lookup(address).ok().and_then(|found| found.decode::<Value>().ok().flatten());
            let Some(found) = found else { continue };
            place.asn = place.asn.or_else(|| asn(&found));
            place.owner = place.owner.or_else(|| owner(&found));
            place.country = place.country.or_else(|| country(&found));
        }
        place
    }
}

fn asn(found: &Value) -> Option<u32> {
    let number = found.get("autonomous_system_number").and_then(Value::as_u64);
    let named = || found.get("asn").and_then(Value::as_str)?.trim_start_matches("AS").parse().ok();
    number.and_then(|number| u32::try_from(number).ok()).or_else(named)
}

fn owner(found: &Value) -> Option<String> {
    let keys = ["autonomous_system_organization", "as_name", "organization"];
    keys.iter().find_map(|key| found.get(key).and_then(Value::as_str)).map(shown)
}

fn country(found: &Value) -> Option<String> {
    let code = ["/country/iso_code", "/country_code", "/country"];
    code.iter().find_map(|path| found.pointer(path).and_then(Value::as_str)).map(shown)
}

/// A database is somebody else's file: what it says is escaped, and cut, as all that is not ours.
fn shown(name: &str) -> String {
    let name: String = name.chars().take(NAME_CHARS_MAX).collect();
    name.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
