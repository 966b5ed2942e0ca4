//! SCRAM-SHA-256, the server's half (RFC 5802, RFC 7677): no I/O, no randomness, no clock.
//!
//! Neither side sends the password, and what the server keeps does not let anybody log in. A guess against a stolen
//! file costs only so many rounds of SHA-256, though, where argon2id costs memory: the file keeps a credential for SCRAM
//! only where SCRAM is switched on. Names and passwords are taken byte by byte, without SASLprep.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

/// Rounds of a new credential. The client works them off at each login, the server only when the password is set.
pub const ITERATIONS: u32 = 50_000;

/// Bytes of a new salt.
pub const SALT_BYTES: usize = 16;

/// More rounds than this are a typing error that would stop a client for minutes.
const ITERATIONS_MAX: u32 = 10_000_000;

/// Bytes of a client's part of the nonce. RFC 5802 names no limit; clients send 24 to 44.
const NONCE_BYTES_MAX: usize = 256;

const PREFIX: &str = "{SCRAM-SHA-256}";

type Key = [u8; 32];

/// What the server keeps of a password, in Dovecot's form: `{SCRAM-SHA-256}ROUNDS,SALT,STOREDKEY,SERVERKEY`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Key,
    server_key: Key,
}

/// The text is no credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SCRAM-SHA-256 credential")]
pub struct NotACredential;

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|bytes| STANDARD.encode(bytes));
        write!(f, "{PREFIX}{},{salt},{stored},{server}", self.iterations)
    }
}

impl FromStr for Credential {
    type Err = NotACredential;

    fn from_str(text: &str) -> Result<Self, NotACredential> {
        let mut parts = text.strip_prefix(PREFIX).ok_or(NotACredential)?.split(',');
        let mut next = || parts.next().ok_or(NotACredential);
        let iterations: u32 = next()?.parse().map_err(|_| NotACredential)?;
        let mut bytes = || STANDARD.decode(next()?).map_err(|_| NotACredential);
        let (salt, stored, server) = (bytes()?, bytes()?, bytes()?);
        let key = |bytes: Vec<u8>| Key::try_from(bytes).map_err(|_| NotACredential);
        if !(1..=ITERATIONS_MAX).contains(&iterations) || salt.is_empty() {
            return Err(NotACredential);
        }
        Ok(Credential { iterations, salt, stored_key: key(stored)?, server_key: key(server)? })
    }
}

impl Credential {
    /// Makes one of a password. Takes as long as so many rounds of SHA-256 take, twice.
    pub fn new(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let salted = salted(password, salt, iterations);
        let stored_key = Sha256::digest(hmac(&salted, &[b"Client Key"])).into();
        Credential {
            iterations,
            salt: salt.to_vec(),
            stored_key,
            server_key: hmac(&salted, &[b"Server Key"]),
        }
    }

    /// The credential of a user that does not exist: nobody's password fits it, and nobody can tell, for the same name
    /// always has the same salt.
    pub fn of_nobody(secret: &[u8], user: &[u8], like: Option<&Credential>) -> Self {
        let part = |what: &[u8]| hmac(secret, &[what, b"\0", user]);
        let (iterations, salt_bytes) =
            like.map_or((ITERATIONS, SALT_BYTES), |c| (c.iterations, c.salt.len()));
        let salt = part(b"salt").get(..salt_bytes.min(32)).unwrap_or_default().to_vec();
        Credential { iterations, salt, stored_key: part(b"stored"), server_key: part(b"server") }
    }

    /// Whether it was made of this password.
    pub fn is_of(&self, password: &[u8]) -> bool {
        is_same(&Credential::new(password, &self.salt, self.iterations).stored_key, &self.stored_key)
    }
}

/// What a client's first message asks of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Nothing.
    None,
    /// Nothing, because it believes that the server can bind to none.
    NotOffered,
    /// RFC 9266.
    TlsExporter,
    /// RFC 5929 §4.
    TlsServerEndPoint,
}

/// A client's first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFirst {
    /// Who it says it is.
    pub user: Vec<u8>,
    /// What the proof is to be bound to.
    pub binding: Binding,
    /// Up to and with the second comma.
    header: Vec<u8>,
    /// Behind it.
    bare: Vec<u8>,
    nonce: Vec<u8>,
}

impl ClientFirst {
    /// Reads the message; `None` where it is none. Acting for another is not offered, so an authzid must name the user.
    pub fn parse(message: &[u8]) -> Option<Self> {
        let mut commas = memchr::memchr_iter(b',', message);
        let (first, second) = (commas.next()?, commas.next()?);
        let flag = message.get(..first)?;
        let acting_as = message.get(first + 1..second)?;
        let (header, bare) = message.split_at_checked(second + 1)?;
        let binding = match flag {
            b"n" => Binding::None,
            b"y" => Binding::NotOffered,
            b"p=tls-exporter" => Binding::TlsExporter,
            b"p=tls-server-end-point" => Binding::TlsServerEndPoint,
            _ => return None,
        };
        let mut parts = bare.split(|&b| b == b',');
        let user = name(parts.next()?.strip_prefix(b"n=")?)?;
        let nonce = parts.next()?.strip_prefix(b"r=")?.to_vec();
        let acting_as = match acting_as {
            // Some clients say that they act for nobody by naming nobody.
            b"" | b"a=" => None,
            given => Some(name(given.strip_prefix(b"a=")?)?),
        };
        let is_itself = acting_as.is_none_or(|other| other.eq_ignore_ascii_case(&user));
        let is_nonce =
            !nonce.is_empty() && nonce.len() <= NONCE_BYTES_MAX && nonce.iter().all(u8::is_ascii_graphic);
        (is_itself && is_nonce && !user.is_empty()).then(|| ClientFirst {
            user,
            binding,
            header: header.to_vec(),
            bare: bare.to_vec(),
            nonce,
        })
    }

    /// The server's first message. `fresh` has never been used before and cannot be guessed; `bound` is what the
    /// connection is known by, where the client asked for that.
    pub fn answer(self, credential: Credential, fresh: &[u8], bound: &[u8]) -> (Exchange, String) {
        let nonce = format!("{}{}", String::from_utf8_lossy(&self.nonce), STANDARD.encode(fresh));
        let message =
            format!("r={nonce},s={},i={}", STANDARD.encode(&credential.salt), credential.iterations);
        let said = [&self.bare[..], b",", message.as_bytes(), b","].concat();
        let bound = [&self.header[..], bound].concat();
        (Exchange { user: self.user, credential, nonce, bound, said }, message)
    }
}

/// An exchange that waits for the client's proof.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Who the client says it is.
    pub user: Vec<u8>,
    credential: Credential,
    nonce: String,
    /// What the client must have put into its proof of the connection.
    bound: Vec<u8>,
    /// What both have said so far.
    said: Vec<u8>,
}

/// How a proof was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It is right; this proves to the client that the server knows the user too.
    Right(String),
    /// It is wrong, or of another exchange or connection.
    Wrong,
    /// It is no proof.
    Malformed,
}

impl Exchange {
    /// Reads the client's last message.
    pub fn judge(&self, message: &[u8]) -> Proof {
        let Some((without_proof, proof)) = split_proof(message) else {
            return Proof::Malformed;
        };
        let mut parts = without_proof.split(|&b| b == b',');
        let bound = parts.next().and_then(|part| STANDARD.decode(part.strip_prefix(b"c=")?).ok());
        let nonce = parts.next().and_then(|part| part.strip_prefix(b"r="));
        let (Some(bound), Some(nonce)) = (bound, nonce) else {
            return Proof::Malformed;
        };
        let said = [&self.said[..], without_proof].concat();
        let signature = hmac(&self.credential.stored_key, &[&said]);
        let mut client_key = proof;
        client_key.iter_mut().zip(signature).for_each(|(byte, other)| *byte ^= other);
        let is_known = is_same(&Sha256::digest(client_key).into(), &self.credential.stored_key);
        if !is_known || bound != self.bound || nonce != self.nonce.as_bytes() {
            return Proof::Wrong;
        }
        Proof::Right(format!("v={}", STANDARD.encode(hmac(&self.credential.server_key, &[&said]))))
    }
}

fn split_proof(message: &[u8]) -> Option<(&[u8], Key)> {
    let at = memchr::memmem::rfind(message, b",p=")?;
    let proof = STANDARD.decode(message.get(at + 3..)?).ok()?;
    Some((message.get(..at)?, Key::try_from(proof).ok()?))
}

/// `saslname`: a comma is `=2C`, an equals sign `=3D`.
fn name(text: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match (byte, tail) {
            (b'=', [b'2', b'C', tail @ ..]) => {
                name.push(b',');
                tail
            }
            (b'=', [b'3', b'D', tail @ ..]) => {
                name.push(b'=');
                tail
            }
            (b'=' | 0, _) => return None,
            (byte, tail) => {
                name.push(byte);
                tail
            }
        };
    }
    Some(name)
}

/// `Hi` of RFC 5802 §2.2, which is PBKDF2 with one block.
fn salted(password: &[u8], salt: &[u8], iterations: u32) -> Key {
    let mut block = hmac(password, &[salt, &1u32.to_be_bytes()]);
    let mut sum = block;
    for _ in 1..iterations {
        block = hmac(password, &[&block]);
        sum.iter_mut().zip(block).for_each(|(byte, other)| *byte ^= other);
    }
    sum
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// In the same time, wherever they differ.
fn is_same(one: &Key, other: &Key) -> bool {
    one.iter().zip(other).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677 §3.
    fn example() -> (Exchange, String) {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let credential = Credential::new(b"pencil", &salt, 4096);
        let first = ClientFirst::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        let (mut exchange, mut message) = first.answer(credential, b"", b"");
        // The RFC's server chose a nonce that is no base64.
        let theirs = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        message = message.replacen(",s=", &format!("{theirs},s="), 1);
        exchange.nonce += theirs;
        exchange.said = format!("n=user,r=rOprNGfwEbeRWgbNEkqO,{message},").into_bytes();
        (exchange, message)
    }

    #[test]
    fn the_example_of_the_standard_is_right() {
        let (exchange, message) = example();
        assert_eq!(
            message,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let server = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_owned();
        assert_eq!(exchange.judge(last.as_bytes()), Proof::Right(server));
        for (part, other, proof) in [
            ("c=biws", "c=eSws", Proof::Wrong),
            ("$k0,", "$k1,", Proof::Wrong),
            ("p=dH", "p=dI", Proof::Wrong),
            ("p=dH", "p=", Proof::Malformed),
            (",p=", ",q=", Proof::Malformed),
            ("c=", "x=", Proof::Malformed),
        ] {
            assert_eq!(exchange.judge(last.replacen(part, other, 1).as_bytes()), proof, "{other}");
        }
    }

    #[test]
    fn a_first_message_is_read_or_refused() {
        let read =
            |message: &str| ClientFirst::parse(message.as_bytes()).map(|first| (first.user, first.binding));
        assert_eq!(read("n,,n=a=2Cb=3Dc,r=x"), Some((b"a,b=c".to_vec(), Binding::None)));
        assert_eq!(read("y,a=a,n=A,r=x,ext=1"), Some((b"A".to_vec(), Binding::NotOffered)));
        assert_eq!(read("p=tls-exporter,,n=a,r=x"), Some((b"a".to_vec(), Binding::TlsExporter)));
        for wrong in [
            "",
            "n,,",
            "n,,n=a",
            "n,,n=a,r=",
            "n,,m=1,n=a,r=x",
            "n,a=b,n=a,r=x",
            "p=tls-unique,,n=a,r=x",
            "n,,n=a=,r=x",
            "n,,n=,r=x",
            "n,,n=a,r=x y",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_credential_reads_back_equal_and_nobodys_is_always_the_same() {
        let credential = Credential::new(b"secret", b"salt", 10);
        assert_eq!(credential.to_string().parse(), Ok(credential.clone()));
        assert!(credential.is_of(b"secret") && !credential.is_of(b"Secret"));
        for wrong in
            ["", "{SCRAM-SHA-256}", "{SCRAM-SHA-256}0,c2FsdA==,,", "{SCRAM-SHA-256}1,c2FsdA==,AA==,AA=="]
        {
            assert_eq!(wrong.parse::<Credential>(), Err(NotACredential), "{wrong}");
        }
        let nobody = Credential::of_nobody(b"key", b"mallory", Some(&credential));
        assert_eq!((nobody.iterations, nobody.salt.len()), (10, 4));
        assert_eq!(nobody, Credential::of_nobody(b"key", b"mallory", Some(&credential)));
        assert_ne!(nobody.salt, Credential::of_nobody(b"key", b"eve", Some(&credential)).salt);
    }
}
