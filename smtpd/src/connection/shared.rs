//! What connections have in common, and the place that each takes among them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use logline::{Record, SessionId};

use crate::blocklist::Bureau;
use crate::gate::Gate;
use crate::inquiry::Inquirer;
use crate::karma::Karma;
use crate::load::Load;
use crate::pace::Pace;
use crate::password::Authority;
use crate::queue::QueueHandle;
use crate::recipients::Recipients;
use crate::session::{End, Policy};
use crate::tcprules::TcpRules;
use crate::telemetry::Telemetry;
use crate::tls::Keeper;
use crate::words::Words;

/// What new connections share, until the settings are read again.
#[derive(Debug)]
pub struct Current(RwLock<Arc<Shared>>);

impl Current {
    /// This, for now.
    pub fn new(shared: Arc<Shared>) -> Self {
        Current(RwLock::new(shared))
    }

    /// What a connection that comes now shares with the others, for as long as it is open.
    pub fn get(&self) -> Arc<Shared> {
        // The value is replaced whole, so a panic elsewhere cannot have left half of it.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Something else, from now on.
    pub fn set(&self, shared: Arc<Shared>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = shared;
    }
}

/// What all connections share that came while the settings were the same.
#[derive(Debug)]
pub struct Shared {
    /// The rules.
    pub policy: Arc<Policy>,
    /// The same rules for who comes while hardly a place is left.
    pub hurried: Arc<Policy>,
    /// Where facts go.
    pub telemetry: Arc<Telemetry>,
    /// Who may come in.
    pub gate: Arc<Mutex<Gate>>,
    /// Who has a mailbox.
    pub recipients: Arc<Recipients>,
    /// Who has which password.
    pub authority: Authority,
    /// Where messages go.
    pub queue: QueueHandle,
    /// Who is asked about clients.
    pub blocklists: Arc<Bureau>,
    /// What is special about whom.
    pub rules: Option<TcpRules>,
    /// How fast connections may come.
    pub pace: Arc<Pace>,
    /// How busy the machine is.
    pub load: Option<Load>,
    /// What clients did before.
    pub karma: Option<Karma>,
    /// What the watcher asks to do about whom.
    pub words: Option<Words>,
    /// Who answers questions about clients and senders.
    pub inquirer: Inquirer,
    /// Certificate and key, if there are any.
    pub tls: Option<Arc<Keeper>>,
}

impl Shared {
    /// The gate. Facts about connections are noted while it is held, so that their numbers come in order.
    pub(crate) fn gate(&self) -> MutexGuard<'_, Gate> {
        // A panic elsewhere cannot have left it half changed: it changes only under its own methods.
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's place among the open ones. It lives in the session's task, so no early end can leak it.
#[derive(Debug)]
pub(crate) struct Place {
    shared: Arc<Shared>,
    session: SessionId,
    end: End,
}

impl Place {
    pub(crate) fn new(shared: Arc<Shared>, session: SessionId) -> Self {
        Place { shared, session, end: End::GaveUp }
    }

    /// The session is over, and how.
    pub(crate) fn leave(mut self, end: End) {
        self.end = end;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut facts: Vec<Record<'static>> = Vec::new();
        let mut gate = self.shared.gate();
        gate.leave(self.session, self.end.status(), &mut facts);
        for fact in &facts {
            self.shared.telemetry.note(fact);
        }
    }
}
