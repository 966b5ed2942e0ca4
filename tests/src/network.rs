//! Two hosts, joined by a cable. The mail server's host is the network that this process is in; the clients' host is a
//! second one, and speaks as whole networks of addresses.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::process::{Running, bound, run};
use crate::wait;

/// The mail server's addresses.
pub const SERVER: &str = "192.0.2.25";
/// The same, IPv6.
pub const SERVER6: &str = "2001:db8:25::25";

/// The clients' host can speak as every address of these.
const CLIENTS: [&str; 2] = ["198.51.100.0/24", "203.0.113.0/24"];
/// And as the hosts 1 to [`HOSTS6`] of the /64 numbers 1 to [`NETWORKS6`] of this one.
const CLIENTS6: &str = "2001:db8:bad::/48";
/// How many /64 networks the clients have.
const NETWORKS6: u8 = 8;
/// How many addresses in each.
const HOSTS6: u8 = 2;

/// The clients' host; it goes with this value.
#[derive(Debug)]
pub struct Network {
    far: Running,
}

impl Network {
    /// Makes the second host and lays the cable. `directory` is for what the far host says.
    ///
    /// # Errors
    /// This process is not root of its network, or iproute2 is missing.
    pub fn lay(directory: &Path) -> Result<Network> {
        // Root of this namespace may move an interface into any other that it made; this one's keeper does nothing else.
        let mut keeper = bound("unshare");
        keeper.args(["--net", "--", "sleep", "infinity"]);
        let far = Running::start(&mut keeper, &directory.join("far.err"))?;
        let here = std::fs::read_link("/proc/self/ns/net")?;
        let there = format!("/proc/{}/ns/net", far.id());
        wait::until_true("the clients' network", || {
            std::fs::read_link(&there).is_ok_and(|there| there != here)
        })?;
        let network = Network { far };
        run("ip", &format!("link add gate type veth peer name world netns {}", network.far.id()))?;
        batch(&mut bound("ip"), &near_side())?;
        batch(&mut network.client("ip"), &far_side())?;
        Ok(network)
    }

    /// A command that is run on the clients' host.
    pub fn client(&self, program: &str) -> Command {
        let mut command = bound("nsenter");
        command.args(["--net", "--target", &self.far.id().to_string(), "--", program]);
        command
    }

    /// The `host`th address of the clients' `network`th /64.
    pub fn client6(network: u8, host: u8) -> String {
        format!("2001:db8:bad:{network:x}::{host:x}")
    }
}

fn near_side() -> Vec<String> {
    let mut lines = vec![
        "link set lo up".to_owned(),
        "link set gate up".to_owned(),
        format!("address add {SERVER}/24 dev gate"),
        format!("address add {SERVER6}/64 dev gate nodad"),
        format!("route add {CLIENTS6} via 2001:db8:25::1"),
    ];
    lines.extend(CLIENTS.iter().map(|network| format!("route add {network} via 192.0.2.1")));
    lines
}

fn far_side() -> Vec<String> {
    let mut lines = vec![
        "link set lo up".to_owned(),
        "link set world up".to_owned(),
        "address add 192.0.2.1/24 dev world".to_owned(),
        "address add 2001:db8:25::1/64 dev world nodad".to_owned(),
    ];
    // Every address of a network that is local can be spoken from; of IPv6, only those that are named.
    lines.extend(CLIENTS.iter().map(|network| format!("route add local {network} dev lo")));
    for (network, host) in (1..=NETWORKS6).flat_map(|network| (1..=HOSTS6).map(move |host| (network, host))) {
        lines.push(format!("address add {}/128 dev world nodad", Network::client6(network, host)));
    }
    lines
}

/// Gives `ip` many commands at once.
fn batch(ip: &mut Command, lines: &[String]) -> Result<()> {
    let ip = ip.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = ip.spawn().context("cannot run ip (package iproute2)")?;
    let mut stdin = child.stdin.take().context("a pipe to ip")?;
    stdin.write_all((lines.join("\n") + "\n").as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "ip -batch: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
