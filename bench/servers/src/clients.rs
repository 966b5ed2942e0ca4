//! The clients, the same for every server.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CLIENTS: usize = 16;

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        stream.set_nodelay(true).ok()?;
        let mut client = Client(BufReader::with_capacity(1024, stream));
        (client.hear()? == b'2').then_some(client)
    }

    /// The first digit of a reply, all its lines read.
    fn hear(&mut self) -> Option<u8> {
        let mut line = String::new();
        loop {
            line.clear();
            self.0.read_line(&mut line).ok().filter(|length| *length > 0)?;
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.bytes().next();
            }
        }
    }

    fn say(&mut self, command: &str) -> Option<u8> {
        self.0.get_mut().write_all(format!("{command}\r\n").as_bytes()).ok()?;
        self.hear()
    }
}

/// Sessions one after the other, by several clients at once, each for a recipient that is refused: how many were over in
/// time.
pub fn sessions(address: SocketAddr, time: Duration) -> u64 {
    let (done, end) = (AtomicU64::new(0), Instant::now() + time);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while Instant::now() < end {
                    if refused(address).is_some() {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    done.into_inner()
}

fn refused(address: SocketAddr) -> Option<()> {
    let mut client = Client::connect(address)?;
    client.say("EHLO client.example.net")?;
    client.say("MAIL FROM:<a@example.net>")?;
    let answer = client.say("RCPT TO:<nobody@example.org>")?;
    assert_eq!(answer, b'5', "the recipient was to be refused");
    client.say("QUIT").map(drop)
}

/// Opens sessions that say no more than EHLO.
pub fn idle(address: SocketAddr, wanted: usize) -> Vec<impl Sized> {
    let mut open = Vec::with_capacity(wanted);
    while open.len() < wanted {
        let Some(mut client) = Client::connect(address) else { break };
        if client.say("EHLO client.example.net").is_none() {
            break;
        }
        open.push(client);
    }
    // Memory of what came just now may still be on its way.
    std::thread::sleep(Duration::from_secs(1));
    open
}

/// Handshakes one after the other, by OpenSSL's own client.
pub fn handshakes(address: SocketAddr, time: Duration) -> Result<u64, Box<dyn Error>> {
    let seconds = time.as_secs().to_string();
    let output = Command::new("openssl")
        .args(["s_time", "-new", "-connect", &address.to_string(), "-time", &seconds])
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().find(|line| line.contains(" connections in ") && line.contains("real seconds"));
    let count = line.and_then(|line| line.split(' ').next()?.parse().ok());
    count.ok_or_else(|| format!("openssl s_time said: {said}").into())
}

/// How long a server took for so many messages.
pub fn messages(address: SocketAddr, count: usize, at_once: usize) -> Result<Duration, Box<dyn Error>> {
    let (count, at_once) = (count.to_string(), at_once.to_string());
    let begin = Instant::now();
    let status = Command::new("smtp-source")
        .args(["-4", "-l", "4096", "-m", &count, "-s", &at_once])
        .args(["-f", "a@example.net", "-t", "alice@example.org", &address.to_string()])
        .status()?;
    if status.success() { Ok(begin.elapsed()) } else { Err("smtp-source failed".into()) }
}
