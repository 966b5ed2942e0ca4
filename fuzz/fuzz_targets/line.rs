//! Any bytes as a log: envelope, grammar, patterns and connection table do not panic.
#![no_main]

use std::cell::RefCell;

use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use logline::Timestamp;
use watcher::filter::Filters;
use watcher::interpret::Interpreter;

// Building all filters takes far longer than reading a line.
thread_local!(static SHIPPED: RefCell<Interpreter> = RefCell::new({
    let filters = Filters::shipped().expect("shipped filters load");
    Interpreter::new(filters.iter().cloned(), TimeZone::UTC)
}));

fuzz_target!(|log: &[u8]| {
    SHIPPED.with_borrow_mut(|interpreter| {
        interpreter.forget();
        for line in log.split(|byte| *byte == b'\n') {
            interpreter.read(line, Timestamp::from_seconds(0), &mut |_, _| {});
        }
    });
});
