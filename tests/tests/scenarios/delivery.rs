//! Mail of good clients, of every make, arrives while the watcher watches.

use std::process::Command;

use e2e::banctl::Answer;
use e2e::client::Client;
use e2e::namespace::isolated;
use e2e::network::{Network, SERVER};
use e2e::process::ours;
use e2e::site::{Site, USERS};
use e2e::wait;

/// A client sends alice a mail with the subject "Lunch?", and it is in her mailbox.
#[track_caller]
fn check_delivery(send: impl FnOnce(&Site) -> anyhow::Result<Answer>) {
    isolated(|| {
        let (site, _smtpd, _watcher) = Site::running()?;
        send(&site)?.yes()?;
        let arrived =
            |mails: Vec<(_, String)>| mails.iter().any(|(_, text)| text.contains("Subject: Lunch?"));
        wait::until_true("the mail", || site.mails("alice").is_ok_and(arrived))?;
        site.await_read()?;
        assert_eq!(site.banned()?, [].into());
        Ok(())
    });
}

/// swaks, with these further options.
fn swaks(site: &Site, options: &[&str]) -> Command {
    let mut swaks = site.network.client("swaks");
    swaks.args(["--server", SERVER, "--local-interface", "198.51.100.20", "--helo", "client.example.net"]);
    swaks.args(["--to", "alice@example.org", "--header", "Subject: Lunch?", "--timeout", "20"]).args(options);
    swaks
}

#[test]
fn swaks_delivers_without_a_login() {
    check_delivery(|site| Answer::of(&mut swaks(site, &["--from", "carol@example.net"])));
}

#[test]
fn swaks_delivers_over_starttls_with_a_login() {
    check_delivery(|site| {
        let [_, (user, password)] = USERS;
        let login = ["--auth", "LOGIN", "--auth-user", user, "--auth-password", password];
        let options = [&["--from", "bob@example.org", "--port", "587", "--tls"], &login[..]].concat();
        Answer::of(&mut swaks(site, &options))
    });
}

#[test]
fn curl_delivers_over_starttls_with_a_login() {
    check_delivery(|site| {
        let [_, (user, password)] = USERS;
        let mail = "From: bob@example.org\r\nTo: alice@example.org\r\nSubject: Lunch?\r\n\r\nAt one?\r\n";
        site.write("mail.txt", mail)?;
        let mut curl = site.network.client("curl");
        curl.args(["--silent", "--show-error", "--ssl-reqd", "--insecure", "--interface", "198.51.100.20"]);
        curl.args(["--user", &format!("{user}:{password}"), "--url", &format!("smtp://{SERVER}:587")]);
        curl.args(["--mail-from", "bob@example.org", "--mail-rcpt", "alice@example.org", "--upload-file"]);
        Answer::of(curl.arg(site.path("mail.txt")))
    });
}

#[test]
fn smtplib_delivers_over_ipv6() {
    check_delivery(|site| {
        let [_, (user, password)] = USERS;
        let address = Network::client6(1, 1);
        Client::of(&site.network, &address).run("send.py", &[user, password, "alice@example.org", "Lunch?"])
    });
}

/// A wrong password with swaks is one failure, as with any other client.
#[test]
fn swaks_with_a_wrong_password_is_refused() {
    isolated(|| {
        let (site, _smtpd, _watcher) = Site::running()?;
        let login = ["--auth", "PLAIN", "--auth-user", "alice", "--auth-password", "wrong"];
        let options = [&["--from", "alice@example.org", "--port", "587", "--tls"], &login[..]].concat();
        let refused = Answer::of(&mut swaks(&site, &options))?;
        assert!(refused.code != 0 && refused.said.contains("<~* 535 "), "{}", refused.said);
        site.await_read()?;
        let why = site.banctl("why --json 198.51.100.20")?.is(1)?.json()?;
        assert_eq!(why["standing"][0]["count"], 1, "{why}");
        Ok(())
    });
}

#[test]
fn a_delivered_message_leaves_the_queue() {
    isolated(|| {
        let (site, _smtpd, _watcher) = Site::running()?;
        Answer::of(&mut swaks(&site, &["--from", "carol@example.net"]))?.yes()?;
        wait::until_true("the mail", || site.mails("alice").is_ok_and(|mails| !mails.is_empty()))?;
        let mut queue = e2e::process::bound(ours("postern-smtpd")?);
        queue.args(["queue", "list", "--json", "--config"]).arg(site.path("smtpd.toml"));
        wait::until_true("an empty queue", || {
            Answer::of(&mut queue).is_ok_and(|answer| answer.code == 0 && !answer.said.contains("carol"))
        })
    });
}
