//! Any bytes as lines in their envelopes: nothing panics, a calendar that remembers places each line where one look at it
//! alone does, and the message is a part of its line.
#![no_main]

use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use logline::Timestamp;
use watcher::envelope::{Around, Calendar, Clock, Envelope};

fuzz_target!(|input: &[u8]| {
    // The first bytes say when the lines arrive: in any of 2^32 seconds from 1970 on.
    let Some((arrival, log)) = input.split_first_chunk::<4>() else { return };
    let arrival = Timestamp::from_seconds(i64::from(u32::from_be_bytes(*arrival)));
    for zone in ["UTC", "Europe/Rome", "Pacific/Apia"] {
        let zone = TimeZone::get(zone).expect("a zone of the database that is compiled in");
        let clock = Clock { zone: zone.clone() };
        let mut calendar = Calendar::new(zone);
        let mut previous = None;
        for line in log.split(|byte| *byte == b'\n') {
            let around = Around { arrival, previous };
            let envelope = Envelope::open(line, &clock, around);
            assert_eq!(calendar.open(line, around), envelope);
            assert!(line.ends_with(envelope.message), "a message is the end of its line");
            previous = envelope.time.or(previous);
        }
    }
});
