//! From a damaged database into the one that took its place: the lines behind bans, as far as they can be read.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, params};

use crate::store::file;

/// So many bans may have their lines back, from either end of the damaged file: some seconds of work.
const BANS_MAX: usize = 100_000;

/// Jail, subject and beginning, which tell one ban from all others.
type Identity = (String, String, i64);

/// Gives the bans that have no lines those that the damaged file has of them.
pub(super) fn carry_lines(into: &mut Connection, damaged: &Path) {
    for old in file::readable(damaged) {
        let known = known(&old);
        if known.is_empty() {
            continue;
        }
        match copy(into, &old, &known) {
            Ok(bans) => tracing::info!("{bans} bans have their lines back from {}", damaged.display()),
            Err(error) => tracing::warn!("the lines behind bans cannot be saved again: {error}"),
        }
        return;
    }
}

/// The bans that can be read, and the numbers that they have there.
fn known(old: &Connection) -> HashMap<Identity, i64> {
    let mut known = HashMap::new();
    // What cannot be read ends a walk; what is behind it, another from the other end may still find.
    for order in ["DESC", "ASC"] {
        let sql = format!("SELECT jail, subject, start, id FROM ban ORDER BY id {order}");
        let Ok(mut statement) = old.prepare(&sql) else { continue };
        let row = |row: &rusqlite::Row<'_>| Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get(3)?));
        let Ok(rows) = statement.query_map([], row) else { continue };
        known.extend(rows.take(BANS_MAX).map_while(Result::ok));
    }
    known
}

fn copy(into: &mut Connection, old: &Connection, known: &HashMap<Identity, i64>) -> rusqlite::Result<usize> {
    const BARE: &str = "SELECT jail, subject, start, id FROM ban
                        WHERE NOT EXISTS (SELECT 1 FROM evidence WHERE evidence.ban = ban.id)";
    let transaction = into.transaction()?;
    let mut carried = 0;
    {
        let mut bare = transaction.prepare(BARE)?;
        let mut lines = old.prepare("SELECT n, at, line FROM evidence WHERE ban = ?1 ORDER BY n")?;
        let mut insert = transaction
            .prepare("INSERT OR IGNORE INTO evidence (ban, n, at, line) VALUES (?1, ?2, ?3, ?4)")?;
        let mut bans = bare.query([])?;
        while let Some(ban) = bans.next()? {
            let Some(number) = known.get(&(ban.get(0)?, ban.get(1)?, ban.get(2)?)) else { continue };
            let id: i64 = ban.get(3)?;
            let row = |row: &rusqlite::Row<'_>| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
            };
            // Lines that cannot be read are no reason to leave those of other bans.
            let Ok(found) = lines.query_map([number], row) else { continue };
            let found: Vec<(i64, i64, String)> = found.map_while(Result::ok).collect();
            carried += usize::from(!found.is_empty());
            for (n, at, line) in found {
                insert.execute(params![id, n, at, line])?;
            }
        }
    }
    transaction.commit()?;
    Ok(carried)
}
