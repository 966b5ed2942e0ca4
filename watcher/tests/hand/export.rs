//! What is exported, judged by the programs that it is for.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::namespace::{in_namespace, run};
use crate::watcher::{Watcher, eventually};

/// A watcher with bans of every shape, and one of a jail's ports.
fn with_bans() -> Watcher {
    let watcher = Watcher::start("firewall = \"dry-run\"");
    let nets = "198.51.100.7\n198.51.100.0/24\n198.51.0.0/16\n2001:db8::7\n2001:db8:0:1::/64\n2001:db8:5::/48\n0.0.0.0/5\n";
    assert_eq!(watcher.banctl_fed("ban - --for 90d", nets).code, 0);
    assert_eq!(watcher.banctl("ban 203.0.113.9 --for 1s --jail password-guessing").code, 0);
    assert_eq!(watcher.banctl("ban 203.0.113.9 --for 1h --jail password-guessing").code, 0);
    let mut command = Command::new(env!("CARGO_BIN_EXE_banctl"));
    command.arg("--socket").arg(watcher.path("watcher.sock"));
    command.args(["ban", "192.0.2.1", "--reason", "a \"word\", and\nanother line"]);
    assert!(command.status().unwrap().success());
    watcher
}

/// What a Python program makes of this on its standard input.
#[track_caller]
fn python(program: &str, input: &str) -> String {
    let mut child = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{input}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn nft_loads_what_is_exported_for_it_as_often_as_it_is_given_it() {
    in_namespace(|| {
        let watcher = with_bans();
        let script = watcher.banctl("export --format nft").out;
        std::fs::write(watcher.path("bans.nft"), &script).unwrap();
        let path = watcher.path("bans.nft").display().to_string();
        run("nft", &format!("-c -f {path}"));
        run("nft", &format!("-f {path}"));
        run("nft", &format!("-f {path}"));
        let listed = run("nft", "list table inet postern_export");
        for expected in
            ["198.51.100.7 timeout", "198.51.0.0/16 timeout", "2001:db8:0:1::/64", "203.0.113.9", "0.0.0.0/5"]
        {
            assert!(listed.contains(expected), "no {expected} in\n{listed}");
        }
        run("nft", "get element inet postern_export ip_24_all { 198.51.100.77 }");
    });
}

#[test]
fn an_export_of_nobody_loads_too() {
    in_namespace(|| {
        let watcher = Watcher::start("firewall = \"dry-run\"");
        std::fs::write(watcher.path("bans.nft"), watcher.banctl("export --format nft").out).unwrap();
        run("nft", &format!("-f {}", watcher.path("bans.nft").display()));
        assert_eq!(watcher.banctl("export --format csv").out.lines().count(), 1);
        assert!(watcher.banctl("export --format rbldnsd").out.contains("127.0.0.2"));
    });
}

#[test]
fn readers_of_json_and_csv_find_every_ban() {
    in_namespace(|| {
        let watcher = with_bans();
        let json = watcher.banctl("export --format json").out;
        let count = python("import json,sys; print(len(json.load(sys.stdin)['bans']))", &json);
        assert_eq!(count, "9\n");
        let csv = watcher.banctl("export --format csv").out;
        let read = "import csv,sys; rows=list(csv.DictReader(sys.stdin)); print(len(rows)); print([r['reason'] for r in rows if r['subject']=='192.0.2.1'])";
        assert_eq!(python(read, &csv), "9\n['a \"word\", and\\nanother line']\n");
    });
}

#[test]
fn rbldnsd_answers_from_what_is_exported_for_it() {
    in_namespace(|| {
        let watcher = with_bans();
        std::fs::write(watcher.path("zone"), watcher.banctl("export --format rbldnsd").out).unwrap();
        let directory = watcher.path("");
        // It does not run as root; in the namespace there is nobody else.
        let mut rbldnsd = Command::new("unshare")
            .args(["--user", "--map-user=1000", "--map-group=1000", "--"])
            .args(["rbldnsd", "-n", "-b", "127.0.0.1/5353", "-w"])
            .arg(&directory)
            .arg("bans.example:combined:zone")
            .stdout(Stdio::null())
            .spawn()
            .expect("rbldnsd is needed");
        let ask = |name: &str| {
            let query = format!(
                "import socket,struct\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.settimeout(1)\n\
                 q=struct.pack('>6H',7,256,1,0,0,0)+b''.join(bytes([len(l)])+l.encode() for l in '{name}.bans.example'.split('.'))+b'\\0'+struct.pack('>2H',1,1)\n\
                 try:\n s.sendto(q,('127.0.0.1',5353)); print(struct.unpack('>6H',s.recv(512)[:12])[3])\n\
                 except OSError: print('none')"
            );
            python(&query, "").trim().to_owned()
        };
        let ask_v6 = |address: &str| {
            let address: std::net::Ipv6Addr = address.parse().unwrap();
            let nibbles = address
                .octets()
                .iter()
                .rev()
                .flat_map(|byte| [byte & 15, byte >> 4])
                .map(|n| format!("{n:x}"))
                .collect::<Vec<_>>();
            ask(&nibbles.join("."))
        };
        let first = eventually("an answer of rbldnsd", || {
            Some(ask("7.100.51.198")).filter(|answer| answer != "none")
        });
        assert_eq!(first, "1");
        for (listed, name) in [
            ("1", "200.100.51.198"),
            ("1", "2.0.0.127"),
            ("1", "9.113.0.203"),
            ("0", "10.113.0.203"),
            ("1", "9.9.9.1"),
        ] {
            assert_eq!(ask(name), listed, "{name}");
        }
        for (listed, address) in
            [("1", "2001:db8:0:1::9"), ("1", "2001:db8:5:9::1"), ("0", "2001:db8:6::1"), ("1", "2001:db8::7")]
        {
            assert_eq!(ask_v6(address), listed, "{address}");
        }
        rbldnsd.kill().unwrap();
        rbldnsd.wait().unwrap();
    });
}

#[test]
fn shells_and_manuals_take_what_they_are_given() {
    let banctl = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_banctl")).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("banctl.bash");
    std::fs::write(&script, banctl(&["completions", "bash"])).unwrap();
    let asked = format!(
        ". {}; COMP_WORDS=(banctl exp); COMP_CWORD=1; _banctl banctl exp banctl; echo ${{COMPREPLY[@]}}",
        script.display()
    );
    let completed = Command::new("bash").args(["--norc", "-c", &asked]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&completed.stdout), "export\n");
    assert!(banctl(&["completions", "zsh"]).contains("#compdef banctl"));
    assert!(banctl(&["completions", "fish"]).contains("complete -c banctl"));
    let page = banctl(&["man"]);
    for expected in ["BANCTL", "export", "reload", "EXIT STATUS"] {
        assert!(page.contains(expected), "{expected}");
    }
}
