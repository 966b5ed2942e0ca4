//! Which recipients exist, by whoever knows: chkuser's back ends.
//!
//! For each domain the back ends that the settings name are asked in their order, until one knows the recipient. A domain
//! that is delivered here and has none is looked up in the users file; one that is delivered elsewhere and has none is
//! taken on trust.

mod assign;
mod command;
mod forward;
mod list;
mod quota;
mod sqlite;
mod tree;
pub mod vpopmail;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Config, RecipientKind, RecipientSource};
use crate::mailbox::Mailbox;
use crate::rules::Hosts;
use crate::session::RecipientAnswer;
use crate::users::{Name, UserFile};

pub use assign::Assign;
pub use command::Program;
pub use forward::CallForward;
pub use list::ValidList;
pub use quota::QuotaPercent;
pub use sqlite::Sqlite;
pub use tree::Tree;

/// Who knows recipients.
#[derive(Debug)]
pub enum Backend {
    /// Our own users file.
    Users,
    /// qmail's `validrcptto` and its cdb.
    List(ValidList),
    /// qmail's `users/cdb`, with the mailboxes of vpopmail below it.
    Assign(Assign),
    /// Directories with a Maildir each.
    Tree(Tree),
    /// A database.
    Sqlite(Sqlite),
    /// A program that says it by its exit code (rcptcheck).
    Program(Program),
    /// The host that gets the mail.
    Forward(CallForward),
    /// Nobody: all recipients are taken.
    Any,
}

/// A back end and the domains that it is for; all, where none are named.
#[derive(Debug)]
pub struct Source {
    /// Which domains.
    pub domains: Option<Hosts>,
    /// Who knows them.
    pub backend: Backend,
    /// Whether it is asked about recipients elsewhere, too, of clients that may relay.
    pub relayed: bool,
}

/// What is known of a recipient besides its address.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Who sends to it.
    pub sender: String,
    /// What the client calls itself.
    pub helo: Vec<u8>,
    /// The client.
    pub client: Option<IpAddr>,
    /// Who has logged in.
    pub user: Option<String>,
    /// That it may relay, and what is put behind a recipient elsewhere.
    pub relay: Option<String>,
    /// How full a mailbox may be.
    pub quota: QuotaPercent,
}

/// All back ends.
#[derive(Debug)]
pub struct Recipients {
    users: Arc<UserFile>,
    /// The domains that are delivered here.
    locals: Hosts,
    sources: Vec<Source>,
    maildirs: PathBuf,
}

impl Recipients {
    /// `locals` are the domains that are delivered to `maildirs`, where a back end does not say otherwise.
    pub fn new(users: Arc<UserFile>, locals: Hosts, sources: Vec<Source>, maildirs: PathBuf) -> Self {
        Recipients { users, locals, sources, maildirs }
    }

    /// Those of the settings.
    pub fn of(config: &Config, users: Arc<UserFile>) -> Self {
        let backend = |kind: &RecipientKind| match kind.clone() {
            RecipientKind::Users => Backend::Users,
            RecipientKind::Any => Backend::Any,
            RecipientKind::List { entries, more } => Backend::List(ValidList::new(entries, more)),
            RecipientKind::Assign(path) => Backend::Assign(Assign::new(path)),
            RecipientKind::Tree { root, path } => Backend::Tree(Tree::new(root, &path)),
            RecipientKind::Sqlite { file, query } => Backend::Sqlite(Sqlite::new(file, &query)),
            RecipientKind::Command { program, arguments } => {
                Backend::Program(Program::new(program, arguments))
            }
            RecipientKind::Forward(host) => Backend::Forward(CallForward::new(host, &config.policy.hostname)),
        };
        let source = |source: &RecipientSource| Source {
            domains: source.domains.clone().map(|domains| Hosts::new(domains, None)),
            backend: backend(&source.kind),
            relayed: source.relayed,
        };
        let locals = Hosts::new(config.policy.domains.iter().cloned(), None);
        let sources = config.recipients.iter().map(source).collect();
        Recipients::new(users, locals, sources, config.maildirs.clone())
    }

    /// Does this recipient exist?
    pub async fn look_up(&self, mailbox: &Mailbox, context: &Context) -> RecipientAnswer {
        let domain = mailbox.domain_key();
        let mut answer = None;
        for source in self.sources_of(&domain) {
            match self.ask(&source.backend, mailbox, context).await {
                // Another may know it; if none does, this is the reason that is told.
                unknown @ (RecipientAnswer::Unknown
                | RecipientAnswer::NotValid
                | RecipientAnswer::Refused) => {
                    answer = Some(unknown);
                }
                answer => return self.with_quota(mailbox, answer, context.quota),
            }
        }
        match answer {
            Some(answer) => answer,
            None if self.locals.have(&domain) => self.with_quota(mailbox, self.user(mailbox), context.quota),
            None => RecipientAnswer::AnyOfDomain,
        }
    }

    /// May this client send to a recipient elsewhere, by whoever wants to be asked about that too? One refusal is enough.
    pub async fn look_up_relayed(&self, mailbox: &Mailbox, context: &Context) -> RecipientAnswer {
        let domain = mailbox.domain_key();
        for source in self.sources_of(&domain).filter(|source| source.relayed) {
            match self.ask(&source.backend, mailbox, context).await {
                RecipientAnswer::Known
                | RecipientAnswer::AnyOfDomain
                | RecipientAnswer::Valid
                | RecipientAnswer::Checked => {}
                refused => return refused,
            }
        }
        RecipientAnswer::AnyOfDomain
    }

    /// A recipient that exists, unless nothing more fits into its mailbox. Where that cannot be seen, whoever delivers will.
    fn with_quota(&self, mailbox: &Mailbox, answer: RecipientAnswer, quota: QuotaPercent) -> RecipientAnswer {
        if answer != RecipientAnswer::Known {
            return answer;
        }
        let home = self.home(mailbox).ok().flatten();
        match home.is_some_and(|home| quota::is_full(&home, quota).unwrap_or(false)) {
            true => RecipientAnswer::Full,
            false => answer,
        }
    }

    /// The Maildir of a recipient that was taken; none where it has none here.
    pub fn home(&self, mailbox: &Mailbox) -> std::io::Result<Option<PathBuf>> {
        let domain = mailbox.domain_key();
        if let Some(owner) = self.users.users()?.owner(mailbox) {
            return Ok(Some(self.maildirs.join(&domain).join(owner)));
        }
        let mut is_known_elsewhere = false;
        for source in self.sources_of(&domain) {
            match &source.backend {
                Backend::Users => {}
                Backend::Tree(tree) => {
                    if let Some(home) = tree.home(mailbox)? {
                        return Ok(Some(home));
                    }
                }
                Backend::Assign(assign) => match assign.home(mailbox)? {
                    Some(home) => return Ok(Some(home)),
                    None => is_known_elsewhere = true,
                },
                Backend::List(_)
                | Backend::Sqlite(_)
                | Backend::Program(_)
                | Backend::Forward(_)
                | Backend::Any => is_known_elsewhere = true,
            }
        }
        let name = mailbox.local().parse::<Name>().ok().filter(|_| is_known_elsewhere);
        Ok(name.map(|name| self.maildirs.join(&domain).join(name.local())))
    }

    fn sources_of<'s>(&'s self, domain: &'s str) -> impl Iterator<Item = &'s Source> {
        self.sources
            .iter()
            .filter(move |source| source.domains.as_ref().is_none_or(|domains| domains.have(domain)))
    }

    async fn ask(&self, backend: &Backend, mailbox: &Mailbox, context: &Context) -> RecipientAnswer {
        match backend {
            Backend::Users if self.locals.have(&mailbox.domain_key()) => self.user(mailbox),
            // Its mailboxes are elsewhere, and so are the users.
            Backend::Users => RecipientAnswer::AnyOfDomain,
            Backend::List(list) => list.look_up(mailbox),
            Backend::Assign(assign) => told(assign.has(mailbox)),
            Backend::Tree(tree) => told(tree.home(mailbox).map(|home| home.is_some())),
            Backend::Sqlite(sqlite) => sqlite.look_up(mailbox).await,
            Backend::Program(program) => program.look_up(mailbox, context).await,
            Backend::Forward(forward) => forward.look_up(mailbox).await,
            Backend::Any => RecipientAnswer::AnyOfDomain,
        }
    }

    fn user(&self, mailbox: &Mailbox) -> RecipientAnswer {
        told(self.users.users().map(|users| users.owner(mailbox).is_some()))
    }
}

fn told(known: std::io::Result<bool>) -> RecipientAnswer {
    match known {
        Ok(true) => RecipientAnswer::Known,
        Ok(false) => RecipientAnswer::Unknown,
        Err(error) => {
            tracing::error!(%error, "cannot look for a recipient");
            RecipientAnswer::Unavailable
        }
    }
}

/// The name itself, and what stands before each `-` and `+` in it, the longest first: `a-b-c`, `a-b`, `a`.
fn with_extensions(local: &str) -> impl Iterator<Item = &str> {
    let ends = local.match_indices(['-', '+']).map(|(at, _)| at).rev();
    std::iter::once(local.len()).chain(ends).filter_map(|end| local.get(..end))
}

#[cfg(test)]
mod tests;
