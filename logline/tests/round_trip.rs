//! What `logline` writes, `logline` reads back equal, for every value, whatever bytes the client sent.

use std::net::IpAddr;

use logline::{
    Auth, AuthOutcome, BadList, Channel, Chkuser, ChkuserOutcome, DeliveryOutcome, Encryption, Endpoint,
    Fingerprint, Found, Guard, Mechanism, Phase, PolicyCheck, PolicySaid, Qlog, Queue, Rbl, RblResult,
    RblSource, Rblsmtpd, Reason, Record, Said, SessionId, Side, Slots, Smtpd, SmtpdEvent, Tcpserver, Text,
    Verdict, Word,
};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Bytes of every kind, and the very words that part the fields of a line.
fn text() -> impl Strategy<Value = Text<'static>> {
    const WORDS: &[&str] = &[
        "|remotehostip:203.0.113.66> rcpt <z> : not existing recipient",
        "|remoteinfo/auth:",
        "> : ",
        " pid=7",
        " from 203.0.113.66 to b helo c",
        "(null)",
        "\ntcpserver: pid 1 from 203.0.113.66",
        "Message-ID:_<a>/did_1+0+0/",
        "451 no",
        "553 no",
        "> fingerprint=0000",
        "=,",
        "\\x41",
        "'",
    ];
    let part = prop_oneof![
        2 => prop::collection::vec(any::<u8>(), 0..12),
        2 => "[ -~]{0,12}".prop_map(String::into_bytes),
        1 => select(WORDS).prop_map(|word| word.as_bytes().to_vec()),
    ];
    prop::collection::vec(part, 0..3).prop_map(|parts| Text::from(parts.concat()))
}

fn filled() -> impl Strategy<Value = Text<'static>> {
    text().prop_filter("a recipient is never empty", |text| !text.is_empty())
}

fn pid() -> impl Strategy<Value = SessionId> {
    any::<u32>().prop_map(SessionId)
}

fn tcpserver() -> impl Strategy<Value = Tcpserver<'static>> {
    let endpoint = (pid(), text(), any::<(IpAddr, u16)>(), text(), any::<(IpAddr, u16)>(), text())
        .prop_map(
            |(
                pid,
                local_host,
                (local_address, local_port),
                remote_host,
                (remote_address, remote_port),
                remote_info,
            )| {
                Endpoint {
                    pid,
                    local_host,
                    local_address,
                    local_port,
                    remote_host,
                    remote_address,
                    remote_info,
                    remote_port,
                }
            },
        )
        .boxed();
    prop_oneof![
        any::<(u32, u32)>().prop_map(|(open, limit)| Tcpserver::Status { open, limit }),
        (pid(), any::<IpAddr>()).prop_map(|(pid, address)| Tcpserver::Connect { pid, address }),
        endpoint.clone().prop_map(Tcpserver::Ok),
        endpoint.prop_map(Tcpserver::Deny),
        (pid(), any::<u32>()).prop_map(|(pid, status)| Tcpserver::End { pid, status }),
    ]
}

fn chkuser() -> impl Strategy<Value = Chkuser<'static>> {
    let texts = (text(), text(), text(), text(), text(), text());
    (select(ChkuserOutcome::ALL), texts, any::<IpAddr>(), option::of(pid())).prop_map(
        |(outcome, (sender, auth, identify, helo, remote_host, recipient), address, pid)| Chkuser {
            outcome,
            sender,
            auth,
            identify,
            helo,
            remote_host,
            address,
            recipient,
            pid,
        },
    )
}

fn auth() -> impl Strategy<Value = Auth<'static>> {
    let outcome = select(vec![AuthOutcome::Success, AuthOutcome::Failed]);
    let fingerprint = option::of(any::<u16>().prop_map(Fingerprint));
    (pid(), outcome, select(Mechanism::ALL), text(), fingerprint).prop_map(
        |(pid, outcome, mechanism, user, fingerprint)| Auth { pid, outcome, mechanism, user, fingerprint },
    )
}

prop_compose! {
    fn qlog()(
        phase in select(vec![Phase::Envelope, Phase::Received]),
        verdict in select(vec![Verdict::Accepted, Verdict::Rejected]),
        reason in select(Reason::ALL),
        (code, relay, verified, rcpthosts, size_bytes, qp) in any::<(u16, bool, bool, Option<bool>, Option<u64>, Option<u32>)>(),
        (detail, helo, sender, user, remote_host) in (text(), text(), text(), text(), text()),
        recipients in prop::collection::vec(filled(), 0..3),
        mechanism in option::of(select(Mechanism::ALL)),
        encryption in option::of(select(vec![Encryption::Ssl, Encryption::Tls])),
        (local_address, local_port, remote_address, remote_port) in any::<(IpAddr, u16, IpAddr, u16)>(),
        pid in pid(),
        (message_id, tls) in (option::of(text()), option::of(text())),
    ) -> Qlog<'static> {
        Qlog {
            phase, verdict, code, reason, detail, helo, sender, recipients, relay, rcpthosts, size_bytes, user, mechanism,
            encryption, verified, local_address, local_port, remote_address, remote_port, remote_host, qp, pid, message_id, tls,
        }
    }
}

fn smtpd() -> impl Strategy<Value = Smtpd<'static>> {
    let texts = (option::of(text()), option::of(text()), option::of(text()));
    (select(SmtpdEvent::ALL), texts, any::<IpAddr>(), option::of(pid())).prop_map(
        |(event, (sender, recipient, helo), address, pid)| Smtpd {
            event,
            sender,
            address,
            recipient,
            helo,
            pid,
        },
    )
}

fn queue() -> impl Strategy<Value = Queue<'static>> {
    let slots = any::<(u32, u32)>().prop_map(|(used, limit)| Slots { used, limit });
    let outcome = select(vec![DeliveryOutcome::Success, DeliveryOutcome::Failure, DeliveryOutcome::Deferral]);
    let channel = select(vec![Channel::Local, Channel::Remote]);
    prop_oneof![
        any::<u64>().prop_map(|msg| Queue::New { msg }),
        any::<u64>().prop_map(|msg| Queue::End { msg }),
        any::<(u64, u32)>().prop_map(|(msg, qp)| Queue::Bounce { msg, qp }),
        (any::<(u64, u64, u32, u32)>(), text()).prop_map(|((msg, size_bytes, qp, uid), sender)| {
            Queue::Info { msg, size_bytes, sender, qp, uid }
        }),
        (any::<(u64, u64)>(), channel, text()).prop_map(|((delivery, msg), channel, recipient)| {
            Queue::Starting { delivery, msg, channel, recipient }
        }),
        (any::<u64>(), outcome, option::of(text()), text()).prop_map(
            |(delivery, outcome, message_id, report)| {
                Queue::Delivery { delivery, outcome, message_id, report }
            }
        ),
        (slots.clone(), slots).prop_map(|(local, remote)| Queue::Status { local, remote }),
    ]
}

fn rbl() -> impl Strategy<Value = Rbl<'static>> {
    let answer = prop::collection::vec(any::<std::net::Ipv4Addr>(), 0..4);
    let said = (text(), select(RblSource::ALL), answer);
    (pid(), any::<IpAddr>(), text(), select(RblResult::ALL), said).prop_map(
        |(pid, address, query, result, (message, source, answer))| Rbl {
            pid,
            address,
            query,
            result,
            message,
            source,
            answer,
        },
    )
}

fn rblsmtpd() -> impl Strategy<Value = Rblsmtpd<'static>> {
    let said = prop_oneof![
        text().prop_map(Said::Delay),
        text().prop_map(Said::Reject),
        text().prop_map(Said::Command)
    ];
    (any::<IpAddr>(), pid(), said).prop_map(|(address, pid, said)| Rblsmtpd { address, pid, said })
}

fn guard() -> impl Strategy<Value = Guard<'static>> {
    let found = prop_oneof![
        (select(BadList::ALL), text()).prop_map(|(list, value)| Found::Forbidden { list, value }),
        Just(Found::BadRecipients),
        Just(Found::SpokeEarly),
        select(Word::ALL).prop_map(Found::Word),
        Just(Found::SpokeEarlyIgnored),
        Just(Found::GoneEarly),
    ];
    (pid(), any::<IpAddr>(), found).prop_map(|(pid, address, found)| Guard { pid, address, found })
}

fn policy() -> impl Strategy<Value = PolicyCheck<'static>> {
    let side = prop_oneof![Just(Side::Local), Just(Side::Remote)];
    let mail = (side.clone(), text(), side, text(), any::<bool>()).prop_map(
        |(from, sender, to, recipient, is_authenticated)| PolicySaid::Mail {
            from,
            sender,
            to,
            recipient,
            is_authenticated,
        },
    );
    let said = prop_oneof![mail, Just(PolicySaid::Allows), Just(PolicySaid::Forbids)];
    (pid(), said).prop_map(|(pid, said)| PolicyCheck { pid, said })
}

fn record() -> impl Strategy<Value = Record<'static>> {
    prop_oneof![
        tcpserver().prop_map(Record::Tcpserver),
        chkuser().prop_map(Record::Chkuser),
        auth().prop_map(Record::Auth),
        qlog().prop_map(Record::Qlog),
        smtpd().prop_map(Record::Smtpd),
        queue().prop_map(Record::Queue),
        rbl().prop_map(Record::Rbl),
        rblsmtpd().prop_map(Record::Rblsmtpd),
        guard().prop_map(Record::Guard),
        policy().prop_map(Record::Policy),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn every_record_reads_back_equal(record in record()) {
        let line = record.to_string();
        prop_assert!(line.bytes().all(|byte| (0x20..=0x7e).contains(&byte)), "one printable line: {line:?}");
        prop_assert_eq!(Record::parse(line.as_bytes()), Some(record), "{}", line);
    }

    #[test]
    fn every_record_survives_json(record in record()) {
        let json = serde_json::to_string(&record).unwrap();
        prop_assert!(!json.contains('\n'));
        prop_assert_eq!(serde_json::from_str::<Record<'_>>(&json).unwrap(), record, "{}", json);
    }

    #[test]
    fn no_line_panics(line: Vec<u8>) {
        let _ = Record::parse(&line);
    }

    /// Cutting, doubling or changing bytes of a good line may make it another, but never breaks the parser.
    #[test]
    fn no_damaged_line_panics(record in record(), at: prop::sample::Index, byte: u8, cut: bool) {
        let mut line = record.to_string().into_bytes();
        let at = at.index(line.len());
        if cut { line.truncate(at) } else { line[at] = byte }
        if let Some(read) = Record::parse(&line).filter(|read| !matches!(read, Record::Foreign(_))) {
            let again = read.to_string();
            prop_assert_eq!(Record::parse(again.as_bytes()), Some(read));
        }
    }
}
