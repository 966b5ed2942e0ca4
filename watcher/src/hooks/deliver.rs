//! One attempt at one delivery, by whatever way the hook has.

use std::io;

use jiff::Zoned;
use tokio::time::timeout;

use crate::hooks::{Action, Delivery, Hook, Mail, Way, command, letter, smtp, webhook};

/// Why it failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("it took longer than {} s", .0.as_secs())]
    TooLong(std::time::Duration),
    #[error("the program failed")]
    Command(#[from] command::CommandError),
    #[error("the web server was not told")]
    Webhook(#[from] webhook::WebhookError),
    #[error("the mail was not sent")]
    Smtp(#[from] smtp::SmtpError),
    #[error("there is no chance to be had")]
    Random(#[source] io::Error),
}

/// Tries it once.
pub(super) async fn deliver(hook: &Hook, delivery: &Delivery<'_>) -> Result<(), Failure> {
    let attempt = async {
        match &hook.action {
            Action::Command(argv) => Ok(command::run(argv, &hook.name, &json(delivery)).await?),
            Action::Webhook { url, secret, authorities } => {
                let (body, now) = (json(delivery), jiff::Timestamp::now().as_second());
                Ok(webhook::post(url, secret.as_deref(), authorities, delivery.id, body, now).await?)
            }
            Action::Mail(mail) => send(mail, &hook.name, delivery).await,
        }
    };
    timeout(hook.timeout, attempt).await.unwrap_or(Err(Failure::TooLong(hook.timeout)))
}

async fn send(mail: &Mail, hook: &str, delivery: &Delivery<'_>) -> Result<(), Failure> {
    let mut ids = Vec::new();
    for _ in 0..delivery.events.len() + 2 {
        ids.push(id()?);
    }
    let letter = letter::compose(mail, delivery, &Zoned::now(), || ids.pop().unwrap_or_default());
    match &mail.way {
        // Such a program reads the lines of this system.
        Way::Sendmail(argv) => Ok(command::run(argv, hook, letter.replace("\r\n", "\n").as_bytes()).await?),
        Way::Smtp(server) => Ok(smtp::send(server, delivery.host, &mail.from, &mail.to, &letter).await?),
    }
}

fn json(delivery: &Delivery<'_>) -> Vec<u8> {
    serde_json::to_vec(delivery).expect("texts and numbers are always JSON")
}

/// A name that nothing else has: a random UUID, RFC 9562 §5.4.
pub(super) fn id() -> Result<String, Failure> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure::Random(io::Error::other(error)))?;
    let number = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{number:032x}");
    let part = |from, to| hex.get(from..to).unwrap_or_default().to_owned();
    Ok([part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_delivery_has_a_name_of_its_own_which_is_a_random_uuid() {
        let (a, b) = (id().unwrap(), id().unwrap());
        assert_ne!(a, b);
        assert_eq!((a.len(), a.get(14..15), a.matches('-').count()), (36, Some("4"), 4));
        assert!(matches!(a.get(19..20), Some("8" | "9" | "a" | "b")), "{a}");
    }
}
