//! What people see of the running system, judged by the programs that show it: Prometheus, promtool, systemd, a browser.

#![cfg(test)]

mod board;
mod docs;
mod examples;
mod lints;
mod live;
mod manuals;
mod page;
mod painted;
mod prometheus;
mod reference;
mod report;
mod rules;
mod service;
mod units;
mod wrong;
