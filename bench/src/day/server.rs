//! The servers of the day. Ours is its real mind, its real gate and its real blocklist books, in the day's time; the
//! other is a tcpserver with rblsmtpd before the same mind without blocklists, as qmail people run it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Result, anyhow};
use logline::{Fingerprint, Rblsmtpd, Record, Said, SessionId, Text, Timestamp};
use smtpd::blocklist::{Desk, LookUp, Plan, ZoneAnswer};
use smtpd::config::Config;
use smtpd::gate::{Admission, Gate};
use smtpd::session::{
    Ask, CredentialAnswer, Gone, Grant, Input, MailDomain, OpenAnswer, Output, PasswordAnswer, Peer, Policy,
    RecipientAnswer, Service, Session, StoreAnswer,
};

use super::list::{self, List};
use super::traffic::Class;

/// Which server stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// A qmail-smtpd behind tcpserver and rblsmtpd: a query for each connection, and no memory of its own.
    Legacy,
    /// Ours.
    Own,
}

/// How a session went for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was told to come again.
    ComeAgain,
    /// Anything else.
    Done,
}

/// A mail server.
#[derive(Debug)]
pub struct Server {
    make: Make,
    policy: Arc<Policy>,
    gate: Gate,
    desk: Desk,
    /// Passwords that were tried so far: each guess is another one.
    guesses: u16,
    /// What was said of clients, by where it came from.
    pub look_ups: HashMap<&'static str, u32>,
}

/// Who is at the door, and what he wants.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    /// When.
    pub now: Timestamp,
    /// Second of the day.
    pub at: f64,
    /// What he is.
    pub class: Class,
    /// From where.
    pub client: Ipv4Addr,
    /// Whether he asks for somebody who does not exist.
    pub is_lost: bool,
}

impl Visit {
    /// The port that he comes to.
    pub fn port(&self, make: Make) -> u16 {
        match (self.class, make) {
            (Class::Guesser, Make::Own) => 587,
            _ => 25,
        }
    }

    fn commands(&self) -> Vec<String> {
        let recipient = if self.is_lost { "nobody@example.org" } else { "alice@example.org" };
        let mail = [
            "EHLO client.example.net".to_owned(),
            "MAIL FROM:<sender@example.net>".to_owned(),
            format!("RCPT TO:<{recipient}>"),
            "DATA".to_owned(),
            "QUIT".to_owned(),
        ];
        match self.class {
            Class::Guesser => ["EHLO x", "STARTTLS", "EHLO x", "AUTH PLAIN AGFsaWNlAHdyb25n", "QUIT"]
                .map(str::to_owned)
                .to_vec(),
            Class::Legitimate | Class::Bot | Class::Snowshoe => mail.to_vec(),
        }
    }
}

impl Server {
    /// A server with these settings.
    ///
    /// # Errors
    /// They are wrong.
    pub fn new(make: Make, settings: &str) -> Result<Self> {
        let Config { mut policy, connections, .. } = Config::parse("smtpd.toml", settings)
            .map_err(|mistakes| anyhow!("the settings of the day: {mistakes}"))?;
        let desk = Desk::new(&policy.blocklists);
        if make == Make::Legacy {
            policy.blocklists.clear();
        }
        let gate = Gate::new(&policy.hostname, connections);
        Ok(Server { make, policy: Arc::new(policy), gate, desk, guesses: 0, look_ups: HashMap::new() })
    }

    /// The books of the blocklists.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// One session, from its first line to its last.
    ///
    /// # Errors
    /// The list does not answer.
    pub fn serve(&mut self, visit: Visit, list: &mut List, log: &mut dyn FnMut(&Record<'_>)) -> Result<Fate> {
        let local = SocketAddr::from(([192, 0, 2, 25], visit.port(self.make)));
        let remote = SocketAddr::from((visit.client, 40_000));
        let mut facts = Vec::new();
        let admission = self.gate.enter(local, remote, &mut facts);
        facts.drain(..).for_each(|fact| log(&fact));
        let Admission::Admitted(session) = admission else { return Ok(Fate::Done) };
        let service = if visit.port(self.make) == 587 { Service::Submission } else { Service::Smtp };
        let peer = Peer { session, service, tls_available: true, local, remote, grant: Grant::default() };
        let fate = if self.make == Make::Legacy && self.rblsmtpd(visit, session, list, log)? {
            Fate::Done
        } else {
            self.converse(visit, Session::new(Arc::clone(&self.policy), peer, visit.now), list, log)?
        };
        self.gate.leave(session, 0, &mut facts);
        facts.drain(..).for_each(|fact| log(&fact));
        Ok(fate)
    }

    /// rblsmtpd asks before the first word, each time; tells whether the client is listed.
    fn rblsmtpd(
        &mut self,
        visit: Visit,
        pid: SessionId,
        list: &mut List,
        log: &mut dyn FnMut(&Record<'_>),
    ) -> Result<bool> {
        let listed = list.ask(visit.at, visit.client)? != ZoneAnswer::NotListed;
        if listed {
            let said = Said::Delay(Text::from(list::text(&visit.client.to_string())));
            log(&Record::Rblsmtpd(Rblsmtpd { address: visit.client.into(), pid, said }));
        }
        Ok(listed)
    }

    fn converse(
        &mut self,
        visit: Visit,
        mut session: Session,
        list: &mut List,
        log: &mut dyn FnMut(&Record<'_>),
    ) -> Result<Fate> {
        let mut dialogue =
            Dialogue { server: self, visit, list, log, fate: Fate::Done, is_open: true, code: 0 };
        dialogue.feed(&mut session, Input::Connected)?;
        for command in visit.commands() {
            if !dialogue.is_open {
                break;
            }
            dialogue.feed(&mut session, Input::Bytes(format!("{command}\r\n").as_bytes()))?;
            if dialogue.code == 354 {
                dialogue
                    .feed(&mut session, Input::Bytes(b"Message-ID: <1@example.net>\r\n\r\nhello\r\n.\r\n"))?;
            }
        }
        if dialogue.is_open {
            dialogue.feed(&mut session, Input::Gone(Gone::Closed))?;
        }
        Ok(dialogue.fate)
    }

    fn look_up(&mut self, visit: Visit, zone: usize, address: IpAddr, list: &mut List) -> Result<LookUp> {
        let (look_up, how) = match self.desk.plan(visit.now, zone, address) {
            Plan::Answer(LookUp::PutOff) => (LookUp::PutOff, "put off"),
            Plan::Answer(LookUp::NoBudget) => (LookUp::NoBudget, "no budget"),
            Plan::Answer(known) => (known, "remembered"),
            Plan::Ask => {
                let answer = list.ask(visit.at, visit.client)?;
                (self.desk.answered(visit.now, zone, address, &answer), "asked")
            }
        };
        *self.look_ups.entry(how).or_insert(0) += 1;
        Ok(look_up)
    }
}

/// A session and everybody who answers it.
struct Dialogue<'d> {
    server: &'d mut Server,
    visit: Visit,
    list: &'d mut List,
    log: &'d mut dyn FnMut(&Record<'_>),
    fate: Fate,
    is_open: bool,
    /// Of the last reply.
    code: u16,
}

impl Dialogue<'_> {
    fn feed(&mut self, session: &mut Session, input: Input<'_>) -> Result<()> {
        let mut out = Vec::new();
        session.handle(self.visit.now, input, &mut out);
        while !out.is_empty() {
            let mut answer = None;
            for output in out.drain(..) {
                match output {
                    Output::Reply(reply) => self.hear(&reply),
                    Output::Fact(record) => (self.log)(&record),
                    Output::Ask(ask) => answer = Some(self.answer(ask)?),
                    Output::More => answer = Some(Input::Resume),
                    Output::StartTls => answer = Some(Input::TlsDone(Box::default())),
                    Output::Close(_) => self.is_open = false,
                    Output::Body(_) | Output::Discard | Output::Pause(_) => {}
                }
            }
            if let Some(answer) = answer {
                session.handle(self.visit.now, answer, &mut out);
            }
        }
        Ok(())
    }

    fn hear(&mut self, reply: &[u8]) {
        self.code = reply.get(..3).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok()).unwrap_or(0);
        let is_for_greylist = reply.windows(12).any(|words| words == b"do not know ");
        if self.code == 451 && is_for_greylist {
            self.fate = Fate::ComeAgain;
        }
    }

    fn answer(&mut self, ask: Ask) -> Result<Input<'static>> {
        Ok(match ask {
            Ask::Password { .. } => {
                self.server.guesses = self.server.guesses.wrapping_add(1);
                Input::Password(PasswordAnswer::Wrong(Fingerprint(self.server.guesses)))
            }
            Ask::Response { .. } => Input::Password(PasswordAnswer::WrongProof),
            Ask::Credential { .. } => Input::Credential(CredentialAnswer::Unavailable),
            Ask::Recipient(mailbox) if mailbox.local() == "alice" => Input::Recipient(RecipientAnswer::Known),
            Ask::Recipient(_) => Input::Recipient(RecipientAnswer::Unknown),
            Ask::Relayed(_) => Input::Recipient(RecipientAnswer::AnyOfDomain),
            Ask::Blocklist { zone, address } => {
                Input::Blocklist(self.server.look_up(self.visit, zone, address, self.list)?)
            }
            Ask::Inquire(_) => Input::Inquired(smtpd::session::Finding::Domain(MailDomain::Takes)),
            Ask::Open(_) => Input::Opened(OpenAnswer::Open { qp: 77 }),
            Ask::Store => {
                self.server.desk.accepted(self.visit.now, self.visit.client.into());
                Input::Stored(StoreAnswer::Stored)
            }
        })
    }
}
