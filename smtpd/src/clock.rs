//! The one place where the time is read. Cores get it as an argument.

use std::time::SystemTime;

use logline::Timestamp;

/// The time.
pub(crate) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
