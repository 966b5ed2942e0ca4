//! DNS blocklists as they are: real rbldnsd, what the mail server asks of it, and what it does with the answers.

use anyhow::Result;
use e2e::client::Client;
use e2e::namespace::isolated;
use e2e::process::{Running, bound, ours};
use e2e::site::Site;
use e2e::wait;

/// Who is on the list, and who is not.
const LISTED: &str = "198.51.100.30";
const CLEAR: &str = "198.51.100.31";

/// What the list holds: the two entries that every list has, one client, and its words.
const LIST: &str = ":127.0.0.2:Listed, see http://list.example/?$\n127.0.0.2\n198.51.100.30\n";

/// A list that tells everybody that he asks too much.
const REFUSING: &str = ":127.255.255.255:Excessive queries\n198.0.0.0/8\n127.0.0.0/8\n";

/// Serves a list on that port of this host.
fn serve(site: &Site, zone: &str, port: u16) -> Result<Running> {
    site.write("zone", zone)?;
    // rbldnsd does not run as root; in the namespace there is nobody else.
    let mut rbldnsd = bound("unshare");
    rbldnsd.args(["--user", "--map-user=1000", "--map-group=1000", "rbldnsd", "-n"]);
    rbldnsd.args(["-b", &format!("127.0.0.1/{port}"), "-w"]).arg(site.directory());
    rbldnsd.arg("-l").arg(format!("+{}", site.path("asked").display())).arg("list.example:ip4set:zone");
    let list = Running::start(&mut rbldnsd, &site.path("rbldnsd.err"))?;
    wait::until_true("rbldnsd", || list.said().contains("started"))?;
    Ok(list)
}

/// A host whose mail server asks a list that rbldnsd serves.
struct Asking {
    site: Site,
    _list: Running,
}

impl Asking {
    fn new(zone: &str, terms: &str) -> Result<Self> {
        let site = Site::new()?;
        let list = serve(&site, zone, 5300)?;
        let dnsbl =
            format!("\n[[dnsbl]]\nzone = \"list.example\"\n{terms}\n[dns]\nservers = [\"127.0.0.1:5300\"]\n");
        site.change("smtpd.toml", "[log]", &format!("{dnsbl}[log]"))?;
        Ok(Asking { site, _list: list })
    }

    /// How often the list was asked about a client: for its address, and for its text.
    fn asked(&self, client: &str) -> Result<(usize, usize)> {
        let backwards = client.split('.').rev().collect::<Vec<_>>().join(".");
        let log = std::fs::read_to_string(self.site.path("asked"))?;
        let of = |kind| log.matches(&format!(" {backwards}.list.example {kind} ")).count();
        Ok((of("A"), of("TXT")))
    }

    fn ask_for_alice(&self, client: &str) -> Result<Vec<String>> {
        Client::of(&self.site.network, client).ask_for(&["alice@example.org"])
    }
}

#[test]
fn a_client_is_asked_about_once_however_often_it_comes_and_also_after_a_restart() {
    isolated(|| {
        let asking = Asking::new(LIST, "")?;
        let smtpd = asking.site.start_smtpd()?;
        for _ in 0..3 {
            assert_eq!(asking.ask_for_alice(LISTED)?, ["451"]);
            assert_eq!(asking.ask_for_alice(CLEAR)?, ["250"]);
        }
        assert_eq!((asking.asked(LISTED)?, asking.asked(CLEAR)?), ((1, 1), (1, 0)));
        let log = asking.site.log()?;
        let results = |words: &str| {
            log.lines().filter(|line| line.contains("rbl: ip=") && line.ends_with(words)).count()
        };
        let text = format!("message='Listed, see http://list.example/?{LISTED}'");
        let answer = "answer=127.0.0.2";
        let (fresh, cached) = (format!("{text} {answer}"), format!("{text} source=cache {answer}"));
        assert_eq!((results(&fresh), results(&cached)), (1, 2), "{log}");
        assert_eq!((results("message=''"), results("message='' source=cache")), (1, 2), "{log}");
        smtpd.stop()?;
        let _smtpd = asking.site.start_smtpd()?;
        assert_eq!(asking.ask_for_alice(LISTED)?, ["451"]);
        assert_eq!(asking.asked(LISTED)?, (1, 1));
        Ok(())
    });
}

#[test]
fn a_text_of_our_own_saves_the_query_for_the_lists() {
    isolated(|| {
        let asking = Asking::new(LIST, "action = \"reject\"\ntext = \"%IP% is not welcome\"")?;
        let _smtpd = asking.site.start_smtpd()?;
        assert_eq!(asking.ask_for_alice(LISTED)?, ["553"]);
        assert_eq!(asking.asked(LISTED)?, (1, 0));
        assert!(asking.site.log()?.contains(&format!("553 {LISTED} is not welcome")));
        Ok(())
    });
}

#[test]
fn a_list_that_refuses_us_refuses_nobodys_mail_and_is_left_alone() {
    isolated(|| {
        let asking = Asking::new(REFUSING, "")?;
        let _smtpd = asking.site.start_smtpd()?;
        for client in ["198.51.100.40", "198.51.100.41", "198.51.100.42"] {
            assert_eq!(asking.ask_for_alice(client)?, ["250"]);
        }
        let asked: usize = ["198.51.100.40", "198.51.100.41", "198.51.100.42"]
            .into_iter()
            .map(|client| asking.asked(client).map(|(address, _)| address))
            .sum::<Result<_>>()?;
        assert!(asked <= 1, "after the first refusal nobody is asked about: {asked}");
        Ok(())
    });
}

#[test]
fn no_more_is_asked_than_the_limit_allows_and_mail_goes_on() {
    isolated(|| {
        // A tenth of it may be spent as soon as the period begins; the server's own test takes two.
        let asking = Asking::new(LIST, "limit = 60\nperiod = \"36500d\"\nreset = \"00:00Z\"")?;
        let _smtpd = asking.site.start_smtpd()?;
        for last in 50..80 {
            assert_eq!(asking.ask_for_alice(&format!("198.51.100.{last}"))?, ["250"]);
        }
        let log = std::fs::read_to_string(asking.site.path("asked"))?;
        let asked = log.matches(".list.example A ").count();
        assert!(asked <= 60, "{asked}");
        Ok(())
    });
}

#[test]
fn tcpserver_and_rblsmtpd_stand_in_front_as_in_front_of_qmail() {
    isolated(|| {
        let site = Site::new()?;
        // rblsmtpd asks port 53, which is then anybody's.
        std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "53")?;
        let _list = serve(&site, LIST, 53)?;
        site.add_users()?;
        let mut tcpserver = bound("tcpserver");
        tcpserver.args([
            "-v",
            "-H",
            "-R",
            "-l",
            "mx.example.org",
            "0",
            "25",
            "rblsmtpd",
            "-t5",
            "-rlist.example",
        ]);
        tcpserver.arg(ours("postern-smtpd")?).args(["stdio", "--config"]).arg(site.path("smtpd.toml"));
        let tcpserver = Running::start(tcpserver.env("DNSCACHEIP", "127.0.0.1"), &site.path("front.log"))?;
        wait::until_true("tcpserver", || tcpserver.said().contains("tcpserver: status: 0/40\n"))?;
        let ask = |client| Client::of(&site.network, client).ask_for(&["alice@example.org"]);
        assert_eq!(ask(LISTED)?, ["451"]);
        assert_eq!(ask(CLEAR)?, ["250"]);
        wait::until_true("both ends", || tcpserver.said().matches("tcpserver: end ").count() == 2)?;
        let said = tcpserver.said();
        assert!(said.contains(&format!("rblsmtpd: {LISTED} pid ")), "{said}");
        assert!(said.contains(&format!(": 451 Listed, see http://list.example/?{LISTED}\n")), "{said}");
        assert!(said.contains(&format!(" remoteip={CLEAR} ")) && said.contains(" reason=rcptto "), "{said}");
        // And the watcher reads both in one log.
        let file = site.path("front.log");
        let matched = site.watcher(&format!("match --json {}", file.display()))?.said;
        let has = |kind: &str, client: &str| {
            let (kind, client) = (format!("\"kind\":\"{kind}\""), format!("\"address\":\"{client}\""));
            matched.lines().any(|line| line.contains(&kind) && line.contains(&client))
        };
        assert!(has("dnsbl-listed", LISTED) && has("rcpt-ok", CLEAR), "{matched}");
        Ok(())
    });
}
