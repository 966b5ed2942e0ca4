//! What the whole does, judged by real clients and the real kernel.

#[cfg(test)]
mod guessing;
