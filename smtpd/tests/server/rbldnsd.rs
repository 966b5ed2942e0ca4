//! Debian's rbldnsd, which serves the lists that a house asks and writes down each question.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};

use crate::house::{House, wait_for};

/// What every list has, and one client, with the list's words.
pub(crate) const LIST: &str = ":127.0.0.2:Listed, see http://list.example/?$\n127.0.0.2\n198.51.100.30\n";

/// A list that has everybody, as one whose domain was sold does.
pub(crate) const EVERYBODY: &str = ":127.0.0.2:Bought\n0.0.0.0/1\n128.0.0.0/1\n";

pub(crate) struct Rbldnsd {
    child: Child,
    address: SocketAddr,
}

impl Rbldnsd {
    /// Serves these zones. The files lie in the house.
    pub(crate) fn start(house: &House, zones: &[(&str, &str)]) -> Self {
        for (n, (_, text)) in zones.iter().enumerate() {
            fs::write(house.path(format!("zone{n}")), text).unwrap();
        }
        // It does not tell which port it got, so one that was free a moment ago is tried until it is.
        loop {
            let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let errors = fs::File::create(house.path("rbldnsd.err")).unwrap();
            // It does not run as root.
            let mut command = Command::new("unshare");
            command.args(["--user", "--map-user=1000", "--map-group=1000", "--kill-child", "--fork"]);
            command.args(["rbldnsd", "-n", "-b", &format!("127.0.0.1/{}", free.port())]);
            command
                .arg("-w")
                .arg(house.path(""))
                .arg("-l")
                .arg(format!("+{}", house.path("asked").display()));
            command.args(zones.iter().enumerate().map(|(n, (zone, _))| format!("{zone}:ip4set:zone{n}")));
            let mut child = command
                .stdout(errors.try_clone().unwrap())
                .stderr(errors)
                .stdin(Stdio::null())
                .spawn()
                .unwrap();
            let is_started = wait_for("rbldnsd", || {
                let said = fs::read_to_string(house.path("rbldnsd.err")).unwrap_or_default();
                match child.try_wait().unwrap() {
                    Some(_) if said.contains("in use") => Some(false),
                    Some(status) => panic!("{status}: {said}"),
                    None => said.contains("started").then_some(true),
                }
            });
            if is_started {
                return Rbldnsd { child, address: free };
            }
        }
    }

    /// Settings that ask these lists, each with its terms.
    pub(crate) fn settings(&self, lists: &[(&str, &str)]) -> String {
        let lists = lists.iter().map(|(zone, terms)| format!("[[dnsbl]]\nzone = \"{zone}\"\n{terms}\n"));
        format!("{}[dns]\nservers = [\"{}\"]\n", lists.collect::<String>(), self.address)
    }
}

impl Drop for Rbldnsd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often the list was asked about a client: for its address, and for its text.
pub(crate) fn asked(house: &House, client: &str, zone: &str) -> (usize, usize) {
    let backwards = client.split('.').rev().collect::<Vec<_>>().join(".");
    let log = fs::read_to_string(house.path("asked")).unwrap_or_default();
    let of = |kind| log.matches(&format!(" {backwards}.{zone} {kind} ")).count();
    (of("A"), of("TXT"))
}
