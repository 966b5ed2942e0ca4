//! The watcher: reads mail logs, counts offences by the rules of its jails, bans offenders in the kernel.
//!
//! The way of a line: bytes in a file → [`envelope`] → record → [`event`] → jail → ban → kernel and store. The middle
//! ([`watch`], made of [`interpret`] and [`engine`]) is pure and takes time as an argument; the edges own files, sockets
//! and the clock.

pub mod banctl;
pub mod commands;
pub mod config;
pub mod connections;
pub mod control;
pub mod detect;
pub mod engine;
pub mod envelope;
pub mod event;
pub mod fact;
pub mod fail2ban;
pub mod feed;
pub mod filter;
pub mod firewall;
pub mod health;
pub mod hooks;
pub mod interpret;
pub mod jail;
pub mod journal;
pub mod messages;
pub mod metrics;
pub mod news;
pub mod notice;
pub mod overlay;
pub mod pace;
pub mod quota;
pub mod replay;
pub mod report;
pub mod run;
pub mod store;
pub mod subject;
pub mod syslog;
pub mod tail;
pub mod twins;
pub mod watch;
