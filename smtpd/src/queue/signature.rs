//! Signs the mail that leaves (DKIM, RFC 6376) in the name of its author's domain, where that is delivered here.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use mail_auth::common::crypto::{Algorithm, RsaKey, Sha256, SigningKey};
use mail_auth::common::headers::{HeaderWriter as _, Writable};
use mail_auth::dkim::DkimSigner;
use mail_parser::{Address, HeaderName, Message, MessageParser};

use crate::config::Dkim;
use crate::dkim;
use crate::header::Header;
use crate::mailbox::Mailbox;
use crate::queue::reply::WireForm;
use crate::session::Policy;
use crate::watched::Watched;

/// Bytes of a header that is read for its author; a message with a longer one leaves unsigned.
const HEADER_BYTES_MAX: usize = 256 * 1024;

const CHUNK_BYTES: usize = 64 * 1024;

/// What is signed (RFC 6376 §5.4.1). A field that a message lacks is signed too, so that nobody can add it;
/// From stands twice, so that nobody can add a second.
const SIGNED: [&str; 14] = [
    "From",
    "From",
    "Reply-To",
    "Sender",
    "Subject",
    "Date",
    "To",
    "Cc",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// Signs messages of the queue.
#[derive(Debug)]
pub(super) struct Signer {
    key: Watched<Key>,
    selector: String,
}

impl Signer {
    pub(super) fn new(dkim: &Dkim) -> Self {
        Signer { key: Watched::new(&dkim.key), selector: dkim.selector.clone() }
    }

    /// The field that goes in front of the message that `text` holds from its position on. It is empty where there is
    /// no key, or where the author's domain is none of those delivered here.
    ///
    /// # Errors
    /// Where the message or the key cannot be read.
    pub(super) fn sign(&self, mut text: &File, policy: &Policy) -> io::Result<Vec<u8>> {
        let Some(key) = self.key.current(|path| dkim::signing_key(path).map(|key| Key(Arc::new(key))))?
        else {
            return Ok(Vec::new());
        };
        let start = text.stream_position()?;
        let Some(domain) = author_domain(text, start)?.filter(|domain| policy.domains.contains(domain))
        else {
            return Ok(Vec::new());
        };
        let signer =
            DkimSigner::from_key(Key::clone(&key)).domain(domain).selector(&self.selector).headers(SIGNED);
        let (mut stream, mut form) = (signer.sign_streaming(), WireForm::plain());
        let (mut stored, mut wire) = (vec![0; CHUNK_BYTES], Vec::new());
        let mut at = start;
        loop {
            wire.clear();
            let length = text.read_at(&mut stored, at)?;
            if length == 0 {
                break;
            }
            at += length as u64;
            form.put(stored.get(..length).unwrap_or_default(), &mut wire);
            stream.write(&wire);
        }
        form.end(&mut wire);
        stream.write(&wire);
        let signature = stream.finish().map_err(io::Error::other)?;
        Ok(signature.to_header().into_bytes())
    }
}

/// A key that many messages are signed with at once.
#[derive(Clone)]
struct Key(Arc<RsaKey<Sha256>>);

/// Tells nothing of it.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl SigningKey for Key {
    type Hasher = Sha256;

    fn sign(&self, input: impl Writable) -> mail_auth::Result<Vec<u8>> {
        self.0.sign(input)
    }

    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }
}

/// The domain of the only author (RFC 5322 §3.6.2), in lower case; with several authors, or none, there is none to sign for.
fn author_domain(text: &File, start: u64) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let mut header = Header::default();
    let mut chunk = vec![0; CHUNK_BYTES];
    let end = loop {
        let length = text.read_at(&mut chunk, start + bytes.len() as u64)?;
        let read = chunk.get(..length).unwrap_or_default();
        bytes.extend_from_slice(read);
        match header.read(read) {
            Some(end) => break bytes.len() - length + end,
            None if length == 0 => break bytes.len(),
            None if bytes.len() >= HEADER_BYTES_MAX => return Ok(None),
            None => {}
        }
    };
    let header =
        MessageParser::new().with_address_headers().parse_headers(bytes.get(..end).unwrap_or_default());
    let fields = header.iter().flat_map(Message::headers);
    let authors =
        fields.filter(|field| field.name == HeaderName::From).filter_map(|field| field.value.as_address());
    let mut authors = authors.flat_map(Address::iter).filter_map(|author| author.address());
    let (author, another) = (authors.next(), authors.next());
    let mailbox = author.filter(|_| another.is_none()).and_then(|author| {
        let (local, domain) = author.rsplit_once('@')?;
        Mailbox::new(local, domain)
    });
    Ok(mailbox.map(|mailbox| mailbox.domain_key()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[track_caller]
    fn check(message: &str, domain: Option<&str>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(format!("before\n{message}").as_bytes()).unwrap();
        assert_eq!(author_domain(&file, 7).unwrap().as_deref(), domain, "{message}");
    }

    #[test]
    fn a_message_is_signed_for_its_only_author() {
        check("From: Alice <alice@Example.ORG>\n\nFrom: x@example.net\n", Some("example.org"));
        check("Subject: x\nFROM : (note)\n \"a@b\" <a@x.example>\n\nbody", Some("x.example"));
        check("From: alice@example.org, bob@example.net\n\n", None);
        check("From: a@example.org\nFrom: b@example.net\n\n", None);
        check("Subject: none\n\nFrom: a@example.org\n", None);
        check("From: alice\n\n", None);
        check("", None);
    }

    #[test]
    fn a_header_without_end_is_not_read_for_its_author() {
        check(&format!("From: a@example.org\nX: {}\n\n", "x".repeat(HEADER_BYTES_MAX)), None);
    }
}
