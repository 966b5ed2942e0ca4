//! Produces every figure that is published, each beside what bounds it, in the same run and on the same machine: a
//! ratio travels better than a number.

pub mod counting;
pub mod daemon;
pub mod day;
pub mod dropped;
pub mod fail2ban;
pub mod hand;
pub mod journal;
pub mod latency;
pub mod limit;
pub mod load;
pub mod mixed;
pub mod peer;
pub mod pressure;
pub mod replay;
pub mod restart;
pub mod storm;
pub mod tailing;
pub mod understanding;
pub mod wake;
pub mod written;
