//! One wrong password, told in two logs: vchkpw tells it to syslog at once, and the qmail-smtpd that asked vchkpw tells it
//! to its own log some seconds later. The second is no second guess.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use logline::Timestamp;

use crate::event::{Event, Kind};
use crate::fact::Fact;
use crate::filter::{Matcher, Rule};

/// qmail-smtpd waits five seconds before it tells of a failure; clocks and buffers may add as many.
const WITHIN: Duration = Duration::from_secs(15);

/// So many addresses may be waited for. With more, all are forgotten: then some guesses count twice, which is better than
/// not at all.
const WAITED_FOR_MAX: usize = 10_000;

/// What vchkpw told and the server has not told yet.
#[derive(Clone, Debug, Default)]
pub struct Twins {
    told: HashMap<(IpAddr, Kind), (Timestamp, u32), foldhash::fast::RandomState>,
}

impl Twins {
    /// True for an event that tells what vchkpw has told already.
    pub fn repeats(&mut self, event: &Event<'_>, rule: &Rule) -> bool {
        let (Kind::AuthFailed | Kind::AuthOk, Some(address), Matcher::Fact(fact, _)) =
            (event.kind, event.address, &rule.matcher)
        else {
            return false;
        };
        match fact {
            Fact::Vchkpw => {
                if event.field("service").is_some_and(is_smtp) {
                    self.tell((address, event.kind), event.at);
                }
                false
            }
            Fact::Auth
            | Fact::Qlog
            | Fact::Spamcontrol
            | Fact::Spamdyke
            | Fact::SpamdykeAuth
            | Fact::Dialogue => self.is_told((address, event.kind), event.at),
            _ => false,
        }
    }

    fn tell(&mut self, what: (IpAddr, Kind), at: Timestamp) {
        if self.told.len() >= WAITED_FOR_MAX {
            self.told.retain(|_, (told, _)| at.since(*told) <= WITHIN);
        }
        if self.told.len() >= WAITED_FOR_MAX {
            self.told.clear();
        }
        let (told, count) = self.told.entry(what).or_insert((at, 0));
        if at.since(*told) > WITHIN {
            *count = 0;
        }
        (*told, *count) = (at, count.saturating_add(1));
    }

    fn is_told(&mut self, what: (IpAddr, Kind), at: Timestamp) -> bool {
        let Some((told, count)) = self.told.get_mut(&what) else { return false };
        let is_twin = at.since(*told) <= WITHIN && told.since(at) <= WITHIN;
        *count -= 1;
        if *count == 0 || !is_twin {
            self.told.remove(&what);
        }
        is_twin
    }
}

/// The services whose server tells of a login itself; vchkpw names an uncommon port by its number.
fn is_smtp(service: &[u8]) -> bool {
    matches!(service, b"smtp" | b"smtps" | b"submission") || service.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::filter::Filters;
    use crate::interpret::Interpreter;

    /// How many guesses the lines of two logs are: each with its second and the log that it stands in.
    fn guesses(lines: &[(i64, usize, &str)]) -> usize {
        let filters = Filters::shipped().unwrap();
        let mut logs = [(); 2].map(|()| Interpreter::new(filters.iter().cloned(), TimeZone::UTC));
        let (mut twins, mut count) = (Twins::default(), 0);
        for (second, log, line) in lines {
            let at = Timestamp::from_seconds(1_000_000 + second);
            logs[*log].read(line.as_bytes(), at, &mut |event, rule| {
                count += usize::from(event.kind == Kind::AuthFailed && !twins.repeats(event, rule));
            });
        }
        count
    }

    const CONNECT: &str = "tcpserver: pid 9012 from 203.0.113.66";
    const SMTP: &str = "vchkpw-submission: password fail bob@example.org:203.0.113.66";
    const POP3: &str = "vchkpw-pop3: password fail bob@example.org:203.0.113.66";
    const AUTH: &str = "qmail-smtpd[9012]: auth: auth-failed type=login user=<bob@example.org>";

    #[test]
    fn a_guess_that_vchkpw_and_the_server_tell_of_is_one() {
        assert_eq!(guesses(&[(0, 0, CONNECT), (1, 1, SMTP), (6, 0, AUTH)]), 1);
        assert_eq!(guesses(&[(0, 0, CONNECT), (1, 1, SMTP), (2, 1, SMTP), (6, 0, AUTH), (7, 0, AUTH)]), 2);
        assert_eq!(guesses(&[(0, 0, CONNECT), (1, 1, SMTP), (6, 0, AUTH), (12, 0, AUTH)]), 2);
    }

    #[test]
    fn a_guess_at_another_service_or_another_time_is_one_more() {
        assert_eq!(guesses(&[(0, 0, CONNECT), (1, 1, POP3), (6, 0, AUTH)]), 2);
        assert_eq!(guesses(&[(0, 0, CONNECT), (1, 1, SMTP), (17, 0, AUTH)]), 2);
    }
}
