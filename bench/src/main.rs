//! `bench`: measures again every figure that is published.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use clap::{Parser, Subcommand};

use bench::{
    counting, day, dropped, fail2ban, hand, latency, load, pressure, replay, restart, storm, tailing,
    understanding, wake,
};

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
    /// From a line's write to the first packet of a TCP client that is dropped.
    Dropped,
    /// How fast fail2ban's filters run here, and with fail2ban itself.
    Fail2ban,
    /// A hundred thousand addresses by `banctl`, a million listed, one of them explained; and how long lines wait for it.
    Hand,
    /// From a line's write to its ban with a million banned and 50,000 lines a second, beside fail2ban.
    Pressure,
    /// How fast an old log is read.
    Replay,
    /// How long a watcher with a million bans is away, and in how much memory.
    Restart,
    /// A million offenders at once, from their lines to the kernel and the database.
    Storm,
    /// How fast a file that is there is split into lines, and their stamps read.
    Tailing,
    /// From a line's write to its reader, in a quiet log and at 100,000 lines a second.
    Wake,
    /// The client of `dropped`, on the other host.
    #[command(hide = true)]
    Talk {
        /// His address.
        from: IpAddr,
        /// The server's.
        to: SocketAddr,
    },
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
        Some(Figure::Dropped) => dropped::measure(),
        Some(Figure::Talk { from, to }) => dropped::talk(from, to),
        Some(Figure::Fail2ban) => fail2ban::measure(),
        Some(Figure::Hand) => hand::measure(),
        Some(Figure::Pressure) => pressure::measure(),
        Some(Figure::Replay) => replay::measure(),
        Some(Figure::Restart) => restart::measure(),
        Some(Figure::Storm) => storm::measure(),
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
            storm::measure()?;
            pressure::measure()?;
            dropped::measure()?;
            latency::measure()
        }
    }
}
