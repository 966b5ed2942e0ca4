//! Answers what a session asks about a client or a sender. It knows name servers; what an answer means is decided
//! elsewhere.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use mail_auth::spf::verify::SpfParameters;
use tokio::time::timeout;

use crate::blocklist::{self, Blocklist};
use crate::names::{Names, NoAnswer};
use crate::rules::{HeloNames, SpfFinding, SpfResult};
use crate::session::{Finding, Inquiry, MailDomain, Policy};

/// How long one question may keep a client waiting. Who is slower has not answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// SPF may need ten look-ups (RFC 7208 §4.6.4).
const SPF_PATIENCE: Duration = Duration::from_secs(20);

/// Characters of a domain's explanation that are said.
const EXPLANATION_MAX: usize = 200;

/// Answers questions.
#[derive(Clone, Debug)]
pub struct Inquirer {
    names: Names,
    lists: Vec<Blocklist>,
    hostname: String,
}

impl Inquirer {
    /// One that asks these name servers, for the lists of a policy.
    pub fn new(names: Names, policy: &Policy) -> Self {
        Inquirer { names, lists: policy.rules.domain_lists.clone(), hostname: policy.hostname.clone() }
    }

    /// The answer to a question; there always is one, and in time.
    pub async fn answer(&self, inquiry: Inquiry) -> Finding {
        match inquiry {
            Inquiry::Helo { name, client } => {
                let (forward, reverse) =
                    tokio::join!(within(self.names.addresses(&name)), within(self.names.hosts(client)));
                Finding::Helo(HeloNames { forward: found(forward), reverse: found(reverse) })
            }
            Inquiry::Listed { list, domain } => {
                let Some(list) = self.lists.get(list) else {
                    return Finding::Listed(blocklist::Finding::Clear);
                };
                let with_text = list.terms().text.is_none();
                let answer = self.names.blocklist(&list.domain_query(&domain), with_text).await;
                Finding::Listed(list.judge(IpAddr::V4(Ipv4Addr::UNSPECIFIED), &answer))
            }
            Inquiry::Spf { client, helo, sender } => Finding::Spf(self.spf(client, &helo, sender).await),
            Inquiry::Domain(domain) => Finding::Domain(self.mail_domain(&domain).await),
        }
    }

    async fn spf(&self, client: IpAddr, helo: &str, sender: Option<String>) -> SpfFinding {
        let asker = self.names.authenticator();
        let parameters = match &sender {
            Some(sender) => SpfParameters::verify_mail_from(client, helo, &self.hostname, sender),
            None => SpfParameters::verify_ehlo(client, helo, &self.hostname),
        };
        let Ok(output) = timeout(SPF_PATIENCE, asker.verify_spf(parameters)).await else {
            return SpfFinding { result: SpfResult::Error, explanation: None };
        };
        let result = match output.result() {
            mail_auth::SpfResult::Pass => SpfResult::Pass,
            mail_auth::SpfResult::Fail => SpfResult::Fail,
            mail_auth::SpfResult::SoftFail => SpfResult::SoftFail,
            mail_auth::SpfResult::Neutral => SpfResult::Neutral,
            mail_auth::SpfResult::None => SpfResult::None,
            mail_auth::SpfResult::PermError => SpfResult::Unknown,
            mail_auth::SpfResult::TempError => SpfResult::Error,
        };
        // Another's words become part of a reply.
        let printable =
            |text: &str| text.chars().filter(|c| (' '..='~').contains(c)).take(EXPLANATION_MAX).collect();
        SpfFinding { result, explanation: output.explanation().map(printable) }
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
