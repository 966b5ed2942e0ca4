//! `[[hook]]`: what is done outside when something happens.

use std::collections::BTreeMap;
use std::time::Duration;

use settings::{Table, Text};

use crate::config::absolute;
use crate::hooks::{Action, Attack, Hook, Mail, Reports, Target, Way, default};
use crate::jail::Jails;
use crate::news::Topic;

/// More than anybody can have a use for.
const HOOKS_MAX: usize = 32;
/// A secret is no longer.
const SECRET_BYTES_MAX: u64 = 4096;

/// `known` are the jails that there are, where they could be read.
pub(super) fn all(root: &Table<'_>, known: Option<&Jails>) -> Vec<Hook> {
    let tables = root.tables("hook");
    if tables.len() > HOOKS_MAX {
        root.mistake("hook", format!("no more than {HOOKS_MAX} hooks"));
    }
    tables.iter().enumerate().filter_map(|(at, table)| hook(at + 1, table, known)).collect()
}

fn hook(number: usize, table: &Table<'_>, known: Option<&Jails>) -> Option<Hook> {
    let name = table.get_or("name", format!("hook-{number}"));
    if name.is_empty() || name.contains(char::is_control) {
        table.mistake("name", "a name for a log");
    }
    let on: Option<Vec<Text<Topic>>> = table.get("on");
    let on = on.map_or_else(|| default::ON.to_vec(), |on| on.into_iter().map(|Text(topic)| topic).collect());
    let jails = table.get_or("jails", Vec::<String>::new());
    let action = action(table, &jails, known);
    let is_mail = matches!(action, Some(Action::Mail(_)));
    let usual = if is_mail { default::MAILS_PER_HOUR } else { default::PER_HOUR };
    Some(Hook {
        name,
        on,
        jails,
        digest: within(table, "digest", default::DIGEST, Duration::ZERO, Duration::from_secs(86_400)),
        per_hour: counted(table, "per_hour", usual, 3600),
        attempts: counted(table, "attempts", default::ATTEMPTS, 20),
        timeout: within(table, "timeout", default::TIMEOUT, Duration::from_secs(1), Duration::from_secs(300)),
        action: action?,
    })
}

fn action(table: &Table<'_>, jails: &[String], known: Option<&Jails>) -> Option<Action> {
    let actions = [
        table.get("command").map(|argv| program(table, "command", argv)).map(Action::Command),
        table.get("webhook").and_then(|url| webhook(table, url)),
        table.table("mail").and_then(|mail| self::mail(&mail, jails, known)).map(Action::Mail),
    ];
    if ["command", "webhook", "mail"].iter().filter(|key| table.contains(key)).count() != 1 {
        table.mistake_at_table("a hook is one of `command`, `webhook` and a table `mail`");
    }
    actions.into_iter().flatten().next()
}

fn program(table: &Table<'_>, key: &str, argv: Vec<String>) -> Vec<String> {
    if argv.first().is_none_or(|program| !program.starts_with('/')) {
        table.mistake(
            key,
            "a program by its absolute path, and its arguments, as [\"/usr/local/bin/tell\", \"-v\"]",
        );
    }
    argv
}

fn webhook(table: &Table<'_>, url: String) -> Option<Action> {
    if let Err(why) = url.parse::<Target>() {
        table.mistake("webhook", why);
    }
    let authorities = table.path("authorities").map_or_else(|| default::AUTHORITIES.into(), absolute);
    let secret = table.path("secret_file").map(absolute).and_then(|file| {
        let secret = match std::fs::metadata(&file).map(|data| data.len()) {
            Ok(len) if len > SECRET_BYTES_MAX => {
                Err(format!("more than {SECRET_BYTES_MAX} bytes are no secret"))
            }
            _ => std::fs::read(&file).map_err(|error| format!("cannot be read: {error}")),
        };
        let secret = secret.map(|secret| secret.trim_ascii_end().to_vec());
        match secret {
            Ok(secret) if !secret.is_empty() => Some(secret),
            Ok(_) => {
                table.mistake("secret_file", "it is empty");
                None
            }
            Err(why) => {
                table.mistake("secret_file", why);
                None
            }
        }
    });
    Some(Action::Webhook { url, secret, authorities })
}

fn mail(table: &Table<'_>, jails: &[String], known: Option<&Jails>) -> Option<Mail> {
    let (from, to) = (table.require::<String>("from"), table.require::<Vec<String>>("to"));
    for (key, addresses) in [("from", from.as_slice()), ("to", to.as_deref().unwrap_or_default())] {
        if let Some(wrong) = addresses.iter().find(|address| !is_address(address)) {
            table.mistake(key, format!("{wrong:?} is no address, as postmaster@example.org is one"));
        }
    }
    if to.as_ref().is_some_and(Vec::is_empty) {
        table.mistake("to", "somebody must get it");
    }
    let (smtp, sendmail) = (table.get::<String>("smtp"), table.get::<Vec<String>>("sendmail"));
    if smtp.is_some() && sendmail.is_some() {
        table.mistake("smtp", "a mail goes by `smtp` or by `sendmail`");
    }
    let way = match smtp {
        Some(server) => {
            let port = server.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            if port.is_none() {
                table.mistake("smtp", "a server and its port, as \"127.0.0.1:25\"");
            }
            Way::Smtp(server)
        }
        None => Way::Sendmail(sendmail.map_or_else(
            || default::SENDMAIL.map(str::to_owned).to_vec(),
            |argv| program(table, "sendmail", argv),
        )),
    };
    let reports = table.get::<String>("xarf").map(|reporter| reports(table, reporter, jails, known));
    Some(Mail { from: from?, to: to?, way, reports })
}

/// What the bans of each jail are reported as.
fn reports(table: &Table<'_>, reporter: String, jails: &[String], known: Option<&Jails>) -> Reports {
    if jails.is_empty() {
        table.mistake("xarf", "`jails` must name the jails whose bans are reported");
    }
    let (mut attacks, mut wrong) = (BTreeMap::new(), Vec::new());
    for name in jails {
        // Jails that cannot be read are told of by themselves.
        let Some(known) = known else { continue };
        match known.find(name).map(|(_, jail)| Attack::of(jail)) {
            Some(Some(attack)) => drop(attacks.insert(name.clone(), attack)),
            Some(None) => wrong.push(format!(
                "X-ARF has no word for what `{}` bans for; it has one for guessing passwords, and for trying \
                 recipients and relaying",
                name.escape_debug()
            )),
            None => wrong.push(format!("there is no jail `{}`", name.escape_debug())),
        }
    }
    if !wrong.is_empty() {
        table.mistake("xarf", wrong.join("; "));
    }
    Reports { reporter, attacks }
}

/// Enough to keep a header and an SMTP command from being more than one; whether it exists, the server knows.
fn is_address(address: &str) -> bool {
    let parts = address.rsplit_once('@');
    let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>,;:\\\"()".contains(&byte));
    is_plain && parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
}

fn within(table: &Table<'_>, key: &str, usual: Duration, least: Duration, most: Duration) -> Duration {
    let duration = table.get_or(key, usual);
    if duration < least || duration > most {
        let (least, most) = (settings::duration::human(least), settings::duration::human(most));
        table.mistake(key, format!("from {least} to {most}"));
    }
    duration
}

fn counted(table: &Table<'_>, key: &str, usual: u32, most: u32) -> u32 {
    let count = table.get_or(key, usual);
    if !(1..=most).contains(&count) {
        table.mistake(key, format!("from 1 to {most}"));
    }
    count
}
