//! Delivery to another host, one recipient a connection, with TLS where the host offers it (RFC 7435: what is encrypted
//! to an unknown host is still better than what is not).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::dsn::Wish;
use crate::queue::dispatch::{Job, Outcome};
use crate::queue::reply::{Reply, WireForm};
use crate::queue::route::{NoRoute, Router};

/// qmail's timeoutconnect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest wait for a reply, or for the other host to take a piece (RFC 5321 §4.5.3.2).
const REPLY_TIMEOUT: Duration = Duration::from_secs(300);

/// Longest wait for the reply to a whole message (RFC 5321 §4.5.3.2.6).
const END_TIMEOUT: Duration = Duration::from_secs(600);

const CHUNK_BYTES: usize = 64 * 1024;

/// Delivers to other hosts.
#[derive(Debug)]
pub(super) struct Remote {
    router: Router,
    hostname: String,
    tls: Arc<ClientConfig>,
}

/// How a conversation with one address went wrong.
#[derive(Debug)]
enum Trouble {
    /// No conversation: another address may do.
    NoConnection,
    /// TLS failed: the same address may do without.
    Tls,
    /// It ended here, with what the other host said or did not.
    Ended(Outcome),
}

/// Of what the other host tells the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telling {
    /// Of what the sender wants to hear of.
    OfDeliveries,
    /// It offers no DSN.
    OfFailures,
}

/// Whether STARTTLS is taken where it is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encrypt {
    Opportunistic,
    Never,
}

impl Remote {
    pub(super) fn new(router: Router, hostname: &str) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        Ok(Remote { router, hostname: hostname.to_owned(), tls: Arc::new(config) })
    }

    /// Delivers one message to one recipient, with `signature` in front of it.
    pub(super) async fn deliver(&self, job: &Job, signature: &[u8], text: std::fs::File) -> Outcome {
        let addresses = match self.router.route(&job.recipient.host()).await {
            Ok(addresses) => addresses,
            Err(no_route) => return unreachable(no_route, job.recipient.domain()),
        };
        let text = tokio::fs::File::from_std(text);
        for address in addresses {
            let mut encrypt = Encrypt::Opportunistic;
            loop {
                let Ok(text) = text.try_clone().await else {
                    return Outcome::Deferred("Unable to read the message. (#4.3.0)".to_owned());
                };
                match self.deliver_to(address, job, (signature, text), encrypt).await {
                    Ok(telling) => {
                        let report = format!("{} accepted message.", address.ip());
                        return match telling {
                            Telling::OfDeliveries => Outcome::Passed(report),
                            Telling::OfFailures => Outcome::Relayed(report),
                        };
                    }
                    Err(Trouble::Ended(outcome)) => return outcome,
                    Err(Trouble::Tls) if encrypt == Encrypt::Opportunistic => encrypt = Encrypt::Never,
                    Err(Trouble::NoConnection | Trouble::Tls) => break,
                }
            }
        }
        Outcome::Deferred("Sorry, I wasn't able to establish an SMTP connection. (#4.4.1)".to_owned())
    }

    async fn deliver_to(
        &self,
        address: SocketAddr,
        job: &Job,
        text: (&[u8], tokio::fs::File),
        encrypt: Encrypt,
    ) -> Result<Telling, Trouble> {
        let Ok(Ok(stream)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await else {
            return Err(Trouble::NoConnection);
        };
        let mut talk = Talk { stream, address, unread: Vec::new(), said_dot: false };
        let greeting = talk.reply(REPLY_TIMEOUT).await?;
        if !greeting.is_positive() {
            // It may be one busy host of many.
            return Err(Trouble::NoConnection);
        }
        let mut hello = talk.command(&format!("EHLO {}", self.hostname)).await?;
        if !hello.is_positive() {
            hello = talk.command(&format!("HELO {}", self.hostname)).await?;
        }
        if encrypt == Encrypt::Never || !hello.offers(b"STARTTLS") {
            return talk.send(job, text, &hello).await;
        }
        if !talk.command("STARTTLS").await?.is_positive() {
            return Err(Trouble::Tls);
        }
        let name = ServerName::IpAddress(address.ip().into());
        let tls = TlsConnector::from(Arc::clone(&self.tls));
        let Ok(Ok(stream)) = timeout(REPLY_TIMEOUT, tls.connect(name, talk.stream)).await else {
            return Err(Trouble::Tls);
        };
        let mut talk = Talk { stream, address, unread: Vec::new(), said_dot: false };
        let hello = talk.command(&format!("EHLO {}", self.hostname)).await?;
        talk.send(job, text, &hello).await
    }
}

/// A conversation.
struct Talk<S> {
    stream: S,
    address: SocketAddr,
    unread: Vec<u8>,
    /// The whole message is over there, so an end without a word may still be a delivery.
    said_dot: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    async fn send(
        &mut self,
        job: &Job,
        (signature, mut text): (&[u8], tokio::fs::File),
        hello: &Reply,
    ) -> Result<Telling, Trouble> {
        let ip = self.address.ip();
        if job.smtputf8 && !hello.offers(b"SMTPUTF8") {
            let report = format!("{ip} takes no mail with addresses beyond ASCII. (#5.6.7)");
            return Err(Trouble::Ended(Outcome::Failed(report)));
        }
        let reply = self.command(&mail_command(job, hello)).await?;
        self.accepted(&reply, &format!("Connected to {ip} but sender was rejected."))?;
        let reply = self.command(&rcpt_command(job, hello)).await?;
        self.accepted(&reply, &format!("{ip} does not like recipient."))?;
        let reply = self.command("DATA").await?;
        self.accepted(&reply, &format!("{ip} failed on DATA command."))?;
        let mut form = WireForm::after_data();
        // No line of a signature begins with a dot, and each ends in CR LF.
        let (mut stored, mut wire) = (vec![0; CHUNK_BYTES], signature.to_vec());
        loop {
            let read = text.read(&mut stored).await;
            let Ok(length) = read else {
                return Err(Trouble::Ended(Outcome::Deferred(
                    "Unable to read the message. (#4.3.0)".to_owned(),
                )));
            };
            if length == 0 {
                break;
            }
            form.put(stored.get(..length).unwrap_or_default(), &mut wire);
            self.write(&wire).await?;
            wire.clear();
        }
        form.end(&mut wire);
        self.said_dot = true;
        self.write(&wire).await?;
        let reply = self.reply(END_TIMEOUT).await?;
        self.accepted(&reply, &format!("{ip} failed after I sent the message."))?;
        // It has the message; whether it hears the farewell changes nothing.
        let _ = timeout(Duration::from_secs(1), self.stream.write_all(b"QUIT\r\n")).await;
        Ok(if hello.offers(b"DSN") { Telling::OfDeliveries } else { Telling::OfFailures })
    }

    /// A refusal ends the conversation, in qmail-remote's words.
    fn accepted(&self, reply: &Reply, sentence: &str) -> Result<(), Trouble> {
        if reply.is_positive() {
            return Ok(());
        }
        let mut text = format!("{sentence}\nRemote host said: {}", String::from_utf8_lossy(&reply.text));
        if reply.is_temporary() {
            return Err(Trouble::Ended(Outcome::Deferred(text)));
        }
        text += &format!("\nGiving up on {}.", self.address.ip());
        Err(Trouble::Ended(Outcome::Failed(text)))
    }

    async fn command(&mut self, command: &str) -> Result<Reply, Trouble> {
        self.write(format!("{command}\r\n").as_bytes()).await?;
        self.reply(REPLY_TIMEOUT).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let written = timeout(REPLY_TIMEOUT, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(self.died()),
        }
    }

    async fn reply(&mut self, patience: Duration) -> Result<Reply, Trouble> {
        let read = timeout(patience, async {
            loop {
                match Reply::take(&mut self.unread) {
                    Ok(Some(reply)) => return Some(reply),
                    Ok(None) => {}
                    Err(_) => return None,
                }
                if self.stream.read_buf(&mut self.unread).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        });
        match read.await {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) | Err(_) => Err(self.died()),
        }
    }

    fn died(&self) -> Trouble {
        let twice = if self.said_dot { " Possible duplicate!" } else { "" };
        let text = format!("Connected to {} but connection died.{twice} (#4.4.2)", self.address.ip());
        Trouble::Ended(Outcome::Deferred(text))
    }
}

fn mail_command(job: &Job, hello: &Reply) -> String {
    let sender = job.sender.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut command = format!("MAIL FROM:<{sender}>");
    if hello.offers(b"8BITMIME") {
        command += " BODY=8BITMIME";
    }
    if job.smtputf8 {
        command += " SMTPUTF8";
    }
    if hello.offers(b"DSN") {
        command += &job.ret.map(|ret| format!(" RET={}", ret.name())).unwrap_or_default();
        command += &job.envid.as_ref().map(|envid| format!(" ENVID={envid}")).unwrap_or_default();
    }
    command
}

fn rcpt_command(job: &Job, hello: &Reply) -> String {
    let mut command = format!("RCPT TO:<{}>", job.recipient);
    if hello.offers(b"DSN") {
        let Wish { notify, original } = &job.wish;
        command += &notify.map(|notify| format!(" NOTIFY={notify}")).unwrap_or_default();
        command += &original.as_ref().map(|original| format!(" ORCPT={original}")).unwrap_or_default();
    }
    command
}

fn unreachable(no_route: NoRoute, domain: &str) -> Outcome {
    match no_route {
        NoRoute::NoHost => {
            Outcome::Failed(format!("Sorry, I couldn't find any host named {domain}. (#5.1.2)"))
        }
        NoRoute::NullMx => Outcome::Failed(format!("Sorry, {domain} takes no mail. (#5.1.10)")),
        NoRoute::Myself => Outcome::Failed(format!(
            "Sorry. Although I'm listed as a best-preference MX for {domain}, it isn't in my list of domains, \
             so I don't treat it as local. (#5.4.6)"
        )),
        NoRoute::Temporary => Outcome::Deferred("CNAME lookup failed temporarily. (#4.4.3)".to_owned()),
    }
}

/// Takes every certificate, but not a handshake that was not made with it.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
