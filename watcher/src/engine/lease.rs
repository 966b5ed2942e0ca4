//! A ban of one jail: how long, and on what terms.

use std::ops::Deref;
use std::sync::Arc;

use logline::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::Evidence;
use crate::jail::{Jail, JailName, Mode, Ports};
use crate::subject::Subject;

/// A ban of one jail: from when until when. Its terms are read as if they were its own fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// When it began: when the line that led to it was written.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// On what terms. They are kept once for all bans that have the same: a million bans are some thirty bytes each.
    #[serde(flatten)]
    pub terms: Arc<Terms>,
    /// How often the subject was banned by this jail before.
    pub before: u32,
}

/// What the bans of a jail have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// By which jail.
    pub jail: JailName,
    /// Whether it is enforced.
    pub mode: Mode,
    /// Which ports are closed.
    pub ports: Ports,
    /// The administrator's words.
    pub reason: Option<String>,
}

impl Terms {
    /// Those of a jail.
    pub fn of(jail: &Jail) -> Terms {
        let (ports, name) = (jail.ban.ports.clone(), jail.name.clone());
        Terms { jail: name, mode: jail.mode, ports, reason: None }
    }
}

impl Deref for Lease {
    type Target = Terms;

    fn deref(&self) -> &Terms {
        &self.terms
    }
}

/// A ban as it is told: whom, how, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Ban {
    /// Whom.
    pub subject: Subject,
    /// How.
    pub lease: Lease,
    /// The lines that led to it, oldest first; none for a ban by hand.
    pub evidence: Vec<Evidence>,
}
