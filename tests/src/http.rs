//! What `/metrics` and `/healthz` answer.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// One that does not answer in this time is not ready.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks for a page: its status and its text.
///
/// # Errors
/// Nobody answers.
pub fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    let status =
        head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("an answer without a status")?;
    Ok((status, body.to_owned()))
}

/// The value of one series of `/metrics`, named as Prometheus names it, labels and all.
///
/// # Errors
/// Nobody answers, or there is no such series.
pub fn metric(address: SocketAddr, series: &str) -> Result<f64> {
    let (_, text) = get(address, "/metrics")?;
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = line.with_context(|| format!("no {series} among the metrics:\n{text}"))?;
    value.parse().with_context(|| format!("{series} is {value}"))
}
