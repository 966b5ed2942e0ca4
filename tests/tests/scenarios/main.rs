//! What the whole does, judged by real clients and the real kernel.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod banctl;
#[cfg(test)]
mod blocklist;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod envelopes;
#[cfg(test)]
mod fairness;
#[cfg(test)]
mod forgery;
#[cfg(test)]
mod guessing;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod old_logs;
#[cfg(test)]
mod pressure;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod status;
#[cfg(test)]
mod words;
