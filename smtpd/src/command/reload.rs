//! The settings are read again: as a whole or not at all. Who is connected already keeps what held when it came.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::blocklist::{Bureau, Life};
use crate::command::{Failure, fingerprint_key, karma};
use crate::config::Config;
use crate::connection::{Current, Shared};
use crate::gate::Gate;
use crate::inquiry::Inquirer;
use crate::load::Load;
use crate::names::Names;
use crate::pace::Pace;
use crate::password::Authority;
use crate::queue::{Delivering, QueueHandle, Renewal, Router};
use crate::recipients::Recipients;
use crate::stop::{self, Stopper};
use crate::tcprules::TcpRules;
use crate::telemetry::Telemetry;
use crate::tls::Keeper;
use crate::users::UserFile;
use crate::words::Words;

/// How long the task of the blocklists may take to end.
const END: Duration = Duration::from_secs(1);

/// What stays while settings come and go.
#[derive(Debug)]
pub(super) struct Lasting {
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) gate: Arc<Mutex<Gate>>,
    /// Our own queue, which is held even while a program takes the messages.
    pub(super) queue: QueueHandle,
}

/// A server that runs, as far as its settings can change.
pub(super) struct Running {
    pub(super) path: PathBuf,
    pub(super) config: Config,
    pub(super) names: Names,
    pub(super) lasting: Lasting,
    pub(super) current: Arc<Current>,
    pub(super) renewal: Renewal,
    pub(super) lists: Lists,
    pub(super) alive: mpsc::Sender<()>,
}

/// The task that tests the blocklists and keeps their books.
pub(super) struct Lists {
    stopper: Stopper,
    task: JoinHandle<()>,
}

impl Lists {
    pub(super) fn run(bureau: &Arc<Bureau>, telemetry: &Arc<Telemetry>, alive: &mpsc::Sender<()>) -> Self {
        let (stopper, stop) = stop::channel();
        let (bureau, telemetry, alive) = (Arc::clone(bureau), Arc::clone(telemetry), alive.clone());
        let task = tokio::spawn(async move {
            bureau.run(telemetry, stop).await;
            drop(alive);
        });
        Lists { stopper, task }
    }

    pub(super) fn stop(&self) {
        self.stopper.stop();
    }
}

/// Why the settings stay as they were.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Failure(#[from] Failure),
    #[error("these take effect at a restart only: {}", .0.join(", "))]
    Restart(Vec<&'static str>),
    #[error("cannot set up TLS for deliveries: {0}")]
    Tls(#[from] rustls::Error),
}

impl Running {
    /// Opens the log again, and reads all settings and the files that they name.
    pub(super) async fn reload(&mut self) {
        match self.lasting.telemetry.reopen() {
            Ok(()) => tracing::info!("log opened again"),
            Err(error) => tracing::error!(%error, "cannot open the log again; the old file is written on"),
        }
        match self.renew().await {
            Ok(()) => tracing::info!("settings read again; they hold for whoever comes from now on"),
            Err(refused) => {
                let cause = refused.source();
                tracing::error!(%refused, cause, "the settings are not changed");
            }
        }
    }

    async fn renew(&mut self) -> Result<(), Refused> {
        let config = Config::read(&self.path).map_err(Failure::from)?;
        let fixed = needs_restart(&self.config, &config);
        if !fixed.is_empty() {
            return Err(Refused::Restart(fixed));
        }
        let same_names = self.config.name_servers == config.name_servers;
        let names = match same_names {
            true => self.names.clone(),
            false => Names::new(&config.name_servers).map_err(Failure::Resolver)?,
        };
        let before = self.current.get();
        let mut shared = shared(
            &config,
            &names,
            &self.lasting,
            Arc::clone(&before.blocklists),
            Some((&self.config, &before)),
        )?;
        let router = Router::new(names.clone(), &config.remote, &config.policy.hostname);
        self.renewal.renew(router, delivering(&config, &shared)).await?;
        // Nothing can fail from here on.
        if !same_names || self.config.policy.blocklists != config.policy.blocklists {
            self.lists.stop();
            if tokio::time::timeout(END, &mut self.lists.task).await.is_err() {
                // It waits for a name server that does not answer.
                self.lists.task.abort();
            }
            // Its successor takes up what it has written down.
            before.blocklists.close().await;
            shared.blocklists = Arc::new(bureau(&config, &names));
            self.lists = Lists::run(&shared.blocklists, &self.lasting.telemetry, &self.alive);
        }
        shared.gate().set_limits(&config.policy.hostname, config.connections);
        self.current.set(Arc::new(shared));
        (self.config, self.names) = (config, names);
        Ok(())
    }
}

/// What differs and is opened once, at the start.
fn needs_restart(before: &Config, after: &Config) -> Vec<&'static str> {
    let checks = [
        ("state", before.state != after.state),
        ("metrics", before.metrics != after.metrics),
        ("[[listen]]", before.listen != after.listen),
        ("[log]", before.log != after.log),
        ("[limits] queue_messages_max", before.queue_messages_max != after.queue_messages_max),
    ];
    checks.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

pub(super) fn bureau(config: &Config, names: &Names) -> Bureau {
    Bureau::open(&config.policy.blocklists, names.clone(), &config.state, Life::Server)
}

pub(super) fn delivering(config: &Config, shared: &Shared) -> Delivering {
    Delivering {
        policy: Arc::clone(&shared.policy),
        recipients: Arc::clone(&shared.recipients),
        telemetry: Arc::clone(&shared.telemetry),
        dkim: config.dkim.clone(),
        messages_max: config.queue_messages_max,
    }
}

/// The users file, which must be readable before anybody is asked about users.
pub(super) fn users(path: &Path, state: &Path) -> Result<Arc<UserFile>, Failure> {
    let users = Arc::new(UserFile::new(path, state));
    users.users().map_err(|cause| Failure::File {
        path: path.to_owned(),
        what: "it holds the users; let this user read it",
        cause,
    })?;
    Ok(users)
}

/// All that sessions need, by these settings; what is remembered of clients goes on where it is remembered alike.
pub(super) fn shared(
    config: &Config,
    names: &Names,
    lasting: &Lasting,
    blocklists: Arc<Bureau>,
    before: Option<(&Config, &Shared)>,
) -> Result<Shared, Failure> {
    let policy = Arc::new(config.policy.clone());
    let users = users(&config.users, &config.state)?;
    let tls = config.tls.as_ref().map(|tls| Keeper::open(tls, &policy.hostname)).transpose()?;
    let key = fingerprint_key(config)?;
    let same = |is_same: fn(&Config, &Config) -> bool| {
        before.filter(|(before, _)| is_same(before, config)).map(|(_, shared)| shared)
    };
    Ok(Shared {
        hurried: Arc::new(policy.hurried()),
        telemetry: Arc::clone(&lasting.telemetry),
        gate: Arc::clone(&lasting.gate),
        recipients: Arc::new(Recipients::of(config, Arc::clone(&users))),
        rules: config.rules.as_ref().map(|path| TcpRules::new(path, Arc::clone(&policy))),
        karma: match same(|before, after| before.karma == after.karma) {
            Some(shared) => shared.karma.clone(),
            None => karma(config)?,
        },
        pace: match same(|before, after| before.rates == after.rates) {
            Some(shared) => Arc::clone(&shared.pace),
            None => Arc::new(Pace::new(config.rates)),
        },
        load: config.load_max.map(Load::new),
        words: config.words.as_ref().map(|path| Words::new(path)),
        authority: Authority::new(&config.passwords, users, &policy.default_domain, key),
        queue: config.queue.clone().map_or_else(|| lasting.queue.clone(), QueueHandle::Program),
        blocklists,
        inquirer: Inquirer::new(names.clone(), &policy),
        tls: tls.map(Arc::new),
        policy,
    })
}
