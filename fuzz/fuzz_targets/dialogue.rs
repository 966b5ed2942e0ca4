//! Any bytes as what a client sends, understood by this server and, command by command, by the parser of another one:
//! what both take they take alike, and neither ends a message where the other goes on.
//!
//! It is a second opinion on what a line means. Where this server refuses, nothing follows from what the other says,
//! but for reasons that are counted out here: a refusal that none of them explains is a find as well.
#![no_main]

use std::borrow::Cow;

use fuzz::Play;
use libfuzzer_sys::fuzz_target;
use smtp_proto::request::receiver::DataReceiver;
use smtp_proto::{
    MAIL_RET_FULL, MAIL_RET_HDRS, MAIL_SMTPUTF8, MailFrom, RCPT_NOTIFY_DELAY, RCPT_NOTIFY_FAILURE,
    RCPT_NOTIFY_NEVER, RCPT_NOTIFY_SUCCESS, RcptTo, Request,
};
use smtpd::dsn::{Return, Wish};
use smtpd::mailbox::Mailbox;
use smtpd::session::Service;

type Theirs<'a> = Request<Cow<'a, str>>;

/// A message as the other parser has it, of what this server took.
#[derive(Default)]
struct Mail {
    from: Option<MailFrom<String>>,
    to: Vec<RcptTo<String>>,
    body: Vec<u8>,
    in_chunks: bool,
}

fuzz_target!(|said: &[u8]| {
    let mut ours = Play::open(Service::Smtp);
    let (mut mail, mut rest) = (Mail::default(), said);
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n').filter(|_| !ours.is_over) {
        let (line, behind) = rest.split_at(end + 1);
        rest = behind;
        let (theirs, shown) = (Request::parse(&mut line.iter()), String::from_utf8_lossy(line));
        let code = said_to(&mut ours, line);
        if let Ok(Request::Bdat { chunk_size, is_last }) = &theirs {
            match chunk(&mut ours, &mut mail, (*chunk_size, *is_last, code), &mut rest) {
                Some(()) => continue,
                None => return,
            }
        }
        let code = code.unwrap_or_default();
        let is_taken = (200..400).contains(&code);
        match (is_taken, theirs) {
            (true, Ok(request)) => match take(&mut ours, &mut mail, (request, code), &mut rest, &shown) {
                Some(()) => {}
                None => return,
            },
            (true, Err(error)) => {
                assert!(is_leniency(line), "taken here with {code}, not there: {shown:?}: {error:?}");
                return;
            }
            (false, Ok(request)) => {
                let is_right = is_refused_rightly(line, code);
                assert!(is_right, "taken there, refused here with {code}: {shown:?}: {request:?}");
            }
            (false, Err(_)) => {}
        }
    }
});

/// What this server says to it; none where it waits for more.
fn said_to(ours: &mut Play, bytes: &[u8]) -> Option<u16> {
    let before = ours.codes.len();
    ours.hear(bytes);
    ours.codes.get(before).copied()
}

/// What both took: it is the same, and what follows from it too. None where there is nothing more to compare.
fn take(
    ours: &mut Play,
    mail: &mut Mail,
    (request, code): (Theirs<'_>, u16),
    rest: &mut &[u8],
    shown: &str,
) -> Option<()> {
    match request {
        Request::Ehlo { .. } | Request::Helo { .. } | Request::Rset => *mail = Mail::default(),
        Request::Mail { from } => *mail = Mail { from: Some(from.into_owned()), ..Mail::default() },
        Request::Rcpt { to } => mail.to.push(to.into_owned()),
        Request::Data if code == 354 => return data(ours, mail, rest),
        Request::Noop { .. } | Request::Vrfy { .. } | Request::Help { .. } | Request::Quit => {}
        // Dialogues of their own.
        Request::Auth { .. } | Request::StartTls => return None,
        other => panic!("taken here with {code}: {shown:?}: {other:?}"),
    }
    Some(())
}

/// A chunk, which is as long as both have read.
fn chunk(
    ours: &mut Play,
    mail: &mut Mail,
    (size, is_last, code): (usize, bool, Option<u16>),
    rest: &mut &[u8],
) -> Option<()> {
    let (chunk, behind) = rest.split_at_checked(size)?;
    match code {
        None => *rest = behind,
        // An empty chunk is over with its line.
        Some(_) => assert!(size == 0 || code != Some(250), "a chunk of {size} is over before it comes"),
    }
    match code.or_else(|| said_to(ours, chunk)) {
        Some(250) => {}
        // Its line breaks, its size, or that it came where none was awaited: what follows is for nobody.
        Some(_) => return None,
        None => panic!("a chunk of {size} is over there, and not here"),
    }
    if !std::mem::replace(&mut mail.in_chunks, true) {
        compare_envelope(ours, mail);
    }
    mail.body.extend(chunk);
    if is_last {
        compare_body(ours, mail);
        *mail = Mail::default();
    }
    Some(())
}

/// The message after DATA, byte by byte, so that both ends are known exactly.
fn data(ours: &mut Play, mail: &mut Mail, rest: &mut &[u8]) -> Option<()> {
    let (mut theirs, start) = (DataReceiver::new(), *rest);
    // The end of the DATA line is the start of the first line (RFC 5321 §4.1.1.4), which the other parser is not told.
    theirs.ingest(&mut b"\r\n".iter(), &mut Vec::new());
    compare_envelope(ours, mail);
    for (at, byte) in start.iter().enumerate() {
        let code = said_to(ours, std::slice::from_ref(byte));
        let read = start.get(..=at).unwrap_or_default();
        let is_over = theirs.ingest(&mut std::slice::from_ref(byte).iter(), &mut mail.body);
        match (code, is_over) {
            (None, false) => {}
            (Some(250), true) => {
                *rest = start.get(at + 1..).unwrap_or_default();
                compare_body(ours, mail);
                *mail = Mail::default();
                return Some(());
            }
            // A line break that is none, and all that another server may make of it.
            (Some(code), _) if has_bare_break(read) => {
                assert!(code >= 400, "{code}");
                return None;
            }
            (None, true) => panic!("ends there, goes on here: {:?}", String::from_utf8_lossy(read)),
            (Some(code), false) => {
                panic!("ends here with {code}, goes on there: {:?}", String::from_utf8_lossy(read))
            }
            // Its size, its hops, its lines.
            (Some(_), true) => return None,
        }
    }
    None
}

fn compare_envelope(ours: &Play, mail: &Mail) {
    let envelope = ours.envelope.as_ref().expect("DATA is taken, so a message is open");
    let from = mail.from.as_ref().expect("DATA is taken behind MAIL");
    let plain = |mailbox: &Mailbox| format!("{}@{}", mailbox.local(), mailbox.domain());
    assert_eq!(envelope.sender.as_ref().map(plain).unwrap_or_default(), from.address);
    assert_eq!(envelope.smtputf8, from.flags & MAIL_SMTPUTF8 != 0);
    assert_eq!(
        envelope.wishes.envid,
        from.env_id.as_ref().map(|_| envelope.wishes.envid.clone().unwrap_or_default())
    );
    let ret = match from.flags & (MAIL_RET_FULL | MAIL_RET_HDRS) {
        0 => None,
        MAIL_RET_FULL => Some(Return::Full),
        _ => Some(Return::Headers),
    };
    assert_eq!(envelope.wishes.ret, ret);
    let recipients: Vec<String> = envelope.recipients.iter().map(plain).collect();
    // This server keeps a recipient's domain as name servers know it.
    let hosted = |to: &RcptTo<String>| {
        let parts = to.address.rsplit_once('@').and_then(|(local, domain)| Mailbox::new(local, domain));
        parts.map_or_else(|| to.address.clone(), |mailbox| plain(&mailbox.with_host()))
    };
    let theirs: Vec<String> = mail.to.iter().map(hosted).collect();
    assert_eq!(recipients, theirs);
    for (n, to) in mail.to.iter().enumerate() {
        let Wish { notify, original } = envelope.wishes.of(n);
        assert_eq!(original.is_some(), to.orcpt.is_some());
        let flag = |is_set: bool, flag: u64| if is_set { flag } else { 0 };
        let ours = notify.map_or(0, |notify| {
            let wanted = flag(notify.success, RCPT_NOTIFY_SUCCESS)
                | flag(notify.failure, RCPT_NOTIFY_FAILURE)
                | flag(notify.delay, RCPT_NOTIFY_DELAY);
            if wanted == 0 { RCPT_NOTIFY_NEVER } else { wanted }
        });
        assert_eq!(ours, to.flags);
    }
}

/// Ours has lines that end in a line feed, and begins with what the server adds.
fn compare_body(ours: &Play, mail: &Mail) {
    let mut theirs = String::from_utf8_lossy(&mail.body).replace("\r\n", "\n");
    // The last line of chunks may lack its end, and is stored with one.
    if mail.in_chunks && !theirs.is_empty() && !theirs.ends_with('\n') {
        theirs.push('\n');
    }
    let ours = String::from_utf8_lossy(&ours.body);
    assert!(ours.ends_with(theirs.as_str()), "{ours:?}\nends there as {theirs:?}");
}

fn has_bare_break(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().any(|(at, byte)| match byte {
        b'\n' => at == 0 || bytes.get(at - 1) != Some(&b'\r'),
        b'\r' => bytes.get(at + 1).is_some_and(|next| *next != b'\n'),
        _ => false,
    })
}

/// What qmail takes and the other parser does not, so that this server takes it too.
fn is_leniency(line: &[u8]) -> bool {
    let upper = line.to_ascii_uppercase();
    let is_path = upper.starts_with(b"MAIL ") || upper.starts_with(b"RCPT ");
    let has = |byte: u8| line.contains(&byte);
    let has_pair = |pair: &[u8]| line.windows(2).any(|found| found == pair);
    // A name that is not said, and words behind a command that takes none.
    if !is_path {
        return [&b"EHLO"[..], b"HELO", b"VRFY"].iter().any(|verb| upper.starts_with(verb));
    }
    // Without brackets; an address in brackets; an escape outside of quotes; dots where RFC 5321 has none; a local part
    // alone; a source route; more than 256 bytes.
    let behind = upper
        .iter()
        .position(|byte| *byte == b':')
        .map_or(&b""[..], |colon| upper.get(colon + 1..).unwrap_or_default());
    !behind.trim_ascii_start().starts_with(b"<")
        || has(b'[')
        || has(b'\\')
        || has_pair(b"..")
        || has_pair(b"<.")
        || has_pair(b".@")
        || has_pair(b":.")
        || !has(b'@')
        || has_pair(b"<@")
        || line.len() > 256
        || names_another_kind(&upper)
}

/// Addresses of other kinds than `rfc822` have their own names (RFC 3461 §4.2), of which the other parser knows none.
fn names_another_kind(upper: &[u8]) -> bool {
    let word = b"ORCPT=";
    let at = upper.windows(word.len()).position(|found| found == word);
    at.is_some_and(|at| !upper.get(at + word.len()..).unwrap_or_default().starts_with(b"RFC822;"))
}

/// Of reading itself the other parser is the more careless one, so that only a line as RFC 5321 writes it must be taken;
/// what comes out of turn, or asks for what this server does not offer, is no matter of reading.
fn is_refused_rightly(line: &[u8], code: u16) -> bool {
    !matches!(code, 0 | 500 | 501 | 555) || !is_canonical(line)
}

fn is_canonical(line: &[u8]) -> bool {
    let Some(line) = line.strip_suffix(b"\r\n").and_then(|line| std::str::from_utf8(line).ok()) else {
        return false;
    };
    let is_word = |word: &str| {
        (1..=60).contains(&word.len())
            && word
                .split('.')
                .all(|atom| !atom.is_empty() && atom.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    let is_path = |path: &str| {
        path.strip_suffix('>')
            .and_then(|inner| inner.split_once('@'))
            .is_some_and(|(l, d)| is_word(l) && is_word(d))
    };
    let upper = line.to_ascii_uppercase();
    let behind = |start: &str| upper.starts_with(start).then(|| line.get(start.len()..)).flatten();
    ["RSET", "NOOP", "QUIT", "DATA", "HELP"].contains(&upper.as_str())
        || ["EHLO ", "HELO "].iter().filter_map(|verb| behind(verb)).any(is_word)
        || ["MAIL FROM:<", "RCPT TO:<"].iter().filter_map(|verb| behind(verb)).any(is_path)
}
