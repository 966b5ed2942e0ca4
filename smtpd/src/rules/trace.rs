//! What the Received field tells of a client (RFC 5321 §4.4), where the administrator wants less or other than usual:
//! qmail's patches `hide-ip-headers` and `date-localtime`.

use jiff::tz::TimeZone;
use logline::Timestamp;

/// What it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Nothing of the address and the names of a client that has logged in or may relay: those are its own users'.
    pub hides_clients: bool,
    /// The zone of its date.
    pub zone: TimeZone,
}

impl Default for Trace {
    fn default() -> Self {
        Trace { hides_clients: false, zone: TimeZone::UTC }
    }
}

impl Trace {
    /// A date as a header has it (RFC 5322 §3.3).
    pub fn date(&self, now: Timestamp) -> String {
        let time = jiff::Timestamp::from_second(now.seconds()).unwrap_or_default();
        time.to_zoned(self.zone.clone()).strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_of_the_zone_that_is_wanted() {
        let at = Timestamp::from_seconds(1_795_262_400);
        assert_eq!(Trace::default().date(at), "Sat, 21 Nov 2026 12:00:00 +0000");
        let rome = Trace { zone: TimeZone::fixed(jiff::tz::offset(1)), ..Trace::default() };
        assert_eq!(rome.date(at), "Sat, 21 Nov 2026 13:00:00 +0100");
    }
}
