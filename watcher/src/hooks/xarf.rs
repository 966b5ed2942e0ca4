//! A ban as a report in X-ARF 4.0: a login attack, or the probing of what a server has, as `connection-login-attack.json`
//! and `connection-reconnaissance.json` of its specification have them. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::control::api::News;
use crate::hooks::{Attack, Reports};

/// The report of a ban; none for what is no ban of an address.
pub(super) fn report(news: &News, reports: &Reports, contact: &str, id: &str) -> Option<Value> {
    let ban = news.ban.as_ref()?;
    let attack = reports.attacks.get(&ban.jail)?;
    let network = ban.subject.network()?;
    let domain = contact.rsplit_once('@').map_or(contact, |(_, domain)| domain);
    let who = json!({"org": reports.reporter, "contact": contact, "domain": domain});
    let (first, last) = (ban.evidence.first(), ban.evidence.last());
    let seen = first.map_or(&ban.from, |line| &line.at);
    let lines: String = ban.evidence.iter().map(|evidence| format!("{}\n", evidence.line)).collect();
    let hash: String = Sha256::digest(&lines).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut report = json!({
        "xarf_version": "4.0.0",
        "report_id": id,
        "timestamp": last.map_or(&ban.from, |line| &line.at),
        "reporter": who,
        "sender": who,
        // Of a network, the address that stands for it.
        "source_identifier": network.net().addr().to_string(),
        "category": "connection",
        "type": match attack {
            Attack::Login => "login_attack",
            Attack::Probing => "reconnaissance",
        },
        "protocol": "tcp",
        "first_seen": seen,
        "evidence_source": "automated_filter",
        "description": format!("{} was banned by the rule {}", ban.subject, ban.jail),
    });
    if let (Attack::Probing, Some(report)) = (attack, report.as_object_mut()) {
        report.insert("probed_resources".to_owned(), json!(["recipients of this mail server"]));
    }
    if let (Some(last), Some(report)) = (last, report.as_object_mut()) {
        report.insert("last_seen".to_owned(), last.at.clone().into());
        let evidence = json!([{
            "content_type": "text/plain",
            "description": "lines of the log that led to the ban, the oldest first",
            "payload": STANDARD.encode(&lines),
            "hash": format!("sha256:{hash}"),
            "size": lines.len(),
        }]);
        report.insert("evidence".to_owned(), evidence);
    }
    Some(report)
}
