//! Which processors the servers have, and which the clients.

use std::error::Error;
use std::fmt;
use std::fs;
use std::process::{Command, Stdio};

/// The processors of this machine, in two halves.
pub struct Processors {
    servers: Vec<u32>,
    clients: Vec<u32>,
}

impl Processors {
    /// Those that this process may use. Where there is but one, both halves are that one.
    pub fn of_this_machine() -> Result<Self, Box<dyn Error>> {
        let status = fs::read_to_string("/proc/self/status")?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let mut all = Vec::new();
        for range in list.ok_or("/proc/self/status names no processors")?.trim().split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            all.extend(first.parse::<u32>()?..=last.parse()?);
        }
        let clients = all.split_off(all.len() / 2);
        let servers = if all.is_empty() { clients.clone() } else { all };
        Ok(Processors { servers, clients })
    }

    /// What is started from now on runs where the servers run.
    pub fn give_to_servers(&self) -> Result<(), Box<dyn Error>> {
        take(&self.servers)
    }

    /// This process, and what it starts from now on, runs where the clients run.
    pub fn give_to_clients(&self) -> Result<(), Box<dyn Error>> {
        take(&self.clients)
    }
}

impl fmt::Display for Processors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "processors: servers {}, clients {}", list(&self.servers), list(&self.clients))
    }
}

fn list(processors: &[u32]) -> String {
    processors.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// There is one thread yet, whose processors all that it starts inherits.
fn take(processors: &[u32]) -> Result<(), Box<dyn Error>> {
    let status = Command::new("taskset")
        .args(["-cp", &list(processors), &std::process::id().to_string()])
        .stdout(Stdio::null())
        .status()?;
    if status.success() { Ok(()) } else { Err("taskset failed".into()) }
}
