//! `postern-smtpd queue list|show|retry|remove`. Reading needs no running server and disturbs none.

use std::io::{self, Read as _};
use std::path::PathBuf;

use logline::{Text, Timestamp};
use serde::Serialize;

use crate::clock::now;
use crate::command::{Answer, Failure, Print, complain, print, print_json};
use crate::config::Config;
use crate::queue::{Fate, Message, MessageId, Order, OrderError, read_message, read_text, scan};

/// Bytes of a message that `show` prints.
const SHOWN_BYTES_MAX: u64 = 64 * 1024;

/// A message as it is printed.
#[derive(Debug, Serialize)]
struct Shown {
    id: MessageId,
    received: String,
    bytes: u64,
    sender: String,
    recipients: Vec<ShownRecipient>,
    attempts: u32,
    next: String,
    message_id: Option<String>,
}

#[derive(Debug, Serialize)]
struct ShownRecipient {
    address: String,
    #[serde(flatten)]
    fate: ShownFate,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
enum ShownFate {
    Pending,
    Delivered,
    Failed { report: String },
}

/// Prints all messages.
///
/// # Errors
/// Where the queue cannot be read.
pub fn list(config: &Config, how: Print) -> Result<Answer, Failure> {
    let directory = directory(config);
    let messages = match scan(&directory) {
        Ok(messages) => messages,
        // A server that never ran has no queue.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(cause) => return Err(unreadable(config, cause)),
    };
    let shown: Vec<Shown> = messages.iter().map(Shown::from).collect();
    match how {
        Print::Json => print_json(&serde_json::json!({ "messages": shown }))?,
        Print::Text => {
            for message in shown {
                print(&message.text())?;
            }
        }
    }
    Ok(Answer::Yes)
}

/// Prints one message and the beginning of its text.
///
/// # Errors
/// Where it cannot be read.
pub fn show(config: &Config, id: MessageId, how: Print) -> Result<Answer, Failure> {
    let directory = directory(config);
    let message = match read_message(&directory, id) {
        Ok(message) => message,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(absent(id)),
        Err(cause) => return Err(unreadable(config, cause)),
    };
    let shown = Shown::from(&message);
    match how {
        Print::Json => print_json(&shown)?,
        Print::Text => {
            let mut text = Vec::new();
            let file = read_text(&directory, id).map_err(|cause| unreadable(config, cause))?;
            file.take(SHOWN_BYTES_MAX).read_to_end(&mut text).map_err(|cause| unreadable(config, cause))?;
            let lines = text.split(|&b| b == b'\n').map(|line| format!("{}\n", Text::from(line).readable()));
            print(&format!("{}\n{}", shown.text(), lines.collect::<String>()))?;
        }
    }
    Ok(Answer::Yes)
}

/// Has one message tried or removed.
///
/// # Errors
/// Where neither this program nor a running server can do it.
pub fn order(config: &Config, order: Order) -> Result<Answer, Failure> {
    match order.give(&directory(config), now()) {
        Ok(()) => Ok(Answer::Yes),
        Err(OrderError::NoSuchMessage(id)) => Ok(absent(id)),
        Err(error) => Err(error.into()),
    }
}

fn absent(id: MessageId) -> Answer {
    complain(&format!(
        "there is no message {id} in the queue; `postern-smtpd queue list` shows those that are"
    ));
    Answer::No
}

fn directory(config: &Config) -> PathBuf {
    config.state.join("queue")
}

fn unreadable(config: &Config, cause: io::Error) -> Failure {
    Failure::File { path: directory(config), what: "it is the queue; let this user read it", cause }
}

impl From<&Message> for Shown {
    fn from(message: &Message) -> Self {
        let envelope = &message.envelope;
        let recipients = envelope.recipients.iter().zip(&message.state.recipients).map(|(address, fate)| {
            let fate = match fate {
                Fate::Pending => ShownFate::Pending,
                Fate::Delivered | Fate::Passed | Fate::Relayed => ShownFate::Delivered,
                Fate::Failed { report } => ShownFate::Failed { report: readable(report.as_bytes()) },
            };
            ShownRecipient { address: address.to_string(), fate }
        });
        Shown {
            id: message.id,
            received: rfc_3339(envelope.received),
            bytes: message.size_bytes,
            sender: envelope.sender.as_ref().map(ToString::to_string).unwrap_or_default(),
            recipients: recipients.collect(),
            attempts: message.state.attempts,
            next: rfc_3339(message.state.next),
            message_id: message.message_id.as_deref().map(readable),
        }
    }
}

impl Shown {
    fn text(&self) -> String {
        let Shown { id, received, bytes, sender, recipients, attempts, next, .. } = self;
        let mut text =
            format!("{id}  {received}  {bytes} bytes  <{sender}>  attempts {attempts}  next {next}\n");
        for ShownRecipient { address, fate } in recipients {
            text += &match fate {
                ShownFate::Pending => format!("    pending    {address}\n"),
                ShownFate::Delivered => format!("    delivered  {address}\n"),
                ShownFate::Failed { report } => format!("    failed     {address}: {report}\n"),
            };
        }
        text
    }
}

/// Another's bytes for a terminal.
fn readable(bytes: &[u8]) -> String {
    Text::from(bytes).readable().to_string()
}

fn rfc_3339(time: Timestamp) -> String {
    jiff::Timestamp::from_second(time.seconds()).unwrap_or_default().to_string()
}
