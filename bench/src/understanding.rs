//! How fast lines are understood: from the bytes of a log to events, all shipped filters together, on one core. Beside it, on
//! the same bytes, a bare search for line feeds, and what others need who read such logs for offences.

use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::tz::TimeZone;
use logline::Timestamp;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rustix::time::{ClockId, clock_gettime};
use settings::Document;
use watcher::event::Kind;
use watcher::filter::{Filter, Filters};
use watcher::interpret::{Interpreter, Meaning};
use watcher::tail::LineSplitter;

use crate::journal::START;
use crate::mixed::{self, Mix};

/// The best of so many runs counts: what disturbs a run makes it slower, never faster.
const RUNS: usize = 3;

/// The processor's time that this thread has used, and that of the programs it has run. What else the machine does then
/// counts for little.
fn used() -> Result<Duration> {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let own = Duration::new(u64::try_from(now.tv_sec)?, u32::try_from(now.tv_nsec)?);
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let each = [usage.user_time(), usage.system_time()];
    let micros = each.iter().map(TimeValLike::num_microseconds).sum::<i64>();
    Ok(own + Duration::from_micros(u64::try_from(micros)?))
}

/// How much of it something takes.
fn taken<T>(run: impl FnOnce() -> Result<T>) -> Result<(Duration, T)> {
    let start = used()?;
    let result = run()?;
    Ok((used()?.saturating_sub(start), result))
}

/// As the tailer and replay read.
const BLOCK_BYTES: usize = 256 << 10;

/// The others are given so many bytes of the same log: all of it would take them minutes.
const SSHGUARD_BYTES: u64 = 64 << 20;
/// And fail2ban so many.
const FAIL2BAN_BYTES: u64 = 2 << 20;

/// sshguard's parser, which reads lines and says which are attacks.
const SSHGUARD: &str = "/usr/libexec/sshguard/sshg-parser";
/// fail2ban's, with one filter.
const FAIL2BAN: &str = "/usr/bin/fail2ban-regex";

/// So many bytes are put in order.
const IN_ORDER_BYTES: u64 = 64 << 20;

/// Filters that are added to the shipped ones to see what one more costs.
const MORE_FILTERS: usize = 10;

/// Makes logs of this size, reads them, and says how fast.
///
/// # Errors
/// A log cannot be written or read, or a peer is not installed.
pub fn measure(bytes: u64) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut out = std::io::stdout();
    let (loaded, filters) = taken(shipped)?;
    writeln!(out, "understanding: all {} shipped filters, one core", filters.len())?;
    writeln!(out, "  filters loaded and checked in {:.1} ms", loaded.as_secs_f64() * 1e3)?;
    let log = |name, mix, bytes| Log::new(&directory.path().join(name), mix, bytes);
    let machine = log("machine", Mix::Machine, bytes)?;
    let mail = log("mail", Mix::Mail, bytes / 4)?;
    let attack = log("attack", Mix::Attack, bytes / 4)?;
    machine.show(&mut out, "search for line feeds", machine.best(split)?)?;
    let mut read = 0;
    for (name, log) in
        [("the whole machine's log", &machine), ("mail alone", &mail), ("offences alone", &attack)]
    {
        let mut seen = Seen::default();
        let took = log.best(|path| {
            seen = understand(path, &filters)?;
            Ok(seen.lines)
        })?;
        log.show(&mut out, name, took)?;
        let share = |count: u64| 100.0 * count as f64 / log.lines as f64;
        let (events, offences) = (share(seen.events), share(seen.offences));
        writeln!(out, "    {events:.1} % of the lines are events, {offences:.1} % offences")?;
        if read == 0 {
            read = per_second(log.lines, took);
        }
    }
    in_order(&mut out, directory.path(), &filters)?;
    peers(&mut out, directory.path(), read)?;
    one_more(&mut out, &machine, &filters)
}

fn per_second(lines: u64, took: Duration) -> u64 {
    let nanos = took.as_nanos().max(1);
    u64::try_from(u128::from(lines) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

/// A log in a file that was just written, and is in the page cache.
struct Log {
    path: std::path::PathBuf,
    lines: u64,
    bytes: u64,
}

impl Log {
    fn new(path: &Path, mix: Mix, bytes: u64) -> Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        let lines = mixed::write(mix, bytes, &mut file)?;
        file.flush()?;
        Ok(Log { path: path.to_owned(), lines, bytes: path.metadata()?.len() })
    }

    /// The shortest time that reading all lines takes.
    fn best(&self, mut read: impl FnMut(&Path) -> Result<u64>) -> Result<Duration> {
        let mut best = Duration::MAX;
        for _ in 0..RUNS {
            let (took, lines) = taken(|| read(&self.path))?;
            best = best.min(took);
            ensure!(lines == self.lines, "{lines} lines instead of {}", self.lines);
        }
        Ok(best)
    }

    fn show(&self, out: &mut impl std::io::Write, name: &str, took: Duration) -> Result<()> {
        let seconds = took.as_secs_f64();
        writeln!(
            out,
            "  {name:<34}{:>8.2} M lines/s {:>8.0} MB/s {:>8.0} ns a line",
            self.lines as f64 / seconds / 1e6,
            self.bytes as f64 / seconds / 1e6,
            seconds * 1e9 / self.lines as f64
        )?;
        Ok(())
    }
}

fn shipped() -> Result<Vec<Arc<Filter>>> {
    let filters = Filters::shipped().map_err(|mistakes| anyhow::anyhow!("{mistakes}"))?;
    Ok(filters.iter().cloned().collect())
}

fn blocks(path: &Path, mut each: impl FnMut(&[u8])) -> Result<()> {
    let mut file = File::open(path)?;
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let length = file.read(&mut block)?;
        if length == 0 {
            return Ok(());
        }
        each(block.get(..length).unwrap_or_default());
    }
}

fn split(path: &Path) -> Result<u64> {
    let mut lines = 0;
    blocks(path, |block| lines += memchr::memchr_iter(b'\n', block).count() as u64)?;
    Ok(lines)
}

/// What was seen in a log: lines, those that are events, and those whose events tell of an offence.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    lines: u64,
    events: u64,
    offences: u64,
}

/// What every server does all day. All other kinds are offences, or failures.
const DAILY: &[Kind] = &[
    Kind::Connect,
    Kind::Disconnect,
    Kind::AuthOk,
    Kind::RcptOk,
    Kind::DnsblQuery,
    Kind::MessageAccepted,
    Kind::Delivered,
    Kind::Deferred,
];

/// Reads a log with these filters.
fn understand(path: &Path, filters: &[Arc<Filter>]) -> Result<Seen> {
    let mut interpreter = Interpreter::new(filters.iter().cloned(), TimeZone::UTC);
    let mut splitter = LineSplitter::at(0);
    let (mut seen, mut told, mut now) = (Seen::default(), 0u64, START);
    blocks(path, |block| {
        splitter.feed(block, |line| {
            let mut is_offence = false;
            let reading = interpreter.read(line.bytes, now, &mut |event, _| {
                told += 1;
                is_offence |= !DAILY.contains(&event.kind);
            });
            seen.lines += 1;
            seen.events += u64::from(matches!(reading.meaning, Meaning::Events(_)));
            seen.offences += u64::from(is_offence);
            now = now.max(reading.at);
        });
    })?;
    ensure!(told >= seen.events, "an event that nobody was told of");
    Ok(seen)
}

/// How fast the machine's lines are read that come kind after kind: what the processor cannot foresee about the next line is
/// the difference.
fn in_order(out: &mut impl std::io::Write, directory: &Path, filters: &[Arc<Filter>]) -> Result<()> {
    let mut log = Log::new(&directory.join("in-order"), Mix::Machine, IN_ORDER_BYTES)?;
    let text = std::fs::read(&log.path)?;
    let mut lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    // By what follows the stamp, which is as long as its kind has it.
    let stamp =
        |line: &[u8]| if line.starts_with(b"@") { Timestamp::TAI64N_BYTES } else { "Nov 21 12:00:00".len() };
    lines.sort_by_key(|line| line.get(stamp(line)..).unwrap_or_default());
    std::fs::write(&log.path, lines.concat())?;
    log.lines = lines.len() as u64;
    let took = log.best(|path| Ok(understand(path, filters)?.lines))?;
    log.show(out, "the same, kind after kind", took)
}

/// What others need for the same lines, where they are installed.
fn peers(out: &mut impl std::io::Write, directory: &Path, ours: u64) -> Result<()> {
    if Path::new(SSHGUARD).exists() {
        sshguard(out, directory, ours)?;
    } else {
        writeln!(out, "  sshguard is not installed")?;
    }
    if Path::new(FAIL2BAN).exists() {
        fail2ban(out, directory, ours)?;
    } else {
        writeln!(out, "  fail2ban is not installed")?;
    }
    Ok(())
}

fn sshguard(out: &mut impl std::io::Write, directory: &Path, ours: u64) -> Result<()> {
    let log = Log::new(&directory.join("sshguard"), Mix::Machine, SSHGUARD_BYTES)?;
    let took = log.best(|path| {
        let status = Command::new(SSHGUARD).stdin(File::open(path)?).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "sshg-parser: {status}");
        Ok(log.lines)
    })?;
    log.show(out, "sshg-parser", took)?;
    writeln!(out, "    we are {:.1} times as fast", ours as f64 / per_second(log.lines, took) as f64)?;
    Ok(())
}

fn fail2ban(out: &mut impl std::io::Write, directory: &Path, ours: u64) -> Result<()> {
    let log = Log::new(&directory.join("fail2ban"), Mix::Machine, FAIL2BAN_BYTES)?;
    let took = log.best(|path| {
        let status = Command::new(FAIL2BAN)
            .args([path.as_os_str(), "/etc/fail2ban/filter.d/sshd.conf".as_ref()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        ensure!(status.success(), "fail2ban-regex: {status}");
        Ok(log.lines)
    })?;
    log.show(out, "fail2ban-regex, its filter sshd", took)?;
    writeln!(out, "    we are {:.0} times as fast", ours as f64 / per_second(log.lines, took) as f64)?;
    Ok(())
}

/// What one more filter costs: the time with ten more, by turns with the time without.
fn one_more(out: &mut impl std::io::Write, log: &Log, filters: &[Arc<Filter>]) -> Result<()> {
    let more: Vec<Arc<Filter>> = filters.iter().cloned().chain(another()?).collect();
    let (mut without, mut with) = (Duration::MAX, Duration::MAX);
    for _ in 0..RUNS {
        for (filters, best) in [(filters, &mut without), (more.as_slice(), &mut with)] {
            let (took, _) = taken(|| understand(&log.path, filters))?;
            *best = took.min(*best);
        }
    }
    let cost = with.as_secs_f64() / without.as_secs_f64() - 1.0;
    writeln!(
        out,
        "  with {MORE_FILTERS} more filters, of 5 patterns each: {:+.1} % time, {:+.2} % a filter",
        100.0 * cost,
        100.0 * cost / MORE_FILTERS as f64
    )?;
    Ok(())
}

/// Filters for programs that write to this log, and for all of them.
fn another() -> Result<Vec<Arc<Filter>>> {
    let mut filters = Vec::new();
    for n in 0..MORE_FILTERS {
        let program = match n % 5 {
            0 => "program = \"sshd\"\n",
            1 => "program = \"postfix/smtpd\"\n",
            2 => "program = \"dovecot\"\n",
            3 => "program = \"another\"\n",
            _ => "",
        };
        let mut text = format!("about = \"another\"\n{program}");
        for rule in 0..5 {
            text += &format!(
                "[[rule]]\nkind = \"failure\"\npattern = '^(?:error|warning): rule {rule} of {n}: client=(?<address>[0-9a-f.:]{{2,45}}) user=(?<user>[^ ]*) failed$'\n"
            );
        }
        let name = format!("another-{n}");
        let filter = Filters::single(&name, Document::parse(&name, &text));
        filters.extend(filter.map_err(|mistakes| anyhow::anyhow!("{mistakes}"))?.iter().cloned());
    }
    Ok(filters)
}
