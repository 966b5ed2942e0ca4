//! `[limits]`: how much of everything there may be.

use std::time::Duration;

use settings::Table;

use super::control::Control;
use crate::session::Limits;

/// `[limits] message_bytes_max`: what most large hosts take.
pub const MESSAGE_BYTES_MAX: u64 = 25_000_000;
/// `[limits] recipients_max`: the least that RFC 5321 §4.5.3.1.8 allows.
pub const RECIPIENTS_MAX: u32 = 100;
/// `[limits] connections_max`: at some 20 KB of memory each.
pub const CONNECTIONS_MAX: u32 = 1000;
/// `[limits] connections_per_address_max`: Postfix's number; large senders open some twenty.
pub const CONNECTIONS_PER_ADDRESS_MAX: u32 = 50;
/// `[limits] errors_max`: a list server with many dead recipients has made its point by then.
pub const ERRORS_MAX: u32 = 10;
/// `[limits] command_timeout` (RFC 5321 §4.5.3.2.7).
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);
/// `[limits] data_timeout`: the RFC's 180 s for a block, and patience.
pub const DATA_TIMEOUT: Duration = Duration::from_secs(300);

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// In all.
    pub max: u32,
    /// From one client.
    pub per_address_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            recipients_max: RECIPIENTS_MAX as usize,
            message_bytes_max: MESSAGE_BYTES_MAX,
            errors_max: ERRORS_MAX,
            errors_undelayed: 3,
            error_pause: Duration::from_secs(1),
            command_timeout: COMMAND_TIMEOUT,
            data_timeout: DATA_TIMEOUT,
            data_bytes_per_second_min: 100,
            handshake_timeout: Duration::from_secs(60),
            hops_max: 100,
        }
    }
}

pub(super) fn connections(limits: &Table<'_>, control: &Control) -> Connections {
    let max = limits.get("connections_max").or_else(|| control.number_as("concurrencyincoming"));
    Connections {
        max: max.unwrap_or(CONNECTIONS_MAX),
        per_address_max: limits.get_or("connections_per_address_max", CONNECTIONS_PER_ADDRESS_MAX),
    }
}

pub(super) fn session(limits: &Table<'_>, control: &Control) -> Limits {
    // As in qmail, 0 is no limit.
    let bytes = || control.number("databytes").map(|bytes| if bytes == 0 { u64::MAX } else { bytes });
    let timeout = control.number("timeoutsmtpd").map(|seconds| Duration::from_secs(seconds.max(1)));
    let recipients = || control.number_as("maxrcpt").filter(|recipients| *recipients != 0);
    Limits {
        recipients_max: limits.get("recipients_max").or_else(recipients).unwrap_or(RECIPIENTS_MAX) as usize,
        message_bytes_max: limits.get("message_bytes_max").or_else(bytes).unwrap_or(MESSAGE_BYTES_MAX),
        errors_max: limits.get_or("errors_max", ERRORS_MAX),
        command_timeout: limits.get("command_timeout").or(timeout).unwrap_or(COMMAND_TIMEOUT),
        data_timeout: limits.get("data_timeout").or(timeout).unwrap_or(DATA_TIMEOUT),
        ..Limits::default()
    }
}
