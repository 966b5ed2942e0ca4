//! The program itself: started on free ports, spoken to by others' clients, killed, started again.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails with the test"
)]

mod clients;
mod commands;
mod delivery;
mod gate;
mod house;
mod life;
mod limits;
mod lists;
mod logins;
mod memory;
mod names;
mod proxy;
mod rbldnsd;
mod secrets;
mod slow;
mod stdio;
mod tls;
mod utf8;
mod words;
