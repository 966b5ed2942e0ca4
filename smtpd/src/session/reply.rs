//! What a client is told, what its errors cost it, and how a session ends.

use logline::{Found, SmtpdEvent};

use crate::session::{About, Answer, End, Enhanced, Gone, Output, Rejection, Session, State};

impl Session {
    pub(super) fn gone(&mut self, state: &State, gone: Gone, out: &mut Vec<Output>) {
        if let (Gone::Closed, State::Greeting) = (gone, state) {
            self.note_guard(Found::GoneEarly, out);
            return self.close(End::GaveUp, out);
        }
        let event = match (gone, state) {
            (Gone::TlsBroken, _) => SmtpdEvent::TlsError,
            (Gone::Deaf, _) => SmtpdEvent::Timeout,
            (Gone::Closed, State::Auth(_)) => SmtpdEvent::AuthReadFailed,
            (Gone::Closed, _) => SmtpdEvent::ClosedBeforeQuit,
        };
        self.give_up(event, out);
    }

    pub(super) fn timed_out(&mut self, state: &State, out: &mut Vec<Output>) {
        let limits = &self.policy.limits;
        let why = match state {
            State::Data(reception) => reception.deadline(limits).1,
            State::Chunk(chunk) => chunk.deadline(limits).1,
            _ => Rejection::Timeout,
        };
        self.note_event(SmtpdEvent::Timeout, out);
        self.refuse(why, About::Session, out);
        self.close(End::GaveUp, out);
    }

    pub(super) fn give_up(&mut self, event: SmtpdEvent, out: &mut Vec<Output>) {
        self.note_event(event, out);
        self.close(End::GaveUp, out);
    }

    /// Refuses: the fact, then the wait that many errors earn, then the reply.
    pub(super) fn refuse(&mut self, rejection: Rejection, about: About<'_>, out: &mut Vec<Output>) {
        self.refuse_with(rejection, rejection.answer(), about, out);
    }

    /// Refuses with an answer that says more than the rejection itself.
    pub(super) fn refuse_with(
        &mut self,
        rejection: Rejection,
        answer: Answer<'_>,
        about: About<'_>,
        out: &mut Vec<Output>,
    ) {
        self.note_answer(answer, about, out);
        self.count_refusal(rejection);
        let limits = &self.policy.limits;
        let (undelayed, most) = (limits.errors_undelayed, limits.errors_max);
        if rejection.is_error() {
            self.errors = self.errors.saturating_add(1);
            if self.errors > undelayed {
                out.push(Output::Pause(limits.error_pause));
            }
        }
        let Answer { code, enhanced, text, .. } = answer;
        self.say(code, enhanced, text, out);
        if matches!(about, About::Recipient { .. }) && (400..500).contains(&code) && code != 421 {
            self.deferred_recipients = self.deferred_recipients.saturating_add(1);
            if self.deferred_recipients >= self.policy.limits.deferred_recipients_max {
                self.refuse(Rejection::TooManyDeferred, about, out);
                return self.close(End::GaveUp, out);
            }
        }
        if rejection.is_error() && self.errors >= most {
            self.refuse(Rejection::TooManyErrors, About::Session, out);
            self.close(End::GaveUp, out);
        }
    }

    /// One line of reply. Codes below 200 or of the 300s have no enhanced form, nor have greeting and HELO (RFC 2034 §4).
    pub(super) fn say(&self, code: u16, enhanced: &str, text: &str, out: &mut Vec<Output>) {
        let reply = match (self.enhanced, code) {
            (Enhanced::Offered, 200..=299 | 400..=599) => format!("{code} {enhanced} {text}\r\n"),
            _ => format!("{code} {text}\r\n"),
        };
        out.push(Output::Reply(reply.into_bytes()));
    }

    pub(super) fn close(&mut self, end: End, out: &mut Vec<Output>) {
        if !matches!(self.state, State::Closed) {
            self.state = State::Closed;
            self.pending.clear();
            out.push(Output::Close(end));
        }
    }
}
