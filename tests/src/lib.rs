//! Whole-system scenarios: the real daemons, real clients and the real kernel, in networks that a test makes for itself.
//!
//! A test runs itself again as root of a network of its own ([`namespace`]), joins a second one to it by a cable
//! ([`network`]), starts the daemons on it ([`site`]) and speaks to them as many clients; what they show is looked at with a
//! real browser ([`browser`]). It needs no root, disturbs nobody, and whatever it started ends with it ([`process`]).

pub mod banctl;
pub mod blocklist;
pub mod browser;
pub mod client;
pub mod demo;
pub mod http;
pub mod namespace;
pub mod network;
pub mod process;
pub mod recording;
pub mod site;
pub mod wait;
