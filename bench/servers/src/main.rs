//! What sessions cost: our server, Debian's Postfix and tcpserver with rblsmtpd, under the same clients in the same run.
//!
//! usage: servers POSTERN-SMTPD [rejected] [tls] [idle] [messages]. Postfix is started by root alone.
//!
//! Servers and clients each have processors of their own where there are two, so that a server is measured and not what
//! the clients leave of it. Each server is loaded for a short time, in turn, several times: what disturbs the machine
//! meanwhile, disturbs all of them.

mod clients;
mod crowd;
mod processors;
mod servers;
mod usage;

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clients::{handshakes, idle, messages, sessions};
use processors::Processors;
use servers::{Server, ours, postfix, rblsmtpd};
use usage::Usage;

/// How often each server has its turn.
const ROUNDS: usize = 5;

/// How long each turn is.
const TURN: Duration = Duration::from_secs(2);

/// Sessions that wait, of ours; of the others, which are a process each, a hundred must do.
const IDLE: usize = 10_000;
const IDLE_PROCESSES: usize = 100;

/// Messages that are given in a turn, and at once.
const MESSAGES: u64 = 1000;
const AT_ONCE: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().map(PathBuf::from).ok_or("usage: servers POSTERN-SMTPD [PART…]")?;
    let wanted: Vec<_> = arguments.collect();
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == part);
    let directory = std::env::temp_dir().join(format!("postern-servers-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let processors = Processors::of_this_machine()?;
    println!("{processors}");
    processors.give_to_servers()?;
    let mut all: Vec<Server> = vec![ours(&program, &directory)?];
    all.extend(rblsmtpd()?);
    all.extend(postfix(&directory)?);
    processors.give_to_clients()?;
    if is_wanted("rejected") {
        println!("rejected sessions: EHLO, MAIL, RCPT refused, QUIT; 16 clients");
        compare(all.iter(), "session", |server| sessions(server.smtp, TURN))?;
    }
    if is_wanted("tls") {
        println!("TLS: handshake and close (openssl s_time -new), one client");
        let with_tls = all.iter().filter(|server| server.smtps.is_some());
        compare(with_tls, "handshake", |server| handshakes(server.smtps.unwrap_or(server.smtp), TURN))?;
    }
    if is_wanted("idle") {
        measure_memory(&all);
    }
    if is_wanted("messages") {
        println!("messages of 4 KiB, {AT_ONCE} at once, each synced before 250 (smtp-source)");
        compare(all.iter().filter(|server| server.accepts), "message", |server| {
            messages(server.smtp, MESSAGES, AT_ONCE).map(|()| MESSAGES)
        })?;
    }
    drop(all);
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

/// What one server did in all its turns.
struct Score {
    name: &'static str,
    /// A second, in each turn.
    rates: Vec<f64>,
    done: u64,
    cpu: Duration,
}

impl Score {
    fn rate(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    }

    fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1000.0 / self.done.max(1) as f64
    }
}

/// Gives each server its turns, and tells what came of it.
fn compare<'s>(
    servers: impl Iterator<Item = &'s Server>,
    what: &str,
    load: impl Fn(&Server) -> Result<u64, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let servers: Vec<&Server> = servers.collect();
    let score = |server: &&Server| Score { name: server.name, rates: Vec::new(), done: 0, cpu: Duration::ZERO };
    let mut scores: Vec<Score> = servers.iter().map(score).collect();
    for _ in 0..ROUNDS {
        for (server, score) in servers.iter().zip(&mut scores) {
            let (before, start) = (Usage::of(server.pid()), Instant::now());
            let done = load(server)?;
            score.rates.push(done as f64 / start.elapsed().as_secs_f64());
            // What is done after the answer belongs to it.
            std::thread::sleep(Duration::from_millis(300));
            score.cpu += before.cpu_since(server.pid());
            score.done += done;
        }
    }
    println!("  {:<22}{:>14}{:>24}", "", format!("{what}s/s"), format!("CPU ms per {what}"));
    for score in &scores {
        println!("  {:<22}{:>14.0}{:>24.3}", score.name, score.rate(), score.cpu_each());
    }
    if let [first, others @ ..] = scores.as_slice() {
        for other in others {
            let (faster, cheaper) = (first.rate() / other.rate(), first.cpu_each() / other.cpu_each());
            println!("  {faster:.1} times the {what}s/s of {}, {cheaper:.2} of its CPU", other.name);
        }
    }
    Ok(())
}

fn measure_memory(servers: &[Server]) {
    println!("idle sessions, after EHLO");
    println!("  {:<22}{:>14}{:>24}", "", "sessions", "KiB per session");
    for server in servers {
        let wanted = if server.is_one_process { IDLE } else { IDLE_PROCESSES };
        let before = Usage::of(server.pid());
        let open = idle(server.smtp, wanted);
        let grown = Usage::of(server.pid()).memory_kib.saturating_sub(before.memory_kib);
        println!("  {:<22}{:>14}{:>24.1}", server.name, open.len(), grown as f64 / open.len().max(1) as f64);
    }
}
