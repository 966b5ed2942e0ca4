//! `bench`: measures again every figure that is published.

use anyhow::Result;
use clap::{Parser, Subcommand};

use bench::{counting, day, fail2ban, hand, latency, load, replay, restart, tailing, understanding, wake};

/// Measures again every figure that is published: one of them, or all in a row.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    figure: Option<Figure>,
}

/// The size of the log in which everybody writes.
const ORDINARY_MB: u64 = 1000;

#[derive(Clone, Copy, Subcommand)]
enum Figure {
    /// From a line's write to the kernel's acknowledgement of the ban, in a network namespace of its own.
    BanLatency,
    /// How fast the engine counts a million addresses, and in how much memory.
    Counting,
    /// What a blocklist is asked in a day, with an old server and with ours.
    DayModel,
    /// How fast fail2ban's filters run here, and with fail2ban itself.
    Fail2ban,
    /// A hundred thousand addresses by `banctl`, a million listed, one of them explained; and how long lines wait for it.
    Hand,
    /// How fast an old log is read.
    Replay,
    /// How long a watcher with a million bans is away, and in how much memory.
    Restart,
    /// How fast a file that is there is split into lines, and their stamps read.
    Tailing,
    /// From a line's write to its reader, in a quiet log and at 100,000 lines a second.
    Wake,
    /// What reading and the whole watcher cost at 200,000 lines a second.
    Load,
    /// What 200 quiet logs cost.
    Idle,
    /// How fast lines are understood, and beside it what others need.
    Understanding {
        /// How large a log is made for it.
        #[arg(long, value_name = "MB", default_value_t = ORDINARY_MB)]
        size: u64,
    },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // The kernel's table is a private one; the rest does not mind where it runs.
    e2e::namespace::enter()?;
    match arguments.figure {
        Some(Figure::BanLatency) => latency::measure(),
        Some(Figure::Counting) => counting::measure(),
        Some(Figure::DayModel) => day::measure(),
        Some(Figure::Fail2ban) => fail2ban::measure(),
        Some(Figure::Hand) => hand::measure(),
        Some(Figure::Replay) => replay::measure(),
        Some(Figure::Restart) => restart::measure(),
        Some(Figure::Tailing) => tailing::measure(),
        Some(Figure::Wake) => wake::measure(),
        Some(Figure::Load) => load::measure(),
        Some(Figure::Idle) => load::measure_idle(),
        Some(Figure::Understanding { size }) => understanding::measure(size * 1_000_000),
        None => {
            tailing::measure()?;
            understanding::measure(ORDINARY_MB * 1_000_000)?;
            replay::measure()?;
            wake::measure()?;
            load::measure()?;
            load::measure_idle()?;
            counting::measure()?;
            fail2ban::measure()?;
            restart::measure()?;
            hand::measure()?;
            latency::measure()
        }
    }
}
