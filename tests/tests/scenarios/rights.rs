//! Who may do what.

use std::os::unix::fs::PermissionsExt as _;

use e2e::banctl::Answer;
use e2e::client::Client;
use e2e::http::get;
use e2e::namespace::{has_other_users, isolated};
use e2e::process::{bound, ours};
use e2e::site::{Site, WATCHER, WRONG};
use e2e::wait;

#[test]
fn without_the_right_to_change_the_firewall_the_watcher_runs_and_says_so() {
    isolated(|| {
        let site = Site::new()?;
        let _smtpd = site.start_smtpd()?;
        let watcher = site.launch_watcher(&["--bounding-set", "-net_admin"])?;
        wait::until_true("an answer", || get(WATCHER, "/healthz").is_ok())?;
        let status = site.banctl("status --json")?.json()?;
        assert_ne!(status["firewall"], "nftables");
        assert!(status["firewall_trouble"].as_str().is_some_and(|trouble| !trouble.is_empty()), "{status}");
        assert!(watcher.said().contains("bans are only recorded"), "{}", watcher.said());

        let attacker = Client::of(&site.network, "198.51.100.7");
        attacker.guess("alice", &WRONG[..5])?;
        site.await_ban("198.51.100.7")?;
        assert!(attacker.is_greeted(25)?, "the ban is known, and nobody is kept out");
        Ok(())
    });
}

/// What `banctl status` answers to nobody.
fn status_as_nobody(site: &Site) -> anyhow::Result<Answer> {
    let mut command = bound("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]).arg(ours("banctl")?);
    Answer::of(command.arg("--socket").arg(site.path("watcher.sock")).arg("status"))
}

#[test]
fn the_control_socket_is_for_the_administrator_alone() {
    isolated(|| {
        if !has_other_users() {
            // A namespace that was made without root has one user, whom nobody can be kept apart from.
            return Ok(());
        }
        let (site, _smtpd, _watcher) = Site::running()?;
        let everybody = |path: &std::path::Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        };
        everybody(site.directory(), 0o755)?;
        let refused = status_as_nobody(&site)?.is(2)?;
        assert_eq!(refused.said, "");
        // Even where the file lets them in, the watcher asks who they are.
        everybody(&site.path("watcher.sock"), 0o666)?;
        let refused = status_as_nobody(&site)?.is(2)?;
        assert!(refused.cried.contains("only root and the group postern"), "{}", refused.cried);
        assert_eq!(refused.said, "");
        Ok(())
    });
}
