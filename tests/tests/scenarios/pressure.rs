//! A source that is faster than the watcher waits, or loses what the kernel says it lost; the watcher never grows.

use std::io::{ErrorKind, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};

use anyhow::{Context as _, Result, ensure};
use e2e::namespace::isolated;
use e2e::process::Running;
use e2e::site::Site;
use e2e::wait;
use rustix::io::ioctl_fionbio;
use rustix::process::Signal;

use crate::journal::JournalFile;
use crate::sources::{await_lines, site, source};

/// A line that nobody knows, with its line feed. It begins as no program's line does: what is to be seen is how lines
/// come in, not how fast many patterns are tried.
const LINE_BYTES: usize = 4000;

/// More than all buffers on the way together, and more than the watcher may grow.
const FLOOD_LINES: usize = 20_000;

/// So much may the watcher grow by its first flood, whatever its size: half of this one.
const GROWTH_BYTES_MAX: u64 = 40 << 20;

fn line() -> Vec<u8> {
    let mut line = vec![b'x'; LINE_BYTES];
    line[0] = b'#';
    line[LINE_BYTES - 1] = b'\n';
    line
}

/// The most memory that a process ever had.
fn peak_bytes(process: &Running) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}

/// A flood of [`FLOOD_LINES`] leaves the watcher as it was, and every line is read.
#[track_caller]
fn check_growth(source: &str, flood: impl Fn(&Site, &Running) -> Result<()>) {
    isolated(|| {
        let site = site(source)?;
        let watcher = site.start_watcher()?;
        let before = peak_bytes(&watcher)?;
        flood(&site, &watcher)?;
        await_lines(&site, FLOOD_LINES as u64)?;
        let growth = peak_bytes(&watcher)? - before;
        ensure!(growth < GROWTH_BYTES_MAX, "it has grown by {growth} bytes");
        Ok(())
    });
}

/// While the watcher does nothing, the writer comes to where he must wait; then all that he writes is read.
fn overrun(watcher: &Running, writer: &mut (impl Write + AsFd)) -> Result<()> {
    watcher.signal(Signal::STOP)?;
    ioctl_fionbio(&*writer, true)?;
    let (flood, mut written) = (line().repeat(FLOOD_LINES), 0);
    let stopped = loop {
        match writer.write(flood.get(written..).context("the rest")?) {
            Ok(0) => break false,
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break true,
            Err(error) => return Err(error.into()),
        }
    };
    watcher.signal(Signal::CONT)?;
    ensure!(stopped, "all {written} bytes were taken, and nobody read them");
    ioctl_fionbio(&*writer, false)?;
    Ok(writer.write_all(flood.get(written..).context("the rest")?)?)
}

#[test]
fn whoever_writes_to_standard_input_waits() {
    isolated(|| {
        let site = site("stdin = true")?;
        let (watcher, mut stdin) = site.feed_watcher()?;
        let before = peak_bytes(&watcher)?;
        overrun(&watcher, &mut stdin)?;
        await_lines(&site, FLOOD_LINES as u64)?;
        let growth = peak_bytes(&watcher)? - before;
        ensure!(growth < GROWTH_BYTES_MAX, "it has grown by {growth} bytes");
        Ok(())
    });
}

#[test]
fn whoever_sends_over_tcp_waits() {
    check_growth("syslog = \"tcp://127.0.0.1:5514\"", |_, watcher| {
        overrun(watcher, &mut TcpStream::connect("127.0.0.1:5514")?)
    });
}

#[test]
fn whoever_sends_to_a_stream_socket_waits() {
    check_growth("syslog = \"unix-stream://log.sock\"", |site, watcher| {
        overrun(watcher, &mut UnixStream::connect(site.path("log.sock"))?)
    });
}

#[test]
fn whoever_sends_to_the_datagram_socket_and_can_wait_waits() {
    check_growth("syslog = \"log.sock\"", |site, watcher| {
        let socket = UnixDatagram::unbound()?;
        socket.connect(site.path("log.sock"))?;
        watcher.signal(Signal::STOP)?;
        socket.set_nonblocking(true)?;
        let line = line();
        let taken = (0..FLOOD_LINES).take_while(|_| socket.send(&line).is_ok()).count();
        watcher.signal(Signal::CONT)?;
        ensure!(taken < FLOOD_LINES, "all were taken, and nobody read them");
        socket.set_nonblocking(false)?;
        for _ in taken..FLOOD_LINES {
            socket.send(&line)?;
        }
        Ok(())
    });
}

#[test]
fn a_file_that_grows_faster_than_it_is_read_is_read_to_its_end() {
    check_growth("file = \"flood.log\"", |site, watcher| {
        watcher.signal(Signal::STOP)?;
        site.append("flood.log", &line().repeat(FLOOD_LINES))?;
        watcher.signal(Signal::CONT)
    });
}

#[test]
fn a_journal_that_grows_faster_than_it_is_read_is_read_to_its_end() {
    check_growth(JournalFile::SOURCE, |site, watcher| {
        watcher.signal(Signal::STOP)?;
        let text = "#".repeat(LINE_BYTES);
        JournalFile(site).append("vpopmail.service", &vec![text.as_str(); FLOOD_LINES])?;
        watcher.signal(Signal::CONT)
    });
}

#[test]
fn what_the_kernel_drops_of_udp_is_counted_to_the_last() {
    isolated(|| {
        let site = site("syslog = \"udp://127.0.0.1:5514\"")?;
        let watcher = site.start_watcher()?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect("127.0.0.1:5514")?;
        watcher.signal(Signal::STOP)?;
        let line = line();
        for _ in 0..FLOOD_LINES {
            socket.send(&line)?;
        }
        watcher.signal(Signal::CONT)?;
        // The kernel tells with the next datagram that it takes.
        let all = |count: u64| {
            let source = source(&site)?;
            let lost = source["lost_by_reason"]["dropped"].as_u64().unwrap_or(0);
            anyhow::Ok((lost, source["lines"].as_u64().context("lines")? + lost == count))
        };
        let mut sent = FLOOD_LINES as u64;
        wait::until_true("every datagram to be accounted for", || {
            sent += u64::from(socket.send(&line).is_ok());
            std::thread::sleep(std::time::Duration::from_millis(10));
            all(sent).is_ok_and(|(lost, is_all)| lost > 0 && is_all)
        })
    });
}
