//! Every refusal in all its forms: reply, line of the journal, what a reader makes of that line, and documentation.

use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::expect_file;
use logline::{Record, Verdict};
use smtpd::session::{Answer, Rejection, Service, refusal};

use crate::world::{peer, policy};

const HEAD: &str = "# What is refused, and in which words

Each refusal is one reply and one `qlogenvelope` or `qlogreceived` line with its code, reason and detail. The enhanced code stands in front of the text
where the client said EHLO. A text may be replaced by more exact words (those of a blocklist, of the queue, of a sender's domain), a
detail by what decided (the list, the entry, the result of SPF). This page is written by the test that holds all of them together.

| reply | enhanced | text | reason | detail |
|---|---|---|---|---|
";

#[test]
fn every_refusal_is_said_logged_read_back_and_documented() {
    let policy = Arc::new(policy());
    let mut page = HEAD.to_owned();
    for rejection in Rejection::ALL {
        let Answer { code, enhanced, text, reason, detail } = rejection.answer();
        let said = refusal(&policy, peer(Service::Smtp, "203.0.113.7:40000"), *rejection);
        assert_eq!(String::from_utf8(said.reply).unwrap(), format!("{code} {text}\r\n"), "{rejection:?}");
        let line = said.fact.to_string();
        assert_eq!(Record::parse(line.as_bytes()), Some(said.fact.clone()), "{rejection:?}: {line}");
        let json = serde_json::to_string(&said.fact).unwrap();
        assert_eq!(serde_json::from_str::<Record<'_>>(&json).unwrap(), said.fact, "{rejection:?}: {json}");
        let Record::Qlog(qlog) = &said.fact else { unreachable!("{rejection:?} is no answer: {line}") };
        assert_eq!(
            (qlog.verdict, qlog.code, qlog.reason),
            (Verdict::Rejected, code, reason),
            "{rejection:?}"
        );
        assert_eq!(qlog.detail.bytes(), detail.as_bytes(), "{rejection:?}");
        writeln!(page, "| {code} | {enhanced} | {text} | `{}` | {detail} |", reason.name()).unwrap();
    }
    expect_file!["../../../docs/replies.md"].assert_eq(&page);
}
