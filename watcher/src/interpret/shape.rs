//! What follows from a message that has the shape of a pattern: whose it is, and how many failures it tells of that were
//! not told before.

use logline::Timestamp;

use super::Meaning;
use super::origin::Origin;
use super::patterns::Found;
use super::sessions::{Name, Sessions};
use crate::event::{Event, Kind};
use crate::filter::{Filter, Rule};

/// The event that a rule makes of what its pattern captured, or why there is none.
pub(super) fn event<'e>(
    sessions: &mut Sessions,
    (filter, rule): (&Filter, &Rule),
    origin: Origin<'_>,
    found: Found<'e>,
    at: Timestamp,
    line: &'e [u8],
) -> Result<Event<'e>, Meaning> {
    let kind = rule.kind.ok_or(Meaning::Nothing)?;
    let Found { address: claimed, fields, .. } = found;
    let session = fields.iter().find(|(name, _)| *name == "session");
    let session = session.and_then(|(_, text)| Name::captured(&filter.name, text.bytes()));
    let address = match (claimed, &session) {
        (Some(address), _) => Some(address),
        (None, Some(session)) => Some(sessions.client(session).ok_or(Meaning::Ambiguous)?),
        (None, None) => None,
    };
    let weight = Event::weight_of(&fields);
    let mut event = Event { kind, at, address, weight, fields, line };
    match (kind, &session, address) {
        (Kind::Connect, Some(session), Some(address)) => sessions.open(session.clone(), address),
        (Kind::Disconnect, Some(session), _) => sessions.close(session),
        _ => {}
    }
    let process = || Some(Name::of_process(&filter.name, origin.program, origin.pid?, address?));
    if filter.counts_attempts
        && let Some(name) = session.or_else(process)
    {
        event.weight = sessions.news(name, &event);
        if event.weight == 0 {
            return Err(Meaning::Repeated);
        }
    }
    Ok(event)
}
