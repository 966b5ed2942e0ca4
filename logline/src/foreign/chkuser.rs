//! chkuser 2.0.9 as it was published, and as qmailtoaster ships it: the fields stand between colons, without names.

use memchr::memmem;

use crate::foreign::Foreign;
use crate::scan::{self, Scan};
use crate::{Chkuser, ChkuserOutcome, Text};

/// `CHKUSER TITLE: from <SENDER:INFO:MARK> remote <HELO:HOST:IP> rcpt <RCPT> : DESCRIPTION`
pub(super) fn parse(line: &[u8]) -> Option<Foreign<'_>> {
    match published(line) {
        Some(chkuser) => Some(Foreign::Chkuser(chkuser)),
        None => is_doubtful(line).then_some(Foreign::Doubtful),
    }
}

fn published(line: &[u8]) -> Option<Chkuser<'_>> {
    let mut line = Scan(line);
    line.literal(b"CHKUSER ")?;
    let title = line.until_literal(b": from <")?;
    let from = plain(line.until_literal(b"> remote <")?)?;
    let remote = plain(line.until_literal(b"> rcpt <")?)?;
    let recipient = plain(line.until_literal(b"> : ")?)?;
    let outcome = *ChkuserOutcome::ALL
        .iter()
        .find(|o| o.title().as_bytes() == title && o.description().as_bytes() == line.0)?;
    let (from, identify) = scan::rsplit_once(from, b":")?;
    let (sender, auth) = scan::rsplit_once(from, b":")?;
    let (helo, remote_host, address) = remote_end(remote)?;
    Some(Chkuser {
        outcome,
        sender: Text::from(sender),
        auth: Text::from(auth),
        identify: Text::from(identify),
        helo: Text::from(helo),
        remote_host: Text::from(remote_host),
        address,
        recipient: Text::from(recipient),
        pid: None,
    })
}

/// `HELO:HOST:IP`, from its end: a name by reverse look-up holds no colon, an IPv6 address does, and the longest end that
/// is an address is the one that was written.
fn remote_end(remote: &[u8]) -> Option<(&[u8], &[u8], std::net::IpAddr)> {
    let (before, last) = scan::rsplit_once(remote, b":")?;
    if let Some(address) = scan::address(last) {
        let (helo, host) = scan::rsplit_once(before, b":")?;
        return Some((helo, host, address));
    }
    // An address of eight groups holds seven colons; what is before them is no part of it.
    let tail = remote.iter().rev().scan(0, |colons, byte| {
        *colons += usize::from(*byte == b':');
        (*colons <= 8).then_some(())
    });
    let start = remote.len() - tail.count();
    let starts = (start..remote.len()).filter(|at| *at == 0 || remote.get(at - 1) == Some(&b':'));
    for start in starts {
        let (before, text) = remote.split_at_checked(start)?;
        if let Some(address) = scan::address(text) {
            let (helo, host) = scan::rsplit_once(before.strip_suffix(b":")?, b":")?;
            return Some((helo, host, address));
        }
    }
    None
}

/// A field that holds none of the brackets that end one, nor the bar of the shape of today.
fn plain(field: &[u8]) -> Option<&[u8]> {
    memchr::memchr3(b'<', b'>', b'|', field).is_none().then_some(field)
}

/// True for a line of chkuser that holds the words before the address, or those after it, more than once.
fn is_doubtful(line: &[u8]) -> bool {
    line.starts_with(b"CHKUSER ")
        && [&b"remotehostip:"[..], b"> remote <", b"> rcpt <"]
            .iter()
            .any(|word| memmem::find_iter(line, word).nth(1).is_some())
}
