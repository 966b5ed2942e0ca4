//! What the engine reacts to, and what it wants done: all of it.

use logline::Timestamp;

use crate::engine::{Asked, Ban, Exemption};
use crate::event::Event;
use crate::jail::{JailName, Ports};
use crate::quota::Notice;
use crate::subject::{Network, Subject};

/// Everything that the engine reacts to.
#[derive(Debug)]
pub enum Input<'a> {
    /// Something happened.
    Event(&'a Event<'a>),
    /// The administrator bans.
    Ban(Order),
    /// The administrator lifts bans.
    Unban(Release),
    /// The administrator exempts networks; whatever bans touch them are lifted.
    Allow {
        /// Whom.
        networks: Vec<Network>,
        /// Until when; none: until it is removed.
        until: Option<Timestamp>,
        /// Why.
        note: Option<String>,
    },
    /// The administrator takes an exemption back.
    Disallow(Network),
    /// The administrator answers whether somebody is to be banned.
    Confirm {
        /// Whom.
        subject: Subject,
        /// Whether he is.
        ban: bool,
    },
    /// The kernel has dropped so many packets of the banned since this was said last.
    Dropped {
        /// So many.
        packets: u64,
    },
    /// Time has passed: bans may have ended, and counters whose window is over are forgotten.
    Tick,
}

/// A ban by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Whom.
    pub network: Network,
    /// In which jail; [`crate::jail::MANUAL`] unless told otherwise.
    pub jail: JailName,
    /// Until when.
    pub until: Timestamp,
    /// Why, in the administrator's words.
    pub reason: Option<String>,
    /// Which ports are closed.
    pub ports: Ports,
}

/// Which bans are to be lifted. What was counted about their subjects is forgotten with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// Those of subjects; of an address also the ban of the /64 around it that a jail made.
    Subjects(Vec<Subject>),
    /// These and no others.
    Bans(Vec<(Subject, JailName)>),
}

/// Everything that the engine wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A ban was made, or one was replaced: it is to be remembered, with its evidence.
    Banned(Ban),
    /// The network is to be kept out of these ports until then, whatever was said before.
    Enforce {
        /// Whom.
        network: Network,
        /// Where.
        ports: Ports,
        /// Until when.
        until: Timestamp,
    },
    /// The network is to be let in again.
    Admit {
        /// Whom.
        network: Network,
        /// Where.
        ports: Ports,
    },
    /// A ban is over.
    Ended {
        /// Whose.
        subject: Subject,
        /// By which jail.
        jail: JailName,
        /// Why it is over.
        why: End,
        /// When.
        at: Timestamp,
    },
    /// Somebody earned a ban and is exempt.
    Spared {
        /// Who.
        subject: Subject,
        /// In which jail.
        jail: JailName,
        /// Why not.
        exemption: Exemption,
    },
    /// Somebody earned a ban, and the administrator is asked, because accounts log in from there.
    Asked(Asked),
    /// A network is exempt from now on, by hand.
    Allowed {
        /// Which.
        network: Network,
    },
    /// It is no longer.
    Disallowed {
        /// Which.
        network: Network,
    },
    /// A DNS blocklist is in trouble, or out of it.
    Zone(Notice),
}

/// Why a ban is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Its time was over.
    Expired,
    /// The administrator lifted it.
    Lifted,
    /// The subject became exempt.
    Exempted,
}
