//! Waiting for what must come, without guessing how long it takes.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Nothing here takes so long, on however busy a machine; what does has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often somebody looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks again and again until there is something.
///
/// # Errors
/// It does not come.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if start.elapsed() > PATIENCE {
            bail!("waited in vain for {what}");
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Looks again and again until it is so.
///
/// # Errors
/// It does not come.
pub fn until_true(what: &str, mut look: impl FnMut() -> bool) -> Result<()> {
    until(what, || look().then_some(()))
}
