//! `bench`: measures again every figure that is published.

use anyhow::Result;
use clap::{Parser, Subcommand};

use bench::{day, latency, load, replay, tailing, wake};

/// Measures again every figure that is published: one of them, or all in a row.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    figure: Option<Figure>,
}

#[derive(Clone, Copy, Subcommand)]
enum Figure {
    /// From a line's write to the kernel's acknowledgement of the ban, in a network namespace of its own.
    BanLatency,
    /// What a blocklist is asked in a day, with an old server and with ours.
    DayModel,
    /// How fast an old log is read.
    Replay,
    /// How fast a file that is there is split into lines, and their stamps read.
    Tailing,
    /// From a line's write to its reader, in a quiet log and at 100,000 lines a second.
    Wake,
    /// What reading and the whole watcher cost at 200,000 lines a second.
    Load,
    /// What 200 quiet logs cost.
    Idle,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // The kernel's table is a private one; the rest does not mind where it runs.
    e2e::namespace::enter()?;
    match arguments.figure {
        Some(Figure::BanLatency) => latency::measure(),
        Some(Figure::DayModel) => day::measure(),
        Some(Figure::Replay) => replay::measure(),
        Some(Figure::Tailing) => tailing::measure(),
        Some(Figure::Wake) => wake::measure(),
        Some(Figure::Load) => load::measure(),
        Some(Figure::Idle) => load::measure_idle(),
        None => {
            tailing::measure()?;
            replay::measure()?;
            wake::measure()?;
            load::measure()?;
            load::measure_idle()?;
            latency::measure()
        }
    }
}
