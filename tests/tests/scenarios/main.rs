//! What the whole does, judged by real clients and the real kernel.

#![cfg(test)]

mod bad_input;
mod banctl;
mod blocklist;
mod chaos;
mod damage;
mod delivery;
mod envelopes;
mod fairness;
mod forgery;
mod guessing;
mod hostile;
mod journal;
mod old_logs;
mod pressure;
mod reload;
mod replay;
mod restart;
mod rights;
mod sources;
mod status;
mod words;
