//! Any bytes as a log: envelope, grammar, patterns and connection table do not panic.
#![no_main]

use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use logline::Timestamp;
use watcher::filter::Filters;
use watcher::interpret::Interpreter;

fuzz_target!(|log: &[u8]| {
    let filters = Filters::shipped().expect("shipped filters load");
    let mut interpreter = Interpreter::new(filters.iter().cloned(), TimeZone::UTC);
    for line in log.split(|byte| *byte == b'\n') {
        interpreter.read(line, Timestamp::from_seconds(0), &mut |_, _| {});
    }
});
