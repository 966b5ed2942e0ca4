//! The page, in a real browser, with real bans.

use anyhow::{Context as _, Result, ensure};
use e2e::browser::{Browser, Window};
use e2e::client::Client;
use e2e::http;
use e2e::namespace::isolated;
use e2e::process::bound;
use e2e::site::{Site, WATCHER, WRONG};

const ATTACKER: &str = "198.51.100.66";
const OTHER: &str = "203.0.113.9";

/// A name that a page must show and not obey.
const HOSTILE: &str = "<img src=x onerror=document.title='owned'>";

const DESK: Window = Window { width: 1180, height: 1750, dark: false };
const PHONE: Window = Window { width: 390, height: 844, dark: true };

/// The page, once it has shown all that it has to.
fn open(window: Window, picture: &std::path::Path) -> Result<Browser> {
    let mut page = Browser::open(&format!("http://{WATCHER}/"), window, picture)?;
    page.until("document.body.dataset.ready === 'yes'")?;
    Ok(page)
}

const BACKGROUND: &str = "getComputedStyle(document.querySelector('header')).backgroundColor";

/// A host where somebody with a hostile name is banned, and a blocklist has a budget.
fn site() -> Result<Site> {
    let site = Site::new()?;
    site.write("token", "a token that nobody guesses\n")?;
    let more = "[page]\ntoken_file = \"token\"\n[quota.\"zen.example.org\"]\nlimit = 1000\n[[source]]";
    site.change("watcher.toml", "[[source]]", more)?;
    Ok(site)
}

fn live_a_little(site: &Site) -> Result<()> {
    let attacker = Client::of(&site.network, ATTACKER);
    attacker.guess(HOSTILE, &WRONG[..5])?;
    site.await_ban(ATTACKER)?;
    // Queries of the last hours, as a log tells them.
    let now = jiff::Timestamp::now().as_second();
    let mut lines = String::new();
    for n in 0..300_u32 {
        let at = logline::Timestamp::from_seconds(now - i64::from(300 - n) * 30).tai64n().to_string();
        let rbl = format!("rbl: ip=198.51.100.7 query={n}.100.51.198.zen.example.org result=pass message=''");
        lines.push_str(&format!("{at} tcpserver: pid {n} from 198.51.100.7\n{at} qmail-smtpd[{n}]: {rbl}\n"));
    }
    site.append("smtpd.log", lines.as_bytes())?;
    e2e::wait::until_true("the queries to be counted", || {
        http::metric(WATCHER, "watcher_dnsbl_quota_used{zone=\"zen.example.org\"}")
            .is_ok_and(|used| used >= 100.0)
    })
}

#[test]
fn the_page_shows_what_is_so_and_obeys_no_attacker() {
    isolated(|| {
        let site = site()?;
        let _smtpd = site.start_smtpd()?;
        let _watcher = site.start_watcher()?;
        live_a_little(&site)?;
        let picture = site.path("page.png");
        let mut page = open(DESK, &picture)?;
        page.until(&format!("document.getElementById('bans-rows').textContent.includes('{ATTACKER}')"))?;
        page.until("document.getElementById('live').textContent === 'live'")?;
        ensure!(page.value("document.getElementById('state').className")? == "good");
        ensure!(page.value("document.querySelectorAll('#jails-rows tr').length > 5")? == true);
        ensure!(page.value("document.querySelectorAll('#sources-rows tr').length")? == 1);
        for part in ["polyline.left", "polyline.coming", "polyline.even", "polygon.range"] {
            ensure!(page.value(&format!("document.querySelectorAll('.zone {part}').length"))? == 1, "{part}");
        }
        ensure!(
            page.value("document.querySelector('.zone p').textContent.includes('by the forecast')")? == true
        );
        ensure!(page.value(BACKGROUND)? == "rgb(255, 255, 255)", "it is light where that is liked");

        // What happens is told while it happens.
        site.banctl(&format!("ban {OTHER} --reason <b>mine</b>"))?.yes()?;
        page.until(&format!("document.getElementById('events').textContent.includes('{OTHER}')"))?;
        page.until(&format!("document.getElementById('bans-rows').textContent.includes('{OTHER}')"))?;

        // By keys alone to the lines that led to a ban, which are shown as they are.
        page.value("document.dispatchEvent(new KeyboardEvent('keydown', { key: 'j', bubbles: true }))")?;
        page.value("document.dispatchEvent(new KeyboardEvent('keydown', { key: 'j', bubbles: true }))")?;
        ensure!(page.value("document.activeElement.dataset.subject")? == ATTACKER);
        page.value("document.activeElement.click()")?;
        page.until("document.querySelector('#why pre')?.textContent.includes('<img')")?;
        ensure!(page.value("document.querySelectorAll('img, b:not(.figure b)').length")? == 0);
        ensure!(page.value("document.title")? == "Postern");

        // Only who knows the token lets somebody in.
        let unban = "document.getElementById('unban').requestSubmit()";
        ensure!(page.value("document.getElementById('unban').hidden")? == false);
        page.value("document.getElementById('token').value = 'a guess that is long enough'")?;
        page.value(unban)?;
        page.until("document.getElementById('unban-said').textContent === 'the token is wrong'")?;
        ensure!(site.banned()?.contains(ATTACKER));
        page.value("document.getElementById('token').value = 'a token that nobody guesses'")?;
        page.value(unban)?;
        page.until("document.getElementById('unban-said').textContent === 'let in'")?;
        ensure!(!site.banned()?.contains(ATTACKER));
        page.value("document.getElementById('why').close()")?;
        page.until(&format!("!document.getElementById('bans-rows').textContent.includes('{ATTACKER}')"))?;

        let told = page.close()?;
        let own = format!("http://{WATCHER}/");
        let asked = told["asked"].as_array().context("what was asked")?;
        ensure!(asked.iter().all(|url| url.as_str().is_some_and(|url| url.starts_with(&own))), "{asked:?}");
        let complaints = told["complaints"].as_array().context("complaints")?;
        let policy = complaints.iter().filter(|c| c.as_str().is_some_and(|c| c.contains("Security Policy")));
        ensure!(policy.count() == 0, "{complaints:?}");
        keep(&picture, "page.png")
    });
}

/// Where the keyboard is: the subject of a row's button, or the name of what has the focus.
const FOCUS: &str = "document.activeElement.dataset.subject ?? document.activeElement.id";

#[test]
fn everything_is_done_by_keys_and_whoever_goes_through_the_rows_keeps_his_place() {
    isolated(|| {
        let site = site()?;
        site.append("smtpd.log", b"")?;
        let absent = "[[source]]\nfile = \"<b>absent</b>.log\"\n[[source]]";
        site.change("watcher.toml", "[[source]]", absent)?;
        let _watcher = site.start_watcher()?;
        site.banctl(&format!("ban {ATTACKER}"))?.yes()?;
        site.banctl(&format!("ban {OTHER}"))?.yes()?;
        let mut page = open(DESK, &site.path("keys.png"))?;
        page.until(&format!("document.getElementById('bans-rows').textContent.includes('{ATTACKER}')"))?;
        // A log that is not there is told at the top and in its row.
        page.until(
            "document.getElementById('state').textContent.includes('<b>absent</b>.log cannot be read')",
        )?;
        ensure!(
            page.value(
                "document.getElementById('sources-rows').textContent.includes('there is no such file')"
            )? == true
        );

        for (key, section) in
            [("1", "now"), ("2", "bans"), ("3", "jails"), ("4", "sources"), ("5", "budgets")]
        {
            page.press(&[key])?;
            ensure!(page.value(FOCUS)? == section, "{key}");
        }
        page.press(&["/"])?;
        ensure!(page.value(FOCUS)? == "find");
        page.press(&["2", "0", "3"])?;
        page.until("document.querySelectorAll('#bans-rows tr').length === 1")?;
        page.value("document.getElementById('find').value = ''; document.getElementById('find').dispatchEvent(new Event('input'))")?;
        page.until("document.querySelectorAll('#bans-rows tr').length === 2")?;
        page.press(&["Escape", "j", "j"])?;
        let second = page.value(FOCUS)?;
        ensure!(second == ATTACKER, "{second}");
        // The newest stands first, and all rows are made anew.
        site.banctl("ban 192.0.2.99")?.yes()?;
        page.value("refresh()")?;
        page.until("document.querySelectorAll('#bans-rows tr').length === 3")?;
        ensure!(page.value(FOCUS)? == ATTACKER, "the keys are where they were");
        page.press(&["k"])?;
        ensure!(page.value(FOCUS)? == OTHER);
        page.press(&["Enter"])?;
        page.until("document.getElementById('why').open")?;
        page.value("refresh()")?;
        page.press(&["Escape"])?;
        // The keys are back a moment after it is closed.
        page.until(&format!("!document.getElementById('why').open && ({FOCUS}) === '{OTHER}'"))?;
        page.press(&["Tab"])?;
        ensure!(page.value(FOCUS)? == ATTACKER);

        // What is smuggled in does nothing.
        let smuggled = "(() => { const s = document.createElement('script'); s.textContent = 'document.title = 1'; \
                        document.body.append(s); const i = new Image(); i.src = 'http://192.0.2.1/'; \
                        return document.title; })()";
        ensure!(page.value(smuggled)? == "Postern");
        let told = page.close()?.to_string();
        for policy in ["script-src 'self'", "img-src 'self'"] {
            ensure!(told.contains(policy), "{policy}: {told}");
        }
        Ok(())
    });
}

#[test]
fn the_page_fits_a_phone_in_the_dark() {
    isolated(|| {
        let site = site()?;
        let _smtpd = site.start_smtpd()?;
        let _watcher = site.start_watcher()?;
        live_a_little(&site)?;
        let picture = site.path("phone.png");
        let mut page = open(PHONE, &picture)?;
        page.until(&format!("document.getElementById('bans-rows').textContent.includes('{ATTACKER}')"))?;
        let width = page.value("document.documentElement.scrollWidth")?;
        ensure!(width.as_u64().is_some_and(|width| width <= 390), "it is {width} wide");
        let colour = page.value(BACKGROUND)?;
        ensure!(colour != "rgb(255, 255, 255)", "it is dark: {colour}");
        let low = "[...document.querySelectorAll('button')].filter((b) => b.offsetParent && b.offsetHeight < 36).length";
        ensure!(page.value(low)? == 0, "a thumb hits every button");
        page.close()?;
        keep(&picture, "page-phone.png")
    });
}

#[test]
fn without_a_token_nothing_can_be_changed_from_the_page() {
    isolated(|| {
        let site = Site::new()?;
        site.append("smtpd.log", b"")?;
        let _watcher = site.start_watcher()?;
        let (status, body) = http::get(WATCHER, "/v1/page")?;
        assert_eq!((status, body.as_str()), (200, "{\"unban\":false}"));
        let mut curl = bound("curl");
        curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "x-postern-token: "]);
        curl.args(["-d", "{\"all\":true}"]);
        let output = curl.arg(format!("http://{WATCHER}/v1/unban")).output()?;
        assert_eq!(String::from_utf8_lossy(&output.stdout), "404");
        let mut curl = bound("curl");
        let output =
            curl.args(["-s", "-D", "-", "-o", "/dev/null"]).arg(format!("http://{WATCHER}/")).output()?;
        let head = String::from_utf8_lossy(&output.stdout).to_lowercase();
        for line in ["content-security-policy: default-src 'none'", "x-content-type-options: nosniff"] {
            assert!(head.contains(line), "{head}");
        }
        Ok(())
    });
}

/// The pictures of the documentation are those of the tests; they are renewed on purpose.
fn keep(picture: &std::path::Path, name: &str) -> Result<()> {
    if std::env::var_os("UPDATE_PICTURES").is_some() {
        let docs = crate::board::repository().join("docs/pictures");
        std::fs::create_dir_all(&docs)?;
        std::fs::copy(picture, docs.join(name))?;
    }
    Ok(())
}
