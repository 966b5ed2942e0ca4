//! What happens on a machine with mail servers: the mail, and all the rest.

use super::{Chance, Episode, bare, episodes, offences, syslog};

/// Something that happens: of a thousand things, how many are which. What the packet filter drops is the most by far, as on
/// every machine that logs it.
pub(super) fn episode(chance: &mut Chance) -> Episode {
    match chance.below(1000) {
        0..55 => episodes::mail(chance),
        55..75 => [offences::line(chance)].into(),
        75..405 => [dropped(chance)].into(),
        405..445 => cron(chance),
        445..520 => unit(chance),
        520..760 => [resolver(chance)].into(),
        760..840 => scanned(chance),
        840..990 => [web(chance)].into(),
        _ => administrator(chance),
    }
}

/// A packet that the filter let nobody have.
fn dropped(chance: &mut Chance) -> super::Line {
    let (address, n, id) = (chance.client(), chance.below(1000), chance.below(65_536));
    bare(
        "kernel",
        format!(
            "[{id}.{n:06}] [UFW BLOCK] IN=eth0 OUT= MAC=52:54:00:5e:10:{:02x}:fe:54:00:aa:bb:cc:08:00 SRC={address} \
             DST=192.0.2.25 LEN=40 TOS=0x00 PREC=0x00 TTL=243 ID={id} PROTO=TCP SPT={} DPT={} WINDOW=1024 RES=0x00 SYN URGP=0",
            n % 256,
            chance.port(),
            chance.below(10_000)
        ),
    )
}

fn cron(chance: &mut Chance) -> Episode {
    let pid = chance.pid();
    [
        "pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)",
        "(root) CMD (   cd / && run-parts --report /etc/cron.hourly)",
        "pam_unix(cron:session): session closed for user root",
    ]
    .map(|what| syslog("CRON", pid, what.to_owned()))
    .into()
}

/// A timer of systemd's comes round.
fn unit(chance: &mut Chance) -> Episode {
    let (unit, what) = match chance.below(3) {
        0 => ("logrotate.service", "Rotate log files"),
        1 => ("phpsessionclean.service", "Clean php session files"),
        _ => ("acme-renew.service", "Renew certificates"),
    };
    [
        format!("Starting {unit} - {what}..."),
        format!("{unit}: Deactivated successfully."),
        format!("Finished {unit} - {what}."),
    ]
    .map(|what| syslog("systemd", 1, what))
    .into()
}

fn resolver(chance: &mut Chance) -> super::Line {
    let (n, address) = (chance.below(1000), chance.client());
    let what = match n % 3 {
        0 => format!("lame server resolving 'mail-{n}.example.net' (in 'example.net'?): {address}#53"),
        1 => format!("network unreachable resolving 'mx{n}.example.com/AAAA/IN': 2001:db8::{n:x}#53"),
        _ => format!(
            "success resolving '{n}.198.51.198.in-addr.arpa/PTR' after disabling qname minimization due to 'ncache nxdomain'"
        ),
    };
    syslog("named", 733, what)
}

/// A message is looked at by SpamAssassin and ClamAV.
fn scanned(chance: &mut Chance) -> Episode {
    let (pid, n, id) = (chance.pid(), chance.below(1000), chance.below(0xff_ffff));
    let message = format!("{n}.{id}@mail-{n}.example.net");
    let spamd = |what| syslog("spamd", pid, what);
    [
        spamd(format!("spamd: connection from localhost [127.0.0.1]:{} to port 783, fd 5", chance.port())),
        spamd(format!("spamd: processing message <{message}> for vpopmail:89")),
        spamd(format!("spamd: clean message (-1.{n}/5.0) for vpopmail:89 in 0.{n} seconds, {id} bytes.")),
        spamd(format!(
            "spamd: result: . -1 - BAYES_00,DKIM_SIGNED,DKIM_VALID,SPF_PASS scantime=0.{n},size={id},user=vpopmail,uid=89,\
             required_score=5.0,rhost=localhost,raddr=127.0.0.1,rport=40012,mid=<{message}>,bayes=0.000000,autolearn=ham"
        )),
        syslog("clamd", 640, format!("/var/lib/amavis/tmp/amavis-{id}-{pid}/parts/p00{}: OK", n % 9)),
        syslog("opendkim", 655, format!("4C{id:06X}A1: DKIM verification successful")),
    ]
    .into()
}

fn web(chance: &mut Chance) -> super::Line {
    let (n, address) = (chance.below(1000), chance.client());
    syslog(
        "nginx",
        901,
        format!(
            "{address} - - \"GET /webmail/?_task=mail&_mbox=INBOX&_uid={n} HTTP/2.0\" 200 {} \"https://mail.example.org/\" \
             \"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\"",
            n * 37
        ),
    )
}

/// Somebody who may comes to look after the machine.
fn administrator(chance: &mut Chance) -> Episode {
    let (pid, address, port) = (chance.pid(), chance.client(), chance.port());
    let key = "ED25519 SHA256:v3dpapGleDaUKf4V1vKyR9ZyUgjaJAmoCTcb2PLljI";
    [
        syslog("sshd", pid, format!("Accepted publickey for backup from {address} port {port} ssh2: {key}")),
        syslog(
            "sshd",
            pid,
            "pam_unix(sshd:session): session opened for user backup(uid=1003) by (uid=0)".to_owned(),
        ),
        syslog("systemd-logind", 588, format!("New session {pid} of user backup.")),
        syslog("systemd", 1, format!("Started session-{pid}.scope - Session {pid} of User backup.")),
        syslog(
            "sshd",
            pid,
            format!("Received disconnect from {address} port {port}:11: disconnected by user"),
        ),
        syslog("sshd", pid, format!("Disconnected from user backup {address} port {port}")),
        syslog("sshd", pid, "pam_unix(sshd:session): session closed for user backup".to_owned()),
        syslog("systemd-logind", 588, format!("Session {pid} logged out. Waiting for processes to exit.")),
    ]
    .into()
}
