//! Telling systemd that the server is alive (`WatchdogSec`): not because a timer runs, but because what sessions wait for
//! goes on.

use std::sync::Arc;
use std::time::Duration;

use crate::connection::Shared;
use crate::stop::Stop;

/// Told so often in the time that systemd waits.
const PART: u32 = 4;

/// Tells it until the server stops; returns at once where nobody waits for it.
pub async fn tell(shared: Arc<Shared>, mut stop: Stop) {
    let Some(waits) = sd_notify::watchdog_enabled() else { return };
    loop {
        tokio::select! {
            () = tokio::time::sleep(waits / PART) => {}
            () = stop.requested() => return,
        }
        if goes_on(&shared, waits).await {
            // Nobody listens where there is no systemd.
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

/// Whether connections can still be let in, and whether the threads that write to disks and check passwords get anywhere.
async fn goes_on(shared: &Arc<Shared>, waits: Duration) -> bool {
    let gate = Arc::clone(shared);
    let through = tokio::task::spawn_blocking(move || drop(gate.gate().status()));
    matches!(tokio::time::timeout(waits, through).await, Ok(Ok(())))
}
