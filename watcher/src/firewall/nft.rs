//! The words of nf_tables: types of message, attributes, and how a message to our table begins.

use super::netlink::{Answer, Attributes, Messages};

/// The name of our table.
pub(super) const TABLE: &str = "postern";

const NFPROTO_INET: u8 = 1;
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// Every message to nf_tables begins with a `struct nfgenmsg`.
const NFGENMSG: usize = 4;

/// Types of message, `enum nf_tables_msg_types` under our subsystem.
pub(super) mod kind {
    const fn nft(kind: u16) -> u16 {
        super::SUBSYSTEM << 8 | kind
    }
    pub(in crate::firewall) const NEW_TABLE: u16 = nft(0);
    pub(in crate::firewall) const GET_TABLE: u16 = nft(1);
    pub(in crate::firewall) const DELETE_TABLE: u16 = nft(2);
    pub(in crate::firewall) const NEW_CHAIN: u16 = nft(3);
    pub(in crate::firewall) const DELETE_CHAIN: u16 = nft(5);
    pub(in crate::firewall) const NEW_RULE: u16 = nft(6);
    pub(in crate::firewall) const DELETE_RULE: u16 = nft(8);
    pub(in crate::firewall) const NEW_SET: u16 = nft(9);
    pub(in crate::firewall) const GET_SET: u16 = nft(10);
    pub(in crate::firewall) const DELETE_SET: u16 = nft(11);
    pub(in crate::firewall) const NEW_ELEMENT: u16 = nft(12);
    pub(in crate::firewall) const GET_ELEMENT: u16 = nft(13);
    pub(in crate::firewall) const DELETE_ELEMENT: u16 = nft(14);
    pub(in crate::firewall) const GET_GENERATION: u16 = nft(16);
    pub(in crate::firewall) const NEW_OBJECT: u16 = nft(18);
    pub(in crate::firewall) const GET_OBJECT: u16 = nft(19);
    pub(in crate::firewall) const DELETE_OBJECT: u16 = nft(20);
}

/// `NFTA_*` attributes, those that are used.
pub(super) mod attr {
    /// The table's name, in every message.
    pub(in crate::firewall) const TABLE: u16 = 1;
    /// The name of a chain, set or object.
    pub(in crate::firewall) const NAME: u16 = 2;
    pub(in crate::firewall) const TABLE_FLAGS: u16 = 2;
    pub(in crate::firewall) const TABLE_USERDATA: u16 = 6;
    pub(in crate::firewall) const CHAIN_NAME: u16 = 3;
    pub(in crate::firewall) const CHAIN_HOOK: u16 = 4;
    pub(in crate::firewall) const CHAIN_POLICY: u16 = 5;
    pub(in crate::firewall) const CHAIN_TYPE: u16 = 7;
    pub(in crate::firewall) const HOOK_NUMBER: u16 = 1;
    pub(in crate::firewall) const HOOK_PRIORITY: u16 = 2;
    pub(in crate::firewall) const HOOK_DEVICES: u16 = 4;
    pub(in crate::firewall) const DEVICE_NAME: u16 = 1;
    pub(in crate::firewall) const REJECT_TYPE: u16 = 1;
    pub(in crate::firewall) const REJECT_CODE: u16 = 2;
    pub(in crate::firewall) const RULE_CHAIN: u16 = 2;
    pub(in crate::firewall) const RULE_EXPRESSIONS: u16 = 4;
    pub(in crate::firewall) const SET_FLAGS: u16 = 3;
    pub(in crate::firewall) const SET_KEY_TYPE: u16 = 4;
    pub(in crate::firewall) const SET_KEY_LENGTH: u16 = 5;
    pub(in crate::firewall) const SET_DESCRIPTION: u16 = 9;
    pub(in crate::firewall) const SET_ID: u16 = 10;
    pub(in crate::firewall) const SET_SWEEP_INTERVAL: u16 = 12;
    pub(in crate::firewall) const DESCRIPTION_SIZE: u16 = 1;
    pub(in crate::firewall) const GENERATION: u16 = 1;
    pub(in crate::firewall) const ELEMENTS: u16 = 3;
    pub(in crate::firewall) const ELEMENTS_SET_ID: u16 = 4;
    pub(in crate::firewall) const ELEMENT_KEY: u16 = 1;
    pub(in crate::firewall) const ELEMENT_FLAGS: u16 = 3;
    pub(in crate::firewall) const ELEMENT_TIMEOUT: u16 = 4;
    pub(in crate::firewall) const ELEMENT_EXPIRATION: u16 = 5;
    pub(in crate::firewall) const OBJECT_TYPE: u16 = 3;
    pub(in crate::firewall) const OBJECT_DATA: u16 = 4;
    pub(in crate::firewall) const COUNTER_BYTES: u16 = 1;
    pub(in crate::firewall) const COUNTER_PACKETS: u16 = 2;
    pub(in crate::firewall) const LIST_ELEMENT: u16 = 1;
    pub(in crate::firewall) const DATA_VALUE: u16 = 1;
    pub(in crate::firewall) const DATA_VERDICT: u16 = 2;
    pub(in crate::firewall) const EXPRESSION_NAME: u16 = 1;
    pub(in crate::firewall) const EXPRESSION_DATA: u16 = 2;
}

/// Writes a transaction: all of `body`, or nothing of it. No message at all when `body` writes none.
pub(super) fn transaction(messages: &mut Messages, body: impl FnOnce(&mut Messages)) {
    messages.clear();
    messages.message(BATCH_BEGIN, 0, |m| m.raw(&batch_header()));
    let empty = messages.len();
    body(messages);
    if messages.len() == empty {
        return messages.clear();
    }
    // Not the end of the batch: kernels before 6.10 acknowledge none.
    messages.acknowledge();
    messages.message(BATCH_END, 0, |m| m.raw(&batch_header()));
}

fn batch_header() -> [u8; NFGENMSG] {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    [0, 0, high, low]
}

/// Writes a question, and nothing else.
pub(super) fn question(messages: &mut Messages, kind: u16, flags: u16, body: impl FnOnce(&mut Messages)) {
    messages.clear();
    message(messages, kind, flags, body);
    messages.acknowledge();
}

/// Asks how many transactions there have been, of anybody.
pub(super) fn ask_generation(messages: &mut Messages) {
    messages.clear();
    messages.message(kind::GET_GENERATION, 0, |m| m.raw(&[0; NFGENMSG]));
    messages.acknowledge();
}

/// The answer to that.
pub(super) fn generation(answer: &Answer<'_>) -> Option<u32> {
    attributes(answer).find(attr::GENERATION)?.try_into().ok().map(u32::from_be_bytes)
}

/// Writes a message about our table.
pub(super) fn message(m: &mut Messages, kind: u16, flags: u16, body: impl FnOnce(&mut Messages)) {
    m.message(kind, flags, |m| {
        m.raw(&[NFPROTO_INET, 0, 0, 0]);
        m.text(attr::TABLE, format_args!("{TABLE}"));
        body(m);
    });
}

/// True for a message about our table.
pub(super) fn ours(answer: &Answer<'_>) -> bool {
    answer.payload.first() == Some(&NFPROTO_INET) && attributes(answer).text(attr::TABLE) == Some(TABLE)
}

/// The attributes of a message of nf_tables.
pub(super) fn attributes<'a>(answer: &Answer<'a>) -> Attributes<'a> {
    answer.attributes(NFGENMSG)
}
