//! What somebody types wrong, or what this machine lacks, is told with its place and with what to do next.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use e2e::banctl::Answer;
use e2e::namespace::{has_other_users, isolated};
use e2e::process::{Running, bound, ours};
use e2e::site::Site;
use e2e::wait;

/// A wrong input: the words, the exit code, and what has to be said.
type Case = (&'static str, i32, &'static [&'static str]);

const WATCHER: [Case; 23] = [
    ("chek", 2, &["similar", "check"]),
    ("check --config absent.toml", 78, &["absent.toml:1:1: cannot be read: No such file"]),
    ("check --config syntax.toml", 78, &["syntax.toml:2:9: "]),
    ("check --config key.toml", 78, &["key.toml:1:1: unknown key `firewal`; did you mean `firewall`?"]),
    (
        "check --config jail.toml",
        78,
        &["jail.toml:1:9: there is no jail `password-gessing`", "password-guessing"],
    ),
    (
        "check --config programs.toml",
        78,
        &["programs.toml:3:7: ", "absolute path", "programs.toml:4:9: ", "{adress}"],
    ),
    (
        "check --config own/watcher.toml",
        78,
        &[
            "filters/mine.toml:5:11: this is no regular expression: unclosed group",
            "jails/mine.toml:2:7: ",
            "did you mean `auth-failed`?",
            "jails/mine.toml:4:10: ",
            "is no duration",
            "10m",
        ],
    ),
    ("check --config zone.toml", 78, &["zone.toml:1:1: \"not a zone\" is no zone, as"]),
    ("run --config absent.toml", 78, &["absent.toml:1:1: "]),
    ("replay absent.log", 2, &["cannot read the log absent.log: No such file"]),
    ("replay broken.gz", 2, &["cannot read the log broken.gz: invalid gzip header"]),
    ("replay --quota zen.example empty.log", 2, &["--quota <ZONE=N>", "a budget is ZONE=N"]),
    ("replay --compare absent.toml empty.log", 78, &["absent.toml:1:1: "]),
    ("report absent.log", 2, &["cannot read the log absent.log: No such file"]),
    ("report nothing", 2, &["there is no log in this directory"]),
    ("report --since 2026-13-45 empty.log", 2, &["`2026-13-45` is no time: write 2026-11-20T00:00:00Z"]),
    ("report --format xml empty.log", 2, &["text, json, html"]),
    ("report --filter qmial empty.log", 2, &["there is no filter `qmial`; there are: ", "qmail"]),
    ("report --mmdb absent.mmdb empty.log", 2, &["cannot read the database absent.mmdb: ", "No such file"]),
    ("report --mmdb empty.log empty.log", 2, &["cannot read the database empty.log: "]),
    ("match --filter qmial empty.log", 2, &["there is no filter `qmial`"]),
    ("match --fail2ban absent.conf empty.log", 78, &["absent.conf:1:1: there is no such file"]),
    ("import-fail2ban absent --out out", 78, &["jail.conf:1:1: there is no such file"]),
];

const SMTPD: [Case; 12] = [
    ("check --config absent.toml", 78, &["absent.toml:1:1: cannot be read: No such file"]),
    ("check --config key.toml", 78, &["key.toml:1:1: unknown key `firewal`"]),
    ("check --config tls.toml", 2, &["cannot read none.pem: put the PEM file there", "self_signed = true"]),
    ("run --config port.toml", 2, &["cannot listen on 203.0.113.9:25: this host does not have that address"]),
    ("user add --config smtpd.toml a/b", 2, &["a name has letters, digits"]),
    ("user add --config smtpd.toml carol", 2, &["the password is empty: write it on standard input"]),
    ("user remove --config smtpd.toml carol", 1, &["there is no user carol"]),
    (
        "queue show --config smtpd.toml 99",
        1,
        &["there is no message 99 in the queue; `postern-smtpd queue list`"],
    ),
    ("queue retry --config smtpd.toml 99", 1, &["there is no message 99"]),
    ("queue remove --config smtpd.toml x", 2, &["a message has a number; `postern-smtpd queue list`"]),
    ("dns --config smtpd.toml no/domain", 2, &["\"no/domain\" is no domain such as example.org"]),
    ("word --config smtpd.toml 192.0.2.7 delay", 2, &["expected auth-only, slow or none"]),
];

const FILES: [(&str, &str); 11] = [
    ("zone.toml", "[quota.\"not a zone\"]\nlimit = 1000\n"),
    ("syntax.toml", "firewall = \"dry-run\"\n[[source\n"),
    ("key.toml", "firewal = \"dry-run\"\n"),
    ("jail.toml", "jails = [\"password-gessing\"]\n"),
    (
        "programs.toml",
        "firewall = \"command\"\n[command]\nban = [\"ipset\", \"{address}\"]\nunban = [\"/usr/sbin/ipset\", \"{adress}\"]\n",
    ),
    ("own/watcher.toml", "firewall = \"dry-run\"\n"),
    (
        "own/filters/mine.toml",
        "about = \"x\"\nprogram = \"x\"\n[[rule]]\nkind = \"auth-failed\"\npattern = '^no (?<address>\\S+$'\n",
    ),
    (
        "own/jails/mine.toml",
        "about = \"x\"\non = [\"auth-faild\"]\nthreshold = 5\nwithin = \"10 parsecs\"\n[ban]\nfor = \"1h\"\n",
    ),
    ("empty.log", ""),
    ("broken.gz", "\u{1f}\u{0}"),
    ("nothing/.kept", ""),
];

/// The words must be answered so.
fn check(site: &Site, program: &str, (words, code, said): Case) -> Result<()> {
    let mut command = bound(ours(program)?);
    let answer = Answer::of(command.current_dir(site.directory()).args(words.split(' ')))?;
    let told = format!("{}{}", answer.said, answer.cried);
    ensure!(answer.code == code, "{program} {words}: exits {}: {told}", answer.code);
    for word in said {
        ensure!(told.contains(word), "{program} {words}: no {word:?} in {told}");
    }
    // A cause that is told twice makes one look for two.
    let causes = told.matches("(os error").count();
    ensure!(causes <= 1, "{program} {words}: {told}");
    Ok(())
}

#[test]
fn a_wrong_input_is_told_with_its_place_and_what_to_do() {
    isolated(|| {
        let site = Site::new()?;
        FILES.iter().try_for_each(|(name, text)| site.write(name, text))?;
        std::fs::write(site.path("broken.gz"), b"\x1f\x8b\x08garbage")?;
        std::fs::remove_file(site.path("nothing/.kept"))?;
        let smtpd = std::fs::read_to_string(site.path("smtpd.toml"))?;
        site.write(
            "tls.toml",
            &smtpd.replace("self_signed = true", "certificate = \"none.pem\"\nkey = \"none.pem\""),
        )?;
        site.write("port.toml", &smtpd.replace(&format!("{}:25", e2e::network::SERVER), "203.0.113.9:25"))?;
        let watcher = WATCHER.iter().map(|case| check(&site, "postern-watcher", *case));
        let smtpd = SMTPD.iter().map(|case| check(&site, "postern-smtpd", *case));
        let faults: String =
            watcher.chain(smtpd).filter_map(Result::err).map(|fault| format!("{fault:#}\n")).collect();
        ensure!(faults.is_empty(), "{faults}");
        Ok(())
    });
}

const BANCTL: [Case; 13] = [
    ("bann 192.0.2.7", 2, &["similar", "ban"]),
    ("why 300.1.1.1", 2, &["`300.1.1.1` is no address and no network"]),
    ("why 198.51.100.9", 1, &["198.51.100.9 is not banned"]),
    ("ban 127.0.0.1", 1, &["127.0.0.1: loopback: never banned"]),
    ("ban 198.51.100.9 --for never", 2, &["is no duration", "10m"]),
    ("ban 198.51.100.9 --for 0s", 2, &["nothing holds for no time", "1h"]),
    ("ban 198.51.100.9 --for -1h", 2, &["is no duration"]),
    ("ban 198.51.100.9 --jail none", 1, &["there is no jail `none`; there are: ", "password-guessing"]),
    ("unban 198.51.100.9", 1, &["not banned; `banctl test 198.51.100.9` asks the firewall itself"]),
    ("list --jail none", 2, &["there is no jail `none`; there are: "]),
    ("allow remove 198.51.100.9", 1, &["not exempt by hand"]),
    ("top", 2, &["top wants a terminal; for a program there are `list --json`"]),
    ("export --format xml", 2, &["nft, json, csv, rbldnsd"]),
];

/// A second watcher with another socket and port, unless told otherwise.
fn second(site: &Site, change: &[(&str, &str)]) -> Result<Answer> {
    let mut text = std::fs::read_to_string(site.path("watcher.toml"))?;
    for (from, to) in change {
        ensure!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    site.write("second.toml", &text)?;
    let mut command = bound("timeout");
    Answer::of(
        command
            .arg("10")
            .arg(ours("postern-watcher")?)
            .args(["run", "--config"])
            .arg(site.path("second.toml")),
    )
}

#[test]
fn what_is_asked_wrongly_of_a_watcher_and_a_second_one_are_refused_in_words() {
    isolated(|| {
        let site = Site::new()?;
        site.append("smtpd.log", b"")?;
        let refused = site.banctl("status")?.is(2)?;
        ensure!(
            refused.cried.contains("no watcher answers on")
                && refused.cried.contains("is postern-watcher running?")
        );
        let _watcher = site.start_watcher()?;
        for (words, code, said) in BANCTL {
            let answer = site.banctl(words)?.is(code)?;
            let told = format!("{}{}", answer.said, answer.cried);
            for word in said {
                ensure!(told.contains(word), "banctl {words}: no {word:?} in {told}");
            }
        }
        let (socket, port) = (("watcher.sock", "second.sock"), ("127.0.0.1:9826", "127.0.0.1:9827"));
        let cases: [(&[(&str, &str)], &str); 4] = [
            (&[], "another watcher already answers on"),
            (&[socket], "cannot listen on 127.0.0.1:9826 for metrics; `ss -ltnp` shows who listens there"),
            (&[socket, port], "another watcher uses the database"),
            (&[socket, ("127.0.0.1:9826", "203.0.113.9:9826")], "this host does not have that address"),
        ];
        for (change, word) in cases {
            let refused = second(&site, change)?.is(2)?;
            ensure!(refused.cried.contains(word), "no {word:?} in {}", refused.cried);
        }
        site.change("watcher.toml", "firewall", "firewal")?;
        let refused = site.banctl("reload --wait")?.is(78)?;
        ensure!(refused.cried.contains("watcher.toml:2:1: unknown key `firewal`"), "{}", refused.cried);
        Ok(())
    });
}

/// Starts the watcher as nobody.
fn as_nobody(site: &Site) -> Result<Running> {
    site.launch_watcher(&["--reuid", "65534", "--regid", "65534", "--clear-groups"])
}

#[test]
fn a_log_that_is_absent_or_may_not_be_read_is_told_apart() {
    isolated(|| {
        if !has_other_users() {
            return Ok(());
        }
        let site = Site::new()?;
        site.change("watcher.toml", "[[source]]", "[[source]]\nfile = \"secret.log\"\n[[source]]")?;
        site.append("secret.log", b"")?;
        let open = |path: &std::path::Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        };
        open(&site.path("secret.log"), 0o600)?;
        open(site.directory(), 0o777)?;
        let watcher = as_nobody(&site)?;
        let directory = site.directory().to_str().context("a path of ours")?;
        for words in [
            format!(
                "{directory}/secret.log is not read: the watcher's user (65534) may not read it: let him"
            ),
            format!("{directory}/smtpd.log is not read: there is no such file; it is waited for"),
        ] {
            wait::until_true(&words, || watcher.said().contains(&words))?;
        }
        drop(watcher);
        // Nor can it knock where it may not write.
        for name in ["watcher.sock", "watcher.db", "watcher.db.lock"] {
            let _ = std::fs::remove_file(site.path(name));
        }
        open(site.directory(), 0o755)?;
        let mut watcher = as_nobody(&site)?;
        watcher.ended()?;
        ensure!(
            watcher.said().contains("may this user write its directory? set another `socket`"),
            "{}",
            watcher.said()
        );
        Ok(())
    });
}
