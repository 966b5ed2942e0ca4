//! Reading a line from left to right. Each step takes what it names or refuses the line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr as _;

/// What is left of a line. Every method consumes from the front and gives `None` where the line is another's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan<'a>(pub(crate) &'a [u8]);

impl<'a> Scan<'a> {
    /// Takes `literal`.
    pub(crate) fn literal(&mut self, literal: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(literal)?;
        Some(())
    }

    /// Takes everything before `delimiter`, and the delimiter itself.
    pub(crate) fn until(&mut self, delimiter: u8) -> Option<&'a [u8]> {
        let at = memchr::memchr(delimiter, self.0)?;
        let (field, rest) = self.0.split_at_checked(at)?;
        self.0 = rest.get(1..)?;
        Some(field)
    }

    /// Takes everything before `literal`, and the literal itself.
    pub(crate) fn until_literal(&mut self, literal: &[u8]) -> Option<&'a [u8]> {
        let at = memchr::memmem::find(self.0, literal)?;
        let (field, rest) = self.0.split_at_checked(at)?;
        self.0 = rest.get(literal.len()..)?;
        Some(field)
    }

    /// Takes a decimal number and the byte after it, which must be `delimiter`.
    pub(crate) fn number<N: TryFrom<u64>>(&mut self, delimiter: u8) -> Option<N> {
        number(self.until(delimiter)?)
    }

    /// Takes the rest of the line as a decimal number.
    pub(crate) fn last_number<N: TryFrom<u64>>(&mut self) -> Option<N> {
        number(std::mem::take(&mut self.0))
    }
}

/// What stands before and after the first `word`.
pub(crate) fn split_once<'a>(text: &'a [u8], word: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memchr::memmem::find(text, word)?;
    Some((text.get(..at)?, text.get(at + word.len()..)?))
}

/// What stands before and after the last `word`.
pub(crate) fn rsplit_once<'a>(text: &'a [u8], word: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memchr::memmem::rfind(text, word)?;
    Some((text.get(..at)?, text.get(at + word.len()..)?))
}

/// What stands before and after `word`, where it stands only once.
pub(crate) fn split_only<'a>(text: &'a [u8], word: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (before, after) = split_once(text, word)?;
    memchr::memmem::find(after, word).is_none().then_some((before, after))
}

/// Reads decimal digits and nothing else: no sign, no space.
pub(crate) fn number<N: TryFrom<u64>>(digits: &[u8]) -> Option<N> {
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    });
    N::try_from(number?).ok()
}

/// Reads an IPv4 or IPv6 address. IPv4 is read by hand: it is nearly all that stands in a log.
pub fn address(text: &[u8]) -> Option<IpAddr> {
    match ipv4(text) {
        Some(address) => Some(IpAddr::V4(address)),
        None => Ipv6Addr::from_str(std::str::from_utf8(text).ok()?).ok().map(IpAddr::V6),
    }
}

fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    // Each octet as it grows, with the number of its digits.
    let (mut octets, mut octet, mut digits, mut dots) = (0u32, 0u32, 0u32, 0u32);
    for byte in text {
        if let digit @ 0..=9 = byte.wrapping_sub(b'0') {
            // No octet begins with a zero, but that which is one.
            if digits == 3 || (digits > 0 && octet == 0) {
                return None;
            }
            octet = octet * 10 + u32::from(digit);
            digits += 1;
        } else if *byte == b'.' && digits > 0 && octet <= 255 && dots < 3 {
            octets = octets << 8 | octet;
            (octet, digits, dots) = (0, 0, dots + 1);
        } else {
            return None;
        }
    }
    (dots == 3 && digits > 0 && octet <= 255).then(|| Ipv4Addr::from_bits(octets << 8 | octet))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn addresses_are_read_as_the_standard_library_reads_them(text in "[0-9.]{0,16}|[0-9a-f:.]{0,40}") {
            prop_assert_eq!(address(text.as_bytes()), text.parse().ok());
        }

        #[test]
        fn every_address_is_read(address_: IpAddr) {
            prop_assert_eq!(address(address_.to_string().as_bytes()), Some(address_));
        }
    }
}
