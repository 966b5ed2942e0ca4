//! The daemons as systemd runs them: told whether they are alive, and given their sockets.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{ChildStdin, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::http;
use e2e::namespace::isolated;
use e2e::process::{Running, bound, ours};
use e2e::site::{SMTPD, Site, WATCHER};
use e2e::wait;

/// What a service manager would wait for; it is told four times as often.
const WATCHDOG_USEC: &str = "400000";

/// Long enough for ten words from a loop that goes on.
const SILENCE: Duration = Duration::from_secs(1);

/// What a service manager hears.
struct Manager {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Manager {
    fn new(site: &Site) -> Result<Self> {
        let path = site.path("notify");
        let socket = UnixDatagram::bind(&path)?;
        Ok(Manager { path, socket })
    }

    /// Starts a daemon that is to say that it is alive.
    fn start(&self, site: &Site, program: &str, config: &str) -> Result<Running> {
        let mut command = bound(ours(program)?);
        command.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", WATCHDOG_USEC);
        command.args(["run", "--config"]).arg(site.path(config));
        Running::start(&mut command, &site.path("service.err"))
    }

    /// Whether this word comes within so long.
    fn hears(&self, word: &str, patience: Duration) -> Result<bool> {
        self.socket.set_read_timeout(Some(patience))?;
        let mut bytes = [0; 4096];
        loop {
            match self.socket.recv(&mut bytes) {
                Ok(len) => {
                    let said = String::from_utf8_lossy(bytes.get(..len).unwrap_or_default()).into_owned();
                    if said.lines().any(|line| line == word) {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until it is said.
    fn awaits(&self, word: &str) -> Result<()> {
        ensure!(self.hears(word, Duration::from_secs(30))?, "{word} is never said");
        Ok(())
    }

    /// Forgets what was said until now.
    fn forget(&self) -> Result<()> {
        self.socket.set_nonblocking(true)?;
        while self.socket.recv(&mut [0; 4096]).is_ok() {}
        Ok(self.socket.set_nonblocking(false)?)
    }
}

/// A thread that stands still as long as this value lives.
struct Held {
    let_go: Option<ChildStdin>,
    child: std::process::Child,
}

impl Held {
    fn thread(id: u32) -> Result<Self> {
        let script = crate::board::repository().join("tests/clients/freeze.py");
        let mut command = bound("python3");
        command.arg(script).arg(id.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut said = String::new();
        BufReader::new(child.stdout.take().context("a pipe from it")?).read_line(&mut said)?;
        let held = Held { let_go: child.stdin.take(), child };
        ensure!(said == "held\n", "the thread cannot be held: {said:?}");
        Ok(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.let_go = None;
        let _ = self.child.wait();
    }
}

#[test]
fn the_watcher_is_said_to_be_alive_by_the_loop_that_bans_alone() {
    isolated(|| {
        let site = Site::new()?;
        site.append("smtpd.log", b"")?;
        let manager = Manager::new(&site)?;
        let watcher = manager.start(&site, "postern-watcher", "watcher.toml")?;
        manager.awaits("READY=1")?;
        manager.awaits("WATCHDOG=1")?;
        // The main thread has the number of its process. All others go on, and answer.
        let held = Held::thread(watcher.id())?;
        manager.forget()?;
        ensure!(!manager.hears("WATCHDOG=1", SILENCE)?, "a loop that hangs is said to be alive");
        ensure!(http::get(WATCHER, "/")?.0 == 200, "the other threads hang as well");
        drop(held);
        manager.awaits("WATCHDOG=1")?;
        watcher.signal(rustix::process::Signal::TERM)?;
        manager.awaits("STOPPING=1")
    });
}

#[test]
fn the_mail_server_says_that_it_is_alive_ready_and_stopping() {
    isolated(|| {
        let site = Site::new()?;
        let manager = Manager::new(&site)?;
        let smtpd = manager.start(&site, "postern-smtpd", "smtpd.toml")?;
        for word in ["READY=1", "WATCHDOG=1", "WATCHDOG=1"] {
            manager.awaits(word)?;
        }
        smtpd.signal(rustix::process::Signal::HUP)?;
        for word in ["RELOADING=1", "READY=1"] {
            manager.awaits(word)?;
        }
        smtpd.signal(rustix::process::Signal::TERM)?;
        manager.awaits("STOPPING=1")
    });
}

const OPENED: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 2525);

/// Starts the mail server with a socket that was opened for it, as its unit does.
fn start_with(socket: &TcpListener, site: &Site) -> Result<Running> {
    let mut command = bound("sh");
    // The socket is handed over as standard input, and goes where systemd puts the first one.
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" run --config \"$1\"";
    command.args(["-c", script]).arg(ours("postern-smtpd")?).arg(site.path("smtpd.toml"));
    Running::start_on(&mut command, OwnedFd::from(socket.try_clone()?).into(), &site.path("service.err"))
}

/// A session from its beginning to its end; what it was greeted with.
fn visit() -> Result<String> {
    let stream = TcpStream::connect(OPENED).context("refused")?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut lines = BufReader::new(&stream).lines();
    let greeting = lines.next().context("no greeting")??;
    // A server that stops has closed by now.
    let _ = (&stream).write_all(b"QUIT\r\n");
    Ok(greeting)
}

/// Stops the server and starts it again, three times, while sessions go on; between two of them there are some. The last one
/// goes on.
fn restart(mut smtpd: Running, socket: &TcpListener, site: &Site, greeted: &AtomicUsize) -> Result<Running> {
    for _ in 0..3 {
        let before = greeted.load(Ordering::Relaxed);
        wait::until_true("sessions", || greeted.load(Ordering::Relaxed) >= before + 20)?;
        ensure!(smtpd.stop()?.success(), "it does not end well");
        smtpd = start_with(socket, site)?;
    }
    wait::until_true("health", || http::get(SMTPD, "/healthz").is_ok_and(|(status, _)| status == 200))?;
    Ok(smtpd)
}

#[test]
fn whoever_connects_while_the_mail_server_restarts_is_answered() {
    isolated(|| {
        let site = Site::new()?;
        let listen = format!("[[listen]]\naddress = \"{OPENED}\"\nservice = \"smtp\"\n[tls]");
        site.change("smtpd.toml", "[tls]", &listen)?;
        let socket = TcpListener::bind(OPENED)?;
        let smtpd = start_with(&socket, &site)?;
        let (greeted, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let client = || -> Result<()> {
            while !over.load(Ordering::Relaxed) {
                let greeting = visit()?;
                // Who was let in at the last moment is told to come again.
                ensure!(greeting.starts_with("220 ") || greeting.starts_with("421 "), "{greeting}");
                greeted.fetch_add(usize::from(greeting.starts_with("220 ")), Ordering::Relaxed);
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
            let restarted = restart(smtpd, &socket, &site, &greeted);
            over.store(true, Ordering::Relaxed);
            for client in clients {
                client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
            }
            restarted.map(drop)
        })
    });
}
