//! How busy the machine is: with a load above what the settings allow, strangers' mail is put off.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use logline::Timestamp;

/// How long one look holds.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Looks at the load of the last minute now and then.
#[derive(Debug)]
pub struct Load {
    max: f64,
    last: Mutex<Option<(Timestamp, bool)>>,
}

impl Load {
    /// `max` is the load above which the machine is too busy.
    pub fn new(max: f64) -> Self {
        Load { max, last: Mutex::new(None) }
    }

    /// Whether it is. A load that cannot be read is none.
    pub fn is_high(&self, now: Timestamp) -> bool {
        self.look(now, || std::fs::read_to_string("/proc/loadavg").unwrap_or_default())
    }

    fn look(&self, now: Timestamp, read: impl FnOnce() -> String) -> bool {
        // A panic elsewhere leaves an older look.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((at, is_high)) if now.since(at) < LOOK_EVERY => is_high,
            Some(_) | None => {
                let load = read().split(' ').next().and_then(|load| load.parse::<f64>().ok());
                let is_high = load.is_some_and(|load| load > self.max);
                *last = Some((now, is_high));
                is_high
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_holds_for_ten_seconds() {
        let load = Load::new(7.0);
        let at = |seconds: i64, text: &str| load.look(Timestamp::from_seconds(seconds), || text.to_owned());
        assert!(!at(0, "6.99 5.00 4.00 1/100 1\n"));
        assert!(!at(9, "7.01 5.00 4.00 1/100 1\n"));
        assert!(at(10, "7.01 5.00 4.00 1/100 1\n"));
        assert!(at(19, ""));
        assert!(!at(20, ""));
    }
}
