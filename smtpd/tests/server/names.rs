//! A name server with a handful of records.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};

pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
}

const A: u16 = 1;
const MX: u16 = 15;
const TXT: u16 = 16;

impl NameServer {
    /// Answers MX questions from `exchangers`, A questions from `addresses` and TXT questions from `texts`; no other
    /// name exists.
    pub(crate) fn start(
        exchangers: &[(&str, &str)],
        addresses: &[(&str, [u8; 4])],
        texts: &[(&str, &str)],
    ) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let mut records: HashMap<(Vec<u8>, u16), Vec<u8>> = HashMap::new();
        for (name, host) in exchangers {
            records.insert((wire(name), MX), [&[0, 10], wire(host).as_slice()].concat());
        }
        for (name, address) in addresses {
            records.insert((wire(name), A), address.to_vec());
        }
        for (name, text) in texts {
            let strings = text.as_bytes().chunks(255);
            let strings =
                strings.flat_map(|string| [&[u8::try_from(string.len()).unwrap()], string].concat());
            records.insert((wire(name), TXT), strings.collect());
        }
        std::thread::spawn(move || {
            let mut packet = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut packet) {
                let reply = answer(&packet[..length], &records);
                socket.send_to(&reply, client).unwrap();
            }
        });
        NameServer { address }
    }
}

/// A name in labels, in lower case.
fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> =
        labels.flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat()).collect();
    bytes.push(0);
    bytes
}

fn answer(query: &[u8], records: &HashMap<(Vec<u8>, u16), Vec<u8>>) -> Vec<u8> {
    let question = &query[12..];
    let end = question.iter().position(|&b| b == 0).unwrap() + 1;
    let name = question[..end].to_ascii_lowercase();
    let kind = u16::from_be_bytes([question[end], question[end + 1]]);
    let known = records.keys().any(|(other, _)| *other == name);
    let record = records.get(&(name, kind));
    let code = if known { 0 } else { 3 };
    let count = u8::from(record.is_some());
    let mut reply =
        [&query[..2], &[0x85, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0], &question[..end + 4]].concat();
    if let Some(data) = record {
        let length = u16::try_from(data.len()).unwrap().to_be_bytes();
        reply.extend([&[0xc0, 12][..], &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 60], &length, data].concat());
    }
    reply
}
