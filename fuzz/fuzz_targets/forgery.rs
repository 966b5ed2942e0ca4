//! Any bytes as what a client says, in every field of every dialect: nobody but the client is accused. The first byte
//! chooses the dialect, and 0xff parts one text from the next.
#![no_main]

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};

use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use logline::Timestamp;
use watcher::filter::Filters;
use watcher::interpret::Interpreter;

const DIALECTS: &str = include_str!("../../tests/fixtures/dialects.txt");
const VICTIM: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 66));

// Building all filters takes far longer than reading a line.
thread_local!(static SHIPPED: RefCell<Interpreter> = RefCell::new({
    let filters = Filters::shipped().expect("shipped filters load");
    Interpreter::new(filters.iter().cloned(), TimeZone::UTC)
}));

fuzz_target!(|said: &[u8]| {
    let Some((choice, said)) = said.split_first() else { return };
    // A line feed ends a line; who can write one can write a line of his own.
    if said.contains(&b'\n') {
        return;
    }
    let dialects: Vec<&str> = DIALECTS.lines().filter(|line| !line.starts_with('#')).collect();
    let dialect = dialects[usize::from(*choice) % dialects.len()].replace("\\t", "\t");
    let mut texts = said.split(|byte| *byte == 0xff);
    let mut line = Vec::new();
    for (at, part) in dialect.split("{}").enumerate() {
        if at > 0 {
            line.extend_from_slice(texts.next().unwrap_or_default());
        }
        line.extend_from_slice(part.as_bytes());
    }
    let now = Timestamp::from_seconds(0);
    SHIPPED.with_borrow_mut(|interpreter| {
        interpreter.forget();
        for connect in ["tcpserver: pid 8155 from 198.51.100.7", "tcpserver: pid 7 from 203.0.113.66"] {
            interpreter.read(connect.as_bytes(), now, &mut |_, _| {});
        }
        interpreter.read(&line, now, &mut |event, _| assert_ne!(event.address, Some(VICTIM)));
    });
});
