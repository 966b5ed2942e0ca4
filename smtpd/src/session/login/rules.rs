//! Who may log in, how, and what a login is good for.

use std::fmt;

use hmac::{Hmac, Mac as _};
use logline::Mechanism;
use sha2::Sha256;

/// The rules of logins.
#[derive(Clone, Debug)]
pub struct AuthRules {
    /// What is offered, in this order; nothing: no login.
    pub mechanisms: Vec<Mechanism>,
    /// Whether a login is offered without TLS too.
    pub in_clear: bool,
    /// Whether MAIL needs a login on port 25 too.
    pub required: bool,
    /// Whether a client that has logged in may send as nobody else.
    pub own_sender: bool,
    /// What challenges are made of.
    pub nonce_key: NonceKey,
}

impl AuthRules {
    /// qmail's usual rules: LOGIN and PLAIN, under TLS.
    pub fn new(nonce_key: NonceKey) -> Self {
        AuthRules {
            mechanisms: vec![Mechanism::Login, Mechanism::Plain],
            in_clear: false,
            required: false,
            own_sender: false,
            nonce_key,
        }
    }

    /// Takes qmail-smtpd's `SMTPAUTH`: `-` for no login; with `!` a login is required; `cram` is CRAM-MD5 alone, `+cram`
    /// CRAM-MD5 too.
    pub fn set_smtpauth(&mut self, value: &[u8]) {
        if value == b"-" {
            self.mechanisms.clear();
            self.required = false;
            return;
        }
        let (required, value) = match value {
            [b'!', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        self.required = required;
        self.mechanisms = match value {
            b"cram" => vec![Mechanism::CramMd5],
            b"+cram" => vec![Mechanism::Login, Mechanism::Plain, Mechanism::CramMd5],
            _ => vec![Mechanism::Login, Mechanism::Plain],
        };
    }
}

/// A secret of this process. Challenges that are made with it cannot be foretold.
#[derive(Clone)]
pub struct NonceKey([u8; 32]);

impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceKey(..)")
    }
}

impl NonceKey {
    /// A key that nobody knows.
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("a system that runs this program gives random bytes");
        NonceKey(bytes)
    }

    /// A key from random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        NonceKey(bytes)
    }

    /// 18 bytes that only these parts give, and only with this key.
    pub(super) fn derive(&self, parts: &[&[u8]]) -> [u8; 18] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        parts.iter().for_each(|part| mac.update(part));
        let mac: [u8; 32] = mac.finalize().into_bytes().into();
        std::array::from_fn(|at| mac.get(at).copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, mechanisms: &[Mechanism], required: bool) {
        let mut rules = AuthRules::new(NonceKey::new([0; 32]));
        rules.set_smtpauth(value.as_bytes());
        assert_eq!((&rules.mechanisms[..], rules.required), (mechanisms, required), "{value}");
    }

    #[test]
    fn smtpauth_is_read_as_qmail_smtpd_reads_it() {
        use Mechanism::{CramMd5, Login, Plain};
        check("", &[Login, Plain], false);
        check("-", &[], false);
        check("!", &[Login, Plain], true);
        check("cram", &[CramMd5], false);
        check("+cram", &[Login, Plain, CramMd5], false);
        check("!cram", &[CramMd5], true);
        check("!+cram", &[Login, Plain, CramMd5], true);
    }
}
