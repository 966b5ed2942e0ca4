//! `postern-smtpd run`: everything is opened, then everything runs, then everything is closed.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::activation::Opened;
use crate::alive;
use crate::command::reload::{self, Lasting, Lists, Running};
use crate::command::{Answer, Failure, telemetry};
use crate::config::Config;
use crate::connection::{Current, Shared};
use crate::durable;
use crate::gate::Gate;
use crate::names::Names;
use crate::queue::{Courier, Delivering, Router, Store};
use crate::recipients::Recipients;
use crate::server::{self, Listener};
use crate::stop;
use crate::{telemetry::Telemetry, web};

/// Threads for what blocks: file writes and password checks. More would only wait for the same disk.
const BLOCKING_THREADS_MAX: usize = 64;

/// Sockets, opened before anything else: a port that is taken is the likeliest mistake.
struct Sockets {
    listen: Vec<std::net::TcpListener>,
    metrics: Option<std::net::TcpListener>,
}

/// Runs the server until it is told to stop.
///
/// # Errors
/// Where it cannot start; once it runs it stops only when it is told to.
pub fn run(path: &Path) -> Result<Answer, Failure> {
    let config = Config::read(path)?;
    let mut opened = Opened::take();
    let sockets = Sockets {
        listen: config.listen.iter().map(|listen| opened.listen(listen.address)).collect::<Result<_, _>>()?,
        metrics: config.metrics.map(server::bind).transpose()?,
    };
    opened.warn_of_rest();
    std::fs::create_dir_all(&config.state).map_err(|cause| Failure::File {
        path: config.state.clone(),
        what: "it is the state directory; make it and give it to this user",
        cause,
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .map_err(Failure::Start)?;
    let telemetry = Arc::new(telemetry(&config)?);
    runtime.block_on(async {
        let (house, courier) = open(config, &telemetry)?;
        serve(path, house, sockets, courier).await
    })?;
    stop_runtime(runtime);
    telemetry.close();
    Ok(Answer::Yes)
}

/// What sessions and deliveries go by.
struct House {
    config: Config,
    names: Names,
    lasting: Lasting,
    shared: Arc<Shared>,
}

/// Opens all that sessions and deliveries need.
fn open(config: Config, telemetry: &Arc<Telemetry>) -> Result<(House, Courier), Failure> {
    let _alone = durable::alone_in(&config.state);
    let names = Names::new(&config.name_servers).map_err(Failure::Resolver)?;
    let users = reload::users(&config.users, &config.state)?;
    let store = Store::open(&config.state.join("queue"))?;
    let router = Router::new(names.clone(), &config.remote, &config.policy.hostname);
    let with = Delivering {
        policy: Arc::new(config.policy.clone()),
        recipients: Arc::new(Recipients::of(&config, users)),
        telemetry: Arc::clone(telemetry),
        dkim: config.dkim.clone(),
        messages_max: config.queue_messages_max,
    };
    // The courier delivers what our own queue still has, and what the server itself writes, whoever takes new messages.
    let (courier, queue) =
        Courier::new(store, router, with).map_err(|error| Failure::Start(io::Error::other(error)))?;
    let gate = Arc::new(Mutex::new(Gate::new(&config.policy.hostname, config.connections)));
    let lasting = Lasting { telemetry: Arc::clone(telemetry), gate, queue };
    let bureau = Arc::new(reload::bureau(&config, &names));
    let shared = Arc::new(reload::shared(&config, &names, &lasting, bureau, None)?);
    Ok((House { config, names, lasting, shared }, courier))
}

async fn serve(path: &Path, house: House, sockets: Sockets, courier: Courier) -> Result<(), Failure> {
    let House { config, names, lasting, shared } = house;
    let mut signals = Signals::new().map_err(Failure::Start)?;
    let (stopper, stop) = stop::channel();
    let telemetry = Arc::clone(&lasting.telemetry);
    telemetry.note(&shared.gate().status());
    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    let current = Arc::new(Current::new(Arc::clone(&shared)));
    for (socket, listen) in sockets.listen.into_iter().zip(&config.listen) {
        let listener = Listener::new(socket, listen).map_err(Failure::Start)?;
        tokio::spawn(listener.run(Arc::clone(&current), stop.clone(), alive.clone()));
    }
    let lists = Lists::run(&shared.blocklists, &telemetry, &alive);
    if let Some(socket) = sockets.metrics {
        let pages = web::run(socket, telemetry, stop.clone());
        tokio::spawn(async move {
            if let Err(error) = pages.await {
                tracing::error!(%error, "metrics are not served any more");
            }
        });
    }
    let renewal = courier.renewal();
    let courier = tokio::spawn({
        let (alive, stop) = (alive.clone(), stop.clone());
        async move {
            courier.run(stop).await;
            drop(alive);
        }
    });
    tokio::spawn(alive::tell(shared, stop.clone()));
    notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!("ready");
    let path = path.to_owned();
    let mut running = Running { path, config, names, lasting, current, renewal, lists, alive };
    signals.until_stop(&mut running).await;
    tracing::info!("stopping");
    notify(&[sd_notify::NotifyState::Stopping]);
    stopper.stop();
    running.lists.stop();
    drop(running);
    // `recv` gives `None` once every session, listener and the courier have dropped their end.
    if tokio::time::timeout(server::DRAIN, all_gone.recv()).await.is_err() {
        tracing::warn!("some sessions or deliveries did not end in time");
    }
    courier.abort();
    Ok(())
}

/// What is still blocked on a disk may finish for a moment; sessions that are left are cut.
fn stop_runtime(runtime: Runtime) {
    runtime.shutdown_timeout(Duration::from_millis(500));
}

/// The signals a server knows.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Serves SIGHUP until a signal to stop comes.
    async fn until_stop(&mut self, running: &mut Running) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    notify(&[sd_notify::NotifyState::Reloading]);
                    running.reload().await;
                    notify(&[sd_notify::NotifyState::Ready]);
                }
            }
        }
    }
}

fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "cannot tell the service manager");
    }
}
