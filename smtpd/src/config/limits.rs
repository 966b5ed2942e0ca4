//! `[limits]`: how much of everything there may be.

use std::time::Duration;

use settings::{DeValue, Table, Value, one_of};

use super::control::Control;
use crate::karma::{Deed, KarmaTerms, Points};
use crate::session::{BareNewline, Limits};

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
/// `[limits] errors_undelayed`: three mistakes anybody may make.
const ERRORS_UNDELAYED: u32 = 3;
/// `[limits] error_pause`
const ERROR_PAUSE: Duration = Duration::from_secs(1);
/// `[limits] data_bytes_per_second_min`: the slowest line that anybody sends mail over is some ten times faster.
const DATA_BYTES_PER_SECOND_MIN: u64 = 100;
/// `[limits] crowded_timeout`: what Postfix waits under stress.
const CROWDED_TIMEOUT: Duration = Duration::from_secs(10);
/// `[limits] handshake_timeout`
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);
/// `[limits] command_bytes_max`: RFC 5321 §4.5.3.1.4 asks for 512, and extensions for some 1,500 more.
const COMMAND_BYTES_MAX: u32 = 2048;
/// `[limits] address_bytes_max`: a local part of 64 bytes and a domain of 255 (RFC 5321 §4.5.3.1).
const ADDRESS_BYTES_MAX: u32 = 320;
/// `[limits] local_part_bytes_max`: the RFC's 64 would refuse the return addresses of many a mailing list.
const LOCAL_PART_BYTES_MAX: u32 = 255;
/// `[limits] domain_bytes_max` (RFC 5321 §4.5.3.1.2).
const DOMAIN_BYTES_MAX: u32 = 255;
/// `[limits] forbidden_commands`: what web pages and proxies make a program say here. Nothing good can follow.
const FORBIDDEN_COMMANDS: [&str; 7] = ["CONNECT", "GET", "HEAD", "OPTIONS", "POST", "PUT", "USER-AGENT:"];
/// `[limits] letters_first`
const LETTERS_FIRST: bool = false;
/// `[limits] line_bytes_max`: the RFC's 1,000 would refuse much honest mail.
const LINE_BYTES_MAX: u64 = 0;
/// `[limits] deferred_recipients_max`: Postfix's `smtpd_recipient_overshoot_limit`; a list server that gives a thousand
/// recipients at once hears of each.
const DEFERRED_RECIPIENTS_MAX: u32 = 1000;
/// `[limits] idle_commands_max`: Postfix's `smtpd_junk_command_limit`.
const IDLE_COMMANDS_MAX: u32 = 100;
/// `[karma] points`: a thousand slips are more than any session has.
const POINTS_MAX: u32 = 1000;
/// `[limits] hops_max`: qmail's MAXHOPS.
const HOPS_MAX: u32 = 100;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// In all.
    pub max: u32,
    /// From one client.
    pub per_address_max: u32,
    /// From one network, an IPv4 /24 or IPv6 /48; 0 for any number.
    pub per_network_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            recipients_max: RECIPIENTS_MAX as usize,
            message_bytes_max: MESSAGE_BYTES_MAX,
            errors_max: ERRORS_MAX,
            errors_undelayed: ERRORS_UNDELAYED,
            error_pause: ERROR_PAUSE,
            command_timeout: COMMAND_TIMEOUT,
            data_timeout: DATA_TIMEOUT,
            data_bytes_per_second_min: DATA_BYTES_PER_SECOND_MIN,
            crowded_timeout: CROWDED_TIMEOUT,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            command_bytes_max: COMMAND_BYTES_MAX as usize,
            address_bytes_max: ADDRESS_BYTES_MAX as usize,
            local_part_bytes_max: LOCAL_PART_BYTES_MAX as usize,
            domain_bytes_max: DOMAIN_BYTES_MAX as usize,
            forbidden_commands: FORBIDDEN_COMMANDS.map(str::to_owned).to_vec(),
            letters_first: LETTERS_FIRST,
            line_bytes_max: LINE_BYTES_MAX,
            deferred_recipients_max: DEFERRED_RECIPIENTS_MAX,
            idle_commands_max: IDLE_COMMANDS_MAX,
            unrecognized_max: 0,
            bare_newline: BareNewline::Refused,
            hops_max: HOPS_MAX,
        }
    }
}

pub(super) fn karma(table: &Table<'_>) -> KarmaTerms {
    let usual = KarmaTerms::default();
    KarmaTerms {
        strikes: table.get_or("strikes", usual.strikes),
        negative: table.get_or("negative", usual.negative),
        penalty: table.get_or("penalty", usual.penalty),
        forget: table.get_or("forget", usual.forget),
    }
}

/// `[karma] points`
pub(super) fn points(karma: &Table<'_>) -> Points {
    let points = karma.table_or_empty("points");
    let changed = Deed::ALL.iter().filter_map(|(deed, name, _)| {
        let worth = points.get::<i64>(name)?;
        if worth.unsigned_abs() > u64::from(POINTS_MAX) {
            points.mistake(name, format!("expected a number from -{POINTS_MAX} to {POINTS_MAX}"));
        }
        Some((*deed, i32::try_from(worth).unwrap_or(0)))
    });
    Points::new(changed.collect())
}

pub(super) fn connections(limits: &Table<'_>, control: &Control) -> Connections {
    let max = limits.get("connections_max").or_else(|| control.number_as("concurrencyincoming"));
    Connections {
        max: max.unwrap_or(CONNECTIONS_MAX),
        per_address_max: limits.get_or("connections_per_address_max", CONNECTIONS_PER_ADDRESS_MAX),
        per_network_max: limits.get_or("connections_per_network_max", 0),
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
        errors_undelayed: limits.get_or("errors_undelayed", ERRORS_UNDELAYED),
        error_pause: limits.get_or("error_pause", ERROR_PAUSE),
        data_bytes_per_second_min: limits.get_or("data_bytes_per_second_min", DATA_BYTES_PER_SECOND_MIN),
        crowded_timeout: limits.get_or("crowded_timeout", CROWDED_TIMEOUT),
        handshake_timeout: limits.get_or("handshake_timeout", HANDSHAKE_TIMEOUT),
        command_bytes_max: limits.get_or("command_bytes_max", COMMAND_BYTES_MAX) as usize,
        address_bytes_max: limits.get_or("address_bytes_max", ADDRESS_BYTES_MAX) as usize,
        local_part_bytes_max: limits.get_or("local_part_bytes_max", LOCAL_PART_BYTES_MAX) as usize,
        domain_bytes_max: limits.get_or("domain_bytes_max", DOMAIN_BYTES_MAX) as usize,
        forbidden_commands: limits
            .get("forbidden_commands")
            .unwrap_or_else(|| FORBIDDEN_COMMANDS.map(str::to_owned).to_vec()),
        letters_first: limits.get_or("letters_first", LETTERS_FIRST),
        line_bytes_max: limits.get_or("line_bytes_max", LINE_BYTES_MAX),
        deferred_recipients_max: limits.get_or("deferred_recipients_max", DEFERRED_RECIPIENTS_MAX),
        idle_commands_max: limits.get_or("idle_commands_max", IDLE_COMMANDS_MAX),
        unrecognized_max: limits.get_or("unrecognized_max", 0),
        bare_newline: limits.get_or("bare_newline", BareNewline::Refused),
        hops_max: limits.get_or("hops_max", HOPS_MAX),
    }
}

impl Value for BareNewline {
    const EXPECTED: &'static str = "\"refuse\" or \"end-line\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(value, &[("refuse", BareNewline::Refused), ("end-line", BareNewline::EndsLine)])
    }
}
