//! What a tailer delivered, counted by its process and told to whoever asks.

use std::io::{BufRead as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

use crate::line;

/// Lines that are played have numbers below this.
const LINES_MAX: usize = 1 << 20;

/// What was delivered so far.
pub struct Tally {
    /// By number.
    seen: Vec<bool>,
    whole: u64,
    repeated: u64,
    fragments: u64,
    latency: Histogram<u64>,
}

/// The same, as it is told: a line of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Different lines that were delivered whole.
    pub whole: u64,
    /// Lines that were delivered again.
    pub repeated: u64,
    /// What is no line that was written.
    pub fragments: u64,
    /// From a line's write to its delivery, in nanoseconds: the median.
    pub p50_ns: u64,
    /// And the 99th percentile.
    pub p99_ns: u64,
}

impl Tally {
    /// Counts one line as it was delivered, without its line feed.
    pub fn line(&mut self, text: &[u8]) {
        let now_ns = line::now_ns();
        let read =
            line::read(text).and_then(|(n, at)| Some((self.seen.get_mut(usize::try_from(n).ok()?)?, at)));
        let Some((seen, written_ns)) = read else {
            self.fragments += 1;
            return;
        };
        if !std::mem::replace(seen, true) {
            self.whole += 1;
            // Only what is longer than the histogram's range, five minutes, is not recorded.
            let _ = self.latency.record(now_ns.saturating_sub(written_ns).max(1));
        } else {
            self.repeated += 1;
        }
    }

    fn count(&self) -> Count {
        Count {
            whole: self.whole,
            repeated: self.repeated,
            fragments: self.fragments,
            p50_ns: self.latency.value_at_quantile(0.5),
            p99_ns: self.latency.value_at_quantile(0.99),
        }
    }
}

/// A tally that a thread of its own tells on standard output for each line on standard input, even while the tailer hangs.
/// It ends the process when the input ends.
pub fn serve() -> Result<Arc<Mutex<Tally>>> {
    let latency = Histogram::new_with_bounds(1, 300_000_000_000, 3)?;
    let tally = Tally { seen: vec![false; LINES_MAX], whole: 0, repeated: 0, fragments: 0, latency };
    let tally = Arc::new(Mutex::new(tally));
    let asked = Arc::clone(&tally);
    std::thread::Builder::new().name("tally".into()).spawn(move || {
        for _ in std::io::stdin().lock().lines() {
            let count = asked.lock().unwrap_or_else(PoisonError::into_inner).count();
            let Count { whole, repeated, fragments, p50_ns, p99_ns } = count;
            let told = format!("{whole} {repeated} {fragments} {p50_ns} {p99_ns}\n");
            if std::io::stdout().write_all(told.as_bytes()).is_err() {
                break;
            }
        }
        std::process::exit(0);
    })?;
    Ok(tally)
}

impl Count {
    /// Reads what [`serve`] tells.
    pub fn read(text: &str) -> Result<Count> {
        let mut numbers = text.split_whitespace().map(str::parse);
        let mut next = || numbers.next().context("too few numbers")?.context("no number");
        Ok(Count { whole: next()?, repeated: next()?, fragments: next()?, p50_ns: next()?, p99_ns: next()? })
    }
}
