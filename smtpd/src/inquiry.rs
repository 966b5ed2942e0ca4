//! Answers what a session asks about a client or a sender. It knows name servers; what an answer means is decided
//! elsewhere.

use std::borrow::Borrow;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::spf::Spf;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{Parameters, ResolverCache, Txt};
use tokio::time::timeout;

use crate::blocklist::{self, Blocklist};
use crate::clock::now;
use crate::greylist::Greylist;
use crate::names::{Exchanger, Names, NoAnswer};
use crate::rules::{ClientNames, HeloNames, SpfFinding, SpfLocal, SpfResult, SpfSubject};
use crate::session::{Finding, Inquiry, MailDomain, Policy};

/// How long one question may keep a client waiting. Who is slower has not answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// SPF may need ten look-ups (RFC 7208 §4.6.4), and the names of a client some.
const LONG_PATIENCE: Duration = Duration::from_secs(20);

/// Names of an address, and hosts of a domain, that are looked up.
const NAMES_MAX: usize = 4;

/// Characters of a domain's explanation that are said.
const EXPLANATION_MAX: usize = 200;

/// Answers questions.
#[derive(Clone, Debug)]
pub struct Inquirer {
    names: Names,
    lists: Vec<Blocklist>,
    spf_local: SpfLocal,
    hostname: String,
    greylist: Option<Greylist>,
}

impl Inquirer {
    /// One that asks these name servers, for the lists of a policy.
    pub fn new(names: Names, policy: &Policy) -> Self {
        let (lists, spf_local) = (policy.rules.domain_lists.clone(), policy.rules.spf_local.clone());
        for (list, why) in lists.iter().filter_map(|list| Some((list, list.dead()?))) {
            tracing::warn!(
                zone = list.shown_zone(),
                "this list is no more, and is not asked: {why}; take it out"
            );
        }
        Inquirer { names, lists, spf_local, hostname: policy.hostname.clone(), greylist: None }
    }

    /// The same, which remembers who was here.
    #[must_use]
    pub fn with_greylist(self, greylist: Option<Greylist>) -> Self {
        Inquirer { greylist, ..self }
    }

    /// The answer to a question; there always is one, and in time.
    pub async fn answer(&self, inquiry: Inquiry) -> Finding {
        match inquiry {
            Inquiry::Helo { name, client } => {
                let (forward, reverse) =
                    tokio::join!(within(self.names.addresses(&name)), within(self.names.hosts(client)));
                Finding::Helo(HeloNames { forward: found(forward), reverse: found(reverse) })
            }
            Inquiry::Grey(client) => Finding::Grey(self.is_new(client).await),
            Inquiry::Client(client) => {
                let names = timeout(LONG_PATIENCE, self.client(client)).await;
                Finding::Client(names.unwrap_or_default())
            }
            Inquiry::Listed { list, domain } => {
                let Some(list) = self.lists.get(list).filter(|list| list.dead().is_none()) else {
                    return Finding::Listed(blocklist::Finding::Clear);
                };
                Finding::Listed(self.listed(list, &domain).await)
            }
            Inquiry::Spf { client, helo, sender } => Finding::Spf(self.spf(client, &helo, sender).await),
            Inquiry::Domain(domain) => Finding::Domain(self.mail_domain(&domain).await),
        }
    }

    /// What a list says of a domain. One that lists `invalid` as well lists everything (RFC 5782 §5), as a list does whose
    /// own name was sold.
    async fn listed(&self, list: &Blocklist, domain: &str) -> blocklist::Finding {
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let want_text = |codes: &[Ipv4Addr]| list.wants_text(codes);
        let answer = self.names.blocklist(&list.domain_query(domain), want_text).await;
        let finding = list.judge(nobody, &answer);
        if let blocklist::Finding::Listed(_) = finding {
            let answer = self.names.blocklist(&list.domain_query("invalid"), |_| false).await;
            if let blocklist::Finding::Listed(_) = list.judge(nobody, &answer) {
                tracing::warn!(
                    zone = list.shown_zone(),
                    "this list of domains lists all: it is not believed"
                );
                return blocklist::Finding::Error("it lists everything".to_owned());
            }
        }
        finding
    }

    async fn spf(&self, client: IpAddr, helo: &str, sender: Option<String>) -> SpfFinding {
        let asked = async {
            let domain =
                sender.as_deref().and_then(|sender| sender.rsplit_once('@')).map_or(helo, |(_, d)| d);
            let known = self.own_record(domain).await;
            let asker = self.names.authenticator();
            let parameters = match &sender {
                Some(sender) => SpfParameters::verify_mail_from(client, helo, &self.hostname, sender),
                None => SpfParameters::verify_ehlo(client, helo, &self.hostname),
            };
            asker.verify_spf(Parameters::new(parameters).with_txt_cache(&known)).await
        };
        let Ok(output) = timeout(LONG_PATIENCE, asked).await else {
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
        let postmaster = format!("postmaster@{helo}");
        let sender = sender.as_deref().unwrap_or(&postmaster);
        let about = SpfSubject { client, helo, sender, hostname: &self.hostname };
        let ours = || self.spf_local.explain(about).filter(|_| result == SpfResult::Fail);
        let explanation = output.explanation().map(str::to_owned).or_else(ours);
        // Another's words become part of a reply.
        let printable =
            |text: String| text.chars().filter(|c| (' '..='~').contains(c)).take(EXPLANATION_MAX).collect();
        SpfFinding { result, explanation: explanation.map(printable) }
    }

    /// The record that a domain is judged by, where this server adds to its own.
    async fn own_record(&self, domain: &str) -> OneRecord {
        if !self.spf_local.changes_records() {
            return OneRecord(None);
        }
        let texts = match self.names.texts(domain).await {
            Ok(texts) => texts,
            Err(NoAnswer::NoName | NoAnswer::NoRecord) => Vec::new(),
            // Whoever judges asks once more, and finds the same.
            Err(NoAnswer::Failed) => return OneRecord(None),
        };
        let record = self.spf_local.record(&texts).and_then(|record| Spf::parse(&record).ok());
        let name = format!("{}.", domain.trim_end_matches('.').to_ascii_lowercase());
        OneRecord(record.map(|record| (name.into_boxed_str(), Txt::Spf(Arc::new(record)))))
    }

    /// Whether one of these hosts has an address that leads anywhere, or none is known to lead nowhere.
    async fn any_is_reachable(&self, hosts: &[Exchanger]) -> MailDomain {
        for host in hosts.iter().take(NAMES_MAX) {
            match within(self.names.addresses(&host.host)).await {
                Ok(addresses) if !addresses.is_empty() && !addresses.iter().any(is_reachable) => {}
                // A host without an address is its owner's mistake, and may be mended tomorrow.
                Ok(_) | Err(_) => return MailDomain::Takes,
            }
        }
        if hosts.len() > NAMES_MAX { MailDomain::Takes } else { MailDomain::TakesNone }
    }

    async fn is_new(&self, client: IpAddr) -> bool {
        let Some(greylist) = self.greylist.clone() else {
            return false;
        };
        // Where even that is not possible nobody is put off.
        tokio::task::spawn_blocking(move || greylist.puts_off(now(), client)).await.unwrap_or(false)
    }

    async fn client(&self, client: IpAddr) -> ClientNames {
        let Some(names) = found(within(self.names.hosts(client)).await) else {
            return ClientNames::default();
        };
        let mut confirmed = Some(None);
        for name in names.iter().take(NAMES_MAX) {
            match found(within(self.names.addresses(name)).await) {
                Some(addresses) if addresses.contains(&client) => {
                    confirmed = Some(Some(name.clone()));
                    break;
                }
                Some(_) => {}
                // Another name may still lead back.
                None => confirmed = None,
            }
        }
        ClientNames { names: Some(names), confirmed }
    }

    /// A domain takes mail where it names hosts for it, or has an address itself (RFC 5321 §5.1).
    async fn mail_domain(&self, domain: &str) -> MailDomain {
        if domain.starts_with('[') {
            return MailDomain::Takes;
        }
        match within(self.names.exchangers(domain)).await {
            // An empty name says that the domain takes none (RFC 7505).
            Ok(hosts) if hosts.iter().all(|host| host.host.is_empty()) => MailDomain::TakesNone,
            // Who is slow has not answered, and is no liar for that.
            Ok(hosts) => timeout(PATIENCE, self.any_is_reachable(&hosts)).await.unwrap_or(MailDomain::Takes),
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

/// Whether anybody elsewhere can be at an address: who names this machine, or nobody, takes no mail.
fn is_reachable(address: &IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_broadcast()
                || address.is_multicast())
        }
        IpAddr::V6(address) => !(address.is_loopback() || address.is_unspecified() || address.is_multicast()),
    }
}

/// What is known of one domain before name servers are asked.
struct OneRecord(Option<(Box<str>, Txt)>);

impl ResolverCache<Box<str>, Txt> for OneRecord {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (own, record) = self.0.as_ref()?;
        (own.borrow() == name).then(|| record.clone())
    }

    fn remove<Q>(&self, _name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    /// The resolver behind remembers for all.
    fn insert(&self, _name: Box<str>, _record: Txt, _until: Instant) {}
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
