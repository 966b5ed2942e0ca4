//! The clients, the same for every server.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::crowd::Crowd;

/// Sessions at once.
const CLIENTS: usize = 16;

/// Sessions one after the other, by several clients at once, each for a recipient that is refused: how many were over in
/// time.
pub fn sessions(address: SocketAddr, time: Duration) -> Result<u64, Box<dyn Error>> {
    let end = Instant::now() + time;
    let mut crowd = Crowd::of(CLIENTS, address)?;
    while Instant::now() < end {
        crowd.go_on()?;
    }
    Ok(crowd.done())
}

/// Opens sessions that say no more than EHLO.
pub fn idle(address: SocketAddr, wanted: usize) -> Vec<TcpStream> {
    let mut open = Vec::with_capacity(wanted);
    while open.len() < wanted {
        let Ok(client) = greeted(address) else { break };
        open.push(client);
    }
    // Memory of what came just now may still be on its way.
    std::thread::sleep(Duration::from_secs(1));
    open
}

fn greeted(address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    hear(&mut stream)?;
    stream.write_all(b"EHLO client.example.net\r\n")?;
    hear(&mut stream)?;
    Ok(stream)
}

fn hear(stream: &mut TcpStream) -> std::io::Result<()> {
    let (mut reply, mut room) = (Vec::new(), [0; 1024]);
    while !is_whole(&reply) {
        match stream.read(&mut room)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            length => reply.extend_from_slice(&room[..length]),
        }
    }
    Ok(())
}

/// Whether a reply has come to its last line.
pub fn is_whole(reply: &[u8]) -> bool {
    let Some(lines) = reply.strip_suffix(b"\n") else { return false };
    let last = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    lines.get(last + 3) == Some(&b' ')
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

/// Has a server take so many messages.
pub fn messages(address: SocketAddr, count: u64, at_once: usize) -> Result<(), Box<dyn Error>> {
    let (count, at_once) = (count.to_string(), at_once.to_string());
    let status = Command::new("smtp-source")
        .args(["-4", "-l", "4096", "-m", &count, "-s", &at_once])
        .args(["-f", "a@example.net", "-t", "alice@example.org", &address.to_string()])
        .status()?;
    if status.success() { Ok(()) } else { Err("smtp-source failed".into()) }
}
