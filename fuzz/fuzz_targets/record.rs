//! Any bytes as a line: the parser does not panic, and what it understands it writes and reads back equal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logline::Record;

fuzz_target!(|line: &[u8]| {
    // Lines of other writers are read only.
    if let Some(record) = Record::parse(line).filter(|record| !matches!(record, Record::Foreign(_))) {
        let written = record.to_string();
        assert_eq!(Record::parse(written.as_bytes()), Some(record));
    }
});
