//! What happens at mail servers, each as the lines that tell of it.

use super::{Chance, Episode, bare, multilog, offences, syslog};

/// Something that happens at a mail server: of a hundred things, how many are which.
pub(super) fn mail(chance: &mut Chance) -> Episode {
    match chance.below(100) {
        0..16 => qmail(chance),
        16..20 => newsletter(chance),
        20..50 => postfix(chance),
        50..56 => exim(chance),
        56..74 => imap(chance),
        74..82 => pop3(chance),
        82..84 => forwarded(chance),
        _ => [offences::line(chance)].into(),
    }
}

/// A message that qmail-smtpd takes and qmail-send delivers.
fn qmail(chance: &mut Chance) -> Episode {
    let (pid, address, port) = (chance.pid(), chance.client(), chance.port());
    let (msg, delivery, n) = (chance.below(900_000) + 100_000, chance.below(9_000_000), chance.below(1000));
    let (sender, recipient) = (format!("news{n}@example.net"), format!("user{n}@example.org"));
    let (open, qp) = (chance.below(90) + 1, pid + 2);
    [
        format!("tcpserver: status: {open}/100"),
        format!("tcpserver: pid {pid} from {address}"),
        format!("tcpserver: ok {pid} mx.example.org:192.0.2.25:25 mail-{n}.example.net:{address}::{port}"),
        format!(
            "CHKUSER accepted rcpt: from <{sender}|remoteinfo/auth:|chkuser-identify:> remote <helo:mail-{n}.example.net|\
             remotehostname:mail-{n}.example.net|remotehostip:{address}> rcpt <{recipient}> : found existing recipient \
             pid={pid}"
        ),
        format!(
            "qlogreceived: result=accepted code=250 reason=queueaccept detail= helo=mail-{n}.example.net mailfrom={sender} \
             rcptto={recipient} relay=no rcpthosts= size={} authuser= authtype= encrypted= sslverified=no \
             localip=192.0.2.25 localport=25 remoteip={address} remoteport={port} remotehost=mail-{n}.example.net qp={qp} \
             pid={pid}",
            20 * msg % 90_000
        ),
        format!("new msg {msg}"),
        format!("info msg {msg}: bytes {} from <{sender}> qp {qp} uid 89", 20 * msg % 90_000),
        format!("starting delivery {delivery}: msg {msg} to local example.org-{recipient}"),
        format!("status: local {}/10 remote {}/60", n % 10 + 1, n % 60),
        format!("tcpserver: end {pid} status 0"),
        format!("tcpserver: status: {}/100", open - 1),
        format!("delivery {delivery}: success: did_0+0+1/"),
        format!("status: local {}/10 remote {}/60", n % 10, n % 60),
        format!("end msg {msg}"),
    ]
    .map(multilog)
    .into()
}

/// A message to many, which qmail-send delivers.
fn newsletter(chance: &mut Chance) -> Episode {
    let (msg, first) = (chance.below(900_000) + 100_000, chance.below(9_000_000));
    let mut lines = vec![
        format!("new msg {msg}"),
        format!(
            "info msg {msg}: bytes {} from <list-return-{first}-@lists.example.org> qp {} uid 89",
            msg % 90_000,
            chance.pid()
        ),
    ];
    for delivery in first..first + 12 {
        let (n, used, address) = (chance.below(1000), chance.below(60), chance.client());
        lines.push(format!(
            "starting delivery {delivery}: msg {msg} to remote reader{n}@mail-{n}.example.com"
        ));
        lines.push(format!("status: local {}/10 remote {}/60", n % 10, used + 1));
        lines.push(match n % 10 {
            0 => format!(
                "delivery {delivery}: deferral: {address}_does_not_like_recipient./Remote_host_said:_450_4.2.0_Greylisted,_\
                 please_come_back_later/Giving_up_on_{address}./"
            ),
            _ => format!(
                "delivery {delivery}: success: {address}_accepted_message./Remote_host_said:_250_2.0.0_Ok:_queued_as_{msg:X}/"
            ),
        });
        lines.push(format!("status: local {}/10 remote {used}/60", n % 10));
    }
    lines.push(format!("end msg {msg}"));
    lines.into_iter().map(multilog).collect()
}

/// A message that postfix takes, rspamd looks at and dovecot keeps.
fn postfix(chance: &mut Chance) -> Episode {
    let (pid, id, address, n) = (chance.pid(), chance.below(0xff_ffff), chance.client(), chance.below(1000));
    let (host, queue) = (format!("mail-{n}.example.net[{address}]"), format!("4C{id:06X}A1"));
    let message = format!("20261121.{n}.{id}@mail-{n}.example.net");
    let task = format!("{:x}", id | 0x10_0000);
    [
        syslog("postfix/smtpd", pid, format!("connect from {host}")),
        syslog("postfix/smtpd", pid, format!("{queue}: client={host}")),
        syslog("postfix/cleanup", pid + 1, format!("{queue}: message-id=<{message}>")),
        syslog(
            "rspamd",
            812,
            format!(
                "<{task}>; proxy; rspamd_task_write_log: id: <{message}>, qid: <{queue}>, ip: {address}, \
                 from: <news{n}@example.net>, (default: F (no action): [-0.{n}/15.00] [BAYES_HAM(-3.00){{100.00%;}},\
                 DMARC_POLICY_ALLOW(-0.50){{example.net;none;}}]), len: {id}, time: 221.4ms, dns req: 30, \
                 digest: <{:032x}>, rcpts: <user{n}@example.org>",
                u128::from(id) * 77_777_777
            ),
        ),
        syslog("postfix/qmgr", 951, format!("{queue}: from=<news{n}@example.net>, size={}, nrcpt=1 (queue active)", id % 90_000)),
        syslog(
            "postfix/smtpd",
            pid,
            format!("disconnect from {host} ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7"),
        ),
        bare(
            "dovecot",
            format!("lmtp(user{n}@example.org)<{pid}><oK{id}>: msgid=<{message}>: saved mail to INBOX"),
        ),
        syslog(
            "postfix/lmtp",
            pid + 2,
            format!(
                "{queue}: to=<user{n}@example.org>, relay=mx.example.org[private/dovecot-lmtp], delay=0.{n}, \
                 delays=0.1/0/0/0.{n}, dsn=2.0.0, status=sent (250 2.0.0 <user{n}@example.org> oK{id} Saved)"
            ),
        ),
        syslog("postfix/qmgr", 951, format!("{queue}: removed")),
    ]
    .into()
}

/// A message that postfix sends on.
fn forwarded(chance: &mut Chance) -> Episode {
    let (pid, id, address, n) = (chance.pid(), chance.below(0xff_ffff), chance.client(), chance.below(1000));
    let (host, queue) = (format!("mx{n}.example.com[{address}]:25"), format!("4C{id:06X}B2"));
    let cipher = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)";
    [
        syslog("postfix/pickup", 950, format!("{queue}: uid=33 from=<www-data>")),
        syslog("postfix/cleanup", pid, format!("{queue}: message-id=<{id}@mx.example.org>")),
        syslog("postfix/qmgr", 951, format!("{queue}: from=<shop@example.org>, size={}, nrcpt=1 (queue active)", id % 90_000)),
        syslog("postfix/smtp", pid + 1, format!("Trusted TLS connection established to {host}: {cipher}")),
        syslog(
            "postfix/smtp",
            pid + 1,
            format!(
                "{queue}: to=<user{n}@example.com>, relay={host}, delay=1.{n}, delays=0.1/0.02/0.6/0.4, dsn=2.0.0, \
                 status=sent (250 2.0.0 Ok: queued as {id:X})"
            ),
        ),
        syslog("postfix/qmgr", 951, format!("{queue}: removed")),
    ]
    .into()
}

fn exim(chance: &mut Chance) -> Episode {
    let (pid, id, address, n) = (chance.pid(), chance.below(0xff_ffff), chance.client(), chance.below(1000));
    let message = format!("1sX{id:06x}-0000{:02x}-1A", n % 256);
    [
        format!(
            "{message} <= news{n}@example.net H=mail-{n}.example.net [{address}] P=esmtps X=TLS1.3:ECDHE_SECP256R1__RSA_PSS_\
             RSAE_SHA256__AES_256_GCM:256 CV=no S={id} id={n}.{id}@example.net"
        ),
        format!("{message} => user{n} <user{n}@example.org> R=localuser T=local_delivery"),
        format!("{message} Completed"),
    ]
    .map(|what| syslog("exim", pid, what))
    .into()
}

/// A customer reads his mail, and throws some away.
fn imap(chance: &mut Chance) -> Episode {
    let (pid, id, address, n) = (chance.pid(), chance.below(0xff_ffff), chance.client(), chance.below(1000));
    let (user, session) = (format!("user{n}@example.org"), format!("p8Zk{id:06x}AAfw"));
    let mut lines = vec![format!(
        "imap-login: Login: user=<{user}>, method=PLAIN, rip={address}, lip=192.0.2.25, mpid={pid}, TLS, session=<{session}>"
    )];
    for uid in 0..chance.below(5) {
        lines.push(format!(
            "imap({user})<{pid}><{session}>: expunge: box=INBOX, uid={}, msgid=<{id}.{uid}@example.net>, size={}",
            40_000 + uid,
            id % 90_000
        ));
    }
    lines.push(format!(
        "imap({user})<{pid}><{session}>: Disconnected: Logged out in={n} out={id} deleted=1 expunged=1 trashed=0 \
         hdr_count={uid} hdr_bytes={id} body_count=2 body_bytes={n}",
        uid = n % 40
    ));
    lines.into_iter().map(|what| bare("dovecot", what)).collect()
}

fn pop3(chance: &mut Chance) -> Episode {
    let (pid, id, address, n) = (chance.pid(), chance.below(0xff_ffff), chance.client(), chance.below(1000));
    [
        format!(
            "pop3-login: Login: user=<user{n}@example.org>, method=PLAIN, rip={address}, lip=192.0.2.25, mpid={pid}, TLS, \
             session=<x9{id:06x}AAfw>"
        ),
        format!(
            "pop3(user{n}@example.org)<{pid}><x9{id:06x}AAfw>: Disconnected: Logged out top=0/0, retr=0/0, del=0/{}, size={id}",
            n % 90
        ),
    ]
    .map(|what| bare("dovecot", what))
    .into()
}
