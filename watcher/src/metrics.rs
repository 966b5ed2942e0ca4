//! What is exported to Prometheus. Every name stands in [`family`], with its help; each module beside it holds the series of
//! one subject and says what moves them.
//!
//! Every label value is one of our own enums or a name of the configuration, and every series is there from the start, at
//! zero, so that a first event is an increase.

pub mod family;

mod ban;
mod blocklist;
mod firewall;
mod house;
mod source;
#[cfg(test)]
mod tests;

use prometheus::{Encoder as _, IntCounter, Registry, TextEncoder};

pub use ban::{AddressFamily, Bans};
pub use blocklist::Blocklists;
pub use firewall::Firewall;
pub use house::House;
pub use source::{Beside, Sources, Standing};

use family::Maker;

/// The exported values.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Of sources, and of what their lines tell.
    pub sources: Sources,
    /// Of bans and jails.
    pub bans: Bans,
    /// Of the firewall.
    pub firewall: Firewall,
    /// Of DNS blocklists.
    pub blocklists: Blocklists,
    /// Of the watcher itself.
    pub house: House,
}

impl Metrics {
    /// All of them, at zero; the series of sources, jails and zones come when these are known.
    pub fn new() -> Self {
        let maker = Maker::default();
        Metrics {
            sources: Sources::new(&maker),
            bans: Bans::new(&maker),
            firewall: Firewall::new(&maker),
            blocklists: Blocklists::new(&maker),
            house: House::new(&maker),
            registry: maker.registry,
        }
    }

    /// The text that Prometheus reads.
    pub fn expose(&self) -> Vec<u8> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("a buffer takes every write");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

/// Brings a counter up to a total that is counted elsewhere. A total that began anew adds nothing until it has caught
/// up.
fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}
