//! Answers what a session asks about a client or a sender. It knows name servers; what an answer means is decided
//! elsewhere.

use std::time::Duration;

use tokio::time::timeout;

use crate::names::{Names, NoAnswer};
use crate::rules::HeloNames;
use crate::session::{Finding, Inquiry, MailDomain};

/// How long one question may keep a client waiting. Who is slower has not answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers questions.
#[derive(Clone, Debug)]
pub struct Inquirer {
    names: Names,
}

impl Inquirer {
    /// One that asks these name servers.
    pub fn new(names: Names) -> Self {
        Inquirer { names }
    }

    /// The answer to a question; there always is one, and in time.
    pub async fn answer(&self, inquiry: Inquiry) -> Finding {
        match inquiry {
            Inquiry::Helo { name, client } => {
                let (forward, reverse) =
                    tokio::join!(within(self.names.addresses(&name)), within(self.names.hosts(client)));
                Finding::Helo(HeloNames { forward: found(forward), reverse: found(reverse) })
            }
            Inquiry::Domain(domain) => Finding::Domain(self.mail_domain(&domain).await),
        }
    }

    /// A domain takes mail where it names hosts for it, or has an address itself (RFC 5321 §5.1).
    async fn mail_domain(&self, domain: &str) -> MailDomain {
        if domain.starts_with('[') {
            return MailDomain::Takes;
        }
        match within(self.names.exchangers(domain)).await {
            // An empty name says that the domain takes none (RFC 7505).
            Ok(hosts) if hosts.iter().all(|host| host.host.is_empty()) => MailDomain::TakesNone,
            Ok(_) => MailDomain::Takes,
            Err(NoAnswer::NoName) => MailDomain::TakesNone,
            Err(NoAnswer::Failed) => MailDomain::Unknown,
            Err(NoAnswer::NoRecord) => match within(self.names.addresses(domain)).await {
                Ok(addresses) if addresses.is_empty() => MailDomain::TakesNone,
                Ok(_) => MailDomain::Takes,
                Err(NoAnswer::NoName | NoAnswer::NoRecord) => MailDomain::TakesNone,
                Err(NoAnswer::Failed) => MailDomain::Unknown,
            },
        }
    }
}

async fn within<T>(question: impl Future<Output = Result<T, NoAnswer>>) -> Result<T, NoAnswer> {
    timeout(PATIENCE, question).await.unwrap_or(Err(NoAnswer::Failed))
}

/// Nothing is an answer; silence is none.
fn found<T>(answer: Result<Vec<T>, NoAnswer>) -> Option<Vec<T>> {
    match answer {
        Ok(found) => Some(found),
        Err(NoAnswer::NoName | NoAnswer::NoRecord) => Some(Vec::new()),
        Err(NoAnswer::Failed) => None,
    }
}
