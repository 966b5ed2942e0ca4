//! In what manner [`Nftables`](super::Nftables) keeps the banned out.

use std::path::Path;

/// So many devices; their names stand in the table's comment, which is 255 bytes long at most.
pub const DEVICES_MAX: usize = 8;

/// How, and how early.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// What becomes of their packets.
    pub treatment: Treatment,
    /// Devices whose packets are looked at as they come in, before they are routed or put together: what does not pass
    /// there costs least. It concerns what is forwarded for others as well. A device that is not there is left out.
    pub ingress: Vec<String>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Treatment {
    /// Nothing: the sender learns nothing and waits.
    #[default]
    Drop,
    /// The sender is told at once that nobody is there.
    Reject,
}

impl Manner {
    /// This, with the devices alone that are there now.
    pub(super) fn present(&self) -> Manner {
        let is_there = |name: &&String| Path::new("/sys/class/net").join(name).exists();
        let ingress: Vec<String> = self.ingress.iter().filter(is_there).cloned().collect();
        Manner { treatment: self.treatment, ingress }
    }
}

/// Whether this can be the name of a device.
pub fn is_device(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    (1..16).contains(&name.len()) && name.bytes().all(is_plain) && !matches!(name, "." | "..")
}
