//! How a session begins, and begins anew: the greeting, HELO and EHLO, STARTTLS.

use logline::{Encryption, Timestamp};

use crate::session::{About, Enhanced, Handshake, Output, Rejection, Service, Session, State};

impl Session {
    pub(super) fn connected(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        self.since = now;
        if self.peer.grant.encrypted {
            self.encryption = Some(Encryption::Ssl);
        }
        self.take_verdict(out);
        self.take_word(out);
        match self.peer.service {
            Service::Smtp | Service::Submission => self.greet_in_time(out),
            Service::Smtps => {
                out.push(Output::StartTls);
                self.state = State::Handshake;
            }
        }
    }

    pub(super) fn greet(&self, out: &mut Vec<Output>) {
        let note = self.slowness();
        self.say(220, "2.0.0", &format!("{} ESMTP{note}", self.policy.greeting()), out);
    }

    pub(super) fn helo(&mut self, name: &[u8], out: &mut Vec<Output>) {
        self.enhanced = Enhanced::NotOffered;
        self.begin(name, out);
        self.say(250, "2.0.0", self.policy.greeting(), out);
    }

    /// The order is sagredo's; SIZE is last because old clients look for it there.
    pub(super) fn ehlo(&mut self, name: &[u8], out: &mut Vec<Output>) {
        self.begin(name, out);
        self.enhanced = Enhanced::Offered;
        let mut reply = format!("250-{}\r\n", self.policy.greeting());
        if self.encryption.is_none() && self.peer.tls_available {
            reply.push_str("250-STARTTLS\r\n");
        }
        reply.push_str("250-PIPELINING\r\n250-SMTPUTF8\r\n250-8BITMIME\r\n250-CHUNKING\r\n");
        reply.push_str("250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n");
        if let Some(recipients) = self.recipients_offered() {
            reply.push_str(&format!("250-LIMITS RCPTMAX={recipients}\r\n"));
        }
        if let Some(mechanisms) = self.offered_mechanisms() {
            reply.push_str(&format!("250-AUTH {mechanisms}\r\n"));
        }
        // RFC 1870 §4: 0 is no limit that could be named.
        let size = match self.policy.limits.message_bytes_max {
            u64::MAX => 0,
            size => size,
        };
        reply.push_str(&format!("250 SIZE {size}\r\n"));
        out.push(Output::Reply(reply.into_bytes()));
    }

    /// How many recipients a message may have, whichever limit comes first. None where there are more than LIMITS has
    /// digits for (RFC 9422 §4.2).
    fn recipients_offered(&self) -> Option<usize> {
        const NUMBER_MAX: usize = 999_999;
        let of_session = self.policy.rules.session_recipients_max as usize;
        let of_message = self.policy.limits.recipients_max;
        let least = if of_session == 0 { of_message } else { of_message.min(of_session) };
        (1..=NUMBER_MAX).contains(&least).then_some(least)
    }

    pub(super) fn begin(&mut self, name: &[u8], out: &mut Vec<Output>) {
        self.helo = Some(name.to_vec());
        self.forget_name();
        self.forget_message(out);
    }

    pub(super) fn starttls(&mut self, out: &mut Vec<Output>) {
        if self.encryption.is_some() {
            return self.refuse(Rejection::StarttlsTwice, About::Session, out);
        }
        if !self.peer.tls_available {
            return self.refuse(Rejection::Unimplemented, About::Session, out);
        }
        // What came before the handshake may be another's words: CVE-2011-0411.
        self.pending.clear();
        self.say(220, "2.0.0", "ready for tls", out);
        out.push(Output::StartTls);
        self.state = State::Handshake;
    }

    /// The client proves itself anew after the handshake (RFC 3207 §4.2).
    pub(super) fn encrypted(&mut self, now: Timestamp, handshake: Handshake, out: &mut Vec<Output>) {
        self.handshake = handshake;
        match self.peer.service {
            Service::Smtp | Service::Submission => self.encryption = Some(Encryption::Tls),
            Service::Smtps => {
                self.encryption = Some(Encryption::Ssl);
                self.greet(out);
            }
        }
        self.helo = None;
        self.enhanced = Enhanced::NotOffered;
        self.login = None;
        self.forget_message(out);
        self.last_address = None;
        self.since = now;
    }
}
