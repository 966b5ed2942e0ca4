//! Mistakes, missing things, and bytes that no program of ours wrote.

use std::io::Write as _;
use std::time::SystemTime;

use e2e::banctl::Answer;
use e2e::client::Client;
use e2e::namespace::isolated;
use e2e::network::Network;
use e2e::process::{bound, ours};
use e2e::site::Site;
use logline::Timestamp;

/// A daemon over this configuration names each mistake by its place, and exits 78.
#[track_caller]
fn check_mistakes(program: &str, toml: &str, places: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.toml");
    std::fs::write(&file, toml).unwrap();
    for command in ["check", "run"] {
        let mut daemon = bound(ours(program).unwrap());
        let answer = Answer::of(daemon.arg(command).arg("--config").arg(&file)).unwrap().is(78).unwrap();
        for place in places {
            let mistake = format!("{}:{place}: ", file.display());
            let told = answer.cried.lines().filter(|line| line.starts_with(&mistake)).count();
            assert_eq!(told, 1, "{program} {command}: no {mistake} in\n{}", answer.cried);
        }
    }
}

#[test]
fn the_watcher_names_every_mistake_in_its_configuration() {
    let toml = "firewall = \"iptables\"\nlisten = \"here\"\n[[source]]\nfile = \"x\"\nfliter = [\"qmail\"]\n";
    check_mistakes("postern-watcher", toml, &["1:12", "2:10", "5:1"]);
}

#[test]
fn smtpd_names_every_mistake_in_its_configuration() {
    let toml = "hostname = \"no host\"\ndomians = []\n[[listen]]\naddress = \"25\"\n";
    check_mistakes("postern-smtpd", toml, &["1:12", "2:1", "4:11"]);
}

#[test]
fn a_port_that_is_taken_is_named() {
    isolated(|| {
        let (site, _smtpd, watcher) = Site::running()?;
        let mut second = bound(ours("postern-smtpd")?);
        let second = Answer::of(second.args(["run", "--config"]).arg(site.path("smtpd.toml")))?.is(2)?;
        assert!(
            second.cried.contains("192.0.2.25:25") || second.cried.contains("127.0.0.1:9825"),
            "{second:?}"
        );
        let again = site.watcher("run --config watcher.toml")?.is(2)?;
        assert!(again.cried.contains("another watcher already answers on "), "{}", again.cried);

        site.write("other.toml", "socket = \"other.sock\"\ndatabase = \"other.db\"\n")?;
        let other = site.watcher("run --config other.toml")?.is(2)?;
        assert!(other.cried.contains("127.0.0.1:9826"), "{}", other.cried);
        drop(watcher);
        Ok(())
    });
}

#[test]
fn a_log_that_does_not_exist_yet_is_waited_for() {
    isolated(|| {
        let site = Site::new()?;
        let _watcher = site.start_watcher()?;
        assert!(!site.path("smtpd.log").exists());
        site.append("smtpd.log", &attack("203.0.113.66"))?;
        site.await_ban("203.0.113.66")
    });
}

/// Whatever stands in a log before it, an attack is seen.
#[track_caller]
fn check_survives(rubbish: &[u8]) {
    isolated(|| {
        let site = Site::new()?;
        let _watcher = site.start_watcher()?;
        site.append("smtpd.log", &attack("203.0.113.65"))?;
        site.await_ban("203.0.113.65")?;
        site.append("smtpd.log", rubbish)?;
        site.append("smtpd.log", &attack("203.0.113.66"))?;
        site.await_ban("203.0.113.66")?;
        assert_eq!(site.banned()?, ["203.0.113.65", "203.0.113.66"].map(str::to_owned).into());
        Ok(())
    });
}

#[test]
fn a_line_of_ten_megabytes_is_survived() {
    check_survives(&[&[b'x'; 10_000_000][..], b"\n"].concat());
}

#[test]
fn nul_and_invalid_utf8_are_survived() {
    check_survives(
        b"\0\0\0\n\xff\xfe\xc0\x80\n@4000000062b22ef4269d79a4 \xf5\0tcpserver: pid\r\n\r\r\n\n\x1b[2J\n",
    );
}

/// Lines of a session with five wrong passwords, as a server writes them.
fn attack(address: &str) -> Vec<u8> {
    let now = Timestamp::from(SystemTime::now()).tai64n();
    let mut lines = Vec::new();
    let pid = address.bytes().map(u32::from).sum::<u32>();
    writeln!(lines, "{now} tcpserver: pid {pid} from {address}").unwrap();
    for password in 0..5 {
        let failed = format!("auth: auth-failed type=plain user=<alice> fingerprint=000{password}");
        writeln!(lines, "{now} qmail-smtpd[{pid}]: {failed}").unwrap();
    }
    writeln!(lines, "{now} tcpserver: end {pid} status 0").unwrap();
    lines
}

#[test]
fn a_client_that_talks_garbage_is_refused_and_in_the_end_sent_away() {
    isolated(|| {
        let site = Site::new()?;
        let _smtpd = site.start_smtpd()?;
        for address in ["198.51.100.7".to_owned(), Network::client6(1, 1)] {
            let said = Client::of(&site.network, &address).run("garbage.py", &[])?.yes()?.said;
            let codes: Vec<&str> = said.split_whitespace().collect();
            let (last, refusals) = codes.split_last().expect("it answers");
            assert_eq!(*last, "421", "{said}");
            assert!(refusals.iter().all(|code| code.starts_with("50")), "{said}");
        }
        let browser = Client::of(&site.network, "198.51.100.8");
        assert_eq!(browser.run("garbage.py", &["GET / HTTP/1.1"])?.yes()?.said.trim(), "554");
        Ok(())
    });
}
