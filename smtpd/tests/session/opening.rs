//! How most sessions begin: shown whole in `a_login_needs_tls_and_lets_the_client_relay`, and checked, but not shown, in
//! the others.

/// What EHLO is answered: before TLS, and under it.
fn offer(encrypted: bool) -> Vec<&'static str> {
    let first = if encrypted { None } else { Some("S: 250-STARTTLS") };
    let login = encrypted.then_some("S: 250-AUTH LOGIN PLAIN");
    let all = [
        "S: 250-PIPELINING",
        "S: 250-SMTPUTF8",
        "S: 250-8BITMIME",
        "S: 250-CHUNKING",
        "S: 250-ENHANCEDSTATUSCODES",
        "S: 250-DSN",
        "S: 250-LIMITS RCPTMAX=100",
    ];
    ["S: 250-mx.example.org"]
        .into_iter()
        .chain(first)
        .chain(all)
        .chain(login)
        .chain(["S: 250 SIZE 1000"])
        .collect()
}

/// A transcript from what follows the greeting and the first HELO or EHLO; of a later EHLO's answer the last line.
#[track_caller]
pub(super) fn after_opening(transcript: &str) -> String {
    let lines: Vec<&str> = transcript.lines().collect();
    let mut rest = lines.as_slice();
    let mut encrypted = false;
    if let ["*: handshake", behind @ ..] = rest {
        (encrypted, rest) = (true, behind);
    }
    if let ["S: 220 mx.example.org ESMTP", behind @ ..] = rest {
        rest = behind;
        match rest {
            [helo, "S: 250 mx.example.org", behind @ ..] if helo.starts_with("C: HELO ") => rest = behind,
            [ehlo, behind @ ..] if ehlo.starts_with("C: EHLO ") => rest = behind_offer(encrypted, behind),
            _ => {}
        }
    } else {
        rest = &lines;
    }
    let mut shown = String::new();
    while let [line, behind @ ..] = rest {
        shown += &format!("{line}\n");
        rest = behind;
        match *line {
            "*: handshake" => encrypted = true,
            ehlo if ehlo.starts_with("C: EHLO ") => {
                rest = behind_offer(encrypted, behind);
                shown += "S: 250 SIZE 1000\n";
            }
            _ => {}
        }
    }
    shown
}

#[track_caller]
fn behind_offer<'a>(encrypted: bool, lines: &'a [&'a str]) -> &'a [&'a str] {
    let offer = offer(encrypted);
    let (offered, behind) = lines.split_at(offer.len().min(lines.len()));
    assert_eq!(offered, offer);
    behind
}

/// A transcript from what follows a first MAIL that is the usual one and taken, as nearly every one is.
#[track_caller]
pub(super) fn after_mail(remote: &str, transcript: &str) -> String {
    let Some(behind) = transcript.strip_prefix("C: MAIL FROM:<a@b.example>\n") else {
        return transcript.to_owned();
    };
    let (address, _) = remote.rsplit_once(':').unwrap();
    let (checked, behind) = behind.split_once('\n').unwrap();
    assert!(checked.starts_with("L: CHKUSER accepted sender: from <a@b.example|"), "{checked}");
    assert!(
        checked.ends_with(&format!("|remotehostip:{address}> rcpt <> : sender accepted pid=7")),
        "{checked}"
    );
    behind.strip_prefix("S: 250 ok\n").unwrap().to_owned()
}
