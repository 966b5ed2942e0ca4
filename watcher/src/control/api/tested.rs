//! Whether the firewall keeps somebody out: its own word, and the bans that it follows from.

use serde::{Deserialize, Serialize};

use super::BanView;

/// `GET /v1/test/ADDRESS`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Tested {
    /// Who was asked about.
    pub address: String,
    /// Whether some packet of his is dropped now.
    pub dropped: bool,
    /// What was asked: `nftables` is the kernel's own word, the others say what they remember.
    pub firewall: String,
    /// What holds him off there.
    pub held: Vec<Held>,
    /// The enforced bans on him and on the networks around him.
    pub bans: Vec<BanView>,
    /// Why he is never banned, if so.
    pub exempt: Option<String>,
}

/// One entry of the firewall that meets the address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Held {
    /// The address or the network.
    pub network: String,
    /// Which ports are closed; all where none is named.
    pub ports: Vec<u16>,
}
