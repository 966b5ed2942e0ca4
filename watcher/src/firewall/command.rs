//! Bans by somebody else's tool: a program is run for each ban and for each end of one.
//!
//! For machines whose firewall is not nf_tables, or stands elsewhere. It is slow and blind next to
//! [`Nftables`](super::Nftables): what the program did cannot be seen. A ban whose time is over while the watcher does
//! not run stands until somebody ends it, so a tool that keeps time itself should be given `{seconds}`.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::Stdio;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use super::book::Book;
use super::layout::normal;
use super::template::{Template, TemplateError};
use super::{Change, Dropped, Firewall, FirewallError, Lease, Ports};

/// Programs that are run in a second. A storm of bans must not become a storm of processes.
const RUNS_PER_SECOND_MAX: usize = 20;
/// Bans at a time: past this, new ones are refused. It would take the program minutes to put them back.
const BANS_MAX: usize = 10_000;
/// A program that takes longer is killed, and has failed.
const RUN_TIME_MAX: Duration = Duration::from_secs(10);
/// An end of a ban that failed is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Runs one program to ban and one to end a ban.
#[derive(Debug)]
pub struct Command {
    ban: Template,
    unban: Template,
    book: Book,
    /// Readable when a ban has come to its end.
    timer: OwnedFd,
    /// When the latest programs were started.
    started: VecDeque<Instant>,
}

/// Why a change was not carried out.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{RUNS_PER_SECOND_MAX} programs were run within a second, and that is the limit")]
    TooFast,
    #[error("{BANS_MAX} bans are in force, and that is the limit")]
    TooMany,
    #[error("the program was killed after {} seconds", RUN_TIME_MAX.as_secs())]
    TooLong,
    #[error("the program ended with {0}")]
    Status(std::process::ExitStatus),
}

/// What to do when programs are run too fast.
#[derive(Clone, Copy, PartialEq)]
enum Haste {
    Refuse,
    Wait,
}

impl Command {
    /// Takes the program with its arguments for a ban, and for its end. The program is named by its absolute path and
    /// run without a shell; in its arguments stand `{network}` or `{address}`, `{ports}` (`all`, or `25,465`) and
    /// `{seconds}`.
    pub fn new(ban: &[String], unban: &[String]) -> Result<Self, CommandError> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(io::Error::from)?;
        Ok(Command {
            ban: Template::parse(ban)?,
            unban: Template::parse(unban)?,
            book: Book::default(),
            timer,
            started: VecDeque::with_capacity(RUNS_PER_SECOND_MAX),
        })
    }

    fn put(&mut self, change: &Change, haste: Haste) -> io::Result<()> {
        let (place, remaining) = change.normal();
        let now = Instant::now();
        match remaining {
            Some(_) if self.book.len() >= BANS_MAX && !self.book.holds(place, now) => {
                Err(io::Error::other(Refused::TooMany))
            }
            Some(remaining) => {
                let argv = self.ban.fill(place, remaining)?;
                self.run(&argv, haste)?;
                self.book.ban(place, remaining, now);
                Ok(())
            }
            None if self.book.strike(place) => {
                let argv = self.unban.fill(place, Duration::ZERO)?;
                self.run(&argv, haste).inspect_err(|_| self.book.ban(place, RETRY_AFTER, now))
            }
            None => Ok(()),
        }
    }

    fn put_all(
        &mut self,
        changes: impl Iterator<Item = Change>,
        haste: Haste,
    ) -> Result<usize, FirewallError> {
        let (mut taken, mut failed) = (0, Vec::new());
        for change in changes {
            failed.extend(self.put(&change, haste).err().map(|error| (taken, error)));
            taken += 1;
        }
        self.set_timer()?;
        if failed.is_empty() { Ok(taken) } else { Err(FirewallError::Some { failed }) }
    }

    fn run(&mut self, argv: &[String], haste: Haste) -> io::Result<()> {
        const SECOND: Duration = Duration::from_secs(1);
        if self.started.len() >= RUNS_PER_SECOND_MAX
            && let Some(first) = self.started.pop_front()
            && let Some(too_soon) = SECOND.checked_sub(first.elapsed())
        {
            if haste == Haste::Refuse {
                self.started.push_front(first);
                return Err(io::Error::other(Refused::TooFast));
            }
            std::thread::sleep(too_soon);
        }
        self.started.push_back(Instant::now());
        run(argv)
    }

    fn set_timer(&mut self) -> Result<(), FirewallError> {
        let until = self.book.first_end().map(|end| end.saturating_duration_since(Instant::now()));
        // Zero would stop the timer, which is right only where nothing is to come.
        let value = until.map_or(Duration::ZERO, |until| until.max(Duration::from_nanos(1)));
        let spec = Itimerspec { it_interval: timespec(Duration::ZERO), it_value: timespec(value) };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec).map(drop).map_err(|errno| {
            FirewallError::Kernel { doing: "setting a timer to the end of a ban", source: errno.into() }
        })
    }
}

/// Runs a program to its end, with nothing but a plain search path from our environment.
fn run(argv: &[String]) -> io::Result<()> {
    let Some((program, arguments)) = argv.split_first() else { return Ok(()) };
    let mut child = std::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    if !matches!(ends_in_time(&child), Ok(true)) {
        child.kill()?;
        child.wait()?;
        return Err(io::Error::other(Refused::TooLong));
    }
    match child.wait()? {
        status if status.success() => Ok(()),
        status => Err(io::Error::other(Refused::Status(status))),
    }
}

fn ends_in_time(child: &std::process::Child) -> Result<bool, Errno> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let ready =
        retry_on_intr(|| poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timespec(RUN_TIME_MAX))))?;
    Ok(ready > 0)
}

fn timespec(duration: Duration) -> Timespec {
    let tv_sec = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: duration.subsec_nanos().into() }
}

/// Why the programs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The arguments are wrong.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// There is no timer.
    #[error("making a timer")]
    Timer(#[from] io::Error),
}

impl Firewall for Command {
    fn name(&self) -> &'static str {
        "command"
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), FirewallError> {
        self.put_all(changes.iter().cloned(), Haste::Refuse).map(drop)
    }

    fn restore(&mut self, bans: &mut dyn Iterator<Item = Lease>) -> Result<usize, FirewallError> {
        self.put_all(bans.map(Change::Ban), Haste::Wait)
    }

    fn holds(&mut self, network: IpNet, ports: &Ports) -> Result<bool, FirewallError> {
        Ok(self.book.holds((normal(network), ports), Instant::now()))
    }

    fn meeting(&mut self, address: IpAddr) -> Result<Vec<(IpNet, Ports)>, FirewallError> {
        Ok(self.book.meeting(address, Instant::now()))
    }

    fn dropped(&mut self) -> Result<Dropped, FirewallError> {
        Ok(Dropped::default())
    }

    fn watch_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.timer.as_fd())
    }

    /// Nobody can see damage here. What is looked at are the bans that have come to their end: they are ended now.
    fn damaged(&mut self) -> Result<bool, FirewallError> {
        let now = Instant::now();
        let over = self.book.bans().take_while(|(end, ..)| *end <= now).map(unban).collect::<Vec<_>>();
        self.put_all(over.into_iter(), Haste::Refuse).map(|_| false)
    }

    fn clear(&mut self) -> Result<(), FirewallError> {
        let all = self.book.bans().map(unban).collect::<Vec<_>>();
        self.put_all(all.into_iter(), Haste::Wait).map(drop)
    }
}

fn unban((_, network, ports): &(Instant, IpNet, Ports)) -> Change {
    Change::Unban { network: *network, ports: ports.clone() }
}
