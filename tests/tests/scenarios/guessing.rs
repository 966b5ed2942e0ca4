//! Who guesses passwords or recipients is kept out by the kernel, for as long as the jail says, and nobody else is.

use e2e::client::Client;
use e2e::http::metric;
use e2e::namespace::isolated;
use e2e::network::Network;
use e2e::process::{Running, run};
use e2e::site::{Site, USERS, WATCHER, WRONG};
use e2e::wait;
use rustix::process::Signal;

/// A session of five wrong passwords, as a mail server logs it: enough for a ban.
pub(crate) fn session(pid: u32, address: &str) -> String {
    let guess = |n: u32| {
        format!("qmail-smtpd[{pid}]: auth: auth-failed type=plain user=<user{pid}> fingerprint={n:04x}\n")
    };
    let guesses: String = (0..5).map(guess).collect();
    format!("tcpserver: pid {pid} from {address}\n{guesses}tcpserver: end {pid} status 0\n")
}

/// An attacker with five wrong passwords is banned as `subject` and kept out of every port; who comes as `good` is not.
#[track_caller]
fn check_ban(attacker: &str, subject: &str, neighbour: Option<&str>, good: &str) {
    isolated(|| {
        let (site, _smtpd, _watcher) = Site::running()?;
        let [(user, password), _] = USERS;
        let (attacker, good) = (Client::of(&site.network, attacker), Client::of(&site.network, good));
        assert_eq!(good.guess(user, &[password])?, ["235"]);
        // The ban may fall, and end the connection, before the fifth answer is out.
        assert_eq!(attacker.guess(user, &WRONG[..5])?[..4], ["535"; 4]);
        site.await_ban(subject)?;
        assert!(!attacker.is_greeted(587)?, "it is kept out of the port that it attacked");
        assert!(!attacker.is_greeted(25)?, "and of every other");
        if let Some(neighbour) = neighbour {
            assert!(!Client::of(&site.network, neighbour).is_greeted(25)?, "as whatever address it has");
        }
        assert_eq!(good.guess(user, &[password])?, ["235"]);
        assert_eq!(site.banned()?, [subject.to_owned()].into());
        Ok(())
    });
}

#[test]
fn five_wrong_passwords_are_too_many() {
    check_ban("198.51.100.7", "198.51.100.7", None, "198.51.100.8");
}

#[test]
fn an_ipv6_attacker_is_banned_with_its_64() {
    let (attacker, neighbour) = (Network::client6(1, 1), Network::client6(1, 2));
    check_ban(&attacker, "2001:db8:bad:1::/64", Some(&neighbour), &Network::client6(2, 1));
}

/// What these attempts of one client come to: nobody is banned, and the client is let in.
#[track_caller]
fn check_no_ban(client: &str, attempts: impl Fn(Client<'_>) -> anyhow::Result<()>) {
    isolated(|| {
        let (site, _smtpd, _watcher) = Site::running()?;
        let client = Client::of(&site.network, client);
        attempts(client)?;
        site.await_read()?;
        assert_eq!(site.banned()?, [].into());
        assert!(client.is_greeted(25)?);
        Ok(())
    });
}

#[test]
fn four_wrong_passwords_are_not_too_many() {
    check_no_ban("198.51.100.7", |client| {
        assert_eq!(client.guess("alice", &WRONG[..4])?, ["535"; 4]);
        Ok(())
    });
}

#[test]
fn four_wrong_passwords_are_not_too_many_over_ipv6() {
    check_no_ban(&Network::client6(1, 1), |client| {
        assert_eq!(client.guess("alice", &WRONG[..4])?, ["535"; 4]);
        Ok(())
    });
}

#[test]
fn the_same_wrong_password_ten_times_is_one_mistake() {
    check_no_ban("198.51.100.7", |phone| {
        assert_eq!(phone.guess("alice", &["last year's"; 10])?, ["535"; 10]);
        Ok(())
    });
}

#[test]
fn a_success_forgives_that_users_failures() {
    check_no_ban("198.51.100.7", |customer| {
        let [(user, password), _] = USERS;
        assert_eq!(customer.guess(user, &WRONG[..4])?, ["535"; 4]);
        assert_eq!(customer.guess(user, &[password])?, ["235"]);
        assert_eq!(customer.guess(user, &WRONG[2..])?, ["535"; 4]);
        Ok(())
    });
}

#[test]
fn a_success_does_not_forgive_another_users_failures() {
    isolated(|| {
        let (site, _smtpd, _watcher) = Site::running()?;
        let attacker = Client::of(&site.network, "198.51.100.7");
        let [(own, password), (other, _)] = USERS;
        attacker.guess(other, &WRONG[..4])?;
        assert_eq!(attacker.guess(own, &[password])?, ["235"]);
        attacker.guess(other, &WRONG[4..5])?;
        site.await_ban("198.51.100.7")
    });
}

#[test]
fn ten_unknown_recipients_are_a_harvest() {
    isolated(|| {
        let (site, _smtpd, _watcher) = Site::running()?;
        let harvester = Client::of(&site.network, "198.51.100.7");
        let names: Vec<String> = (0..10).map(|n| format!("nobody{n}@example.org")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(harvester.ask_for(&names[..9])?, ["550"; 9]);
        site.await_read()?;
        assert_eq!(site.banned()?, [].into());
        // The line is written before the reply: the ban may end the session first.
        let last = harvester.ask_for(&names[9..])?;
        assert!(["550", "closed"].contains(&last.concat().as_str()), "{last:?}");
        site.await_ban("198.51.100.7")?;
        assert!(!harvester.is_greeted(25)?);
        assert_eq!(site.bans()?.first().map(|ban| ban.jail.clone()).as_deref(), Some("recipient-harvest"));
        Ok(())
    });
}

#[test]
fn a_ban_ends_when_its_time_is_over() {
    isolated(|| {
        let site = Site::new()?;
        site.write("jails/password-guessing.toml", &jail(5, "2s"))?;
        let (_smtpd, _watcher) = (site.start_smtpd()?, site.start_watcher()?);
        let attacker = Client::of(&site.network, "198.51.100.7");
        attacker.guess("alice", &WRONG[..5])?;
        site.await_ban("198.51.100.7")?;
        wait::until_true("the attacker to be greeted again", || attacker.is_greeted(25).unwrap_or(false))?;
        wait::until_true("the ban to be gone", || site.banned().is_ok_and(|banned| banned.is_empty()))
    });
}

/// An attacker is banned as `subject`; unbanned by its own address, it is let in.
#[track_caller]
fn check_unban(address: &str, subject: &str) {
    isolated(|| {
        let (site, _smtpd, _watcher) = Site::running()?;
        let attacker = Client::of(&site.network, address);
        attacker.guess("alice", &WRONG[..5])?;
        site.await_ban(subject)?;
        assert!(!attacker.is_greeted(587)?);
        site.banctl(&format!("unban {address}"))?.yes()?;
        assert!(attacker.is_greeted(587)?);
        assert_eq!(site.banned()?, [].into());
        Ok(())
    });
}

#[test]
fn who_is_unbanned_is_let_in_at_once() {
    check_unban("198.51.100.7", "198.51.100.7");
}

#[test]
fn who_is_unbanned_is_let_in_at_once_over_ipv6() {
    check_unban(&Network::client6(1, 1), "2001:db8:bad:1::/64");
}

#[test]
fn a_connection_that_the_banned_already_has_is_ended() {
    isolated(|| {
        let (site, _smtpd, _watcher) = Site::running()?;
        let [attacker, good] = ["198.51.100.7", "198.51.100.8"].map(|a| Client::of(&site.network, a));
        let hold = |client: &Client<'_>, name: &str| {
            let held = Running::start(&mut client.command("hold.py", &[]), &site.path(name))?;
            wait::until_true("an open session", || held.said().contains("held"))?;
            anyhow::Ok(held)
        };
        let (mut cut, mut kept) = (hold(&attacker, "cut")?, hold(&good, "kept")?);
        attacker.guess("alice", &WRONG[..5])?;
        cut.ended()?;
        assert_eq!(cut.said(), "held\nended\n");
        assert!(kept.is_running());
        Ok(())
    });
}

#[test]
fn who_is_exempt_is_never_banned() {
    isolated(|| {
        let site = Site::new()?;
        site.change("watcher.toml", "[[source]]", "[exempt]\nnetworks = [\"198.51.100.0/28\"]\n[[source]]")?;
        let (_smtpd, _watcher) = (site.start_smtpd()?, site.start_watcher()?);
        let [exempt, other] = ["198.51.100.7", "198.51.100.16"].map(|a| Client::of(&site.network, a));
        assert_eq!(exempt.guess("alice", &WRONG)?, ["535"; 6]);
        other.guess("alice", &WRONG[..5])?;
        site.await_ban("198.51.100.16")?;
        assert!(exempt.is_greeted(25)?);
        site.banctl("ban 198.51.100.7")?.is(1)?;
        assert!(exempt.is_greeted(25)?);
        assert_eq!(site.banned()?, ["198.51.100.16".to_owned()].into());
        Ok(())
    });
}

#[test]
fn failures_before_and_after_a_rotation_of_the_log_are_counted_together() {
    isolated(|| {
        let (site, smtpd, _watcher) = Site::running()?;
        let attacker = Client::of(&site.network, "198.51.100.7");
        attacker.guess("alice", &WRONG[..3])?;
        std::fs::rename(site.path("smtpd.log"), site.path("smtpd.log.1"))?;
        attacker.guess("alice", &WRONG[3..4])?;
        smtpd.signal(Signal::HUP)?;
        wait::until_true("the new log", || site.path("smtpd.log").exists())?;
        attacker.guess("alice", &WRONG[4..5])?;
        site.await_ban("198.51.100.7")
    });
}

#[test]
fn a_table_that_somebody_flushes_is_back_by_itself() {
    isolated(|| {
        let (site, _smtpd, _watcher) = Site::running()?;
        let attacker = Client::of(&site.network, "198.51.100.7");
        attacker.guess("alice", &WRONG[..5])?;
        site.await_ban("198.51.100.7")?;
        run("nft", "flush ruleset")?;
        wait::until_true("the repair", || {
            metric(WATCHER, "watcher_firewall_repairs_total").is_ok_and(|n| n == 1.0)
        })?;
        assert!(!attacker.is_greeted(25)?);
        Ok(())
    });
}

/// A jail for password guessing that bans for another time.
fn jail(threshold: u32, length: &str) -> String {
    format!(
        "about = \"guessing\"\non = [\"auth-failed\"]\nthreshold = {threshold}\nwithin = \"10m\"\n\
         distinct = \"password\"\n[ban]\nfor = \"{length}\"\n"
    )
}
