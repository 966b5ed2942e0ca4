//! The process of the hooks: reads what happened, and delivers it.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

use crate::control::api::News;
use crate::hooks::outbox::{Outbox, WAITING_MAX};
use crate::hooks::{Delivery, FromHooks, Hook, Outcome, ToHooks, deliver};
use crate::run::confine::give_up_the_firewall;

/// Set for who has begun again.
const AGAIN: &str = "POSTERN_HOOKS_AGAIN";

/// When the watcher ends, what waits is tried once more, for so long.
const DRAIN: Duration = Duration::from_secs(3);

/// Runs until the end of standard input.
///
/// # Errors
/// It cannot read what it is told.
pub fn run() -> anyhow::Result<()> {
    // Who stops the watcher stops us too, and must not cut off what it has still to say: our input ends with it.
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    if let Err(error) = give_up_the_firewall() {
        begin_again();
        tracing::warn!("the hooks keep the right to change the firewall: {error}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve())?;
    // A blocked look-up of a name is not waited for.
    runtime.shutdown_background();
    Ok(())
}

/// Where the call that drops a capability is refused, as under our unit: a program that is run anew by another than root has
/// the ambient ones alone, and these were given up already. Returns where that is no way, or was gone already.
fn begin_again() {
    let is_root = rustix::process::geteuid().is_root();
    let (Ok(own), false, None) = (std::env::current_exe(), is_root, std::env::var_os(AGAIN)) else { return };
    let error = Command::new(own).args(std::env::args_os().skip(1)).env(AGAIN, "1").exec();
    tracing::warn!("the hooks cannot begin again without the right to change the firewall: {error}");
}

async fn serve() -> io::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut hooks: Vec<(Hook, Sender<News>)> = Vec::new();
    let mut tasks = JoinSet::new();
    while let Some(line) = lines.next_line().await? {
        match serde_json::from_str(&line) {
            Ok(ToHooks::Configure(wanted)) => {
                // What waits in a hook that stays is delivered by it; one that goes delivers it and ends.
                let mut before = std::mem::take(&mut hooks);
                for hook in wanted {
                    let known = before.iter().position(|(old, _)| *old == hook);
                    hooks.push(match known {
                        Some(at) => before.swap_remove(at),
                        None => {
                            let (sender, receiver) = channel(WAITING_MAX);
                            tasks.spawn(work(hook.clone(), receiver));
                            (hook, sender)
                        }
                    });
                }
            }
            Ok(ToHooks::Tell(topic, news)) => {
                for (hook, sender) in hooks.iter().filter(|(hook, _)| hook.hears(topic, &news)) {
                    if sender.try_send((*news).clone()).is_err() {
                        tracing::debug!("no room in the hook {}", hook.name);
                        say(&FromHooks::Lost(1));
                    }
                }
            }
            Err(error) => tracing::error!("what the watcher says cannot be read: {error}"),
        }
    }
    drop(hooks);
    let all = async { while tasks.join_next().await.is_some() {} };
    // What is not delivered until then is lost with us.
    let _ = tokio::time::timeout(DRAIN, all).await;
    Ok(())
}

/// One hook, until nobody tells it anything any more and nothing waits that can be tried now.
async fn work(hook: Hook, mut news: Receiver<News>) {
    let (mut outbox, host) = (Outbox::default(), host());
    let mut is_told = true;
    loop {
        let due = outbox.due(&hook);
        let wait = due.map_or(Duration::MAX, |due| due.saturating_duration_since(Instant::now()));
        tokio::select! {
            more = news.recv(), if is_told => match more {
                Some(news) => put(&mut outbox, news),
                None => is_told = false,
            },
            () = tokio::time::sleep(if is_told { wait } else { Duration::ZERO }) => {}
        }
        while let Ok(more) = news.try_recv() {
            put(&mut outbox, more);
        }
        // At the end nothing is gathered any more.
        let now = if is_told { Instant::now() } else { due.unwrap_or_else(Instant::now).max(Instant::now()) };
        attempt(&hook, &mut outbox, &host, now).await;
        if !is_told && outbox.is_empty() {
            return;
        }
    }
}

async fn attempt(hook: &Hook, outbox: &mut Outbox, host: &str, now: Instant) {
    let Some(parcel) = outbox.take(hook, now) else { return };
    let outcome = match deliver::id() {
        Ok(id) => {
            let (events, lost) = (parcel.events.as_slice(), parcel.lost);
            deliver::deliver(hook, &Delivery { id: &id, hook: &hook.name, host, events, lost }).await
        }
        Err(error) => Err(error),
    };
    let ended = outbox.ended(hook, outcome.is_ok(), Instant::now());
    if let Err(error) = outcome {
        let error = anyhow::Error::from(error);
        match ended {
            Outcome::GivenUp => tracing::error!("the hook {} failed, and is given up: {error:#}", hook.name),
            Outcome::Failed | Outcome::Done => {
                tracing::warn!("the hook {} failed, and is tried again: {error:#}", hook.name);
            }
        }
    }
    say(&FromHooks::Ended { kind: hook.action.kind().to_owned(), outcome: ended });
}

fn put(outbox: &mut Outbox, news: News) {
    let lost = outbox.put(news, Instant::now());
    if lost > 0 {
        say(&FromHooks::Lost(lost));
    }
}

/// Tells the watcher. One that is gone counts no more.
fn say(what: &FromHooks) {
    if let Ok(line) = serde_json::to_string(what) {
        let _ = writeln!(io::stdout(), "{line}");
    }
}

/// This machine's name.
fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let is_plain =
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
    if is_plain { name } else { "localhost".to_owned() }
}
