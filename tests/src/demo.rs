//! An attack and its end, for somebody who watches: two hosts, real SMTP, the real kernel.

mod follow;
mod screen;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::blocklist::{Blocklist, ZONE};
use crate::browser::{Browser, Window};
use crate::client::Client;
use crate::network::{SERVER, SERVER6};
use crate::process::{Running, done, run};
use crate::site::{Site, USERS, WATCHER};
use crate::wait;

use follow::Follower;
use screen::Screen;

const GUESSER: &str = "198.51.100.66";
const HARVESTER: &str = "203.0.113.9";
const NEIGHBOUR: &str = "198.51.100.20";
const LISTED: &str = "203.0.113.30";

/// When somebody beside the play is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The daemons are ready, and nothing has happened.
    Begun,
    /// All has happened, and the daemons run still.
    Played,
}

/// Somebody beside the play, who looks on.
pub type Beside<'b> = &'b mut dyn FnMut(Moment, &Site) -> Result<()>;

/// Plays everything and shows it; true where every step happened. The page for a browser is painted to `picture`.
///
/// # Errors
/// The hosts cannot be had, so that nothing could be played; or whoever is beside it has one.
pub fn play(picture: Option<&Path>, beside: Beside<'_>) -> Result<bool> {
    let mut screen = Screen::new();
    screen.title("Postern: an attack and its end");
    let site = Site::new().context("cannot make two hosts; iproute2, util-linux and nftables are needed")?;
    screen.say(&format!(
        "A mail server, {SERVER} and {SERVER6}, in a network of its own; on the other end of a"
    ));
    screen
        .say("cable a second host, which speaks as many addresses. Nothing else on this machine is touched.");

    let list = Blocklist::is_installed().then(|| Blocklist::start(&site, &[LISTED])).transpose()?;
    let mut daemons = Vec::new();
    screen.step("The mail server and the watcher start", |screen| start(&site, &mut daemons, screen));
    beside(Moment::Begun, &site)?;
    screen.step("Bob, a good client, sends Alice a mail", |screen| deliver(&site, "Lunch?", screen));
    screen.step("An attacker guesses Alice's password, over STARTTLS on port 587", |screen| {
        guess(&site, screen)
    });
    screen.step("The fifth wrong password was one too many", |screen| why(&site, GUESSER, screen));
    screen.step("The attacker's next connection is dropped by the kernel", |screen| dropped(&site, screen));
    screen.step("Another attacker tries names on port 25, to find one that exists", |screen| {
        harvest(&site, screen)
    });
    screen.step("The tenth unknown name was one too many", |screen| why(&site, HARVESTER, screen));
    if list.is_some() {
        screen.step("One client is on a blocklist, whose queries are counted", |screen| {
            ask_the_list(&site, screen)
        });
    }
    screen.step("Bob, from the first attacker's network, notices nothing", |screen| {
        deliver(&site, "Still there?", screen)
    });
    if let Some(picture) = picture {
        screen.step("The page for a browser shows it all", |screen| paint(picture, screen));
    }
    screen
        .step("The administrator looks, and lets the first attacker in again", |screen| unban(&site, screen));
    beside(Moment::Played, &site)?;
    Ok(screen.finish())
}

fn start(site: &Site, daemons: &mut Vec<Running>, screen: &Screen) -> Result<()> {
    daemons.push(site.start_smtpd()?);
    daemons.push(site.start_watcher()?);
    let status = site.banctl("status")?.yes()?;
    screen.show(&status.said);
    Ok(())
}

fn deliver(site: &Site, subject: &str, screen: &Screen) -> Result<()> {
    let [(alice, _), (bob, password)] = USERS;
    let client = Client::of(&site.network, NEIGHBOUR);
    client.run("send.py", &[bob, password, &format!("{alice}@example.org"), subject])?.yes()?;
    let path = wait::until("the mail in the mailbox", || {
        let mails = site.mails(alice).ok()?;
        mails.into_iter().find(|(_, text)| text.contains(&format!("Subject: {subject}")))
    });
    let (path, text) = path?;
    let path = path.strip_prefix(site.directory()).unwrap_or(&path).display().to_string();
    screen.say(&format!("Delivered to {path}:"));
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let wanted = head.lines().filter(|line| ["From", "To", "Subj"].iter().any(|name| line.starts_with(name)));
    wanted.chain(body.lines().take(2)).for_each(|line| screen.quote(line));
    Ok(())
}

fn guess(site: &Site, screen: &Screen) -> Result<()> {
    let words = ["alice", "123456", "password", "qwerty", "letmein", "dragon", "--pause"];
    let attacker = Client::of(&site.network, GUESSER).command("guess.py", &words);
    follow(site, attacker, &["auth: auth-failed", &format!(" from {GUESSER}")], screen)?;
    site.await_ban(GUESSER)
}

fn harvest(site: &Site, screen: &Screen) -> Result<()> {
    let names = "info sales admin office support billing jobs press hr it".split(' ');
    let names: Vec<String> = names.map(|name| format!("{name}@example.org")).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.push("--pause");
    let harvester = Client::of(&site.network, HARVESTER).command("harvest.py", &names);
    follow(site, harvester, &["CHKUSER rejected"], screen)?;
    site.await_ban(HARVESTER)
}

/// The listed one comes twice: the second time the verdict is remembered, and no query is spent.
fn ask_the_list(site: &Site, screen: &Screen) -> Result<()> {
    let to = format!("{}@example.org", USERS[0].0);
    for address in [LISTED, NEIGHBOUR, LISTED] {
        let replies = Client::of(&site.network, address).ask_for(&[&to])?;
        screen.say(&format!("{address} → {SERVER}:25   RCPT TO:<{to}>   {}", replies.join(" ")));
    }
    site.await_read()?;
    screen.say("banctl quota");
    let quota = site.banctl("quota")?.yes()?.said;
    screen.show(&quota);
    ensure!(quota.contains(ZONE), "the watcher counts no query");
    Ok(())
}

/// Lets a client work while the screen shows those new lines of the log that contain one of `words`.
fn follow(site: &Site, mut client: Command, words: &[&str], screen: &Screen) -> Result<()> {
    let follower = Follower::start(&site.path("smtpd.log"), words, screen.clone())?;
    let said = done(&mut client);
    follower.stop()?;
    said.map(|_| ())
}

fn why(site: &Site, address: &str, screen: &Screen) -> Result<()> {
    let why = site.banctl(&format!("why {address}"))?.yes()?;
    screen.say(&format!("banctl why {address}"));
    screen.show(&why.said);
    ensure!(why.said.contains("because of these lines"), "the ban shows no evidence");
    Ok(())
}

fn dropped(site: &Site, screen: &Screen) -> Result<()> {
    let before = packets()?;
    let start = Instant::now();
    let greeted = Client::of(&site.network, GUESSER).is_greeted(587)?;
    ensure!(!greeted, "the attacker was greeted");
    screen.say(&format!(
        "{GUESSER} → {SERVER}:587   no answer; it gave up after {:.1} s",
        start.elapsed().as_secs_f64()
    ));
    let dropped = packets()? - before;
    ensure!(dropped > 0, "the kernel counts no dropped packet");
    screen.say(&format!("The kernel's count of dropped packets rose by {dropped}:"));
    screen.show(&run("nft", COUNTER)?);
    Ok(())
}

const COUNTER: &str = "list counter inet postern dropped4_all";

/// What the kernel counts.
fn packets() -> Result<u64> {
    let told = run("nft", COUNTER)?;
    let mut words = told.split_whitespace();
    let number = words.find(|word| *word == "packets").and_then(|_| words.next());
    number.and_then(|number| number.parse().ok()).with_context(|| format!("no count of packets in {told}"))
}

/// A picture of the page as it stands open at the first attacker's ban.
fn paint(picture: &Path, screen: &Screen) -> Result<()> {
    if !Browser::is_installed() {
        screen.say(
            "No picture of it: there is no browser here. The Debian package is chromium-headless-shell.",
        );
        return Ok(());
    }
    if let Some(directory) = picture.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let window = Window { width: 1180, height: 1400, dark: false };
    let mut page = Browser::open(&format!("http://{WATCHER}/"), window, picture)?;
    page.until("document.body.dataset.ready === 'yes'")?;
    page.until(&format!("document.getElementById('bans-rows').textContent.includes('{GUESSER}')"))?;
    page.value(&format!("document.querySelector('[data-subject=\"{GUESSER}\"]').click()"))?;
    page.until("document.querySelector('#why pre')?.textContent.includes('auth-failed')")?;
    page.close()?;
    screen.say(&format!("Painted to {}", picture.display()));
    Ok(())
}

fn unban(site: &Site, screen: &Screen) -> Result<()> {
    screen.say("banctl list");
    screen.show(&site.banctl("list")?.yes()?.said);
    screen.say(&format!("banctl unban {GUESSER}"));
    screen.show(&site.banctl(&format!("unban {GUESSER}"))?.yes()?.said);
    let greeted = Client::of(&site.network, GUESSER).is_greeted(587)?;
    ensure!(greeted, "the attacker is not greeted");
    screen.say(&format!("{GUESSER} → {SERVER}:587   220, at once"));
    Ok(())
}
