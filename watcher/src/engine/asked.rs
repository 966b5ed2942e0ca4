//! Bans that wait for the administrator's word, because accounts log in from the subject.

use std::collections::BTreeMap;
use std::time::Duration;

use logline::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::{Evidence, Lease};
use crate::jail::JailName;
use crate::subject::Subject;

/// So many questions wait; of more, the oldest is dropped.
pub const ASKED_MAX: usize = 1000;

/// A question that was not answered for so long is dropped.
pub const ASKED_FOR: Duration = Duration::from_secs(86_400);

/// A ban that was earned and not made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Whom.
    pub subject: Subject,
    /// How he would be banned.
    pub lease: Lease,
    /// The lines that led to it.
    pub evidence: Vec<Evidence>,
    /// How many accounts log in from there.
    pub accounts: u32,
}

#[derive(Debug, Default)]
pub(super) struct Questions {
    waiting: BTreeMap<(Subject, JailName), Asked>,
    changed: Vec<(Subject, JailName)>,
}

impl Questions {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Asked> {
        self.waiting.values()
    }

    pub(super) fn is_asked(&self, subject: &Subject, jail: &JailName) -> bool {
        !self.waiting.is_empty() && self.waiting.contains_key(&(subject.clone(), jail.clone()))
    }

    pub(super) fn ask(&mut self, asked: Asked, saving: bool) {
        if self.waiting.len() >= ASKED_MAX {
            let oldest = self.waiting.iter().min_by_key(|(_, asked)| asked.lease.from);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                self.remove(&key, saving);
            }
        }
        let key = (asked.subject.clone(), asked.lease.jail.clone());
        self.waiting.insert(key.clone(), asked);
        if saving {
            self.changed.push(key);
        }
    }

    /// Takes the questions about a subject out.
    pub(super) fn take(&mut self, subject: &Subject, saving: bool) -> Vec<Asked> {
        let keys: Vec<_> = self.waiting.keys().filter(|(about, _)| about == subject).cloned().collect();
        keys.iter().filter_map(|key| self.remove(key, saving)).collect()
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Asked) -> bool, saving: bool) {
        let gone: Vec<_> =
            self.waiting.iter().filter(|(_, asked)| !keep(asked)).map(|(key, _)| key.clone()).collect();
        for key in &gone {
            self.remove(key, saving);
        }
    }

    pub(super) fn expire(&mut self, now: Timestamp, saving: bool) {
        self.retain(|asked| asked.lease.from + ASKED_FOR > now, saving);
    }

    pub(super) fn everything_changed(&mut self) {
        self.changed = self.waiting.keys().cloned().collect();
    }

    pub(super) fn take_changes(&mut self) -> Vec<(String, Option<String>)> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort();
        changed.dedup();
        let row = |key: (Subject, JailName)| {
            let row = self.waiting.get(&key).and_then(|asked| serde_json::to_string(asked).ok());
            (format!("{} {}", key.1, key.0), row)
        };
        changed.into_iter().map(row).collect()
    }

    pub(super) fn restore(&mut self, row: &str) {
        if let Ok(asked) = serde_json::from_str::<Asked>(row) {
            self.ask(asked, false);
        }
    }

    fn remove(&mut self, key: &(Subject, JailName), saving: bool) -> Option<Asked> {
        let gone = self.waiting.remove(key)?;
        if saving {
            self.changed.push(key.clone());
        }
        Some(gone)
    }
}
