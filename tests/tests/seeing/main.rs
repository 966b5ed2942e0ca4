//! What people see of the running system, judged by the programs that show it: Prometheus, promtool, systemd, a browser.

#[cfg(test)]
mod board;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod lints;
#[cfg(test)]
mod live;
#[cfg(test)]
mod page;
#[cfg(test)]
mod prometheus;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod units;
