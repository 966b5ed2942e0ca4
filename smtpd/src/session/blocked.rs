//! A client on a blocklist: asked once a session, and its commands written down for whoever looks for a false alarm.

use logline::{Rbl, RblResult, RblSource, Rblsmtpd, Record, Said, Text, Timestamp};

use crate::blocklist::{Action, Blocklist, Finding, Listing, LookUp, Origin};
use crate::mailbox::Mailbox;
use crate::session::{
    About, Answer, Ask, Command, Output, Refused, Rejection, Session, State, Verdict, Waiting,
};

/// Bytes of a list's text that are used, as in rblsmtpd.
const TEXT_BYTES_MAX: usize = 200;

/// Bytes of commands before the verdict that are kept for the transcript. An honest session needs some two hundred.
const HEARD_BYTES_MAX: usize = 8 * 1024;

/// Lines of them; a session with a hundred recipients has as many and a few more.
const HEARD_LINES_MAX: usize = 200;

/// Stands in a transcript for a line that may be part of a login: a client that is refused AUTH may send user and
/// password all the same.
const NOT_SHOWN: &[u8] = b"(a line after AUTH, not shown)";

/// What the lists said of this client.
#[derive(Debug)]
pub(super) enum Standing {
    /// Nobody was asked; these commands came so far, each with a line feed.
    Unasked(Vec<u8>),
    /// No list has it.
    Clear,
    /// A list has it.
    Listed { action: Action, zone: String, text: String },
}

impl Session {
    /// Notes a command of a listed client, or keeps it until it is known whether the client is one.
    pub(super) fn hear(
        &mut self,
        line: &[u8],
        command: Result<&Command<'_>, &Refused<'_>>,
        out: &mut Vec<Output>,
    ) {
        let is_auth = line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH"));
        let is_unknown = command.is_err_and(|refused| refused.rejection == Rejection::Unrecognized);
        let line = match (is_auth, self.secrets_may_follow && is_unknown) {
            (true, _) => auth_and_mechanism(line),
            (false, true) => NOT_SHOWN,
            (false, false) => line,
        };
        self.secrets_may_follow = is_auth || (self.secrets_may_follow && is_unknown);
        match &mut self.standing {
            Standing::Unasked(heard)
                if !self.policy.blocklists.is_empty()
                    && heard.len() + line.len() < HEARD_BYTES_MAX
                    && memchr::memchr_iter(b'\n', heard).count() < HEARD_LINES_MAX =>
            {
                heard.extend_from_slice(line);
                heard.push(b'\n');
            }
            Standing::Unasked(_) | Standing::Clear => {}
            Standing::Listed { .. } => self.note_said(Said::Command(Text::from(line.to_vec())), out),
        }
    }

    /// A recipient of ours that exists: the lists are asked only now, because a query that a local check saves is a
    /// query that the zone's quota still has.
    pub(super) fn recipient_known(&mut self, mailbox: Mailbox, out: &mut Vec<Output>) {
        match &self.standing {
            _ if self.is_blamed() => self.accept_known(mailbox, out),
            Standing::Unasked(_) if !self.may_relay() => self.ask_zone(mailbox, 0, out),
            Standing::Listed { .. } if !self.may_relay() => self.refuse_listed(mailbox, out),
            Standing::Unasked(_) | Standing::Clear | Standing::Listed { .. } => {
                self.inquire(mailbox, out);
            }
        }
    }

    /// What somebody in front said of the client stands for what the lists would say.
    pub(super) fn take_verdict(&mut self, out: &mut Vec<Output>) {
        let (action, text) = match &self.peer.grant.blocklist {
            None => return,
            Some(Verdict::Pass) => {
                self.standing = Standing::Clear;
                return;
            }
            Some(Verdict::Delay(text)) => (Action::Delay, text),
            Some(Verdict::Reject(text)) => (Action::Reject, text),
        };
        let text = printable(cut(text.as_bytes()));
        self.note_said(verdict(action, &text), out);
        self.standing = Standing::Listed { action, zone: "rblsmtpd".to_owned(), text };
    }

    fn ask_zone(&mut self, mailbox: Mailbox, zone: usize, out: &mut Vec<Output>) {
        if zone < self.policy.blocklists.len() {
            out.push(Output::Ask(Ask::Blocklist { zone, address: self.peer.remote.ip() }));
            self.state = State::Waiting(Waiting::Blocklist { mailbox, zone });
            return;
        }
        match &self.standing {
            Standing::Listed { .. } => self.refuse_listed(mailbox, out),
            Standing::Unasked(_) | Standing::Clear => {
                self.standing = Standing::Clear;
                self.inquire(mailbox, out);
            }
        }
    }

    pub(super) fn zone_answered(
        &mut self,
        now: Timestamp,
        (mailbox, zone): (Mailbox, usize),
        answer: LookUp,
        out: &mut Vec<Output>,
    ) {
        self.since = now;
        let policy = std::sync::Arc::clone(&self.policy);
        let Some(list) = policy.blocklists.get(zone) else {
            return self.inquire(mailbox, out);
        };
        self.note_look_up(list, &answer, out);
        let text = match answer {
            LookUp::Found { finding: Finding::Listed(listing), .. } => listing.text,
            LookUp::PutOff if !matches!(self.standing, Standing::Listed { .. }) => {
                let given = mailbox.to_string();
                let about = About::Recipient { given: given.as_bytes(), ours: Some(true) };
                return self.refuse(Rejection::PutOff, about, out);
            }
            LookUp::Found { .. } | LookUp::NoBudget | LookUp::Resting | LookUp::PutOff => {
                return self.ask_zone(mailbox, zone + 1, out);
            }
        };
        let is_decided = matches!(self.standing, Standing::Listed { .. });
        match list.action() {
            Action::Ignore => return self.ask_zone(mailbox, zone + 1, out),
            Action::Accept if !is_decided => {
                self.standing = Standing::Clear;
                return self.inquire(mailbox, out);
            }
            Action::Accept | Action::Delay | Action::Reject if is_decided => {}
            Action::Accept | Action::Delay | Action::Reject => self.list(list, &text, out),
        }
        if self.is_surveyed() {
            self.ask_zone(mailbox, zone + 1, out);
        } else {
            self.refuse_listed(mailbox, out);
        }
    }

    /// A zone that is left alone for now is asked nothing and said nothing of.
    fn note_look_up(&self, list: &Blocklist, look_up: &LookUp, out: &mut Vec<Output>) {
        let (result, message, source, answer) = match look_up {
            LookUp::Resting | LookUp::PutOff => return,
            LookUp::NoBudget => (RblResult::Quota, Text::default(), RblSource::Query, Vec::new()),
            LookUp::Found { finding, origin } => {
                let source = match origin {
                    Origin::Query => RblSource::Query,
                    Origin::Cache => RblSource::Cache,
                    Origin::Known => RblSource::Known,
                };
                let (result, message) = self.result(list, finding);
                let answer = match finding {
                    Finding::Listed(listing) => listing.codes.clone(),
                    Finding::Clear | Finding::Error(_) => Vec::new(),
                };
                (result, message, source, answer)
            }
        };
        let address = self.peer.remote.ip();
        let query = Text::from(list.shown_query(address));
        let pid = self.peer.session;
        let rbl = Rbl { pid, address, query, result, message, source, answer };
        out.push(Output::Fact(Record::Rbl(rbl)));
    }

    /// What follows from a finding. Nothing more, where another list has decided already.
    fn result(&self, list: &Blocklist, finding: &Finding) -> (RblResult, Text<'static>) {
        let is_decided = matches!(self.standing, Standing::Listed { .. });
        match (finding, list.action()) {
            (Finding::Clear, _) => (RblResult::Pass, Text::default()),
            (Finding::Error(error), _) => (RblResult::DnsError, Text::from(error.clone())),
            (Finding::Listed(Listing { text, .. }), action) => {
                let result = match action {
                    _ if is_decided => RblResult::Ignore,
                    Action::Accept => RblResult::Accept,
                    Action::Ignore => RblResult::Ignore,
                    Action::Delay => RblResult::Delay,
                    Action::Reject => RblResult::Reject,
                };
                (result, Text::from(cut(text).to_vec()))
            }
        }
    }

    /// The client is on a list: the verdict is noted, and all that it said so far.
    fn list(&mut self, list: &Blocklist, text: &[u8], out: &mut Vec<Output>) {
        let text = printable(cut(text));
        let zone = list.shown_zone().to_owned();
        let listed = Standing::Listed { action: list.action(), zone, text: text.clone() };
        let before = std::mem::replace(&mut self.standing, listed);
        self.note_said(verdict(list.action(), &text), out);
        if let Standing::Unasked(heard) = before {
            for line in heard.split_inclusive(|&b| b == b'\n').filter_map(|line| line.strip_suffix(b"\n")) {
                self.note_said(Said::Command(Text::from(line.to_vec())), out);
            }
        }
    }

    /// Whether the other lists are asked too, so that it can be told what each has that no other has.
    fn is_surveyed(&self) -> bool {
        // Sessions are numbered in turn, and a client does not choose its number.
        let every = self.policy.survey_every;
        every != 0 && self.peer.session.0.is_multiple_of(every)
    }

    /// The reply is the list's own text, which tells the sender where to go.
    fn refuse_listed(&mut self, mailbox: Mailbox, out: &mut Vec<Output>) {
        let Standing::Listed { action, zone, text } = &self.standing else {
            return;
        };
        let rejection = match action {
            // A list of the good refuses nobody.
            Action::Accept | Action::Ignore => return,
            Action::Delay => Rejection::RblDelay,
            Action::Reject => Rejection::RblReject,
        };
        let (zone, text) = (zone.clone(), text.clone());
        let given = mailbox.to_string();
        let answer = Answer { text: &text, detail: &zone, ..rejection.answer() };
        if self.is_told_at_data(rejection, answer) {
            return self.accept_known(mailbox, out);
        }
        self.refuse_with(
            rejection,
            answer,
            About::Recipient { given: given.as_bytes(), ours: Some(true) },
            out,
        );
    }

    fn note_said(&self, said: Said<'static>, out: &mut Vec<Output>) {
        let (address, pid) = (self.peer.remote.ip(), self.peer.session);
        out.push(Output::Fact(Record::Rblsmtpd(Rblsmtpd { address, pid, said })));
    }
}

fn verdict(action: Action, text: &str) -> Said<'static> {
    let text = Text::from(text.to_owned());
    match action {
        Action::Delay | Action::Accept | Action::Ignore => Said::Delay(text),
        Action::Reject => Said::Reject(text),
    }
}

/// The first two words: what follows in an AUTH command is a password.
fn auth_and_mechanism(line: &[u8]) -> &[u8] {
    let mut ends = line.iter().enumerate().filter(|(_, byte)| **byte <= b' ').map(|(at, _)| at);
    match ends.nth(1) {
        Some(end) => line.get(..end).unwrap_or_default(),
        None => line,
    }
}

fn cut(text: &[u8]) -> &[u8] {
    text.get(..TEXT_BYTES_MAX).unwrap_or(text)
}

/// A list's text for a reply.
pub(super) fn printable(text: &[u8]) -> String {
    text.iter().map(|&byte| if (0x20..=0x7e).contains(&byte) { char::from(byte) } else { '?' }).collect()
}
