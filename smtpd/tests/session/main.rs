//! What a session does, as transcripts.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a helper of a test fails with the test")]

mod blocklists;
mod chunks;
mod gate;
mod hostile;
mod limits;
mod login;
mod mail;
mod mistakes;
mod opening;
mod replies;
mod smuggling;
mod world;
