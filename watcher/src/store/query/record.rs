//! The record: bans that are over beside those in force, for whoever asks what was.

use logline::Timestamp;
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use crate::store::{Reader, StoreError, StoredBan};
use crate::subject::{Network, Subject};

/// Which bans on record are asked for; everything that is not said leaves none out.
#[derive(Clone, Debug, Default)]
pub struct RecordFilter {
    /// Of this subject; of an address or a network also those of the networks around it and of what lies in it.
    pub subject: Option<Subject>,
    /// Of this jail.
    pub jail: Option<String>,
    /// Begun no earlier.
    pub since: Option<Timestamp>,
}

impl Reader {
    /// The bans on record that the filter leaves, with their evidence, the newest first, at most `limit`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn record(&self, filter: &RecordFilter, limit: u32) -> Result<Vec<StoredBan>, StoreError> {
        self.find(filter, usize::try_from(limit).unwrap_or(usize::MAX))
            .map_err(|why| StoreError::Database { path: self.path.clone(), why })
    }

    /// How many bans of exactly this subject are on record.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn count(&self, subject: &Subject) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM ban WHERE subject = ?1";
        let count: rusqlite::Result<i64> =
            self.connection.query_row(sql, [subject.to_string()], |row| row.get(0));
        count
            .map(|count| u64::try_from(count).unwrap_or(0))
            .map_err(|why| StoreError::Database { path: self.path.clone(), why })
    }

    fn find(&self, filter: &RecordFilter, limit: usize) -> rusqlite::Result<Vec<StoredBan>> {
        let mut sql = "SELECT subject, jail, mode, start, until, before, ports, reason, ended, why, id FROM ban WHERE 1"
            .to_owned();
        let mut values: Vec<Value> = Vec::new();
        let network = filter.subject.as_ref().and_then(Subject::network);
        // What lies in a network is told by looking at each ban; all else is told by the index.
        let looked_at = network.filter(|network| !network.is_host());
        if let Some(subject) = filter.subject.as_ref().filter(|_| looked_at.is_none()) {
            let around = network.map_or_else(|| vec![subject.clone()], Network::and_around);
            sql += " AND subject IN (";
            sql += &vec!["?"; around.len()].join(", ");
            sql += ")";
            values.extend(around.iter().map(|subject| Value::from(subject.to_string())));
        }
        if let Some(jail) = &filter.jail {
            sql += " AND jail = ?";
            values.push(jail.clone().into());
        }
        if let Some(since) = filter.since {
            sql += " AND start >= ?";
            values.push(since.nanos().into());
        }
        sql += " ORDER BY id DESC";
        let mut statement = self.connection.prepare(&sql)?;
        let rows = statement.query_map(params_from_iter(values), super::stored)?;
        let mut found = Vec::new();
        for row in rows {
            let (mut ban, id) = row?;
            let is_meant =
                looked_at.is_none_or(|wanted| ban.subject.network().is_some_and(|n| n.overlaps(wanted)));
            if is_meant {
                ban.evidence = self.evidence(id)?;
                found.push(ban);
            }
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }
}
