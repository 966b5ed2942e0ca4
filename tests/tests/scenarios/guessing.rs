//! Who guesses passwords or recipients is kept out by the kernel, for as long as the jail says, and nobody else is.

use e2e::client::Client;
use e2e::namespace::isolated;
use e2e::network::Network;
use e2e::site::{Site, USERS, WRONG};
use e2e::wait;

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
        assert_eq!(harvester.ask_for(&names[9..])?, ["550"]);
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

#[test]
fn who_is_unbanned_is_let_in_at_once() {
    isolated(|| {
        let (site, _smtpd, _watcher) = Site::running()?;
        let attacker = Client::of(&site.network, "198.51.100.7");
        attacker.guess("alice", &WRONG[..5])?;
        site.await_ban("198.51.100.7")?;
        assert!(!attacker.is_greeted(587)?);
        site.banctl("unban 198.51.100.7")?.yes()?;
        assert!(attacker.is_greeted(587)?);
        assert_eq!(site.banned()?, [].into());
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
