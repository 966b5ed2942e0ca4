//! The administrator's hand, judged by what others make of it: the real watcher and `banctl`, the kernel, and the programs
//! that read what is exported.

#[cfg(test)]
mod api;
#[cfg(test)]
mod bans;
#[cfg(test)]
mod export;
#[cfg(test)]
mod hooks;
#[cfg(test)]
#[path = "../firewall/namespace.rs"]
#[expect(dead_code, reason = "what only the firewall's tests need")]
mod namespace;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod screen;
#[cfg(test)]
mod watcher;
