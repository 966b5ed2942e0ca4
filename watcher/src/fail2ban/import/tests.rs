use super::*;
use crate::fail2ban::layers::tests::Files;

const DEFAULTS: &str = "[DEFAULT]\nbantime = 10m\nfindtime = 10m\nmaxretry = 5\nport = 0:65535\nprotocol = tcp\n\
    enabled = false\nfilter = %(__name__)s[mode=%(mode)s]\nmode = normal\naction = iptables[port=\"%(port)s\"]\n";

fn run(jail: &str, filter: &str) -> Import {
    let conf = format!("{DEFAULTS}[INCLUDES]\n");
    let files = [("jail.conf", conf.as_str()), ("jail.local", jail), ("filter.d/x.conf", filter)];
    import(&Files::new(&files), Path::new("/f"), Choice::Enabled).unwrap()
}

const FILTER: &str = "[Definition]\nfailregex = ^<HOST> failed$\njournalmatch = _SYSTEMD_UNIT=x.service\n";

/// What a jail's options come to in its file, behind what is the same in all; and what is noted.
#[track_caller]
fn check(options: &str, file: &str, notes: &[&str]) {
    let import = run(&format!("[x]\nenabled = true\nlogpath = /var/log/x\n{options}"), FILTER);
    let jail = import.files.get(Path::new("jails/x.toml")).unwrap();
    let head = "about = \"fail2ban's jail x\"\non = [\"failure\"]\nfilter = \"x\"\n";
    assert_eq!(jail.strip_prefix(head), Some(file), "{options}");
    let notes: Vec<String> = notes.iter().map(|note| format!("x: {note}")).collect();
    assert_eq!(import.notes, notes);
}

#[test]
fn a_jails_numbers_are_taken_over() {
    check("", "threshold = 5\nwithin = \"10m\"\n\n[ban]\nfor = \"10m\"\n", &[]);
    check(
        "maxretry = 3\nfindtime = 1d12h\nbantime = 1w\nport = ssh,2222\n",
        "threshold = 3\nwithin = \"1d12h\"\n\n[ban]\nfor = \"7d\"\nports = [\"22\", \"2222\"]\n",
        &[],
    );
}

#[test]
fn bans_that_grow_grow_here_too() {
    let head = "threshold = 5\nwithin = \"10m\"\n\n[ban]\nfor = \"10m\"\n";
    let growing = |options: &str, tail: &str, notes: &[&str]| {
        check(&format!("bantime.increment = true\n{options}"), &format!("{head}{tail}"), notes);
    };
    growing("", "growth = 2.0\nmax = \"365d\"\n", &[]);
    growing("bantime.maxtime = 5w\n", "growth = 2.0\nmax = \"35d\"\n", &[]);
    growing("bantime.multipliers = 1 2 4 8 16\n", "growth = 2.0\nmax = \"2h40m\"\n", &[]);
    growing(
        "bantime.multipliers = 1 5 30 60\n",
        "growth = 3.915\nmax = \"10h\"\n",
        &["bantime.multipliers = 1 5 30 60: taken for a growth of 3.91 a ban"],
    );
    growing(
        "bantime.formula = ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor\n",
        "growth = 2.0\nmax = \"365d\"\n",
        &[],
    );
    growing(
        "bantime.formula = os.system(1)\n",
        "growth = 2.0\nmax = \"365d\"\n",
        &[
            "bantime.formula = os.system(1): it is a program, and no program is run here; a former ban doubles the next",
        ],
    );
}

#[test]
fn what_cannot_be_had_is_said() {
    let file = "threshold = 5\nwithin = \"10m\"\n\n[ban]\nfor = \"365d\"\n";
    check(
        "bantime = -1\nprotocol = udp\nusedns = yes\nignoreip = ::1 192.0.2.1/24 a.example\naction = iptables[a=\"b c\"]\n  mail[x=1]\n  smtp.py\n\
         ignorecommand = /bin/x <ip>\nlogencoding = latin1\n",
        file,
        &[
            "usedns = yes: no name is looked up here; a failure whose line has a name alone bans nobody",
            "bantime = -1: every ban ends here; it lasts a year",
            "protocol = udp: all ports of all protocols are closed",
            "ignoreip a.example: no address and no network; no name is looked up here",
            "action mail: nothing but the ban itself is done here",
            "action smtp.py: it is a program in Python, and is not run here",
            "ignorecommand = /bin/x <ip>: no program is asked whom to spare",
            "logencoding = latin1: lines are taken for UTF-8; other bytes match no letter",
        ],
    );
}

#[test]
fn a_jail_that_is_wrong_is_left_out() {
    let import = run("[x]\nenabled = true\nlogpath = /var/log/x\nbantime = soon\n", FILTER);
    assert_eq!(
        import.notes,
        [
            "x: it is left out: /f/jail.local:4:1: jail x: `bantime`: \"soon\" is no length of time",
            "no jail is switched on: nothing is read and nobody banned",
        ]
    );
}

#[test]
fn sources_are_files_and_the_journal() {
    let jails = "[x]\nenabled = true\nlogpath = /var/log/x\n /var/log/y tail\nignoreip = 192.0.2.1\n\
        [y]\nenabled = true\nfilter = x[mode=\"a\\b\"]\nbackend = systemd\nfailregex = %(known/failregex)s\n            ^2 <HOST>$\n";
    let import = run(jails, FILTER);
    let expected = "jails = [\"x\", \"y\"]\n\n[exempt]\nnetworks = [\"192.0.2.1/32\"]\n\n\
        [[source]]\nfile = \"/var/log/x\"\nfilter = []\n[[source.fail2ban]]\nname = \"x\"\nfilter = \"/f/filter.d/x.conf\"\n\
        set = { \"mode\" = \"normal\" }\n\n\
        [[source]]\nfile = \"/var/log/y\"\nfilter = []\n[[source.fail2ban]]\nname = \"x\"\nfilter = \"/f/filter.d/x.conf\"\n\
        set = { \"mode\" = \"normal\" }\n\n\
        [[source]]\njournal = [\"_SYSTEMD_UNIT=x.service\"]\nfilter = []\n[[source.fail2ban]]\nname = \"y\"\n\
        filter = \"/f/filter.d/x.conf\"\nset = { \"mode\" = \"a\\\\b\", \"failregex\" = \"^<HOST> failed$\\n^2 <HOST>$\" }\n";
    let main = import.files.get(Path::new("watcher.toml")).unwrap();
    assert_eq!(main.strip_prefix(HEAD), Some(expected), "{:?}", import.notes);
}
