//! The order of all checks: what costs nothing comes first, then what asks ourselves, then what asks others.

use smtpd::blocklist::{Action, Blocklist};
use smtpd::rules::{BadLists, HeloPolicy, KarmaRefuses, MailPolicy, Pairs, Rules};
use smtpd::session::{Grant, Policy};
use smtpd::words::{Asked, Word};

use super::{granted, patterns};
use crate::world::{converse, policy};

/// A session at which everything is wrong, until it is mended.
struct Wrong {
    policy: Policy,
    grant: Grant,
    speaks_early: bool,
    helo: &'static str,
    mail: &'static str,
    recipient: &'static str,
}

fn everything() -> Wrong {
    let list = |zone: &str| Blocklist::new(zone, Action::Reject, None);
    let bad = BadLists {
        helo: patterns(&["localhost"]),
        sender: patterns(&["forged@*"]),
        recipient: patterns(&["trap@*"]),
        pairs: Pairs::new(vec!["@example.net *@elsewhere.example".parse().unwrap()]),
        ..BadLists::default()
    };
    let rules = Rules {
        greet_delay: std::time::Duration::from_secs(5),
        karma_refuses: KarmaRefuses::Connection,
        reject_null_sender: true,
        reject_relay_probes: true,
        bad,
        helo: HeloPolicy::Rfc,
        bad_recipients_max: 1,
        session_bad_recipients_max: 1,
        spf: smtpd::rules::SpfBehavior::new(3).unwrap(),
        sender_domain: true,
        domain_lists: vec![list("rhsbl.example")],
        mail_policy: MailPolicy::new(["example.org:e".parse().unwrap()]),
        one_bad_recipient_spoils: true,
        ..Rules::default()
    };
    let mut policy = Policy { rules, blocklists: vec![list("listed.example")], ..policy() };
    policy.auth.required = true;
    Wrong {
        policy,
        grant: Grant {
            is_naughty: true,
            is_busy: true,
            word: Some(Word { asked: Asked::AuthOnly, reason: String::new() }),
            ..Grant::default()
        },
        speaks_early: true,
        helo: "localhost",
        mail: "<nobody> SIZE=9999",
        recipient: "trap%x@elsewhere.example",
    }
}

impl Wrong {
    /// Why the session got no further, by the last refusal in its journal; `go ahead` where it got to the message.
    fn refused_for(&self) -> String {
        let wait = if self.speaks_early { "" } else { "wait" };
        let script = format!(
            "{wait}\nC: HELO {}\nC: MAIL FROM:{}\nC: RCPT TO:<nobody@example.org>\nC: RCPT TO:<{}>\nC: DATA",
            self.helo, self.mail, self.recipient
        );
        let transcript = converse(granted(self.policy.clone(), self.grant.clone()), &script);
        if transcript.ends_with("S: 354 go ahead\n") {
            return "go ahead".to_owned();
        }
        // What comes out of order because something before it was refused is no policy.
        let refused = transcript
            .lines()
            .rev()
            .find(|line| line.contains(" result=rejected ") && !line.contains(" reason=sequence "));
        let value = |key: &str| {
            let (_, rest) = refused.unwrap().split_once(key).unwrap();
            rest.split(' ').next().unwrap().to_owned()
        };
        format!("{} {}", value(" reason="), value(" detail=")).trim_end().to_owned()
    }
}

/// What is found next, and what mends it.
type Step = (&'static str, fn(&mut Wrong));

const AT_CONNECT_AND_MAIL: &[Step] = &[
    ("karma connect", |wrong| wrong.policy.rules.karma_refuses = KarmaRefuses::Mail),
    ("pregreet", |wrong| wrong.speaks_early = false),
    ("authrequired", |wrong| wrong.policy.auth.required = false),
    ("watcher authonly", |wrong| wrong.grant.word = None),
    ("chkusersender senderformat", |wrong| wrong.mail = "<> SIZE=9999"),
    ("karma", |wrong| wrong.grant.is_naughty = false),
    ("load", |wrong| wrong.grant.is_busy = false),
    ("nullsenderdenied", |wrong| wrong.mail = "<forged@example.net> SIZE=9999"),
    ("databytes_limit_exceeded", |wrong| wrong.mail = "<forged@example.net>"),
];

const AT_RCPT: &[Step] = &[
    ("dontrelay", |wrong| wrong.recipient = "trap@elsewhere.example"),
    ("qregexbhelo qregexbhelo:localhost+qregexbmf:forged@*", |wrong| {
        wrong.policy.rules.bad.helo = patterns(&[]);
    }),
    ("helo helo:localhost+qregexbmf:forged@*", |wrong| wrong.helo = "no.such.example"),
    ("qregexbmf forged@*", |wrong| wrong.policy.rules.bad.sender = patterns(&[])),
    ("brtlimit", |wrong| wrong.policy.rules.bad_recipients_max = 0),
    ("chkuser maxwrongrcpt", |wrong| wrong.policy.rules.session_bad_recipients_max = 0),
    ("qregexbmt trap@*", |wrong| wrong.policy.rules.bad.recipient = patterns(&[])),
    ("qregexbmf @example.net\\x20*@elsewhere.example", |wrong| {
        wrong.policy.rules.bad.pairs = Pairs::default();
    }),
    ("chkuser notinrcpthosts", |wrong| wrong.recipient = "carol@example.org"),
    ("chkuser nomailbox", |wrong| wrong.recipient = "alice@example.org"),
];

const ASKING_OTHERS: &[Step] = &[
    ("rblreject listed.example", |wrong| wrong.policy.blocklists.clear()),
    ("helo noforward", |wrong| wrong.helo = "mail.example.net"),
    ("spf fail", |wrong| wrong.mail = "<a@listed.example>"),
    ("chkusersender sendermxinvalid", |wrong| wrong.policy.rules.sender_domain = false),
    ("rhsbl rhsbl.example", |wrong| wrong.policy.rules.domain_lists.clear()),
    ("empf", |wrong| wrong.policy.rules.mail_policy = MailPolicy::default()),
    ("qregexbmt spoilt", |wrong| wrong.policy.rules.one_bad_recipient_spoils = false),
];

#[test]
fn a_session_with_every_fault_is_told_of_them_in_this_order() {
    let mut wrong = everything();
    for (expected, mend) in AT_CONNECT_AND_MAIL.iter().chain(AT_RCPT).chain(ASKING_OTHERS) {
        assert_eq!(wrong.refused_for(), *expected);
        mend(&mut wrong);
    }
    assert_eq!(wrong.refused_for(), "go ahead");
}
