//! The way in for the administrator: HTTP and JSON over a Unix socket, which `banctl` speaks; and metrics for Prometheus
//! on a loopback port, where nothing can be changed.

pub mod api;
mod change;
pub mod client;
mod command;
mod connection;
mod live;
#[cfg(test)]
mod openapi;
mod page;
mod peer;
mod portion;
mod read;
mod routes;
mod server;
mod wake;
mod web;

pub(crate) use peer::group;

pub use command::{AllowDone, AllowTerms, BanTerms, Command, Commands, Done, Listed, Portion, Telling};
pub use live::Live;
pub use server::{Server, ServerError};
pub use wake::Wake;
