//! What a listed client said, and what that says about him.

use logline::{Rblsmtpd, Said, Timestamp};

/// So many lines of a session are kept.
const LINES_MAX: usize = 40;

/// So much of a line is.
const LINE_BYTES_MAX: usize = 200;

/// A session with more recipients is no letter.
const RECIPIENTS_MAX: usize = 3;

/// One session of a listed client.
#[derive(Clone, Debug)]
pub(super) struct Transcript {
    pub(super) address: std::net::IpAddr,
    pub(super) at: Timestamp,
    pub(super) lines: Vec<String>,
    pub(super) recipients: Vec<Vec<u8>>,
    helo: Option<Vec<u8>>,
    sender: Option<Vec<u8>>,
    starttls: bool,
    quit: bool,
}

impl Transcript {
    /// Begins with a verdict.
    pub(super) fn begin(said: &Rblsmtpd<'_>, at: Timestamp) -> Self {
        let mut transcript = Transcript {
            address: said.address,
            at,
            lines: Vec::new(),
            recipients: Vec::new(),
            helo: None,
            sender: None,
            starttls: false,
            quit: false,
        };
        transcript.hear(&said.said);
        transcript
    }

    /// The next thing that was said.
    pub(super) fn hear(&mut self, said: &Said<'_>) {
        let (code, text) = match said {
            Said::Delay(text) => ("451 ", text),
            Said::Reject(text) => ("553 ", text),
            Said::Command(text) => ("", text),
        };
        let bytes = text.bytes();
        if self.lines.len() < LINES_MAX {
            let kept = logline::Text::from(bytes.get(..LINE_BYTES_MAX).unwrap_or(bytes));
            self.lines.push(format!("{code}{}", kept.readable()));
        }
        if code.is_empty() {
            self.command(bytes);
        }
    }

    fn command(&mut self, line: &[u8]) {
        let (verb, rest) = line.split_at(line.iter().position(|b| *b == b' ').unwrap_or(line.len()));
        match verb.to_ascii_uppercase().as_slice() {
            b"HELO" | b"EHLO" => self.helo = Some(rest.trim_ascii().to_ascii_lowercase()),
            b"MAIL" => self.sender = path(rest),
            b"RCPT" if self.recipients.len() <= RECIPIENTS_MAX => self.recipients.extend(path(rest)),
            b"STARTTLS" => self.starttls = true,
            b"QUIT" => self.quit = true,
            _ => {}
        }
    }

    /// How much speaks for the session, and what.
    pub(super) fn judge(&self) -> (i32, Vec<&'static str>) {
        let has_name = self.helo.as_deref().is_some_and(is_host_name);
        let has_sender = self.sender.as_deref().is_some_and(|s| s.is_empty() || is_mailbox(s));
        let few = (1..=RECIPIENTS_MAX).contains(&self.recipients.len());
        let said = [
            (has_name, "it gives a host's name in its greeting"),
            (has_sender, "its sender is an address, or that of a bounce"),
            (few, "it writes to a few, not to many"),
            (self.starttls, "it asks for encryption"),
            (self.quit, "it says QUIT"),
        ];
        let holds = said.iter().filter(|(holds, _)| *holds).map(|(_, why)| *why).collect::<Vec<_>>();
        (i32::try_from(holds.len()).unwrap_or(0), holds)
    }
}

/// The address in `FROM:<…>`, which may be empty.
fn path(rest: &[u8]) -> Option<Vec<u8>> {
    let start = rest.iter().position(|b| *b == b'<')? + 1;
    let length = rest.get(start..)?.iter().position(|b| *b == b'>')?;
    Some(rest.get(start..start + length)?.to_ascii_lowercase())
}

/// Whether it may be a host: several labels, of which the last is no number, and nothing else.
fn is_host_name(name: &[u8]) -> bool {
    let labels: Vec<&[u8]> = name.split(|b| *b == b'.').collect();
    let is_label = |label: &&[u8]| {
        !label.is_empty() && label.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'_')
    };
    let is_top = |label: &&[u8]| label.len() >= 2 && label.iter().any(u8::is_ascii_alphabetic);
    labels.len() >= 2 && labels.iter().all(is_label) && labels.last().is_some_and(is_top)
}

fn is_mailbox(address: &[u8]) -> bool {
    let at = address.iter().rposition(|b| *b == b'@');
    at.is_some_and(|at| at > 0 && address.get(at + 1..).is_some_and(is_host_name))
}

#[cfg(test)]
mod tests {
    use logline::Text;

    use super::*;

    #[track_caller]
    fn check(commands: &[&str], score: i32) {
        let verdict = Said::Reject(Text::from("listed"));
        let said =
            Rblsmtpd { address: "198.51.100.7".parse().unwrap(), pid: logline::SessionId(1), said: verdict };
        let mut transcript = Transcript::begin(&said, Timestamp::from_seconds(0));
        commands.iter().for_each(|command| transcript.hear(&Said::Command(Text::from(*command))));
        assert_eq!(transcript.judge().0, score, "{commands:?}");
    }

    #[test]
    fn an_honest_session_has_more_for_it_than_a_bots() {
        check(
            &[
                "EHLO mail.example.com",
                "STARTTLS",
                "MAIL FROM:<a@example.com>",
                "RCPT TO:<b@example.org>",
                "QUIT",
            ],
            5,
        );
        check(&["EHLO mail.example.com", "MAIL FROM:<> SIZE=100", "RCPT TO:<b@example.org>", "QUIT"], 4);
        check(&["HELO 198.51.100.7", "MAIL FROM:<x>", "RCPT TO:<b@example.org>"], 1);
        check(&["HELO ylmf-pc", "AUTH LOGIN"], 0);
        check(&["EHLO h.example", "RCPT TO:<1@x>", "RCPT TO:<2@x>", "RCPT TO:<3@x>", "RCPT TO:<4@x>"], 1);
        check(&[], 0);
    }

    #[test]
    fn a_long_session_is_cut() {
        let lines = vec!["NOOP".repeat(200); 500];
        let said = Rblsmtpd {
            address: "198.51.100.7".parse().unwrap(),
            pid: logline::SessionId(1),
            said: Said::Delay("x".into()),
        };
        let mut transcript = Transcript::begin(&said, Timestamp::from_seconds(0));
        lines.iter().for_each(|line| transcript.hear(&Said::Command(Text::from(line.as_str()))));
        assert_eq!(transcript.lines.len(), LINES_MAX);
        assert!(transcript.lines.iter().all(|line| line.len() <= LINE_BYTES_MAX + 4));
    }
}
