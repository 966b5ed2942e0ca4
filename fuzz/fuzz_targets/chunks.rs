//! Any bytes from journalctl or a syslog sender: however they are cut, the same entries and messages come out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use watcher::journal::{Entry, ExportReader};
use watcher::syslog::{Framing, NoFrame};

/// What a sender's stream comes to: its messages, each with whether it was cut, and whether it was syslog to the end.
type Framed = (Vec<(Vec<u8>, bool)>, Result<(), NoFrame>);

fn entries<'c>(chunks: impl Iterator<Item = &'c [u8]>) -> Vec<Entry> {
    let (mut reader, mut entries) = (ExportReader::default(), Vec::new());
    for chunk in chunks {
        reader.feed(chunk, |entry| entries.push(entry.clone()));
    }
    entries
}

fn messages<'c>(mut chunks: impl Iterator<Item = &'c [u8]>) -> Framed {
    let (mut framing, mut messages) = (Framing::default(), Vec::new());
    let result = chunks.try_for_each(|chunk| {
        framing.feed(chunk, &mut |message, cut| messages.push((message.to_vec(), cut)))
    });
    (messages, result)
}

fuzz_target!(|input: &[u8]| {
    let Some((size, stream)) = input.split_first() else { return };
    let size = usize::from(*size).max(1);
    assert_eq!(entries(stream.chunks(size)), entries(std::iter::once(stream)));
    assert_eq!(messages(stream.chunks(size)), messages(std::iter::once(stream)));
});
