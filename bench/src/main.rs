//! `bench`: measures again every figure that is published.

use anyhow::Result;
use clap::{Parser, Subcommand};

use bench::{day, latency, replay};

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
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // The kernel's table is a private one; the rest does not mind where it runs.
    e2e::namespace::enter()?;
    match arguments.figure {
        Some(Figure::BanLatency) => latency::measure(),
        Some(Figure::DayModel) => day::measure(),
        Some(Figure::Replay) => replay::measure(),
        None => {
            replay::measure()?;
            latency::measure()
        }
    }
}
