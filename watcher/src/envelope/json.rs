//! postern-smtpd's other dress: with `log.format = "json"` a line is an object, `{"time": …, "record": …}`, and states the
//! same fact.

use logline::{Record, Timestamp};
use serde::Deserialize;

#[derive(Deserialize)]
struct Line<'a> {
    time: String,
    #[serde(borrow)]
    record: Record<'a>,
}

/// The fact and its time; none for any other text.
#[inline]
pub(crate) fn read(line: &[u8]) -> Option<(Timestamp, Record<'_>)> {
    if line.first() == Some(&b'{') { object(line) } else { None }
}

fn object(line: &[u8]) -> Option<(Timestamp, Record<'_>)> {
    let Line { time, record } = serde_json::from_slice(line).ok()?;
    let time: jiff::Timestamp = time.parse().ok()?;
    Some((Timestamp::from_nanos(i64::try_from(time.as_nanosecond()).ok()?), record))
}
