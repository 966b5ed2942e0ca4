//! `postern-smtpd check`: everything is read, nothing is started.

use crate::command::{Answer, DKIM_KEY, Failure, print};
use crate::config::Config;
use crate::names::Names;
use crate::tcprules::Table;
use crate::tls::Keeper;
use crate::users::Users;

/// Reads all that `run` would read and tells what is wrong with it.
///
/// # Errors
/// The first file that cannot be used. Mistakes in the settings themselves were all told when they were read.
pub fn check(config: &Config) -> Result<Answer, Failure> {
    match std::fs::read_to_string(&config.users) {
        Ok(text) => match Users::parse(&text).1 {
            lines if lines.is_empty() => {}
            lines => return Err(Failure::Users { path: config.users.clone(), lines }),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(cause) => {
            let what = "it holds the users; let this user read it";
            return Err(Failure::File { path: config.users.clone(), what, cause });
        }
    }
    if let Some(tls) = config.tls.as_ref().filter(|tls| !tls.self_signed || tls.certificate.exists()) {
        Keeper::open(tls, &config.policy.hostname)?;
    }
    if let Some(path) = &config.rules {
        let what = "it holds tcpserver's rules";
        Table::read(path).map_err(|cause| Failure::File { path: path.clone(), what, cause })?;
    }
    match crate::dkim::signing_key(&config.dkim.key) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::File { path: config.dkim.key.clone(), what: DKIM_KEY, cause });
        }
        Ok(_) | Err(_) => {}
    }
    Names::new(&config.name_servers).map_err(Failure::Resolver)?;
    print("the configuration is right\n")?;
    Ok(Answer::Yes)
}
