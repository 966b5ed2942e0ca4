//! Less than a ban: what a jail asks of the mail server holds for the client's next session, and is over when the ban is.

use e2e::client::Client;
use e2e::namespace::isolated;
use e2e::site::{Site, USERS};
use e2e::wait;

const JAIL: &str = r#"
about     = "asks for recipients that nobody has"
on        = ["rcpt-unknown"]
threshold = 2
within    = "10m"
word      = "auth-only"
[ban]
for = "1h"
"#;

#[test]
fn a_jail_that_asks_for_a_word_bans_nobody_and_the_server_does_as_asked() {
    isolated(|| {
        let site = Site::new()?;
        site.change("smtpd.toml", "hostname", "words = \"words\"\nhostname")?;
        site.change("watcher.toml", "listen", "words = \"words\"\njails = [\"strangers\"]\nlisten")?;
        site.write("jails/strangers.toml", JAIL)?;
        let (_smtpd, _watcher) = (site.start_smtpd()?, site.start_watcher()?);
        let (asker, other) =
            (Client::of(&site.network, "198.51.100.7"), Client::of(&site.network, "198.51.100.8"));
        assert_eq!(asker.ask_for(&["x@example.org", "y@example.org"])?, ["550"; 2]);
        // Its MAIL is refused, so that a recipient comes too early.
        let is_told = |code: &str| asker.ask_for(&["alice@example.org"]).is_ok_and(|codes| codes == [code]);
        wait::until_true("the word", || is_told("503"))?;
        assert!(site.log()?.contains("]: watcher: auth-only at 198.51.100.7\n"), "{}", site.log()?);
        assert_eq!(other.ask_for(&["alice@example.org"])?, ["250"]);
        let [(user, password), _] = USERS;
        assert_eq!(asker.guess(user, &[password])?, ["235"], "who has a password is let in");
        let list = site.banctl("list --json")?.yes()?.json()?;
        assert_eq!(
            (list["bans"].as_array().map(Vec::len), list["bans"][0]["mode"].as_str()),
            (Some(1), Some("watch"))
        );
        site.banctl("unban 198.51.100.7")?.yes()?;
        wait::until_true("the end of the word", || is_told("250"))?;
        Ok(())
    });
}

#[test]
fn what_is_asked_about_hundreds_at_once_is_written_and_taken_back() {
    isolated(|| {
        let site = Site::new()?;
        site.change("watcher.toml", "listen", "words = \"words\"\njails = [\"strangers\"]\nlisten")?;
        site.write("jails/strangers.toml", JAIL)?;
        let clients: String = (0..1000).map(|n| format!("203.0.{}.{}\n", n / 250, n % 250)).collect();
        site.write("clients", &clients)?;
        let _watcher = site.start_watcher()?;
        let asked = || std::fs::read_to_string(site.path("words")).map_or(0, |text| text.lines().count());
        let file = site.path("clients");
        site.banctl(&format!("ban --for 1h --jail strangers --file {}", file.display()))?.yes()?;
        wait::until_true("the words", || asked() == 1000)?;
        site.banctl("unban --all")?.yes()?;
        wait::until_true("the end of the words", || asked() == 0)?;
        Ok(())
    });
}
