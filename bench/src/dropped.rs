//! From an offender's line to the first packet of his that is dropped: a real connection over a cable between two hosts,
//! on which he says the time again and again, until nothing of it comes through.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::network::{Network, SERVER};
use rustix::time::{ClockId, clock_gettime};
use socket2::{Domain, Socket, Type};

use crate::daemon::Daemon;
use crate::storm::{SETTINGS, jail, stamp};
use crate::written::{head, show, times};

/// So many clients, one after the other.
const CLIENTS: u8 = 40;
/// The client says the time so often.
const EVERY: Duration = Duration::from_micros(20);
/// He has said it so often when his line is written.
const SAID: usize = 500;
/// Nothing came through for so long: nothing will.
const SILENCE: Duration = Duration::from_millis(60);
/// Who is kept out gets no connection within this time.
const ANSWER: Duration = Duration::from_millis(300);

/// Measures and prints.
///
/// # Errors
/// The watcher is not built, or a client who is banned gets through.
pub fn measure() -> Result<()> {
    let mut out = std::io::stdout();
    let directory = tempfile::tempdir()?;
    let network = Network::lay(directory.path())?;
    let log = directory.path().join("log");
    let mut file = File::create(&log)?;
    let _daemon = Daemon::start_over(&log, SETTINGS, jail)?;
    let listener = TcpListener::bind((SERVER, 0))?;
    let mut last = times()?;
    for host in 1..=CLIENTS {
        let from: IpAddr = [198, 51, 100, host].into();
        last.record(through(&network, &listener, &mut file, from)?)?;
    }
    head(&mut out, &format!("a line written → the last packet that came through, {CLIENTS} TCP clients"))?;
    show(&mut out, &format!("a packet each {} µs; the next one is dropped", EVERY.as_micros()), &last)?;
    writeln!(out, "  none of them got a new connection afterwards")?;
    Ok(())
}

/// How long after his line a client's packets came through, in nanoseconds.
fn through(network: &Network, listener: &TcpListener, log: &mut File, from: IpAddr) -> Result<u64> {
    let to = listener.local_addr()?;
    let own = std::env::current_exe()?;
    let mut client = network.client(own.to_str().context("a path in UTF-8")?);
    let mut client =
        client.args(["talk", &from.to_string(), &to.to_string()]).stdout(Stdio::null()).spawn()?;
    let (mut connection, peer) = listener.accept()?;
    ensure!(peer.ip() == from, "a connection from {peer}");
    connection.set_read_timeout(Some(SILENCE))?;
    let mut said = [0; 8];
    for _ in 0..SAID {
        connection.read_exact(&mut said)?;
    }
    let line = format!("{} mail sshd[4711]: Failed password for root from {from} port 4711 ssh2\n", stamp());
    let written_ns = now_ns()?;
    log.write_all(line.as_bytes())?;
    // It ends by silence, or because the connection is ended.
    let mut last_ns = written_ns;
    while connection.read_exact(&mut said).is_ok() {
        last_ns = u64::from_ne_bytes(said);
    }
    // He tried again, and says by his end whether somebody answered.
    ensure!(client.wait()?.success(), "{from} is banned and gets a connection");
    Ok(last_ns.saturating_sub(written_ns))
}

/// The client's side: says the time until the connection is over, and then tries to get another one.
///
/// # Errors
/// There is no first connection, or there is a second one.
pub fn talk(from: IpAddr, to: SocketAddr) -> Result<()> {
    let mut connection = connect(from, to)?;
    connection.set_nodelay(true)?;
    let (start, mut spoken) = (Instant::now(), Instant::now());
    // The server's side is silent, so that nothing tells him that he is not heard.
    while start.elapsed() < Duration::from_secs(1) {
        if connection.write_all(&now_ns()?.to_ne_bytes()).is_err() {
            break;
        }
        spoken += EVERY;
        while Instant::now() < spoken {
            std::hint::spin_loop();
        }
    }
    ensure!(connect(from, to).is_err(), "another connection");
    Ok(())
}

fn connect(from: IpAddr, to: SocketAddr) -> Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect_timeout(&to.into(), ANSWER)?;
    Ok(socket.into())
}

/// The time, which is the same on both hosts: they are one machine.
fn now_ns() -> Result<u64> {
    Ok(u64::try_from(Duration::try_from(clock_gettime(ClockId::Monotonic))?.as_nanos())?)
}
