//! What sessions cost: our server, Debian's Postfix and tcpserver with rblsmtpd, under the same clients in the same run.
//!
//! usage: servers POSTERN-SMTPD. Postfix is started by root alone.

mod clients;
mod servers;
mod usage;

use std::path::PathBuf;
use std::time::Duration;

use clients::{handshakes, idle, messages, sessions};
use servers::{Server, ours, postfix, rblsmtpd};
use usage::Usage;

/// How long each server is loaded.
const LOADED_FOR: Duration = Duration::from_secs(5);

/// Sessions that wait, of ours; of the others, which are a process each, a hundred must do.
const IDLE: usize = 10_000;
const IDLE_PROCESSES: usize = 100;

/// Messages that are given, and at once.
const MESSAGES: usize = 2000;
const AT_ONCE: usize = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let program = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: servers POSTERN-SMTPD")?;
    let directory = std::env::temp_dir().join(format!("postern-servers-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let mut all: Vec<Server> = vec![ours(&program, &directory)?];
    all.extend(rblsmtpd()?);
    all.extend(postfix(&directory)?);
    println!("rejected sessions: EHLO, MAIL, RCPT refused, QUIT; 16 clients for {} s", LOADED_FOR.as_secs());
    println!("  {:<22}{:>14}{:>22}", "", "sessions/s", "CPU ms per session");
    for server in &all {
        let before = Usage::of(server.pid());
        let done = sessions(server.smtp, LOADED_FOR);
        show(server, done, before.cpu_since(server.pid()), LOADED_FOR);
    }
    println!("TLS: handshake and close (openssl s_time -new), one client");
    println!("  {:<22}{:>14}{:>22}", "", "handshakes/s", "CPU ms per handshake");
    for (server, tls) in all.iter().filter_map(|server| Some((server, server.smtps?))) {
        let before = Usage::of(server.pid());
        let done = handshakes(tls, LOADED_FOR)?;
        show(server, done, before.cpu_since(server.pid()), LOADED_FOR);
    }
    println!("idle sessions, after EHLO");
    println!("  {:<22}{:>14}{:>22}", "", "sessions", "KiB per session");
    for server in &all {
        let wanted = if server.is_one_process { IDLE } else { IDLE_PROCESSES };
        let before = Usage::of(server.pid());
        let open = idle(server.smtp, wanted);
        let grown = Usage::of(server.pid()).memory_kib.saturating_sub(before.memory_kib);
        println!("  {:<22}{:>14}{:>22.1}", server.name, open.len(), grown as f64 / open.len().max(1) as f64);
    }
    println!("{MESSAGES} messages of 4 KiB, {AT_ONCE} at once, each synced before 250 (smtp-source)");
    println!("  {:<22}{:>14}{:>22}", "", "messages/s", "CPU ms per message");
    for server in all.iter().filter(|server| server.accepts) {
        let before = Usage::of(server.pid());
        let took = messages(server.smtp, MESSAGES, AT_ONCE)?;
        show(server, MESSAGES as u64, before.cpu_since(server.pid()), took);
    }
    drop(all);
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

fn show(server: &Server, done: u64, cpu: Duration, took: Duration) {
    let rate = done as f64 / took.as_secs_f64();
    let each = cpu.as_secs_f64() * 1000.0 / done.max(1) as f64;
    println!("  {:<22}{rate:>14.0}{each:>22.3}", server.name);
}
