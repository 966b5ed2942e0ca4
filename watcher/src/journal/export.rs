//! The journal's export format, read from any cut of it into chunks. Pure: it knows bytes, not processes.
//!
//! A field is `NAME=value` and LF; or, where the value may hold an LF, `NAME`, LF, its length in eight bytes, the
//! value and LF. An empty line ends an entry. What is not needed is not kept, and no value grows beyond a line's bound.

use crate::tail::LINE_BYTES_MAX;

/// The longest line that is kept: the longest name of a field, `=`, and the longest value that is wanted.
const FIELD_BYTES_MAX: usize = 65 + LINE_BYTES_MAX;

/// One entry of the journal, as far as it is of use here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// `__CURSOR`: its place.
    pub cursor: String,
    /// `__REALTIME_TIMESTAMP`: when the journal took it, in microseconds since 1970.
    pub taken_us: Option<i64>,
    /// `_SOURCE_REALTIME_TIMESTAMP`: when it was sent, where the journal knows.
    pub sent_us: Option<i64>,
    /// `MESSAGE`; any bytes.
    pub message: Option<Vec<u8>>,
    /// Whether the message was longer than a line may be, and this is its beginning.
    pub cut: bool,
    /// `SYSLOG_IDENTIFIER`: the program's own name for itself.
    pub program: Option<Vec<u8>>,
    /// `_PID`: its process.
    pub pid: Option<u32>,
    /// `_MACHINE_ID`: the machine on which it was sent.
    pub machine: Option<u128>,
    /// Whether `_TRANSPORT` is `driver`: the journal speaks of itself, which nobody else can make it do.
    pub is_own: bool,
    /// `N_DROPPED`: so many messages the journal refused to take.
    pub dropped: Option<u64>,
}

/// Reads entries.
#[derive(Debug, Default)]
pub struct ExportReader {
    state: State,
    /// The unfinished line or value, up to a bound.
    held: Vec<u8>,
    /// How long it is in truth.
    length: usize,
    entry: Entry,
}

#[derive(Debug, Default)]
enum State {
    /// In a line.
    #[default]
    Line,
    /// In the eight bytes that tell the length of this field.
    Length(Vec<u8>),
    /// In the value of this field, of which so many bytes are to come.
    Value(Vec<u8>, u64),
    /// Before the LF after a value.
    After,
}

impl ExportReader {
    /// Takes the next chunk and gives each entry that it finishes.
    pub fn feed(&mut self, chunk: &[u8], mut each: impl FnMut(&Entry)) {
        let mut rest = chunk;
        while !rest.is_empty() {
            rest = match std::mem::take(&mut self.state) {
                State::Line => self.line(rest, &mut each),
                State::Length(name) => self.length(name, rest),
                State::Value(name, left) => self.value(name, left, rest),
                State::After => rest.get(1..).unwrap_or_default(),
            };
        }
    }

    fn line<'c>(&mut self, rest: &'c [u8], each: &mut impl FnMut(&Entry)) -> &'c [u8] {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            self.hold(rest);
            return &[];
        };
        let (line, after) = rest.split_at(end);
        self.hold(line);
        let (line, length) = self.release();
        if line.is_empty() {
            let entry = std::mem::take(&mut self.entry);
            // Empty lines may also stand between entries.
            if entry != Entry::default() {
                each(&entry);
            }
        } else if let Some(equals) = memchr::memchr(b'=', &line) {
            let (name, value) = line.split_at(equals);
            self.entry.set(name, value.get(1..).unwrap_or_default(), length - equals - 1);
        } else {
            self.state = State::Length(line);
        }
        after.get(1..).unwrap_or_default()
    }

    fn length<'c>(&mut self, name: Vec<u8>, rest: &'c [u8]) -> &'c [u8] {
        let (taken, after) = rest.split_at(rest.len().min(8 - self.held.len()));
        self.hold(taken);
        self.state = match <[u8; 8]>::try_from(self.held.as_slice()) {
            Ok(length) => {
                self.release();
                match u64::from_le_bytes(length) {
                    0 => {
                        self.entry.set(&name, &[], 0);
                        State::After
                    }
                    left => State::Value(name, left),
                }
            }
            Err(_) => State::Length(name),
        };
        after
    }

    fn value<'c>(&mut self, name: Vec<u8>, left: u64, rest: &'c [u8]) -> &'c [u8] {
        let (taken, after) = rest.split_at(usize::try_from(left).map_or(rest.len(), |n| n.min(rest.len())));
        self.hold(taken);
        let left = left - taken.len() as u64;
        if left > 0 {
            self.state = State::Value(name, left);
        } else {
            let (value, length) = self.release();
            self.entry.set(&name, &value, length);
            self.state = State::After;
        }
        after
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = FIELD_BYTES_MAX.saturating_sub(self.held.len());
        self.held.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.length = self.length.saturating_add(bytes.len());
    }

    fn release(&mut self) -> (Vec<u8>, usize) {
        (std::mem::take(&mut self.held), std::mem::take(&mut self.length))
    }
}

impl Entry {
    /// Of a field that comes twice the first counts: the sender may add fields, the journal's own come before them.
    fn set(&mut self, name: &[u8], value: &[u8], length: usize) {
        match name {
            b"__CURSOR" if self.cursor.is_empty() => {
                self.cursor = String::from_utf8_lossy(value).into_owned();
            }
            b"__REALTIME_TIMESTAMP" => self.taken_us = self.taken_us.or_else(|| number(value)),
            b"_SOURCE_REALTIME_TIMESTAMP" => self.sent_us = self.sent_us.or_else(|| number(value)),
            b"MESSAGE" if self.message.is_none() => {
                self.message = Some(value.get(..LINE_BYTES_MAX).unwrap_or(value).to_vec());
                self.cut = length > LINE_BYTES_MAX;
            }
            b"SYSLOG_IDENTIFIER" if self.program.is_none() => self.program = Some(value.to_vec()),
            b"_PID" => self.pid = self.pid.or_else(|| number(value)),
            b"_MACHINE_ID" => self.machine = self.machine.or_else(|| machine(value)),
            b"_TRANSPORT" => self.is_own |= value == b"driver",
            b"N_DROPPED" => self.dropped = self.dropped.or_else(|| number(value)),
            _ => {}
        }
    }
}

/// The 32 digits that name a machine.
pub(super) fn machine(text: &[u8]) -> Option<u128> {
    u128::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Entry> {
        let (mut reader, mut entries) = (ExportReader::default(), Vec::new());
        for chunk in chunks {
            reader.feed(chunk, |entry| entries.push(entry.clone()));
        }
        entries
    }

    /// A field whose value may hold anything.
    fn binary(name: &str, value: &[u8]) -> Vec<u8> {
        let length = (value.len() as u64).to_le_bytes();
        [name.as_bytes(), b"\n", &length, value, b"\n"].concat()
    }

    #[track_caller]
    fn check(text: &[u8], expected: &[Entry]) {
        assert_eq!(read([text]), expected);
    }

    #[test]
    fn an_entry_has_its_text_fields() {
        let text = b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1795233600000001\n_PID=77\nPRIORITY=6\n\
                     SYSLOG_IDENTIFIER=vpopmail\nMESSAGE=a = b\n\n";
        let entry = Entry {
            cursor: "s=1;i=2".into(),
            taken_us: Some(1_795_233_600_000_001),
            message: Some(b"a = b".to_vec()),
            program: Some(b"vpopmail".to_vec()),
            pid: Some(77),
            ..Entry::default()
        };
        check(text, &[entry]);
    }

    #[test]
    fn a_message_with_line_feeds_stays_one_message() {
        let text = [binary("MESSAGE", b"one\n\n_PID=1\n"), b"_PID=2\n\n".to_vec()].concat();
        let entry = Entry { message: Some(b"one\n\n_PID=1\n".to_vec()), pid: Some(2), ..Entry::default() };
        check(&text, &[entry]);
        check(
            &[binary("MESSAGE", b""), b"\n".to_vec()].concat(),
            &[Entry { message: Some(vec![]), ..Entry::default() }],
        );
    }

    #[test]
    fn the_first_of_two_messages_counts() {
        let entry = Entry { message: Some(b"1".to_vec()), ..Entry::default() };
        check(b"MESSAGE=1\nMESSAGE=2\n\n\n", &[entry]);
    }

    #[test]
    fn a_long_message_is_cut_and_the_next_entry_is_whole() {
        for long in [vec![b'x'; LINE_BYTES_MAX + 1], vec![b'\n'; 1 << 20]] {
            let field = if long.contains(&b'\n') {
                binary("MESSAGE", &long)
            } else {
                [b"MESSAGE=", long.as_slice(), b"\n"].concat()
            };
            let text = [field, b"\nMESSAGE=next\n\n".to_vec()].concat();
            let entries = read(text.chunks(1000));
            assert_eq!(entries.len(), 2);
            assert!(entries[0].cut && entries[0].message.as_ref().unwrap().len() == LINE_BYTES_MAX);
            assert_eq!(entries[1], Entry { message: Some(b"next".to_vec()), ..Entry::default() });
        }
    }

    proptest! {
        #[test]
        fn chunking_makes_no_difference(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            size in 1usize..40,
        ) {
            let entry = |(n, message): (usize, &Vec<u8>)| {
                [format!("__CURSOR={n}\n").into_bytes(), binary("MESSAGE", message), b"\n".to_vec()].concat()
            };
            let text: Vec<u8> = messages.iter().enumerate().flat_map(entry).collect();
            let entries = read(text.chunks(size));
            let read: Vec<Vec<u8>> = entries.into_iter().filter_map(|entry| entry.message).collect();
            prop_assert_eq!(read, messages);
        }

        #[test]
        fn no_bytes_can_harm_it(bytes in prop::collection::vec(any::<u8>(), 0..300), size in 1usize..40) {
            prop_assert_eq!(read(bytes.chunks(size)), read([bytes.as_slice()]));
        }
    }
}
