//! Reads mail logs, counts offences, bans offenders in the kernel.

pub mod firewall;
