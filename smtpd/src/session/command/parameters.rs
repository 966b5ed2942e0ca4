//! What stands behind the address of MAIL and RCPT. A parameter that was not offered is refused, and so is one that is
//! said twice: two readers could each believe another one of them.

use crate::dsn::{self, Notify, Return, Wish};
use crate::session::Rejection;

/// The parameters of MAIL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::session) struct MailParameters {
    /// SIZE.
    pub(in crate::session) size_bytes: Option<u64>,
    /// Whether SMTPUTF8 was said.
    pub(in crate::session) smtputf8: bool,
    /// RET.
    pub(in crate::session) ret: Option<Return>,
    /// ENVID.
    pub(in crate::session) envid: Option<String>,
}

/// Reads the parameters of MAIL.
pub(super) fn mail(text: &[u8]) -> Result<MailParameters, Rejection> {
    let mut parameters = MailParameters::default();
    let (mut body, mut auth) = (None, None);
    for (key, value) in words(text) {
        match key.to_ascii_uppercase().as_slice() {
            b"SIZE" => once(&mut parameters.size_bytes, size(value))?,
            b"RET" => once(&mut parameters.ret, Return::parse(value))?,
            b"ENVID" => once(&mut parameters.envid, dsn::envid(value))?,
            b"SMTPUTF8" if value.is_empty() && !parameters.smtputf8 => parameters.smtputf8 = true,
            b"SMTPUTF8" => return Err(Rejection::Syntax),
            // Messages are passed on as they are, whichever was said; BINARYMIME is not offered.
            b"BODY" if value.eq_ignore_ascii_case(b"7BIT") || value.eq_ignore_ascii_case(b"8BITMIME") => {
                once(&mut body, Some(()))?;
            }
            // RFC 4954 §5: a server that believes no other server's word about a login drops it.
            b"AUTH" => once(&mut auth, (value == b"<>" || dsn::is_xtext(value)).then_some(()))?,
            _ => return Err(Rejection::Parameter),
        }
    }
    Ok(parameters)
}

/// Reads the parameters of RCPT.
pub(super) fn rcpt(text: &[u8]) -> Result<Wish, Rejection> {
    let mut wish = Wish::default();
    for (key, value) in words(text) {
        match key.to_ascii_uppercase().as_slice() {
            b"NOTIFY" => once(&mut wish.notify, Notify::parse(value))?,
            b"ORCPT" => once(&mut wish.original, dsn::original_recipient(value))?,
            _ => return Err(Rejection::Parameter),
        }
    }
    Ok(wish)
}

/// Digits; a number beyond all sizes is that, not a mistake.
pub(super) fn size(digits: &[u8]) -> Option<u64> {
    const DIGITS_MAX: usize = 20;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |size: u64, digit: &u8| size.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(digits.iter().fold(0, add))
}

fn words(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(|&b| b == b' ').filter(|word| !word.is_empty()).map(|word| {
        let equals = memchr::memchr(b'=', word).unwrap_or(word.len());
        let (key, value) = word.split_at_checked(equals).unwrap_or((word, b""));
        (key, value.get(1..).unwrap_or_default())
    })
}

fn once<T>(place: &mut Option<T>, value: Option<T>) -> Result<(), Rejection> {
    if value.is_none() || place.is_some() {
        return Err(Rejection::Syntax);
    }
    *place = value;
    Ok(())
}

#[cfg(test)]
impl std::fmt::Display for MailParameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let MailParameters { size_bytes, smtputf8, ret, envid } = self;
        size_bytes.map_or(Ok(()), |size| write!(f, " size {size}"))?;
        f.write_str(if *smtputf8 { " utf8" } else { "" })?;
        ret.map_or(Ok(()), |ret| write!(f, " ret {}", ret.name()))?;
        envid.as_ref().map_or(Ok(()), |envid| write!(f, " envid {envid}"))
    }
}
