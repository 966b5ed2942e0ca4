//! An SMTP server that speaks and logs as qmail-smtpd does.
//!
//! [`Session`](session::Session) is the server's mind: it takes bytes and answers and says what to reply, log and ask.
//! Everything else carries that out.

pub mod activation;
pub mod alive;
mod aside;
pub mod blocklist;
pub mod cdb;
mod clock;
pub mod command;
pub mod config;
pub mod connection;
pub mod dkim;
pub mod dsn;
pub mod durable;
pub mod environment;
pub mod fingerprint;
pub mod gate;
pub mod greylist;
pub mod header;
pub mod inquiry;
pub mod journal;
pub mod karma;
pub mod load;
pub mod mailbox;
pub mod metrics;
pub mod names;
pub mod pace;
pub mod password;
mod plugins;
pub mod proxy;
pub mod queue;
pub mod recipients;
pub mod rules;
pub mod scram;
pub mod server;
pub mod session;
pub mod stop;
pub mod tcprules;
pub mod telemetry;
pub mod tls;
pub mod users;
pub mod watched;
pub mod web;
mod wire;
pub mod words;
