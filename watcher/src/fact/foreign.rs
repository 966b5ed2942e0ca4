//! The lines of other writers as rules see them.

use logline::foreign::{
    Gate, Greeting, Logterse, QueueNote, Remark, Simscan, Spamcontrol, Spamdyke, Sslserver, Titled, Vchkpw,
};
use logline::{AuthOutcome, Foreign, Text, Verdict};

use super::{Fact, Look, chkuser, chkuser_field, tcpserver};

pub(super) fn look(foreign: &Foreign<'_>) -> Look {
    match foreign {
        Foreign::Sslserver(record) => match record {
            Sslserver::Connection(record) => tcpserver(record),
            Sslserver::Accepted { pid, .. } | Sslserver::Failed { pid, .. } => (Fact::Tls, Some(*pid), None),
            Sslserver::EndedBy { .. } => (Fact::Note, None, None),
            Sslserver::Limit { address, .. } => (Fact::ConnectionLimit, None, Some(*address)),
        },
        Foreign::Listed(listed) => (Fact::Listed, listed.pid, Some(listed.address)),
        Foreign::Titled(titled) => (remark(&titled.remark), titled.pid, titled.address),
        Foreign::Logit(logit) => (Fact::Smtpd, None, Some(logit.address)),
        Foreign::Chkuser(record) => chkuser(record),
        Foreign::Spamcontrol(record) => (Fact::Spamcontrol, Some(record.pid), Some(record.address)),
        Foreign::Dialogue(dialogue) => (Fact::Dialogue, Some(dialogue.pid), None),
        Foreign::Gate(record) => match record {
            Gate::RelayDenied { pid, .. } => (Fact::RelayingDenied, Some(*pid), None),
            Gate::Received { pid, .. } => (Fact::Received, Some(*pid), None),
            Gate::HeloBlocked { address, .. } => (Fact::HeloDns, None, Some(*address)),
            Gate::Greylist { address, .. } => (Fact::Greylist, None, Some(*address)),
            Gate::Overlimit { .. } => (Fact::Overlimit, None, None),
            Gate::HeloNoted(_) | Gate::GreylistTrace(_) | Gate::Policy(_) | Gate::NameInvalid(_) => {
                (Fact::Note, None, None)
            }
        },
        Foreign::Vchkpw(record) => (Fact::Vchkpw, None, Some(record.address)),
        Foreign::Simscan(record) => {
            (Fact::Simscan, Some(record.pid), record.mail.as_ref().map(|mail| mail.address))
        }
        Foreign::Spamdyke(record) => match record {
            Spamdyke::Verdict { pid, address, .. } => (Fact::Spamdyke, *pid, Some(*address)),
            Spamdyke::AuthFailure { pid, .. } => (Fact::SpamdykeAuth, *pid, None),
            Spamdyke::Verbose(_) => (Fact::Note, None, None),
        },
        Foreign::Logterse(record) => (Fact::Logterse, Some(record.pid), Some(record.address)),
        Foreign::Queue(record) => match record {
            QueueNote::Starting { .. } => (Fact::Queue, None, None),
            QueueNote::Mangled { .. } => (Fact::Delivery, None, None),
            QueueNote::Discarding { .. }
            | QueueNote::Status(_)
            | QueueNote::Warning(_)
            | QueueNote::Alert(_) => (Fact::Note, None, None),
        },
        Foreign::Trouble { .. } | Foreign::Doubtful => (Fact::Note, None, None),
    }
}

fn remark(remark: &Remark<'_>) -> Fact {
    match remark {
        Remark::Forbidden { .. } => Fact::Forbidden,
        Remark::Recipient { .. } => Fact::Recipient,
        Remark::Greeting(_) => Fact::Greeting,
        Remark::Login { .. } => Fact::Auth,
        Remark::SenderDomain { .. } => Fact::SenderDomain,
        Remark::Limit(_) => Fact::Limit,
        Remark::RcptcheckError(_) | Remark::Verbose(_) => Fact::Note,
    }
}

pub(super) fn field<'a>(foreign: &Foreign<'a>, name: &str) -> Option<Text<'a>> {
    match foreign {
        Foreign::Sslserver(record) => match (record, name) {
            (Sslserver::Accepted { .. }, "outcome") => Some("accept".into()),
            (Sslserver::Accepted { how, .. }, "text") => Some(how.clone()),
            (Sslserver::Failed { .. }, "outcome") => Some("error".into()),
            (Sslserver::Failed { why, .. }, "text") => Some(why.clone()),
            _ => None,
        },
        Foreign::Listed(listed) => match name {
            "verdict" => Some(if listed.is_temporary { "delay" } else { "reject" }.into()),
            "zone" => Some(listed.zone.clone()),
            "text" => Some(listed.text.clone()),
            _ => None,
        },
        Foreign::Titled(titled) => titled_field(titled, name),
        Foreign::Logit(logit) => match name {
            "event" => Some(logit.event.text().into()),
            "detail" => logit.detail.clone(),
            "sender" => logit.sender.clone(),
            "recipient" => logit.recipient.clone(),
            "helo" => logit.helo.clone(),
            _ => None,
        },
        Foreign::Chkuser(record) => chkuser_field(record, name),
        Foreign::Spamcontrol(record) => spamcontrol_field(record, name),
        Foreign::Dialogue(dialogue) => match name {
            "side" => Some(dialogue.side.name().into()),
            "code" => dialogue.code().map(|code| Text::from(code).into_owned()),
            "text" => Some(dialogue.text.clone()),
            _ => None,
        },
        Foreign::Gate(record) => gate_field(record, name),
        Foreign::Vchkpw(record) => vchkpw_field(record, name),
        Foreign::Simscan(record) => simscan_field(record, name),
        Foreign::Spamdyke(record) => spamdyke_field(record, name),
        Foreign::Logterse(record) => logterse_field(record, name),
        Foreign::Queue(record) => match (record, name) {
            (QueueNote::Starting { channel, .. }, "channel") => Some(channel.clone()),
            (QueueNote::Starting { recipient, .. }, "recipient") => Some(recipient.clone()),
            (QueueNote::Mangled { .. }, "outcome") => Some("deferral".into()),
            _ => None,
        },
        Foreign::Trouble { .. } | Foreign::Doubtful => None,
    }
}

fn titled_field<'a>(titled: &Titled<'a>, name: &str) -> Option<Text<'a>> {
    match (&titled.remark, name) {
        (Remark::Forbidden { list, .. }, "list") => Some(list.name().into()),
        (Remark::Forbidden { value, .. }, "value") => Some(value.clone()),
        (Remark::Recipient { verdict, .. }, "verdict") => Some(verdict.name().into()),
        (Remark::Recipient { recipient, .. }, "recipient") => Some(recipient.clone()),
        (Remark::Greeting(greeting), "outcome") => Some(
            match greeting {
                Greeting::Delay { .. } => "delay",
                Greeting::Spoke => "spoke",
                Greeting::SpokeIgnored => "ignored",
                Greeting::Gone => "gone",
                Greeting::Failed => "failed",
            }
            .into(),
        ),
        (Remark::Login { outcome, .. }, "outcome") => Some(
            match outcome {
                AuthOutcome::Success => "success",
                AuthOutcome::Failed => "failed",
            }
            .into(),
        ),
        (Remark::Login { why, .. }, "reason") => why.map(|why| why.words().into()),
        (Remark::Login { user, .. }, "user") => Some(user.clone()),
        (Remark::SenderDomain { is_good, .. }, "outcome") => {
            Some(if *is_good { "pass" } else { "fail" }.into())
        }
        (Remark::SenderDomain { domain, .. }, "domain") => Some(domain.clone()),
        (Remark::Limit(limit), "limit") => Some(limit.name().into()),
        _ => None,
    }
}

fn spamcontrol_field<'a>(record: &Spamcontrol<'a>, name: &str) -> Option<Text<'a>> {
    match name {
        "result" => Some(
            match record.verdict {
                Verdict::Accepted => "accepted",
                Verdict::Rejected => "rejected",
            }
            .into(),
        ),
        "about" => Some(record.about.clone()),
        "condition" => Some(record.condition.clone()),
        "protocol" => Some(record.protocol.clone()),
        "helo" => record.helo.clone(),
        "sender" => record.sender.clone(),
        "recipient" => record.recipient.clone(),
        "user" => record.info.clone().filter(|_| record.about.bytes() == b"AUTH"),
        _ => None,
    }
}

fn gate_field<'a>(record: &Gate<'a>, name: &str) -> Option<Text<'a>> {
    match (record, name) {
        (Gate::RelayDenied { sender, .. } | Gate::Received { sender, .. }, "sender") => Some(sender.clone()),
        (Gate::RelayDenied { recipient, .. }, "recipient") => Some(recipient.clone()),
        (Gate::Received { qp, .. }, "qp") => Some(qp.to_string().into()),
        (Gate::HeloBlocked { why, .. }, "reason") => Some(why.clone()),
        (Gate::Greylist { outcome, .. }, "outcome") => Some(outcome.words().into()),
        (Gate::Overlimit { client, .. }, "client") => Some(client.clone()),
        (Gate::Overlimit { is_rejected, .. }, "outcome") => {
            Some(if *is_rejected { "rejected" } else { "counted" }.into())
        }
        _ => None,
    }
}

fn vchkpw_field<'a>(record: &Vchkpw<'a>, name: &str) -> Option<Text<'a>> {
    match name {
        "service" => Some(record.service.clone()),
        "outcome" => Some(record.outcome.words().into()),
        "mechanism" => record.mechanism.clone(),
        "user" => Some(record.user.clone()),
        _ => None,
    }
}

fn simscan_field<'a>(record: &Simscan<'a>, name: &str) -> Option<Text<'a>> {
    let mail = record.mail.as_ref();
    match name {
        "state" => Some(record.state.name().into()),
        "score" => record.score.clone(),
        "subject" => mail.map(|mail| mail.subject.clone()),
        "sender" => mail.map(|mail| mail.sender.clone()),
        "recipient" => mail.map(|mail| mail.recipients.clone()),
        _ => None,
    }
}

fn spamdyke_field<'a>(record: &Spamdyke<'a>, name: &str) -> Option<Text<'a>> {
    match record {
        Spamdyke::Verdict { code, sender, recipient, remote_host, user, reason, .. } => match name {
            "code" => Some(code.name().into()),
            "sender" => Some(sender.clone()),
            "recipient" => Some(recipient.clone()),
            "rdns" => Some(remote_host.clone()),
            "user" => Some(user.clone()),
            "reason" => reason.clone(),
            _ => None,
        },
        Spamdyke::AuthFailure { user, .. } => (name == "user").then(|| user.clone()),
        Spamdyke::Verbose(_) => None,
    }
}

fn logterse_field<'a>(record: &Logterse<'a>, name: &str) -> Option<Text<'a>> {
    let is_queued = record.plugin.bytes() == b"queued";
    match name {
        "plugin" => Some(record.plugin.clone()),
        "code" => record.code.map(|code| code.to_string().into()),
        "rdns" => Some(record.remote_host.clone()),
        "helo" => Some(record.helo.clone()),
        "sender" => Some(record.sender.clone()),
        "recipient" => Some(record.recipients.clone()),
        "text" => Some(record.text.clone()).filter(|_| !is_queued),
        "message-id" => Some(record.text.clone()).filter(|_| is_queued),
        _ => None,
    }
}
