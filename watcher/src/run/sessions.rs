//! From where people are logged in to this machine: an administrator must not lock himself out.
//!
//! Only who has logged in counts, by the word of the login manager or of utmp. Whoever merely has a connection to sshd
//! open has earned nothing.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::subject::Network;

/// Where the login manager of systemd describes sessions, a file each.
const SESSIONS: &str = "/run/systemd/sessions";

/// Where everything else writes them down.
const UTMP: &str = "/run/utmp";

/// No machine has more people logged in that matter.
const SESSIONS_MAX: usize = 1000;

/// The addresses of those who are logged in now, and of who started this process.
pub(super) fn addresses() -> Vec<Network> {
    let started = std::env::var("SSH_CONNECTION").ok();
    let started = started.as_deref().and_then(|connection| connection.split(' ').next()?.parse().ok());
    let mut all: BTreeSet<IpAddr> = started.into_iter().collect();
    all.extend(by_login_manager(Path::new(SESSIONS)));
    all.extend(fs::read(UTMP).map(|bytes| by_utmp(&bytes)).unwrap_or_default());
    let is_somewhere = |address: &IpAddr| !address.is_unspecified() && !address.is_loopback();
    all.into_iter().filter(is_somewhere).map(Network::host).take(SESSIONS_MAX).collect()
}

fn by_login_manager(directory: &Path) -> Vec<IpAddr> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    // Beside the file of a session lies a pipe, which says nothing until the session ends: who reads it waits as long.
    let plain = files.filter(|file| file.file_type().is_ok_and(|kind| kind.is_file()));
    let texts = plain.filter_map(|file| fs::read_to_string(file.path()).ok());
    texts.take(SESSIONS_MAX).filter_map(|text| by_session(&text)).collect()
}

/// The address in a session's file: that of a remote session that is open.
fn by_session(text: &str) -> Option<IpAddr> {
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let open = value("REMOTE") == Some("1") && value("STATE") != Some("closing");
    let host = value("REMOTE_HOST").filter(|_| open)?;
    host.parse().ok()
}

/// One record of utmp(5), as Linux has it on every machine that this runs on.
const RECORD_BYTES: usize = 384;
const HOST: std::ops::Range<usize> = 76..332;
const ADDRESS: std::ops::Range<usize> = 348..364;
const USER_PROCESS: i16 = 7;

fn by_utmp(bytes: &[u8]) -> Vec<IpAddr> {
    bytes.chunks_exact(RECORD_BYTES).take(SESSIONS_MAX).filter_map(by_record).collect()
}

fn by_record(record: &[u8]) -> Option<IpAddr> {
    let kind: [u8; 2] = record.get(..2)?.try_into().ok()?;
    if i16::from_le_bytes(kind) != USER_PROCESS {
        return None;
    }
    let host = record.get(HOST)?.split(|byte| *byte == 0).next()?;
    let by_host = || std::str::from_utf8(host).ok()?.parse().ok();
    let address: [u8; 16] = record.get(ADDRESS)?.try_into().ok()?;
    let by_number = match address {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => None,
        [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d))),
        six => Some(IpAddr::V6(Ipv6Addr::from(six))),
    };
    by_number.or_else(by_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: i16, host: &str, address: &[u8]) -> Vec<u8> {
        let mut record = vec![0; RECORD_BYTES];
        record[..2].copy_from_slice(&kind.to_le_bytes());
        record[HOST.start..HOST.start + host.len()].copy_from_slice(host.as_bytes());
        record[ADDRESS.start..ADDRESS.start + address.len()].copy_from_slice(address);
        record
    }

    #[track_caller]
    fn check_utmp(records: &[Vec<u8>], expected: &[&str]) {
        let found: Vec<String> = by_utmp(&records.concat()).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn who_is_logged_in_stands_in_utmp() {
        let six = "2001:db8::9".parse::<Ipv6Addr>().unwrap().octets();
        check_utmp(
            &[
                record(USER_PROCESS, "198.51.100.7", &[198, 51, 100, 7]),
                record(8, "203.0.113.66", &[203, 0, 113, 66]),
                record(USER_PROCESS, "", &six),
                record(USER_PROCESS, "192.0.2.4", &[]),
                record(USER_PROCESS, ":0", &[]),
                vec![7; 100],
            ],
            &["198.51.100.7", "2001:db8::9", "192.0.2.4"],
        );
    }

    #[track_caller]
    fn check_session(text: &str, expected: Option<&str>) {
        assert_eq!(by_session(text).map(|address| address.to_string()).as_deref(), expected);
    }

    #[test]
    fn the_pipe_beside_a_session_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("1"), "REMOTE=1\nREMOTE_HOST=198.51.100.7\n").unwrap();
        let pipe = directory.path().join("1.ref");
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
        assert_eq!(by_login_manager(directory.path()), ["198.51.100.7".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn a_remote_session_has_an_address_until_it_closes() {
        check_session("UID=0\nREMOTE=1\nREMOTE_HOST=198.51.100.7\nSTATE=active\n", Some("198.51.100.7"));
        check_session("UID=0\nREMOTE=1\nREMOTE_HOST=198.51.100.7\nSTATE=closing\n", None);
        check_session("UID=0\nREMOTE=0\nSTATE=active\n", None);
        check_session("REMOTE=1\nREMOTE_HOST=host.example\n", None);
    }
}
