//! Lines that are written at known times, and how long each took to arrive somewhere.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

/// The first are not counted: code and caches are cold.
const WARM_UP: usize = 50;

/// When lines are written.
#[derive(Clone, Copy, Debug)]
pub enum Beat {
    /// With a rest before each, long enough that everybody sleeps in between.
    Rests(Duration),
    /// So many a second, evenly; the writer never sleeps.
    Rate(u32),
}

impl Beat {
    /// Waits until it is time for the `n`th line of a writer that began then.
    pub fn wait(self, start: Instant, n: u32) {
        match self {
            Beat::Rests(rest) => std::thread::sleep(rest),
            Beat::Rate(rate) => {
                let due = start + Duration::from_secs(1) * n / rate;
                while Instant::now() < due {
                    std::hint::spin_loop();
                }
            }
        }
    }
}

/// When each line was written, for two threads.
#[derive(Debug)]
pub struct Written {
    base: Instant,
    at_ns: Vec<AtomicU64>,
}

impl Written {
    /// Of so many lines, none of which is written yet.
    pub fn new(samples: usize) -> Self {
        Written { base: Instant::now(), at_ns: (0..samples).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The time as it is told here.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Appends one line after the other, each at its time.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, mut file: File, beat: Beat, mut line: impl FnMut(usize) -> String) -> Result<()> {
        let start = Instant::now();
        for ((n, at_ns), count) in self.at_ns.iter().enumerate().zip(0..) {
            beat.wait(start, count);
            let line = line(n);
            at_ns.store(self.now_ns(), Ordering::Release);
            file.write_all(line.as_bytes())?;
        }
        Ok(())
    }

    /// Something that began with the `n`th line was done then.
    ///
    /// # Errors
    /// No such line was written.
    pub fn done(&self, n: usize, now_ns: u64, times: &mut Histogram<u64>) -> Result<()> {
        let at_ns = self.at_ns.get(n).context("more lines than were written")?.load(Ordering::Acquire);
        if n >= WARM_UP {
            times.record(now_ns.saturating_sub(at_ns))?;
        }
        Ok(())
    }
}

/// Room for times in nanoseconds.
///
/// # Errors
/// There is no memory for it.
pub fn times() -> Result<Histogram<u64>> {
    Histogram::new(3).context("a histogram")
}

/// Prints a line with times in microseconds, under [`head`].
///
/// # Errors
/// It cannot be printed.
pub fn show(out: &mut impl Write, name: &str, times: &Histogram<u64>) -> Result<()> {
    let us = |ns: u64| ns as f64 / 1000.0;
    let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|quantile| us(times.value_at_quantile(quantile)));
    writeln!(out, "  {name:<44}{p50:>8.1}{p90:>8.1}{p99:>8.1}{:>9.1}", us(times.max()))?;
    Ok(())
}

/// The head of a table of such lines.
///
/// # Errors
/// It cannot be printed.
pub fn head(out: &mut impl Write, name: &str) -> Result<()> {
    writeln!(out, "{name}")?;
    writeln!(out, "  {:<44}{:>8}{:>8}{:>8}{:>9}", "in microseconds", "p50", "p90", "p99", "max")?;
    Ok(())
}
