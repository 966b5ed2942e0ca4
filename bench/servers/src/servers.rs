//! The servers, each with its files in a directory of its own.

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that runs.
pub struct Server {
    pub name: &'static str,
    pub smtp: SocketAddr,
    pub smtps: Option<SocketAddr>,
    /// Whether one process has all sessions.
    pub is_one_process: bool,
    /// Whether it takes mail for alice@example.org.
    pub accepts: bool,
    process: Process,
}

enum Process {
    Child(Child),
    Postfix { master: u32, configuration: PathBuf },
}

impl Server {
    /// The process whose descendants are the server.
    pub fn pid(&self) -> u32 {
        match &self.process {
            Process::Child(child) => child.id(),
            Process::Postfix { master, .. } => *master,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        match &mut self.process {
            Process::Child(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Process::Postfix { configuration, .. } => {
                let _ = Command::new("postfix").arg("-c").arg(configuration).arg("stop").status();
            }
        }
    }
}

fn free_port() -> Result<SocketAddr, Box<dyn Error>> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn wait(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let end = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).is_err() {
        if Instant::now() > end {
            return Err(format!("nobody listens on {address}").into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Our own.
pub fn ours(program: &Path, directory: &Path) -> Result<Server, Box<dyn Error>> {
    let (smtp, smtps) = (free_port()?, free_port()?);
    let place = directory.join("ours");
    fs::create_dir_all(&place)?;
    let settings = place.join("smtpd.toml");
    fs::write(
        &settings,
        format!(
            "hostname = \"mx.example.org\"\ndomains = [\"example.org\"]\nstate = \"state\"\nusers = \"users\"\nmaildirs = \"mail\"\n\
             metrics = \"off\"\n[tls]\ncertificate = \"../tls.pem\"\n[log]\nfile = \"log\"\n\
             [limits]\nconnections_max = 20000\nconnections_per_address_max = 20000\n\
             [[listen]]\naddress = \"{smtp}\"\n[[listen]]\naddress = \"{smtps}\"\nservice = \"smtps\"\n"
        ),
    )?;
    certificate(directory)?;
    let mut add = Command::new(program)
        .args(["user", "add", "alice", "--config"])
        .arg(&settings)
        .stdin(Stdio::piped())
        .spawn()?;
    add.stdin.take().ok_or("no standard input")?.write_all(b"secret\n")?;
    add.wait()?;
    let child =
        Command::new(program).args(["run", "--config"]).arg(&settings).stderr(Stdio::null()).spawn()?;
    let process = Process::Child(child);
    let server = Server {
        name: "postern-smtpd",
        smtp,
        smtps: Some(smtps),
        is_one_process: true,
        accepts: true,
        process,
    };
    wait(smtp)?;
    Ok(server)
}

fn certificate(directory: &Path) -> Result<(), Box<dyn Error>> {
    let pem = directory.join("tls.pem");
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=mx",
            "-keyout",
        ])
        .arg(&pem)
        .arg("-out")
        .arg(directory.join("crt.pem"))
        .stderr(Stdio::null())
        .status()?;
    let both = [fs::read(&pem)?, fs::read(directory.join("crt.pem"))?].concat();
    fs::write(&pem, both)?;
    if made.success() { Ok(()) } else { Err("openssl made no certificate".into()) }
}

/// tcpserver, and rblsmtpd that was told that everybody is listed, so that it asks no name server.
pub fn rblsmtpd() -> Result<Option<Server>, Box<dyn Error>> {
    let smtp = free_port()?;
    let child = Command::new("tcpserver")
        .args([
            "-RHl0",
            "-c",
            "1000",
            "127.0.0.1",
            &smtp.port().to_string(),
            "rblsmtpd",
            "-r",
            "none.invalid",
            "true",
        ])
        .env("RBLSMTPD", "-listed")
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = child else {
        println!("tcpserver is not installed");
        return Ok(None);
    };
    let process = Process::Child(child);
    let server = Server {
        name: "tcpserver + rblsmtpd",
        smtp,
        smtps: None,
        is_one_process: false,
        accepts: false,
        process,
    };
    wait(smtp)?;
    Ok(Some(server))
}

/// Postfix with Debian's defaults, but for what makes it listen here and deliver to a Maildir.
pub fn postfix(directory: &Path) -> Result<Option<Server>, Box<dyn Error>> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !is_root || !Path::new("/usr/sbin/postfix").exists() {
        println!("Postfix is not installed, or this is not root");
        return Ok(None);
    }
    let (smtp, smtps) = (free_port()?, free_port()?);
    let place = directory.join("postfix");
    for part in ["etc", "queue", "data", "mail"] {
        fs::create_dir_all(place.join(part))?;
    }
    let own = |part: &str| Command::new("chown").arg("postfix").arg(place.join(part)).status();
    own("data")?;
    own("mail")?;
    let here = place.display();
    let pem = directory.join("tls.pem");
    fs::write(
        place.join("etc/main.cf"),
        format!(
            "compatibility_level = 3.6\nmyhostname = mx.example.org\nmydestination =\nlocal_recipient_maps =\nalias_maps =\n\
             inet_protocols = ipv4\nqueue_directory = {here}/queue\ndata_directory = {here}/data\nmaillog_file = {here}/log\n\
             maillog_file_prefixes = /\nvirtual_mailbox_domains = example.org\nvirtual_mailbox_base = {here}/mail\n\
             virtual_mailbox_maps = inline:{{ alice@example.org=alice/ }}\nvirtual_uid_maps = static:65534\n\
             virtual_gid_maps = static:65534\nvirtual_minimum_uid = 1\nsmtpd_client_connection_count_limit = 0\n\
             smtpd_recipient_restrictions = reject_unauth_destination\nsmtpd_tls_cert_file = {0}\nsmtpd_tls_key_file = {0}\n\
             smtpd_tls_security_level = may\n",
            pem.display()
        ),
    )?;
    Command::new("chown").arg("65534").arg(place.join("mail")).status()?;
    let mut master = format!(
        "{smtp} inet n - n - 100 smtpd\n{smtps} inet n - n - 100 smtpd\n  -o smtpd_tls_wrappermode=yes\n"
    );
    for (name, wakes, most, program) in [
        ("pickup", "60", "1", "pickup"),
        ("cleanup", "-", "0", "cleanup"),
        ("qmgr", "300", "1", "qmgr"),
        ("tlsmgr", "1000?", "1", "tlsmgr"),
        ("rewrite", "-", "-", "trivial-rewrite"),
        ("bounce", "-", "0", "bounce"),
        ("defer", "-", "0", "bounce"),
        ("trace", "-", "0", "bounce"),
        ("proxymap", "-", "-", "proxymap"),
        ("error", "-", "-", "error"),
        ("retry", "-", "-", "error"),
        ("virtual", "-", "-", "virtual"),
        ("anvil", "-", "1", "anvil"),
    ] {
        let private = if ["pickup", "cleanup", "qmgr"].contains(&name) { "n" } else { "-" };
        let unprivileged = if program == "virtual" { "n" } else { "-" };
        master += &format!("{name} unix {private} {unprivileged} n {wakes} {most} {program}\n");
    }
    master += "postlog unix-dgram n - n - 1 postlogd\n";
    fs::write(place.join("etc/master.cf"), master)?;
    let configuration = place.join("etc");
    let started = Command::new("postfix").arg("-c").arg(&configuration).arg("start").status()?;
    if !started.success() {
        return Err("Postfix did not start".into());
    }
    wait(smtp)?;
    let pid = fs::read_to_string(place.join("queue/pid/master.pid"))?.trim().parse()?;
    let process = Process::Postfix { master: pid, configuration };
    Ok(Some(Server {
        name: "Postfix",
        smtp,
        smtps: Some(smtps),
        is_one_process: false,
        accepts: true,
        process,
    }))
}
