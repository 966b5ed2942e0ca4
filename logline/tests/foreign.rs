//! The very lines of other writers, as their sources write them, and what is read in each.
//!
//! What is expected is renewed on purpose (`UPDATE_EXPECT=1`) and read in review.

#![expect(clippy::panic, reason = "a helper of a test fails with the test")]

use expect_test::{Expect, expect};
use logline::foreign::header_message_id;
use logline::{Foreign, Record, SessionId};

/// One line of what is read for each line that is given.
#[track_caller]
fn check(lines: &[&str], expected: &Expect) {
    let read = |line: &&str| match Record::parse(line.as_bytes()) {
        Some(Record::Foreign(foreign)) => format!("{foreign:?}\n"),
        Some(record) => panic!("not foreign: {record:?}"),
        None => panic!("not understood: {line}"),
    };
    expected.assert_eq(&lines.iter().map(read).collect::<String>());
}

#[test]
fn connections_of_sslserver() {
    check(
        &[
            "sslserver: status: 1/200/5",
            "sslserver: pid 8155 from 198.51.100.7",
            "sslserver: ok 8155 mx.example.org:192.0.2.25:465 mail.example.net:198.51.100.7::41822",
            "sslserver: deny 8156 mx.example.org:192.0.2.25:465 :203.0.113.66::45432 ip connection limit:5 exceeded",
            "sslserver: ssl 8155 accept ",
            "sslserver: tls 8155 accept TLSv1.3:TLS_AES_256_GCM_SHA384",
            "sslserver: end 8155 status 256",
            "sslserver: ended by 8154 status 0",
            "sslserver: error: (111) unable to accept TLS for pid: 8155 error:0A000102:SSL routines::unsupported protocol",
            "sslserver: error: (111) unable to speak TLS for pid: 8155",
            "sslserver: ip connection limit of 5 exceeded for: 203.0.113.66",
            "sslserver: warning: ip connection limit of 5 exceeded for: 2001:db8::7",
        ],
        &expect![[r#"
            Sslserver(Connection(Status { open: 1, limit: 200 }))
            Sslserver(Connection(Connect { pid: SessionId(8155), address: 198.51.100.7 }))
            Sslserver(Connection(Ok(Endpoint { pid: SessionId(8155), local_host: "mx.example.org", local_address: 192.0.2.25, local_port: 465, remote_host: "mail.example.net", remote_address: 198.51.100.7, remote_info: "", remote_port: 41822 })))
            Sslserver(Connection(Deny(Endpoint { pid: SessionId(8156), local_host: "mx.example.org", local_address: 192.0.2.25, local_port: 465, remote_host: "", remote_address: 203.0.113.66, remote_info: "", remote_port: 45432 })))
            Sslserver(Accepted { pid: SessionId(8155), how: "" })
            Sslserver(Accepted { pid: SessionId(8155), how: "TLSv1.3:TLS_AES_256_GCM_SHA384" })
            Sslserver(Connection(End { pid: SessionId(8155), status: 256 }))
            Sslserver(EndedBy { parent: SessionId(8154), status: 0 })
            Sslserver(Failed { pid: SessionId(8155), why: "error:0A000102:SSL routines::unsupported protocol" })
            Sslserver(Failed { pid: SessionId(8155), why: "" })
            Sslserver(Limit { limit: 5, address: 203.0.113.66 })
            Sslserver(Limit { limit: 5, address: 2001:db8::7 })
        "#]],
    );
}

#[test]
fn blocklists_with_their_zone() {
    check(
        &[
            "rblsmtpd: 198.51.100.77 pid 19597 sbl-xbl.spamhaus.org: 451 http://www.spamhaus.org/query/bl?ip=198.51.100.77",
            "rblsmtpd: 2001:db8::7 pid 19597 zen.example.net: 553 no",
            "qmail-smtpd: 421 badiprbl: ip 198.51.100.54 rbl: example.com",
            "qmail-smtpd: 421 badiprbl: ip 2001:db8::7 rbl: b.example.net",
        ],
        &expect![[r#"
            Listed(Listed { address: 198.51.100.77, pid: Some(SessionId(19597)), zone: "sbl-xbl.spamhaus.org", is_temporary: true, text: "http://www.spamhaus.org/query/bl?ip=198.51.100.77" })
            Listed(Listed { address: 2001:db8::7, pid: Some(SessionId(19597)), zone: "zen.example.net", is_temporary: false, text: "no" })
            Listed(Listed { address: 198.51.100.54, pid: None, zone: "example.com", is_temporary: true, text: "" })
            Listed(Listed { address: 2001:db8::7, pid: None, zone: "b.example.net", is_temporary: true, text: "" })
        "#]],
    );
}

#[test]
fn lines_under_a_title() {
    check(
        &[
            "qmail-smtpd[8155]: badhelo: <ylmf pc> at 198.51.100.7",
            "qmail-smtpd[8155]: badhelo: <ylmf-pc> matches pattern: ylmf-.*",
            "qmail-smtpd[8155]: badmailfrom: <<spam@example.net> at 198.51.100.7",
            "qmail-smtpd[8155]: badmailfrom: <spam@example.net> at 198.51.100.7 matches pattern: .*@example.net",
            "qmail-smtpd[8155]: badrcptto: <x y@example.org> at 198.51.100.7",
            "qmail-smtpd: badrcptto: x@example.org at 198.51.100.7",
            "qmail-smtpd[8155]: validrcptto: accepted address <x@example.org> at 198.51.100.7",
            "qmail-smtpd[8155]: validrcptto: drop address <x@example.org> at 198.51.100.7",
            "qmail-smtpd[8155]: rcptcheck: checking <x@example.org> at 198.51.100.7",
            "qmail-smtpd[8155]: rcptcheck: accepted address <x@example.org> at 198.51.100.7",
            "qmail-smtpd[8155]: rcptcheck: drop address <x@example.org> at 198.51.100.7",
            "qmail-smtpd[8155]: rcptcheck: ignore address <x@example.org> at 198.51.100.7",
            "qmail-smtpd[8155]: rcptcheck: overlimit sender <x@example.org> at 198.51.100.7",
            "qmail-smtpd[8155]: RCPTCHECK error: cannot fork",
            "qmail-smtpd[8155]: GREETDELAY: 5s",
            "qmail-smtpd[8155]: GREETDELAY from 203.0.113.66: : interrupted system call",
            "GREETDELAY from 203.0.113.66: client sent data before greeting",
            "GREETDELAY: 20s",
        ],
        &expect![[r#"
            Titled(Titled { pid: Some(SessionId(8155)), address: Some(198.51.100.7), remark: Forbidden { list: Helo, value: "ylmf pc" } })
            Titled(Titled { pid: Some(SessionId(8155)), address: None, remark: Forbidden { list: Helo, value: "ylmf-pc" } })
            Titled(Titled { pid: Some(SessionId(8155)), address: Some(198.51.100.7), remark: Forbidden { list: MailFrom, value: "<spam@example.net" } })
            Titled(Titled { pid: Some(SessionId(8155)), address: Some(198.51.100.7), remark: Forbidden { list: MailFrom, value: "spam@example.net" } })
            Titled(Titled { pid: Some(SessionId(8155)), address: Some(198.51.100.7), remark: Forbidden { list: RcptTo, value: "x y@example.org" } })
            Titled(Titled { pid: None, address: Some(198.51.100.7), remark: Forbidden { list: RcptTo, value: "x@example.org" } })
            Titled(Titled { pid: Some(SessionId(8155)), address: Some(198.51.100.7), remark: Recipient { verdict: Accepted, recipient: "x@example.org" } })
            Titled(Titled { pid: Some(SessionId(8155)), address: Some(198.51.100.7), remark: Recipient { verdict: Dropped, recipient: "x@example.org" } })
            Titled(Titled { pid: Some(SessionId(8155)), address: Some(198.51.100.7), remark: Recipient { verdict: Checking, recipient: "x@example.org" } })
            Titled(Titled { pid: Some(SessionId(8155)), address: Some(198.51.100.7), remark: Recipient { verdict: Accepted, recipient: "x@example.org" } })
            Titled(Titled { pid: Some(SessionId(8155)), address: Some(198.51.100.7), remark: Recipient { verdict: Dropped, recipient: "x@example.org" } })
            Titled(Titled { pid: Some(SessionId(8155)), address: Some(198.51.100.7), remark: Recipient { verdict: Ignored, recipient: "x@example.org" } })
            Titled(Titled { pid: Some(SessionId(8155)), address: Some(198.51.100.7), remark: Recipient { verdict: Overlimit, recipient: "x@example.org" } })
            Titled(Titled { pid: Some(SessionId(8155)), address: None, remark: RcptcheckError("cannot fork") })
            Titled(Titled { pid: Some(SessionId(8155)), address: None, remark: Greeting(Delay { seconds: 5 }) })
            Titled(Titled { pid: Some(SessionId(8155)), address: Some(203.0.113.66), remark: Greeting(Failed) })
            Titled(Titled { pid: None, address: Some(203.0.113.66), remark: Greeting(Spoke) })
            Titled(Titled { pid: None, address: None, remark: Greeting(Delay { seconds: 20 }) })
        "#]],
    );
}

#[test]
fn lines_of_jms1() {
    check(
        &[
            "qmail-smtpd[13493]: AUTH failed [203.0.113.66] info",
            "qmail-smtpd[13493]: AUTH failed (unknown user) [203.0.113.66] info@example.org",
            "qmail-smtpd[13493]: AUTH failed (bad password) [2001:db8::7] bob@example.org",
            "qmail-smtpd[13493]: AUTH failed (password expired) [203.0.113.66] bob@example.org",
            "qmail-smtpd[13493]: AUTH successful [203.0.113.66] bob@example.org",
            "qmail-smtpd[13493]: validrcptto [203.0.113.66] not found: nobody@example.org",
            "qmail-smtpd[13493]: validrcptto [203.0.113.66] excessive violations, hanging up",
            "qmail-smtpd[13493]: MFCHECK fail [203.0.113.66] example.net",
            "qmail-smtpd[13493]: MFCHECK pass [203.0.113.66] example.net",
            "qmail-smtpd[13493]: MFCHECK invalid [203.0.113.66] example..net",
            "qmail-smtpd[13493]: before greeting: [203.0.113.66] client sent data",
            "qmail-smtpd[13493]: before greeting: [203.0.113.66] client disconnected",
            "qmail-smtpd[13493]: DATABYTES exceeded [203.0.113.66]",
            "qmail-smtpd[13493]: MAXRCPT fail [203.0.113.66]",
            "qmail-smtpd[13493]: MAIL FROM:<a@example.net>",
            "qmail-smtpd[13493]: RCPT TO:<b@example.org>",
            "qmail-smtpd[13493]: Received-SPF: pass (mx.example.org: domain of a@example.net)",
        ],
        &expect![[r#"
            Titled(Titled { pid: Some(SessionId(13493)), address: Some(203.0.113.66), remark: Login { outcome: Failed, why: None, user: "info" } })
            Titled(Titled { pid: Some(SessionId(13493)), address: Some(203.0.113.66), remark: Login { outcome: Failed, why: Some(UnknownUser), user: "info@example.org" } })
            Titled(Titled { pid: Some(SessionId(13493)), address: Some(2001:db8::7), remark: Login { outcome: Failed, why: Some(BadPassword), user: "bob@example.org" } })
            Titled(Titled { pid: Some(SessionId(13493)), address: Some(203.0.113.66), remark: Login { outcome: Failed, why: Some(PasswordExpired), user: "bob@example.org" } })
            Titled(Titled { pid: Some(SessionId(13493)), address: Some(203.0.113.66), remark: Login { outcome: Success, why: None, user: "bob@example.org" } })
            Titled(Titled { pid: Some(SessionId(13493)), address: Some(203.0.113.66), remark: Recipient { verdict: Dropped, recipient: "nobody@example.org" } })
            Titled(Titled { pid: Some(SessionId(13493)), address: Some(203.0.113.66), remark: Limit(BadRecipients) })
            Titled(Titled { pid: Some(SessionId(13493)), address: Some(203.0.113.66), remark: SenderDomain { is_good: false, domain: "example.net" } })
            Titled(Titled { pid: Some(SessionId(13493)), address: Some(203.0.113.66), remark: SenderDomain { is_good: true, domain: "example.net" } })
            Titled(Titled { pid: Some(SessionId(13493)), address: Some(203.0.113.66), remark: SenderDomain { is_good: false, domain: "example..net" } })
            Titled(Titled { pid: Some(SessionId(13493)), address: Some(203.0.113.66), remark: Greeting(Spoke) })
            Titled(Titled { pid: Some(SessionId(13493)), address: Some(203.0.113.66), remark: Greeting(Gone) })
            Titled(Titled { pid: Some(SessionId(13493)), address: Some(203.0.113.66), remark: Limit(Databytes) })
            Titled(Titled { pid: Some(SessionId(13493)), address: Some(203.0.113.66), remark: Limit(Recipients) })
            Titled(Titled { pid: Some(SessionId(13493)), address: None, remark: Verbose("MAIL FROM:<a@example.net>") })
            Titled(Titled { pid: Some(SessionId(13493)), address: None, remark: Verbose("RCPT TO:<b@example.org>") })
            Titled(Titled { pid: Some(SessionId(13493)), address: None, remark: Verbose("Received-SPF: pass (mx.example.org: domain of a@example.net)") })
        "#]],
    );
}

#[test]
fn what_is_said_in_words() {
    check(
        &[
            "qmail-smtpd: reject (auth not available): (null) from 203.0.113.66 to (null) helo two words",
            "qmail-smtpd: SSL error (error:0A000102:SSL routines::unsupported protocol): (null) from 203.0.113.66 to (null) helo User",
            "qmail-smtpd: SNI provided (mail.example.org): (null) from 203.0.113.66 to (null) helo unknown",
            "qmail-smtpd: read failed (rehandshake failed): (null) from 203.0.113.66 to (null) helo User",
            "qmail-smtpd: read failed (commands error): (null) from 203.0.113.66 to (null) helo User",
            "qmail-smtpd: read failed: a@example.net from 198.51.100.7 to a@example.net helo mail.example.net",
            "qmail-smtpd: message rejected (qmail-dnsbl) (7.100.51.198.zen.spamhaus.org): spam@example.net from 198.51.100.7 to info@example.org helo ylmf-pc",
            "qmail-smtpd: message accepted: a@example.net from 198.51.100.7 to info@example.org helo mail.example.net",
            "qmail-smtpd: message rejected (mail server permanently rejected message (#5.3.0)): : a@example.net from 198.51.100.7 to info@example.org helo mail.example.net",
            "qmail-smtpd: message delayed (qq temporary problem (#4.3.0)):  from 198.51.100.7 to info@example.org helo mail.example.net",
            "qmail-smtpd: max rcpt limit exceeded (qmail-maxrcpt): a@example.net from 198.51.100.7 to info@example.org helo h",
            "qmail-smtpd: badmailfrom: spam@example.net from 198.51.100.7 to spam@example.net helo h",
            "qmail-smtpd: missing certificate: (null) from 203.0.113.66 to (null) helo unknown",
        ],
        &expect![[r#"
            Logit(Logit { event: AuthNotAvailable, detail: None, sender: None, address: 203.0.113.66, recipient: None, helo: Some("two words") })
            Logit(Logit { event: SslError, detail: Some("error:0A000102:SSL routines::unsupported protocol"), sender: None, address: 203.0.113.66, recipient: None, helo: Some("User") })
            Logit(Logit { event: Sni, detail: Some("mail.example.org"), sender: None, address: 203.0.113.66, recipient: None, helo: Some("unknown") })
            Logit(Logit { event: Rehandshake, detail: None, sender: None, address: 203.0.113.66, recipient: None, helo: Some("User") })
            Logit(Logit { event: ReadFailed, detail: Some("commands error"), sender: None, address: 203.0.113.66, recipient: None, helo: Some("User") })
            Logit(Logit { event: ReadFailed, detail: None, sender: Some("a@example.net"), address: 198.51.100.7, recipient: Some("a@example.net"), helo: Some("mail.example.net") })
            Logit(Logit { event: Dnsbl, detail: Some("7.100.51.198.zen.spamhaus.org"), sender: Some("spam@example.net"), address: 198.51.100.7, recipient: Some("info@example.org"), helo: Some("ylmf-pc") })
            Logit(Logit { event: Accepted, detail: None, sender: Some("a@example.net"), address: 198.51.100.7, recipient: Some("info@example.org"), helo: Some("mail.example.net") })
            Logit(Logit { event: Rejected, detail: Some("mail server permanently rejected message (#5.3.0)"), sender: Some("a@example.net"), address: 198.51.100.7, recipient: Some("info@example.org"), helo: Some("mail.example.net") })
            Logit(Logit { event: Delayed, detail: Some("qq temporary problem (#4.3.0)"), sender: Some(""), address: 198.51.100.7, recipient: Some("info@example.org"), helo: Some("mail.example.net") })
            Logit(Logit { event: MaxRcpt, detail: None, sender: Some("a@example.net"), address: 198.51.100.7, recipient: Some("info@example.org"), helo: Some("h") })
            Logit(Logit { event: BadMailFrom, detail: None, sender: Some("spam@example.net"), address: 198.51.100.7, recipient: Some("spam@example.net"), helo: Some("h") })
            Logit(Logit { event: NoCertificate, detail: None, sender: None, address: 203.0.113.66, recipient: None, helo: Some("unknown") })
        "#]],
    );
}

#[test]
fn chkuser_as_it_was_published() {
    check(
        &[
            "CHKUSER rejected rcpt: from <spam@example.net::> remote <ylmf-pc:unknown:198.51.100.7> rcpt <nobody@example.org> : not existing recipient",
            "CHKUSER relaying rcpt: from <bob@example.org:bob@example.org:> remote <laptop:host.example.net:2001:db8::7> rcpt <x@example.com> : client allowed to relay",
            "CHKUSER accepted sender: from <a@example.net::> remote <[IPv6:2001:db8::9]:unknown:198.51.100.7> rcpt <> : sender accepted",
        ],
        &expect![[r#"
            Chkuser(Chkuser { outcome: RejectedRcpt, sender: "spam@example.net", auth: "", identify: "", helo: "ylmf-pc", remote_host: "unknown", address: 198.51.100.7, recipient: "nobody@example.org", pid: None })
            Chkuser(Chkuser { outcome: Relaying, sender: "bob@example.org", auth: "bob@example.org", identify: "", helo: "laptop", remote_host: "host.example.net", address: 2001:db8::7, recipient: "x@example.com", pid: None })
            Chkuser(Chkuser { outcome: AcceptedSender, sender: "a@example.net", auth: "", identify: "", helo: "[IPv6:2001:db8::9]", remote_host: "unknown", address: 198.51.100.7, recipient: "", pid: None })
        "#]],
    );
}

#[test]
fn lines_of_s_qmail() {
    check(
        &[
            "qmail-smtpd: pid 23324 Reject::AUTH::login P:ESMTPSA S:203.0.113.66:unknown H:User ?~ 'info'",
            "qmail-smtpd: pid 23331 Reject::SNDR::Invalid_Relay P:ESMTP S:198.51.100.7:unknown H:ylmf-pc F:spam@example.net T:victim@example.com",
            "qmail-smtpd: pid 23332 Reject::AUTH::plain P:ESMTPA S:203.0.113.66:unknown ?= 'info'",
            "qmail-smtpd: pid 23333 Reject::ORIG::Bad_Mailfrom P:ESMTP S:2001:db8::7:unknown H:h F:a@example.net T: '@'",
            "qmail-smtpd: pid 23334 Accept::RCPT::Rcpthosts_Rcptto P:ESMTP S:198.51.100.7:mail.example.net H:mail.example.net F:a@example.net T:b@example.org",
            "qmail-smtpd: pid 23335 Reject::TLS::missing P:ESMTP S:198.51.100.7:unknown H:h",
            "qmail-popup: pid 812 Reject::AUTH::User P:POP3 S:203.0.113.66:unknown ?~ 'bob'",
            "qmail-popup: pid 813 Accept::AUTH::Apop P:POP3S S:203.0.113.66:unknown ?~ 'bob'",
        ],
        &expect![[r#"
            Spamcontrol(Spamcontrol { pid: SessionId(23324), verdict: Rejected, about: "AUTH", condition: "login", protocol: "ESMTPSA", address: 203.0.113.66, remote_host: "unknown", helo: Some("User"), sender: None, recipient: None, info: Some("info") })
            Spamcontrol(Spamcontrol { pid: SessionId(23331), verdict: Rejected, about: "SNDR", condition: "Invalid_Relay", protocol: "ESMTP", address: 198.51.100.7, remote_host: "unknown", helo: Some("ylmf-pc"), sender: Some("spam@example.net"), recipient: Some("victim@example.com"), info: None })
            Spamcontrol(Spamcontrol { pid: SessionId(23332), verdict: Rejected, about: "AUTH", condition: "plain", protocol: "ESMTPA", address: 203.0.113.66, remote_host: "unknown", helo: None, sender: None, recipient: None, info: Some("info") })
            Spamcontrol(Spamcontrol { pid: SessionId(23333), verdict: Rejected, about: "ORIG", condition: "Bad_Mailfrom", protocol: "ESMTP", address: 2001:db8::7, remote_host: "unknown", helo: Some("h"), sender: Some("a@example.net"), recipient: Some(""), info: Some("@") })
            Spamcontrol(Spamcontrol { pid: SessionId(23334), verdict: Accepted, about: "RCPT", condition: "Rcpthosts_Rcptto", protocol: "ESMTP", address: 198.51.100.7, remote_host: "mail.example.net", helo: Some("mail.example.net"), sender: Some("a@example.net"), recipient: Some("b@example.org"), info: None })
            Spamcontrol(Spamcontrol { pid: SessionId(23335), verdict: Rejected, about: "TLS", condition: "missing", protocol: "ESMTP", address: 198.51.100.7, remote_host: "unknown", helo: Some("h"), sender: None, recipient: None, info: None })
            Spamcontrol(Spamcontrol { pid: SessionId(812), verdict: Rejected, about: "AUTH", condition: "User", protocol: "POP3", address: 203.0.113.66, remote_host: "unknown", helo: None, sender: None, recipient: None, info: Some("bob") })
            Spamcontrol(Spamcontrol { pid: SessionId(813), verdict: Accepted, about: "AUTH", condition: "Apop", protocol: "POP3S", address: 203.0.113.66, remote_host: "unknown", helo: None, sender: None, recipient: None, info: Some("bob") })
        "#]],
    );
}

#[test]
fn conversations() {
    check(
        &[
            "8155 < EHLO ylmf-pc\r ",
            "8155 > 535 authorization failed (#5.7.0)\r ",
            "8155 > 250-mx.example.org+",
            "8155 < [EOF]",
            "server:[8155]:503 auth not available (#5.3.3) - 203.0.113.66\r",
            "client:[8155]:AUTH LOGIN",
        ],
        &expect![[r#"
            Dialogue(Dialogue { pid: SessionId(8155), side: Client, text: "EHLO ylmf-pc", is_whole: true })
            Dialogue(Dialogue { pid: SessionId(8155), side: Server, text: "535 authorization failed (#5.7.0)", is_whole: true })
            Dialogue(Dialogue { pid: SessionId(8155), side: Server, text: "250-mx.example.org", is_whole: false })
            Dialogue(Dialogue { pid: SessionId(8155), side: Client, text: "", is_whole: true })
            Dialogue(Dialogue { pid: SessionId(8155), side: Server, text: "503 auth not available (#5.3.3) - 203.0.113.66", is_whole: true })
            Dialogue(Dialogue { pid: SessionId(8155), side: Client, text: "AUTH LOGIN", is_whole: true })
        "#]],
    );
}

#[test]
fn smaller_programs() {
    check(
        &[
            "relaying denied: pid 8155 from <a@example.net> to <b@example.com>\r",
            "relaying denied: pid 8155 from <a@example.net> to <b@example.com>?",
            "mail recv: pid 8155 from <a@example.net> qp 8157\r",
            "mail recv: pid 8155 from <a@example.net> qp 8157?",
            "helo-dns-check: blocked with: your HELO does not resolve [203.0.113.66]",
            "helo-dns-check: blocked with: bad HELO [2001:db8::7]",
            "helo-dns-check: malformed HELO/EHLO [x y] from [203.0.113.66]",
            "greylist: 198.51.100.7: GREY first time",
            "greylist: 198.51.100.7: DENY blacklisted",
            "greylist: 198.51.100.7: HANGUP too many RCPT commands",
            "greylist: >>> HELO x",
            "policy_check: remote a@example.net -> local b@example.org (UNAUTHENTICATED SENDER)",
            "policy_check: policy forbids transmission",
            "qmail-overlimit: client=bob@example.org limit=100 current=101",
            "qmail-overlimit: REJECTED bob@example.org ",
            "user invalid tcpserver",
            "domain invalid example..org",
            "surblfilter: DNS temporary failure",
            "qmail-fixsmtpio: unable to fork",
            "authup: unable to read controls",
            "tcpserver: warning: dropping connection, unable to accept: out of memory",
        ],
        &expect![[r#"
            Gate(RelayDenied { pid: SessionId(8155), sender: "a@example.net", recipient: "b@example.com" })
            Gate(RelayDenied { pid: SessionId(8155), sender: "a@example.net", recipient: "b@example.com" })
            Gate(Received { pid: SessionId(8155), sender: "a@example.net", qp: 8157 })
            Gate(Received { pid: SessionId(8155), sender: "a@example.net", qp: 8157 })
            Gate(HeloBlocked { why: "your HELO does not resolve", address: 203.0.113.66 })
            Gate(HeloBlocked { why: "bad HELO", address: 2001:db8::7 })
            Gate(HeloNoted("malformed HELO/EHLO [x y] from [203.0.113.66]"))
            Gate(Greylist { address: 198.51.100.7, outcome: FirstTime })
            Gate(Greylist { address: 198.51.100.7, outcome: Blacklisted })
            Gate(Greylist { address: 198.51.100.7, outcome: TooManyRcpts })
            Gate(GreylistTrace(">>> HELO x"))
            Gate(Policy("remote a@example.net -> local b@example.org (UNAUTHENTICATED SENDER)"))
            Gate(Policy("policy forbids transmission"))
            Gate(Overlimit { client: "bob@example.org", is_rejected: false })
            Gate(Overlimit { client: "bob@example.org", is_rejected: true })
            Gate(NameInvalid("tcpserver"))
            Gate(NameInvalid("example..org"))
            Trouble { program: "surblfilter", text: "DNS temporary failure" }
            Trouble { program: "fixsmtpio", text: "unable to fork" }
            Trouble { program: "authup", text: "unable to read controls" }
            Trouble { program: "tcpserver", text: "warning: dropping connection, unable to accept: out of memory" }
        "#]],
    );
}

#[test]
fn verdicts_of_vchkpw() {
    check(
        &[
            "vchkpw-smtp: password fail (pass: '<65825.1118321790@mail.example.com>') myuserid@example.com:208.210.222.68",
            "vchkpw-pop3: null password given oneone1:121.243.18.134",
            "vchkpw-submission: (CRAM-MD5) login success user@my_domain:192.0.2.4",
            "vchkpw-pop3: vpopmail user not found info@:192.0.2.3",
            "vchkpw-587: password fail bob@example.org:2001_db8__7",
            "vchkpw-smtps: invalid user/domain characters a b:203.0.113.66:198.51.100.7",
            "vchkpw-smtps: null user name given x:1:2001:db8:1:2:3:4:5678:9abc",
            "vchkpw-imap: imap access denied bob@example.org:192.0.2.7",
            "vchkpw-smtp: system user not found root:192.0.2.7",
            "vchkpw-smtp: system password fail (pass: 'x') root:192.0.2.7",
            "vchkpw-smtp: user has no password bob@example.org:192.0.2.7",
        ],
        &expect![[r#"
            Vchkpw(Vchkpw { service: "smtp", outcome: PasswordFail, mechanism: None, user: "myuserid@example.com", address: 208.210.222.68 })
            Vchkpw(Vchkpw { service: "pop3", outcome: NullPassword, mechanism: None, user: "oneone1", address: 121.243.18.134 })
            Vchkpw(Vchkpw { service: "submission", outcome: Login, mechanism: Some("CRAM-MD5"), user: "user@my_domain", address: 192.0.2.4 })
            Vchkpw(Vchkpw { service: "pop3", outcome: UserNotFound, mechanism: None, user: "info@", address: 192.0.2.3 })
            Vchkpw(Vchkpw { service: "587", outcome: PasswordFail, mechanism: None, user: "bob@example.org", address: 2001:db8::7 })
            Vchkpw(Vchkpw { service: "smtps", outcome: InvalidCharacters, mechanism: None, user: "a b:203.0.113.66", address: 198.51.100.7 })
            Vchkpw(Vchkpw { service: "smtps", outcome: NullUser, mechanism: None, user: "x:1", address: 2001:db8:1:2:3:4:5678:9abc })
            Vchkpw(Vchkpw { service: "imap", outcome: ImapDenied, mechanism: None, user: "bob@example.org", address: 192.0.2.7 })
            Vchkpw(Vchkpw { service: "smtp", outcome: SystemUserNotFound, mechanism: None, user: "root", address: 192.0.2.7 })
            Vchkpw(Vchkpw { service: "smtp", outcome: SystemPasswordFail, mechanism: None, user: "root", address: 192.0.2.7 })
            Vchkpw(Vchkpw { service: "smtp", outcome: NoPassword, mechanism: None, user: "bob@example.org", address: 192.0.2.7 })
        "#]],
    );
}

#[test]
fn verdicts_of_simscan() {
    check(
        &[
            "simscan:[210394]:CLEAN (-1.21/9999.00):3.3608s:=?UTF-8?Q?Hi?=:198.51.100.224:noreply@bulk.example:export@example.org",
            "simscan:[8155]:SPAM REJECT (15.20/5.00):0.1s:buy:198.51.100.7:spam@example.net:a@example.org,b@example.org",
            "simscan:[8155]:VIRUS:0.02s:Eicar-Test-Signature:198.51.100.7:spam@example.net:a@example.org",
            "simscan:[8155]:RELAYCLIENT:0.0001s:-:198.51.100.7:bob@example.org:a@example.com",
            "simscan:[8155]:CLEAN (0.00/5.00):0.1s:Re: x:198.51.100.7:a@example.net:b@example.org",
            "simscan:[8155]:CLEAN (0.00/5.00):0.1s:x:203.0.113.66:a@b:c:198.51.100.7:a@example.net:b@example.org",
        ],
        &expect![[r#"
            Simscan(Simscan { pid: SessionId(210394), state: Clean, score: Some("-1.21/9999.00"), mail: Some(SimscanMail { subject: "=?UTF-8?Q?Hi?=", address: 198.51.100.224, sender: "noreply@bulk.example", recipients: "export@example.org" }) })
            Simscan(Simscan { pid: SessionId(8155), state: SpamReject, score: Some("15.20/5.00"), mail: Some(SimscanMail { subject: "buy", address: 198.51.100.7, sender: "spam@example.net", recipients: "a@example.org,b@example.org" }) })
            Simscan(Simscan { pid: SessionId(8155), state: Virus, score: None, mail: Some(SimscanMail { subject: "Eicar-Test-Signature", address: 198.51.100.7, sender: "spam@example.net", recipients: "a@example.org" }) })
            Simscan(Simscan { pid: SessionId(8155), state: RelayClient, score: None, mail: Some(SimscanMail { subject: "-", address: 198.51.100.7, sender: "bob@example.org", recipients: "a@example.com" }) })
            Simscan(Simscan { pid: SessionId(8155), state: Clean, score: Some("0.00/5.00"), mail: Some(SimscanMail { subject: "Re: x", address: 198.51.100.7, sender: "a@example.net", recipients: "b@example.org" }) })
            Simscan(Simscan { pid: SessionId(8155), state: Clean, score: Some("0.00/5.00"), mail: None })
        "#]],
    );
}

#[test]
fn verdicts_of_spamdyke() {
    check(
        &[
            "spamdyke[29207]: DENIED_RDNS_MISSING from: spam@mail.spam-source.net to: recipient@example.com origin_ip: 203.0.113.66 origin_rdns: (unknown) auth: (unknown) encryption: (none) reason: (empty)",
            "DENIED_RBL_MATCH from: a@example.net to: b@example.org origin_ip: 198.51.100.7 origin_rdns: host.example.net auth: (unknown) encryption: TLS",
            "ALLOWED from: (unknown) to: b@example.org origin_ip: 2001:db8::7 origin_rdns: (unknown) auth: bob encryption: TLS_PASSTHROUGH",
            "spamdyke[29207]: ERROR: authentication failure (bad username/password, vchkpw uses this to indicate SMTP access is not allowed): bob",
            "spamdyke[29207]: FILTER_RDNS_MISSING ip: 203.0.113.66",
        ],
        &expect![[r#"
            Spamdyke(Verdict { pid: Some(SessionId(29207)), code: SpamdykeCode("DENIED_RDNS_MISSING"), sender: "spam@mail.spam-source.net", recipient: "recipient@example.com", address: 203.0.113.66, remote_host: "", user: "", reason: Some("(empty)") })
            Spamdyke(Verdict { pid: None, code: SpamdykeCode("DENIED_RBL_MATCH"), sender: "a@example.net", recipient: "b@example.org", address: 198.51.100.7, remote_host: "host.example.net", user: "", reason: None })
            Spamdyke(Verdict { pid: None, code: SpamdykeCode("ALLOWED"), sender: "", recipient: "b@example.org", address: 2001:db8::7, remote_host: "", user: "bob", reason: None })
            Spamdyke(AuthFailure { pid: Some(SessionId(29207)), user: "bob" })
            Spamdyke(Verbose("FILTER_RDNS_MISSING ip: 203.0.113.66"))
        "#]],
    );
}

#[test]
fn lines_of_logterse() {
    check(
        &[
            "7923 logging::logterse plugin (deny): ` 192.241.146.6\tmta-wk-2.mk1.example.com\tmta-wk-2.mk1.example.com\t<c736fb27@mk1.example.com>\t\trhsbl\t901\tBlocked, see list\tmsg denied before queued",
            "7924 logging::logterse plugin: ` 198.51.100.7\tmail.example.net\tmail.example.net\t<a@example.net>\t<b@example.org>,<c@example.org>\tqueued\t\t<x1@example.net>",
        ],
        &expect![[r#"
            Logterse(Logterse { pid: SessionId(7923), address: 192.241.146.6, remote_host: "mta-wk-2.mk1.example.com", helo: "mta-wk-2.mk1.example.com", sender: "c736fb27@mk1.example.com", recipients: "", plugin: "rhsbl", code: Some(901), text: "Blocked, see list" })
            Logterse(Logterse { pid: SessionId(7924), address: 198.51.100.7, remote_host: "mail.example.net", helo: "mail.example.net", sender: "a@example.net", recipients: "<b@example.org>,<c@example.org>", plugin: "queued", code: None, text: "<x1@example.net>" })
        "#]],
    );
}

#[test]
fn further_lines_of_qmail_send() {
    check(
        &[
            "starting delivery 12: msg 7209163 to suppl0 bob@example.com",
            "delivery 12: report mangled, will defer",
            "triple bounce: discarding bounce/12345",
            "double bounce: discarding bounce/12346",
            "status: local 0/10 remote 0/20 suppl0 0/5 suppl1 0/5",
            "status: local 0/10 remote 0/20 exitasap",
            "status: exiting",
            "warning: unable to stat mess/12; will try again later",
            "alert: oh no! lost spawn connection! dying...",
        ],
        &expect![[r#"
            Queue(Starting { delivery: 12, msg: 7209163, channel: "suppl0", recipient: "bob@example.com" })
            Queue(Mangled { delivery: 12 })
            Queue(Discarding { what: "triple", file: "bounce/12345" })
            Queue(Discarding { what: "double", file: "bounce/12346" })
            Queue(Status("local 0/10 remote 0/20 suppl0 0/5 suppl1 0/5"))
            Queue(Status("local 0/10 remote 0/20 exitasap"))
            Queue(Status("exiting"))
            Queue(Warning("unable to stat mess/12; will try again later"))
            Queue(Alert("oh no! lost spawn connection! dying..."))
        "#]],
    );
}

#[test]
fn a_line_with_two_candidates_is_nobodys() {
    for line in [
        "CHKUSER rejected relaying: from <a@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:y|remotehostip:203.0.113.66> rcpt <z> : client not allowed to relay|remotehostname:unknown|remotehostip:198.51.100.7> rcpt <b@example.com> : client not allowed to relay",
        "CHKUSER rejected rcpt: from <s@example.net::> remote <a:b:203.0.113.66> rcpt <z> : x:unknown:198.51.100.7> rcpt <a@example.org> : not existing recipient",
        "qmail-smtpd: read failed (tls connection failed): a from 203.0.113.66 to b helo c from 198.51.100.7 to d helo e",
        "qmail-smtpd: timeout: a@example.net from 198.51.100.7 to b@example.org helo x from 203.0.113.66 to y helo z",
        "DENIED_OTHER from: a origin_ip: 203.0.113.66 origin_rdns: x auth: y encryption: (none) to: b origin_ip: 198.51.100.7 origin_rdns: (unknown) auth: (unknown) encryption: (none)",
        "DENIED_OTHER from: a to: b origin_ip: 198.51.100.7 origin_rdns: (unknown) auth: c origin_ip: 203.0.113.66 encryption: (none)",
        "qlogenvelope: result=rejected code=535 reason=authfailed detail= helo=x mailfrom=y rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.66 remoteport=1 remotehost=u qp= pid=7 rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=198.51.100.7 remoteport=50122 remotehost=unknown qp= pid=9012",
    ] {
        assert_eq!(Record::parse(line.as_bytes()), Some(Record::Foreign(Foreign::Doubtful)), "{line}");
    }
}

#[test]
fn a_line_that_is_not_quite_one_is_refused() {
    for line in [
        "qmail-smtpd[8155]: AUTH failed [203.0.113.66 info",
        "qmail-smtpd[x]: AUTH failed [203.0.113.66] info",
        "sslserver: pid 8155 from nowhere",
        "rblsmtpd: 198.51.100.7 pid 1 zen: 250 x",
        "vchkpw-pop3: password fail bob 203.0.113.66:192.0.2.7",
        "vchkpw-pop3: password fail bob@example.org:192.0.2.7 ",
        "vchkpw-: password fail bob@example.org:192.0.2.7",
        "vchkpw-pop3: system user not found x:2001:db8::7",
        "simscan:[8155]:MAYBE:0.1s:x:198.51.100.7:a:b",
        "simscan: [8155]: debug",
        "8155 <",
        "8155 < x",
        "7923 logging::logterse plugin: ` nowhere\ta\tb\tc\td\te\tf\tg",
        "helo-dns-check: blocked with: x [203.0.113.66] [198.51.100.7]",
        "greylist: 198.51.100.7: OK whatever",
        "relaying denied: pid x from <a> to <b>",
        "mail recv: pid 8155 from <a> qp 1 or 2",
        "DENIED_WHATEVER from: a to: b origin_ip: 198.51.100.7 origin_rdns: c auth: d encryption: e",
        "qmail-popup: pid 812 Reject::AUTH::User P:POP3 S:nowhere:unknown ?~ 'bob'",
        "starting delivery 12: msg 7 to supplx b",
        "Dec",
        "status: whatever",
        "warning",
        "warning: unknown[198.51.100.7]: SASL LOGIN authentication failed",
    ] {
        assert_eq!(Record::parse(line.as_bytes()), None, "{line}");
    }
}

#[test]
fn what_syslog_took_for_the_program_is_read_with_it() {
    #[track_caller]
    fn check(program: &str, pid: Option<u32>, message: &str, whole: &str) {
        let read = Record::parse_of(program.as_bytes(), pid.map(SessionId), message.as_bytes());
        assert_eq!(read, Some(Record::parse(whole.as_bytes()).unwrap()), "{whole}");
    }
    for whole in [
        "tcpserver: pid 8155 from 198.51.100.7",
        "sslserver: pid 8155 from 198.51.100.7",
        "rblsmtpd: 198.51.100.7 pid 8155: 451 x",
        "rblsmtpd: 198.51.100.7 pid 8155 zen.example.net: 451 x",
        "qmail-smtpd: pid 23335 Reject::TLS::missing P:ESMTP S:198.51.100.7:unknown H:h",
        "qmail-smtpd: reject (auth not available): (null) from 203.0.113.66 to (null) helo ylmf-pc",
        "qmail-popup: pid 812 Reject::AUTH::User P:POP3 S:203.0.113.66:unknown ?~ 'bob'",
        "greylist: 198.51.100.7: DENY blacklisted",
        "helo-dns-check: blocked with: x [203.0.113.66]",
        "qmail-overlimit: REJECTED bob@example.org ",
        "qlogenvelope: result=rejected code=535 reason=authfailed detail= helo=User mailfrom= rcptto= relay=no rcpthosts= size= authuser=info@example.org authtype=login encrypted=tls sslverified=no localip=192.0.2.25 localport=587 remoteip=203.0.113.66 remoteport=50122 remotehost=unknown qp= pid=9012",
    ] {
        let (program, message) = whole.split_once(": ").unwrap();
        check(program, None, message, whole);
    }
    for whole in [
        "qmail-smtpd[9012]: auth: auth-failed type=login user=<info@example.org>",
        "qmail-smtpd[9012]: rbl: ip=198.51.100.7 query=q result=pass message=''",
        "qmail-smtpd[9012]: AUTH failed [203.0.113.66] info",
        "spamdyke[9012]: DENIED_RBL_MATCH from: a to: b origin_ip: 198.51.100.7 origin_rdns: c auth: d encryption: e",
    ] {
        let (program, message) = whole.split_once("[9012]: ").unwrap();
        check(program, Some(9012), message, whole);
    }
    assert_eq!(Record::parse_of(b"evil", None, b"pid 8155 from 198.51.100.7"), None);
}

#[test]
fn a_message_id_is_found_among_the_headers_a_log_address_printed() {
    let report = b"Received:_(qmail_17359_invoked_by_uid_89);_5_Nov_2014_12:00:47_+0100/Message-ID:_<x1@mail.example.com>/Message-ID:_<x2>/Subject:_dasda/---/did_0+0+2/";
    assert_eq!(header_message_id(report), Some(&b"x1@mail.example.com"[..]));
    for report in [
        &b"203.0.113.25_accepted_message./Remote_host_said:_250_Message-ID:_<x1@mail.example.com>/"[..],
        b"Message-ID:_<x1@mail.example.com>/did_1+0+0/",
        b"Subject:_x/did_0+0+2/",
        b"",
    ] {
        assert_eq!(header_message_id(report), None, "{}", report.escape_ascii());
    }
}
