//! A server with its files in a directory of its own, and a client that speaks plainly.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long anything may take before a test has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The directory of one server: settings, users, queue, mail, log.
pub(crate) struct House {
    directory: tempfile::TempDir,
}

/// A server that runs.
pub(crate) struct Server {
    child: Child,
    /// In the order of the settings.
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) metrics: SocketAddr,
}

impl House {
    /// Settings for example.org with a certificate of its own, and `more`.
    pub(crate) fn new(more: &str) -> Self {
        let house = House { directory: tempfile::tempdir().unwrap() };
        house.configure(&format!(
            "hostname = \"mx.example.org\"\ndomains = [\"example.org\"]\nstate = \"state\"\nusers = \"users\"\n\
             maildirs = \"mail\"\nmetrics = \"127.0.0.1:0\"\n[tls]\nself_signed = true\n[log]\nfile = \"log\"\n{more}"
        ));
        house
    }

    /// The usual three services.
    pub(crate) fn with_services(more: &str) -> Self {
        let listen = ["smtp", "submission", "smtps"]
            .map(|service| format!("[[listen]]\naddress = \"127.0.0.1:0\"\nservice = \"{service}\"\n"));
        House::new(&format!("{}{more}", listen.concat()))
    }

    pub(crate) fn configure(&self, text: &str) {
        fs::write(self.path("smtpd.toml"), text).unwrap();
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postern-smtpd"));
        command.args(arguments).arg("--config").arg(self.path("smtpd.toml")).env("RUST_LOG", "info");
        command
    }

    /// Runs a command to its end: exit code, standard output, standard error.
    pub(crate) fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// A session under tcpserver, of 192.0.2.7 unless the environment says another, that is told all at once: what the
    /// client hears, and what stands on standard error, which is the log.
    pub(crate) fn session(&self, environment: &[(&str, &str)], said: &str) -> (String, String) {
        let mut child = self
            .command(&["stdio"])
            .env("TCPREMOTEIP", "192.0.2.7")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(said.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    pub(crate) fn add_user(&self, name: &str, password: &str) {
        let mut child = self.command(&["user", "add", name]).stdin(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// Starts a server whose standard error is closed at once.
    pub(crate) fn start_deaf(&self) -> Server {
        let mut child = self.command(&["run"]).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stderr.take());
        Server { child, listen: Vec::new(), metrics: SocketAddr::from(([127, 0, 0, 1], 0)) }
    }

    /// Starts the server and waits until it says that it is ready.
    pub(crate) fn start(&self) -> Server {
        let mut child = self.command(&["run"]).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // Read to its end even when nobody listens any more: a pipe that nobody empties would stop the server.
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
        let (mut listen, mut metrics, mut said) = (Vec::new(), None, String::new());
        while !said.contains(" ready") || metrics.is_none() {
            let Ok(line) = lines.recv_timeout(PATIENCE) else {
                panic!("the server did not start: {said}");
            };
            let address =
                line.split("address=").nth(1).map(|rest| rest.split(' ').next().unwrap().parse().unwrap());
            match address {
                Some(address) if line.contains("metrics") => metrics = Some(address),
                Some(address) => listen.push(address),
                None => {}
            }
            said += &format!("{line}\n");
        }
        Server { child, listen, metrics: metrics.unwrap() }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until the log has a line with `text`, and gives the whole log.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        wait_for(text, || Some(self.log()).filter(|log| log.contains(text)))
    }

    /// The messages in a user's `new`.
    pub(crate) fn mail(&self, user: &str) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.path("mail/example.org").join(user).join("new")) else {
            return Vec::new();
        };
        files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }

    /// Waits for one message, and gives it.
    #[track_caller]
    pub(crate) fn wait_for_mail(&self, user: &str) -> String {
        wait_for("mail", || self.mail(user).pop())
    }
}

/// Looks again and again until there is something.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Server {
    /// Whether it runs still.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory that it has written to and holds, in bytes.
    pub(crate) fn held_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that sends what it is told.
pub(crate) struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Client { stream, reader }
    }

    /// The client's own port.
    pub(crate) fn port(&self) -> u16 {
        self.stream.local_addr().unwrap().port()
    }

    pub(crate) fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).unwrap();
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// One reply, all its lines.
    pub(crate) fn hear(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let start = reply.len();
            if self.reader.read_line(&mut reply).unwrap_or(0) == 0
                || reply.as_bytes().get(start + 3) != Some(&b'-')
            {
                return reply;
            }
        }
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, command: &str, reply: &str) -> String {
        if !command.is_empty() {
            self.send(&format!("{command}\r\n"));
        }
        let heard = self.hear();
        assert!(heard.starts_with(reply), "{command}: {heard}");
        heard
    }

    /// Gives a message that is accepted.
    #[track_caller]
    pub(crate) fn deliver(&mut self, sender: &str, recipients: &[&str], text: &str) {
        self.expect(&format!("MAIL FROM:<{sender}>"), "250");
        for recipient in recipients {
            self.expect(&format!("RCPT TO:<{recipient}>"), "250");
        }
        self.expect("DATA", "354");
        self.expect(&format!("{text}\r\n."), "250");
    }

    /// Sends a byte at a time, again and again, until the server will have no more of it; gives what it said.
    #[track_caller]
    pub(crate) fn drip(&mut self, byte: u8) -> String {
        const PAUSE: Duration = Duration::from_millis(20);
        self.stream.set_read_timeout(Some(PAUSE)).unwrap();
        let (start, mut said) = (Instant::now(), Vec::new());
        loop {
            let sent = self.stream.write_all(&[byte]);
            let mut room = [0; 1024];
            match self.reader.read(&mut room) {
                Ok(0) => break,
                Ok(length) => said.extend_from_slice(&room[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock && sent.is_ok() => {}
                Err(_) => break,
            }
            assert!(start.elapsed() < PATIENCE, "the server listens for ever: {said:?}");
        }
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Sends the same again and again and reads nothing, until the connection is cut.
    pub(crate) fn flood(&mut self, bytes: &[u8]) {
        self.stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let error = loop {
            if let Err(error) = self.stream.write_all(bytes) {
                break error;
            }
        };
        assert_ne!(error.kind(), ErrorKind::WouldBlock, "the server waits for ever");
    }

    pub(crate) fn is_closed(&mut self) -> bool {
        self.reader.read(&mut [0]).unwrap_or(0) == 0
    }
}

/// A page of the metrics address.
pub(crate) fn page(address: SocketAddr, path: &str) -> String {
    let mut client = Client::connect(address);
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    let mut page = String::new();
    client.reader.read_to_string(&mut page).unwrap();
    page
}
