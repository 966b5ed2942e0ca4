//! Hooks, with real programs, a real web server and a real mail server.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::namespace::{in_namespace, run};
use crate::watcher::{Watcher, eventually, http};

/// A Python program that serves; it ends with this value.
struct Server(Child);

impl Server {
    #[track_caller]
    fn start(program: &str, arguments: &[&str]) -> Server {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hand/servers").join(program);
        let mut child = Command::new("python3")
            .args(["-W", "ignore"])
            .arg(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Server(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that does this with its standard input.
fn script(directory: &Path, name: &str, body: &str) -> String {
    let path = directory.join(name);
    let mut file = std::fs::File::create(&path).unwrap();
    write!(file, "#!/bin/sh\ncd {}\n{body}\n", directory.display()).unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// What was noted, a line of JSON each, once there is that much.
#[track_caller]
fn noted(file: &PathBuf, count: usize) -> Vec<Value> {
    eventually("what was to be noted", || {
        let text = std::fs::read_to_string(file).ok()?;
        let lines: Vec<_> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>().ok()?;
        (lines.len() >= count).then_some(lines)
    })
}

#[track_caller]
fn await_metric(series: &str, value: &str) {
    eventually(&format!("{series} {value}"), || {
        let text = http(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        text.lines().any(|line| line == format!("{series} {value}")).then_some(())
    });
}

#[test]
fn a_program_is_told_of_bans_and_reloads_and_asked_again_when_it_fails() {
    in_namespace(|| {
        let directory = tempfile::tempdir().unwrap();
        let tell = script(
            directory.path(),
            "tell",
            "test -e refused || { touch refused; exit 1; }\n{ cat; echo; } >> told\necho \"$1 $POSTERN_HOOK\" >> called",
        );
        let told = directory.path().join("told");
        let mut watcher = Watcher::start(&format!(
            "firewall = \"dry-run\"\n[[hook]]\nname = \"ours\"\ncommand = [\"{tell}\", \"$(rm -rf /) x\"]\n\
             on = [\"ban\", \"unban\", \"reload-failed\"]\njails = [\"manual\"]\n"
        ));
        assert_eq!(watcher.banctl("ban 198.51.100.7 --reason x").code, 0);
        let first = noted(&told, 1);
        let event = &first[0]["events"][0];
        assert_eq!((&first[0]["hook"], &event["kind"]), (&"ours".into(), &"ban".into()));
        assert_eq!(
            (&event["ban"]["subject"], &event["ban"]["reason"]),
            (&"198.51.100.7".into(), &"x".into())
        );
        // It says how it was called after it has noted what it was told.
        let called = eventually("the arguments", || {
            let called = std::fs::read_to_string(directory.path().join("called")).ok();
            called.filter(|called| called.ends_with('\n'))
        });
        assert_eq!(called, "$(rm -rf /) x ours\n");
        await_metric("watcher_hook_deliveries_total{kind=\"command\",outcome=\"failed\"}", "1");
        await_metric("watcher_hook_deliveries_total{kind=\"command\",outcome=\"done\"}", "1");
        // Another jail's bans are not for it.
        assert_eq!(watcher.banctl("ban 198.51.100.8 --jail password-guessing").code, 0);
        assert_eq!(watcher.banctl("unban 198.51.100.7").code, 0);
        assert_eq!(noted(&told, 2)[1]["events"][0]["end"], "lifted");
        let toml = std::fs::read_to_string(watcher.path("watcher.toml")).unwrap();
        std::fs::write(watcher.path("watcher.toml"), format!("{toml}\nwrong = 1")).unwrap();
        assert_eq!(watcher.banctl("reload").code, 78);
        assert_eq!(noted(&told, 3)[2]["events"][0]["kind"], "reload-failed");
        // What happens last is delivered before the end.
        assert_eq!(watcher.banctl("ban 198.51.100.9").code, 0);
        watcher.stop();
        assert_eq!(noted(&told, 4)[3]["events"][0]["subject"], "198.51.100.9");
    });
}

#[test]
fn a_hook_that_hangs_keeps_no_ban_waiting_and_is_killed_with_all_that_it_started() {
    in_namespace(|| {
        let directory = tempfile::tempdir().unwrap();
        let hang = script(directory.path(), "hang", "sleep 1000 &\necho $! >> children\nwait");
        let watcher = Watcher::start(&format!(
            "firewall = \"dry-run\"\n[[hook]]\ncommand = [\"{hang}\"]\ntimeout = \"1s\"\nattempts = 1\n"
        ));
        for n in 0..50 {
            assert_eq!(watcher.banctl(&format!("ban 198.51.100.{n}")).code, 0);
        }
        await_metric("watcher_hook_deliveries_total{kind=\"command\",outcome=\"given-up\"}", "1");
        let children = std::fs::read_to_string(directory.path().join("children")).unwrap();
        let child = children.lines().next().unwrap();
        eventually("the end of what it started", || {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            (stat.is_empty() || stat.contains(" Z ")).then_some(())
        });
    });
}

#[test]
fn a_web_server_is_told_under_a_signature_and_over_tls() {
    in_namespace(|| {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(path("secret"), "a secret\n").unwrap();
        let certificate = path("cert.pem");
        run(
            "openssl",
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
                 -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE -keyout {certificate} -out {}",
                path("ca.pem")
            ),
        );
        let both = std::fs::read_to_string(&certificate).unwrap()
            + &std::fs::read_to_string(path("ca.pem")).unwrap();
        std::fs::write(&certificate, both).unwrap();
        let _plain = Server::start("web.py", &["8080", &path("plain"), "a secret"]);
        let _tls = Server::start("web.py", &["8443", &path("tls"), "a secret", &certificate]);
        let watcher = Watcher::start(&format!(
            "firewall = \"dry-run\"\n\
             [[hook]]\nwebhook = \"http://127.0.0.1:8080/in?a=b\"\nsecret_file = \"{secret}\"\n\
             [[hook]]\nwebhook = \"https://localhost:8443/\"\nsecret_file = \"{secret}\"\nauthorities = \"{ca}\"\n",
            secret = path("secret"),
            ca = path("ca.pem"),
        ));
        assert_eq!(watcher.banctl("ban 198.51.100.7").code, 0);
        let plain = noted(&directory.path().join("plain"), 1);
        assert_eq!((&plain[0]["signed"], &plain[0]["path"]), (&true.into(), &"/in?a=b".into()));
        assert_eq!(plain[0]["body"]["events"][0]["subject"], "198.51.100.7");
        assert_eq!(noted(&directory.path().join("tls"), 1)[0]["signed"], true);
        await_metric("watcher_hook_deliveries_total{kind=\"webhook\",outcome=\"done\"}", "2");
        await_metric("watcher_hook_deliveries_total{kind=\"webhook\",outcome=\"failed\"}", "2");
    });
}

#[test]
fn bans_are_reported_by_mail_as_one_digest_with_a_report_each() {
    in_namespace(|| {
        let directory = tempfile::tempdir().unwrap();
        let mails = directory.path().join("mails");
        let _server = Server::start("mail.py", &["2525", &mails.display().to_string()]);
        let sendmail = script(directory.path(), "sendmail", "cat > letter\necho \"$@\" > arguments");
        let watcher = Watcher::start(&format!(
            "firewall = \"dry-run\"\n\
             [[hook]]\njails = [\"password-guessing\", \"recipient-harvest\"]\ndigest = \"1s\"\n\
             [hook.mail]\nfrom = \"guard@example.org\"\nto = [\"abuse@example.net\", \"b@example.net\"]\n\
             smtp = \"127.0.0.1:2525\"\nxarf = \"Example\"\n\
             [[hook]]\non = [\"ban\"]\n[hook.mail]\nfrom = \"guard@example.org\"\nto = [\"root@example.org\"]\n\
             sendmail = [\"{sendmail}\", \"-i\", \"-t\"]\n"
        ));
        assert_eq!(watcher.banctl("ban 203.0.113.5 --jail password-guessing").code, 0);
        assert_eq!(watcher.banctl("ban 203.0.113.6 --jail recipient-harvest").code, 0);
        let mail = &noted(&mails, 1)[0];
        assert_eq!((&mail["from"], &mail["defects"]), (&"guard@example.org".into(), &0.into()));
        assert_eq!(mail["to"], serde_json::json!(["abuse@example.net", "b@example.net"]));
        assert!(mail["headers"]["Subject"].as_str().unwrap().ends_with(": 2 events"), "{mail}");
        assert_eq!(mail["headers"]["Auto-Submitted"], "auto-generated");
        let parts = mail["parts"].as_array().unwrap();
        assert_eq!(parts.len(), 3, "{mail}");
        assert!(parts[0][2].as_str().unwrap().contains("banctl unban 203.0.113.6"), "{mail}");
        let report: Value = serde_json::from_str(parts[1][2].as_str().unwrap()).unwrap();
        for (key, value) in [
            ("xarf_version", "4.0.0"),
            ("source_identifier", "203.0.113.5"),
            ("category", "connection"),
            ("type", "login_attack"),
            ("protocol", "tcp"),
        ] {
            assert_eq!(report[key], value, "{report}");
        }
        let other: Value = serde_json::from_str(parts[2][2].as_str().unwrap()).unwrap();
        assert_eq!(
            (&other["source_identifier"], &other["type"]),
            (&"203.0.113.6".into(), &"reconnaissance".into())
        );
        assert!(other["probed_resources"].as_array().is_some_and(|probed| !probed.is_empty()), "{other}");
        assert_eq!(
            report["reporter"],
            serde_json::json!({"org": "Example", "contact": "guard@example.org", "domain": "example.org"})
        );
        let letter = eventually("a letter", || {
            std::fs::read_to_string(directory.path().join("letter"))
                .ok()
                .filter(|letter| letter.ends_with("--\n"))
        });
        assert!(letter.contains("To: root@example.org\n") && !letter.contains('\r'), "{letter}");
    });
}

#[test]
fn hooks_come_and_go_with_the_configuration_and_mistakes_in_them_are_all_told() {
    in_namespace(|| {
        let directory = tempfile::tempdir().unwrap();
        let tell = script(directory.path(), "tell", "{ cat; echo; } >> \"$1\"");
        let hook = |name: &str| format!("[[hook]]\nname = \"{name}\"\ncommand = [\"{tell}\", \"{name}\"]\n");
        // The first one comes with a reload.
        let watcher = Watcher::start("firewall = \"dry-run\"\n");
        let toml = std::fs::read_to_string(watcher.path("watcher.toml")).unwrap();
        let toml =
            toml.replace("firewall = \"dry-run\"\n", &format!("firewall = \"dry-run\"\n{}", hook("a")));
        std::fs::write(watcher.path("watcher.toml"), toml.replace(&hook("a"), &hook("b"))).unwrap();
        assert_eq!(watcher.banctl("reload").code, 0);
        assert_eq!(watcher.banctl("ban 198.51.100.7").code, 0);
        assert_eq!(noted(&directory.path().join("b"), 1)[0]["hook"], "b");
        assert!(!directory.path().join("a").exists());
        let wrong = "[[hook]]\ncommand = [\"tell\"]\nwebhook = \"ftp://x\"\non = [\"bann\"]\nattempts = 0\n\
                     [[hook]]\nname = \"\"\n[hook.mail]\nfrom = \"x\"\nto = []\nsmtp = \"y\"\nxarf = \"z\"\n\
                     [[hook]]\njails = [\"nowhere\", \"dnsbl-listed\"]\n[hook.mail]\nfrom = \"a@b.example\"\n\
                     to = [\"a@b.example\"]\nxarf = \"z\"\n";
        std::fs::write(watcher.path("watcher.toml"), toml.replace(&hook("a"), wrong)).unwrap();
        let said = watcher.banctl("reload");
        for expected in [
            "a hook is one of",
            "absolute path",
            "https://example.org/path",
            "there is no `bann`",
            "from 1 to 20",
            "a name for a log",
            "is no address",
            "somebody must get it",
            "127.0.0.1:25",
            "`jails` must name",
            "there is no jail `nowhere`",
            "no word for what `dnsbl-listed` bans for",
        ] {
            assert!(said.err.contains(expected), "no {expected:?} in {}", said.err);
        }
    });
}
