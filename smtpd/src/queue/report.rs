//! Of what a sender is told: which recipients, and what became of each (RFC 3461 §5.2).

use crate::dsn::Wish;
use crate::mailbox::Mailbox;
use crate::queue::{Fate, Message};

/// What became of a recipient, as RFC 3464 §2.3.3 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Failed,
    Delayed,
    Delivered,
    Relayed,
}

/// One recipient of whom the sender is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) recipient: Mailbox,
    pub(super) wish: Wish,
    pub(super) action: Action,
    /// What was said of it, in words.
    pub(super) text: String,
}

impl Action {
    /// As a report has it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Action::Failed => "failed",
            Action::Delayed => "delayed",
            Action::Delivered => "delivered",
            Action::Relayed => "relayed",
        }
    }
}

/// Of whom the sender of a message that is done with wants to hear.
pub(super) fn reports_at_the_end(message: &Message) -> Vec<Report> {
    reports(message, |fate, wish| match fate {
        Fate::Failed { report } => wish.notify().failure.then(|| (Action::Failed, report.clone())),
        Fate::Delivered => {
            wish.notify().success.then(|| (Action::Delivered, "It is in the mailbox. (#2.1.5)".to_owned()))
        }
        Fate::Relayed => wish.notify().success.then(|| {
            (
                Action::Relayed,
                "It was given to a server that does not tell of deliveries. (#2.1.9)".to_owned(),
            )
        }),
        Fate::Pending | Fate::Passed => None,
    })
}

/// Of whom the sender of a message that takes long wants to hear.
pub(super) fn reports_of_delay(message: &Message) -> Vec<Report> {
    reports(message, |fate, wish| match fate {
        Fate::Pending => wish.notify().delay.then(|| {
            (Action::Delayed, "It could not be delivered yet and is tried again. (#4.4.7)".to_owned())
        }),
        Fate::Failed { .. } | Fate::Delivered | Fate::Relayed | Fate::Passed => None,
    })
}

fn reports(message: &Message, of: impl Fn(&Fate, &Wish) -> Option<(Action, String)>) -> Vec<Report> {
    let envelope = &message.envelope;
    let recipients = envelope.recipients.iter().zip(&message.state.recipients).enumerate();
    let report = |(n, (recipient, fate)): (usize, (&Mailbox, &Fate))| {
        let wish = envelope.wishes.of(n);
        let (action, text) = of(fate, &wish)?;
        Some(Report { recipient: recipient.clone(), wish, action, text })
    };
    recipients.filter_map(report).collect()
}
