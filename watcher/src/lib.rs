//! The watcher: reads mail logs, counts offences, bans the offender in the kernel.

pub mod tail;
