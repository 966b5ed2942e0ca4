//! The blocklist of the day: real rbldnsd, asked over UDP, behind a resolver's cache that lives in the day's time.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use e2e::process::{Running, bound};
use e2e::wait;
use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use smtpd::blocklist::ZoneAnswer;

use super::traffic::Day;

/// The zone, by the name that the servers know a code map of.
pub const ZONE: &str = "zen.spamhaus.org";

/// As the zone has them.
const TTL: u32 = 60;

/// What the zone says of a client that is on its list of broken-into machines.
pub fn text(client: &str) -> String {
    format!("Listed by XBL, see https://check.spamhaus.org/query/ip/{client}")
}

/// A server that serves the list, and a resolver before it.
#[derive(Debug)]
pub struct List {
    socket: UdpSocket,
    cache: HashMap<Ipv4Addr, (f64, ZoneAnswer)>,
    /// Queries that reached the server.
    pub queries: u32,
    rbldnsd: Running,
}

impl List {
    /// Starts rbldnsd with the day's list.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn serve(day: &Day, directory: &Path, port: u16) -> Result<List> {
        let mut zone = format!(
            "$TTL {TTL}\n$SOA {TTL} ns.example hostmaster.example 1 600 600 600 {TTL}\n\
             :127.0.0.4:{}\n",
            text("$")
        );
        for (host, _) in day.listed.iter().filter(|(_, listed)| **listed) {
            writeln!(zone, "{}", day.address(*host))?;
        }
        std::fs::write(directory.join("zone"), zone)?;
        e2e::process::run("ip", "link set lo up")?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut command = bound("unshare");
        // rbldnsd does not run as root; in this namespace there is nobody else.
        command.args(["--user", "--map-user=1000", "--map-group=1000", "rbldnsd", "-n"]);
        command
            .args(["-b", &format!("{}/{port}", address.ip()), "-w"])
            .arg(directory)
            .arg(format!("{ZONE}:ip4set:zone"));
        let rbldnsd = Running::start(&mut command, &directory.join(format!("rbldnsd.{port}")))?;
        wait::until_true("rbldnsd", || rbldnsd.said().contains("started"))?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(address)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(List { socket, cache: HashMap::new(), queries: 0, rbldnsd })
    }

    /// The resolver is started anew.
    pub fn forget(&mut self) {
        self.cache.clear();
    }

    /// What the resolver says at that second of the day: its cache, or the server.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn ask(&mut self, at: f64, client: Ipv4Addr) -> Result<ZoneAnswer> {
        if let Some((_, answer)) = self.cache.get(&client).filter(|(until, _)| *until > at) {
            return Ok(answer.clone());
        }
        let (ttl, answer) = self.query(client)?;
        self.cache.insert(client, (at + f64::from(ttl), answer.clone()));
        Ok(answer)
    }

    fn query(&mut self, client: Ipv4Addr) -> Result<(u32, ZoneAnswer)> {
        let [a, b, c, d] = client.octets();
        let name = Name::from_ascii(format!("{d}.{c}.{b}.{a}.{ZONE}."))?;
        let mut question = Message::query();
        question.add_query(Query::query(name, RecordType::A));
        self.socket.send(&question.to_vec()?)?;
        self.queries += 1;
        let mut bytes = [0; 512];
        let length = self.socket.recv(&mut bytes).context("rbldnsd is silent")?;
        let answer = Message::from_vec(bytes.get(..length).unwrap_or_default())?;
        match answer.metadata.response_code {
            ResponseCode::NXDomain => {
                let ttl = answer.authorities.first().map_or(TTL, |soa| soa.ttl);
                Ok((ttl, ZoneAnswer::NotListed))
            }
            ResponseCode::NoError => {
                let record = answer.answers.first().context("no record")?;
                let RData::A(code) = &record.data else { bail!("no address: {record}") };
                Ok((record.ttl, ZoneAnswer::Addresses { codes: vec![code.0], text: None }))
            }
            code => bail!("rbldnsd: {code}"),
        }
    }

    /// Ends the server, and gives how many queries it has counted itself.
    ///
    /// # Errors
    /// It has not said.
    pub fn counted(self) -> Result<u32> {
        let List { rbldnsd, .. } = self;
        rbldnsd.signal(rustix::process::Signal::TERM)?;
        wait::until("rbldnsd's count", || {
            let said = rbldnsd.said();
            let (_, count) = said.rsplit_once(" tot=")?;
            count.split(' ').next()?.parse().ok()
        })
    }
}
