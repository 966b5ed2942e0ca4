//! `postern-smtpd stdio`: one session on standard input and output, as qmail-smtpd is run by tcpserver, sslserver or inetd.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use logline::{Endpoint, Record, SessionId, Tcpserver, Text};

use crate::blocklist::{Bureau, Life};
use crate::clock::now;
use crate::command::{Answer, Failure, fingerprint_key, karma};
use crate::config::{Config, ConfigError, FILE, RecipientKind, RecipientSource, valid_of};
use crate::connection::{Connection, Shared};
use crate::durable;
use crate::environment::{self, Environment as _, OfProcess};
use crate::gate::Gate;
use crate::inquiry::Inquirer;
use crate::load::Load;
use crate::names::Names;
use crate::pace::{Pace, Rates};
use crate::password::{Authority, Checkpassword};
use crate::queue::{
    Courier, Delivering, Dropbox, Program, QueueHandle, Router, Store, StoreError, orders_wait,
};
use crate::recipients::Recipients;
use crate::rules::VirtualUsers;
use crate::session::{End, Peer, Service, Session};
use crate::stop;
use crate::telemetry::Telemetry;
use crate::tls::Keeper;
use crate::users::UserFile;
use crate::wire::{self, Stream, Wire};
use crate::words::Words;

/// What stands on the command line: qmail-smtpd's arguments with the login patch.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// This host's name; that of the settings where none is given.
    pub host: Option<String>,
    /// The program that checks passwords, and what it runs.
    pub checkpassword: Vec<OsString>,
}

impl Arguments {
    /// Reads the words: the host, then the program.
    pub fn new(words: Vec<OsString>) -> Self {
        let mut words = words.into_iter();
        Arguments {
            host: words.next().map(|host| host.to_string_lossy().into_owned()),
            checkpassword: words.collect(),
        }
    }
}

/// Who is connected, and by whom it was told.
struct Arrival {
    local: SocketAddr,
    remote: SocketAddr,
    /// Nobody in front has told the log of this connection.
    is_untold: bool,
}

/// Runs one session.
///
/// # Errors
/// Where the settings are wrong or something that is needed cannot be had; the client is told to come again then.
pub fn stdio(config: Option<&Path>, arguments: &Arguments) -> Result<Answer, Failure> {
    let is_the_clients = wire::stderr_is_the_client();
    if is_the_clients {
        wire::leave_stderr().map_err(Failure::Start)?;
    }
    converse(config, arguments, is_the_clients).inspect_err(|_| {
        // qmail's words for a server that is set up wrong; a client that does not hear them comes again all the same.
        let _ = io::Write::write_all(&mut io::stdout(), b"421 unable to read controls (#4.3.0)\r\n");
    })
}

fn converse(config: Option<&Path>, arguments: &Arguments, is_mute: bool) -> Result<Answer, Failure> {
    let config = settings(config, arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()
        .map_err(Failure::Start)?;
    let telemetry = Arc::new(match &config.log.file {
        Some(_) if is_mute => super::telemetry(&config)?,
        Some(_) | None => Telemetry::stderr(&config.log),
    });
    let arrival = Arrival::find().map_err(Failure::Start)?;
    let (end, blocklists) = runtime.block_on(async {
        let shared = open(&config, arguments, &telemetry)?;
        let blocklists = Arc::clone(&shared.blocklists);
        let end = arrival.run(&config, shared).await.map_err(Failure::Start)?;
        Ok::<_, Failure>((end, blocklists))
    })?;
    // The client sees the end now; what is left to do is not its business.
    wire::leave_standard().map_err(Failure::Start)?;
    runtime.block_on(blocklists.test_in_turn());
    if program(&config).is_none() {
        runtime.block_on(deliver(&config, &telemetry))?;
    }
    // Standard input may still be read by a thread that only the end of the process stops.
    runtime.shutdown_background();
    telemetry.close();
    Ok(match end {
        End::Clean => Answer::Yes,
        End::GaveUp => Answer::No,
    })
}

/// The settings; a drop-in needs no file of them.
fn settings(path: Option<&Path>, arguments: &Arguments) -> Result<Config, ConfigError> {
    let mut config = match path {
        Some(path) => Config::read(path)?,
        None if Path::new(FILE).exists() => Config::read(Path::new(FILE))?,
        None => Config::parse(FILE, "").map_err(ConfigError::Wrong)?,
    };
    if let Some(host) = &arguments.host {
        config.policy.hostname.clone_from(host);
    }
    environment::settle(&OfProcess, &mut config.policy);
    let path = |name| OfProcess.value(name).map(|path| PathBuf::from(OsString::from_vec(path)));
    let (valid, more) = (path("VALIDRCPTTO"), path("MOREVALIDRCPTTO_CDB"));
    if valid.is_some() || more.is_some() {
        let control = |name| Some(config.control.as_ref()?.join(name));
        let list = valid.or_else(|| control("validrcptto"));
        let more = more.or_else(|| control("morevalidrcptto.cdb"));
        config.recipients = valid_of(list.as_deref(), more.as_deref())
            .map_err(|cause| ConfigError::Unreadable { path: list.or(more).unwrap_or_default(), cause })?;
    }
    if let Some(check) = OfProcess.value("RCPTCHECK").filter(|path| path.starts_with(b"/")) {
        let program = PathBuf::from(OsString::from_vec(check));
        let kind = RecipientKind::Command { program, arguments: Vec::new() };
        let relayed = OfProcess.is_on("RCPTCHECKRELAYCLIENT");
        config.recipients.insert(0, RecipientSource { domains: None, kind, relayed });
    }
    if program(&config).is_some() {
        // qmail-send behind the program reads virtualdomains itself.
        config.policy.rules.virtual_users = VirtualUsers::default();
    }
    Ok(config)
}

/// Who takes the messages, where it is not our own queue.
fn program(config: &Config) -> Option<Program> {
    let named = OfProcess.value("QMAILQUEUE").filter(|path| !path.is_empty());
    named.map(|path| Program(PathBuf::from(OsString::from_vec(path)))).or_else(|| config.queue.clone())
}

fn open(config: &Config, arguments: &Arguments, telemetry: &Arc<Telemetry>) -> Result<Arc<Shared>, Failure> {
    let _alone = durable::alone_in(&config.state);
    let policy = Arc::new(config.policy.clone());
    let users = Arc::new(UserFile::new(&config.users, &config.state));
    let tls = config.tls.as_ref().map(|tls| Keeper::open(tls, &policy.hostname)).transpose()?.map(Arc::new);
    let names = Names::new(&config.name_servers).map_err(Failure::Resolver)?;
    let queue = match program(config) {
        Some(program) => QueueHandle::Program(program),
        None => {
            let directory = config.state.join("queue");
            let opened = Dropbox::open(&directory, config.queue_messages_max);
            let what = "it is the queue; give it to the user that runs the sessions";
            QueueHandle::Dropbox(opened.map_err(|cause| Failure::File { path: directory, what, cause })?)
        }
    };
    let key = fingerprint_key(config)?;
    let authority = match Checkpassword::new(&arguments.checkpassword, key.clone()) {
        Some(program) => Authority::Program(program),
        None => Authority::new(&config.passwords, Arc::clone(&users), &policy.default_domain, key),
    };
    Ok(Arc::new(Shared {
        gate: Arc::new(Mutex::new(Gate::new(&policy.hostname, config.connections))),
        blocklists: Arc::new(Bureau::open(&policy.blocklists, names.clone(), &config.state, Life::Session)),
        telemetry: Arc::clone(telemetry),
        inquirer: Inquirer::new(names, &policy),
        // tcpserver counts its sessions, and does not tell.
        hurried: Arc::clone(&policy),
        policy,
        recipients: Arc::new(Recipients::of(config, users)),
        authority,
        queue,
        // tcpserver has its own.
        rules: None,
        karma: karma(config)?,
        pace: Arc::new(Pace::new(Rates::default())),
        load: config.load_max.map(Load::new),
        words: config.words.as_ref().map(|path| Words::new(path)),
        tls,
    }))
}

impl Arrival {
    fn find() -> io::Result<Self> {
        if let Some((local, remote)) = environment::ends(&OfProcess) {
            return Ok(Arrival { local, remote, is_untold: false });
        }
        let nobody = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let (local, remote) = wire::connection_on_stdin()?.unwrap_or((nobody, nobody));
        let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
        Ok(Arrival { local: canonical(local), remote: canonical(remote), is_untold: true })
    }

    async fn run(&self, config: &Config, shared: Arc<Shared>) -> io::Result<End> {
        let telemetry = Arc::clone(&shared.telemetry);
        let pid = SessionId(std::process::id());
        if self.is_untold {
            telemetry.note(&Record::Tcpserver(Tcpserver::Connect { pid, address: self.remote.ip() }));
            telemetry.note(&Record::Tcpserver(Tcpserver::Ok(self.endpoint(pid, &config.policy.hostname))));
        }
        let service = if OfProcess.is_on("SMTPS") { Service::Smtps } else { Service::Smtp };
        let mut grant = environment::grant(&OfProcess);
        grant.word = shared.words.as_ref().and_then(|words| words.about(self.remote.ip(), now()));
        grant.is_naughty =
            shared.karma.as_ref().is_some_and(|karma| karma.is_put_off(now(), self.remote.ip()));
        grant.is_busy = shared.load.as_ref().is_some_and(|load| load.is_high(now()));
        let tls_available = shared.tls.is_some() && !grant.encrypted && !OfProcess.is_on("DISABLETLS");
        let peer =
            Peer { session: pid, service, tls_available, local: self.local, remote: self.remote, grant };
        let session = Session::new(Arc::clone(&shared.policy), peer, now());
        let connection = Connection::new(Wire::Plain(Stream::standard()?), session, shared);
        let (_stopper, stop) = stop::channel();
        let (end, wire) = connection.run(stop).await;
        wire.close().await;
        if self.is_untold {
            telemetry.note(&Record::Tcpserver(Tcpserver::End { pid, status: end.status() }));
        }
        Ok(end)
    }

    fn endpoint(&self, pid: SessionId, hostname: &str) -> Endpoint<'static> {
        Endpoint {
            pid,
            local_host: Text::from(hostname.to_owned()),
            local_address: self.local.ip(),
            local_port: self.local.port(),
            remote_host: Text::default(),
            remote_address: self.remote.ip(),
            remote_info: Text::default(),
            remote_port: self.remote.port(),
        }
    }
}

/// Delivers to the mailboxes here what sessions have left in the queue, unless a server or another session does.
async fn deliver(config: &Config, telemetry: &Arc<Telemetry>) -> Result<(), Failure> {
    let directory = config.state.join("queue");
    // Whoever holds the queue lets go of it before it looks for orders a last time; so none is left behind.
    while orders_wait(&directory) {
        let store = match Store::open(&directory) {
            Ok(store) => store,
            Err(StoreError::InUse { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let policy = Arc::new(config.policy.clone());
        let names = Names::new(&config.name_servers).map_err(Failure::Resolver)?;
        let router = Router::new(names, &config.remote, &policy.hostname);
        let with = Delivering {
            recipients: Arc::new(Recipients::of(
                config,
                Arc::new(UserFile::new(&config.users, &config.state)),
            )),
            telemetry: Arc::clone(telemetry),
            dkim: config.dkim.clone(),
            messages_max: config.queue_messages_max,
            policy,
        };
        let (courier, _queue) =
            Courier::new(store, router, with).map_err(|error| Failure::Start(io::Error::other(error)))?;
        courier.run_once().await;
    }
    Ok(())
}
