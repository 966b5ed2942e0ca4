//! From the write of a line to the kernel's acknowledgement of the ban that follows from it, beside what bounds it: the
//! bare wake-up of a reader, and a process for each ban, as it is done elsewhere.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use jiff::tz::TimeZone;
use logline::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use watcher::engine::{Engine, Exemptions, Output};
use watcher::filter::Filters;
use watcher::firewall::{Change, Firewall as _, Lease, Nftables};
use watcher::interpret::Interpreter;
use watcher::jail::Jails;
use watcher::tail::{SourceId, Start, Tailer, Target};
use watcher::watch::{Now, Watch};

use crate::journal;
use crate::wake;
use crate::written::{self, Beat, Written, times};

/// A line each two milliseconds: quiet enough that everybody sleeps in between.
const EVERY: Duration = Duration::from_millis(2);
/// So many of them; the 99th percentile is then the 20 worst.
const SAMPLES: usize = 2000;
/// A process is slower, so that each is given more time, and fewer suffice.
const EVERY_PROCESS: Duration = Duration::from_millis(10);
/// So many of these.
const SAMPLES_PROCESS: usize = 300;
/// One failure is too many, so that each line is a ban.
const JAIL: &str = "about = \"first failure\"\non = [\"auth-failed\"]\nthreshold = 1\nwithin = \"10m\"\n[ban]\nfor = \"1h\"\n";

/// Measures all three and prints them.
///
/// # Errors
/// There is no namespace with a firewall of its own, or no `nft`.
pub fn measure() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let woken = wake::bare(&directory.path().join("bare"), Beat::Rests(EVERY), SAMPLES, failure)?;
    let banned = bans(&directory.path().join("bans"), SAMPLES, EVERY, Enforcer::netlink()?)?;
    let process =
        bans(&directory.path().join("process"), SAMPLES_PROCESS, EVERY_PROCESS, Enforcer::process()?)?;
    let [read, judged, banned] = &banned;
    let process = &process[2];
    let mut out = std::io::stdout();
    writeln!(out, "ban latency, in microseconds, one line each {} ms", EVERY.as_millis())?;
    writeln!(out, "  {:<38}{:>8}{:>8}{:>8}{:>8}", "", "p50", "p90", "p99", "max")?;
    written::show(&mut out, "write → woken and read (bare)", &woken)?;
    written::show(&mut out, "write → line delivered by the tailer", read)?;
    written::show(&mut out, "write → understood and counted", judged)?;
    written::show(&mut out, "write → ban acknowledged", banned)?;
    written::show(&mut out, "the same with a process `nft`", process)?;
    let ratio = |quantile: f64, other: &Histogram<u64>| {
        banned.value_at_quantile(quantile) as f64 / other.value_at_quantile(quantile) as f64
    };
    writeln!(
        out,
        "  ratio to the bare wake-up   p50 {:.2}   p99 {:.2}",
        ratio(0.5, &woken),
        ratio(0.99, &woken)
    )?;
    writeln!(
        out,
        "  ratio to a process          p50 1/{:.0}   p99 1/{:.0}",
        1.0 / ratio(0.5, process),
        1.0 / ratio(0.99, process)
    )?;
    Ok(())
}

/// Who keeps the banned out.
enum Enforcer {
    /// As the watcher does it.
    Netlink(Box<Nftables>),
    /// As it is done elsewhere: a program for each ban.
    Process,
}

impl Enforcer {
    fn netlink() -> Result<Enforcer> {
        let mut nftables = Nftables::open().context("no firewall of its own")?;
        nftables.restore(&mut std::iter::empty())?;
        Ok(Enforcer::Netlink(Box::new(nftables)))
    }

    fn process() -> Result<Enforcer> {
        e2e::process::run("nft", "add table inet bench")?;
        e2e::process::run("nft", "add set inet bench banned { type ipv4_addr; flags timeout; }")?;
        Ok(Enforcer::Process)
    }

    fn ban(&mut self, lease: Lease) -> Result<()> {
        match self {
            Enforcer::Netlink(nftables) => Ok(nftables.apply(&[Change::Ban(lease)])?),
            Enforcer::Process => {
                let element = format!("{{ {} timeout 1h }}", lease.network.addr());
                let done = std::process::Command::new("nft")
                    .args(["add", "element", "inet", "bench", "banned", &element])
                    .status()?;
                ensure!(done.success(), "nft: {done}");
                Ok(())
            }
        }
    }
}

/// How long it takes until a line is delivered, until it is understood and counted, and until the ban is acknowledged.
type Stages = [Histogram<u64>; 3];

/// The watcher's way of a line, on one thread: woken, read, understood, counted, banned, acknowledged.
fn bans(path: &Path, samples: usize, every: Duration, mut enforcer: Enforcer) -> Result<Stages> {
    // Who is to fail is connected already; those lines are read before the clock runs.
    let connected: String = (0..samples).map(connection).collect();
    std::fs::write(path, connected)?;
    let mut tailer = Tailer::new()?;
    tailer.follow(SourceId(0), Target::File(path.to_owned()), Start::Beginning, &[])?;
    let mut watch = watch()?;
    let mut read = 0;
    while read < samples {
        tailer.read(usize::MAX, &mut |line| {
            watch.line(0, line.bytes, Now::Clock(clock()), &mut Vec::new());
            read += 1;
        })?;
    }
    let writer = File::options().append(true).open(path)?;
    let (written, mut stages) = (Written::new(samples), [times()?, times()?, times()?]);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| written.write(writer, Beat::Rests(every), failure));
        let (mut n, mut out) = (0, Vec::new());
        while n < samples {
            poll(&mut [PollFd::from_borrowed_fd(tailer.fd(), PollFlags::IN)], None)?;
            let mut done = Ok(());
            tailer.read(usize::MAX, &mut |line| {
                let (read_ns, now) = (written.now_ns(), clock());
                watch.line(0, line.bytes, Now::Clock(now), &mut out);
                let judged_ns = written.now_ns();
                for output in out.drain(..) {
                    if let (Output::Enforce { network, ports, until }, Ok(())) = (output, &done) {
                        let lease = Lease { network: network.net(), ports, remaining: until.since(now) };
                        done = enforcer.ban(lease).and_then(|()| {
                            let at_ns = [read_ns, judged_ns, written.now_ns()];
                            stages
                                .iter_mut()
                                .zip(at_ns)
                                .try_for_each(|(times, at_ns)| written.done(n, at_ns, times))
                        });
                        n += 1;
                    }
                }
            })?;
            done?;
        }
        writing.join().ok().context("the writer")?
    })?;
    Ok(stages)
}

fn watch() -> Result<Watch> {
    let wrong = |mistakes| anyhow::anyhow!("{mistakes}");
    let jails = Jails::single("first", JAIL).map_err(wrong)?;
    let filters = Filters::shipped().map_err(wrong)?;
    let interpreter = Interpreter::new(filters.iter().cloned(), TimeZone::UTC);
    Ok(Watch::new(vec![interpreter], Engine::new(jails, Exemptions::new(&[], &[], true))))
}

/// The time; here alone it is read for the watcher.
fn clock() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}

fn connection(n: usize) -> String {
    let (pid, address) = (n + 1, client(n));
    format!("{} tcpserver: pid {pid} from {address}\n", clock().tai64n())
}

fn failure(n: usize) -> String {
    let pid = n + 1;
    let what = "auth: auth-failed type=plain user=<info@example.org> fingerprint=0001";
    format!("{} qmail-smtpd[{pid}]: {what}\n", clock().tai64n())
}

fn client(n: usize) -> std::net::Ipv4Addr {
    journal::client(u32::try_from(n).unwrap_or(u32::MAX))
}
