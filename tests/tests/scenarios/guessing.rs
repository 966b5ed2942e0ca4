//! Who guesses passwords is kept out by the kernel, for as long as the jail says, and nobody else is.

use e2e::client::Client;
use e2e::namespace::isolated;
use e2e::site::{Site, USERS};

const WRONG: [&str; 6] = ["one", "two", "three", "four", "five", "six"];

#[test]
fn five_wrong_passwords_are_too_many() {
    isolated(|| {
        let (site, _smtpd, _watcher) = Site::running()?;
        let attacker = Client::of(&site.network, "198.51.100.7");
        assert_eq!(attacker.guess("alice", &WRONG[..5])?, ["535"; 5]);
        site.await_ban("198.51.100.7")?;
        assert!(!attacker.is_greeted(587)?, "it is kept out of the port it attacked");
        assert!(!attacker.is_greeted(25)?, "and of every other");
        let good = Client::of(&site.network, "198.51.100.8");
        let (user, password) = USERS[0];
        assert_eq!(good.guess(user, &[password])?, ["235"]);
        Ok(())
    });
}
