use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;
use crate::config::HostPort;
use crate::session::OwnWords;

struct House {
    directory: tempfile::TempDir,
    recipients: Recipients,
}

/// Recipients of example.org (the users file, with alice) and of what `backend` knows at example.net.
fn house(backend: impl FnOnce(&Path) -> Vec<Backend>) -> House {
    let directory = tempfile::tempdir().unwrap();
    let users = Arc::new(UserFile::new(&directory.path().join("users"), directory.path()));
    users.change(|users| users.set("alice".parse().unwrap(), "h".into())).unwrap();
    let domains = || Hosts::new(["example.net".to_owned()], None);
    let sources = backend(directory.path());
    let sources = sources
        .into_iter()
        .map(|backend| Source { domains: Some(domains()), backend, relayed: false })
        .collect();
    let locals = Hosts::new(["example.org".to_owned(), "example.net".to_owned()], None);
    let recipients = Recipients::new(users, locals, sources, directory.path().join("mail"));
    House { directory, recipients }
}

impl House {
    fn look_up(&self, address: &str) -> RecipientAnswer {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let context =
            Context { sender: "s@example.com".into(), helo: b"he\0lo".to_vec(), ..Context::default() };
        runtime.block_on(self.recipients.look_up(&address.parse().unwrap(), &context))
    }

    #[track_caller]
    fn check(&self, known: &[&str], unknown: &[&str]) {
        for address in known {
            assert_eq!(self.look_up(address), RecipientAnswer::Known, "{address}");
        }
        for address in unknown {
            assert_eq!(self.look_up(address), RecipientAnswer::Unknown, "{address}");
        }
    }

    fn home(&self, address: &str) -> Option<String> {
        let home = self.recipients.home(&address.parse().unwrap()).unwrap()?;
        Some(home.strip_prefix(self.directory.path()).unwrap().display().to_string())
    }
}

fn script(directory: &Path, text: &str) -> PathBuf {
    let path = directory.join("script");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn the_users_file_knows_what_nobody_else_is_named_for() {
    let house = house(|_| vec![Backend::Any]);
    house.check(&["alice@example.org", "Alice-x@EXAMPLE.org"], &["bob@example.org"]);
    assert_eq!(house.look_up("bob@example.net"), RecipientAnswer::AnyOfDomain);
    assert_eq!(house.look_up("bob@elsewhere.example"), RecipientAnswer::AnyOfDomain);
    assert_eq!(house.home("alice@example.org").as_deref(), Some("mail/example.org/alice"));
    assert_eq!(house.home("Bob@example.net").as_deref(), Some("mail/example.net/bob"));
    assert_eq!(house.home("bob@example.org"), None);
    assert_eq!(house.home("\"../x\"@example.net"), None);
}

#[test]
fn back_ends_are_asked_until_one_knows() {
    let house = house(|_| {
        let list = |entry: &str| Backend::List(ValidList::new([entry.to_owned()], None));
        vec![Backend::Users, list("carol@example.net"), list("dave@example.net")]
    });
    house.check(&["alice@example.net"], &[]);
    assert_eq!(house.look_up("dave@example.net"), RecipientAnswer::Valid);
    assert_eq!(house.look_up("erin@example.net"), RecipientAnswer::NotValid);
}

#[test]
fn a_tree_of_maildirs_is_looked_into_and_never_left() {
    let house = house(|directory| {
        for home in
            ["domains/example.net/bob/Maildir", "domains/example.net/x-y/Maildir", "domains/outside/Maildir"]
        {
            fs::create_dir_all(directory.join(home)).unwrap();
        }
        vec![Backend::Tree(Tree::new(directory.join("domains"), "{domain}/{user}/Maildir"))]
    });
    house.check(
        &[
            "bob@example.net",
            "BOB@Example.Net",
            "bob-list@example.net",
            "x-y@example.net",
            "x-y-z@example.net",
        ],
        &["x@example.net", "\"../outside\"@example.net", "\"..\"@example.net", "\".\"@example.net"],
    );
    assert_eq!(house.home("bob-list@example.net").as_deref(), Some("domains/example.net/bob/Maildir"));
    let size = house.directory.path().join("domains/example.net/bob/Maildir/maildirsize");
    fs::write(&size, "1000S\n999 1\n").unwrap();
    house.check(&["bob@example.net"], &[]);
    fs::write(&size, "1000S\n999 1\n2 1\n").unwrap();
    assert_eq!(house.look_up("bob-list@example.net"), RecipientAnswer::Full);
}

#[test]
fn users_cdb_leads_to_vpopmails_mailboxes() {
    let house = house(|directory| {
        let home = directory.join("vpopmail/example.net");
        fs::create_dir_all(home.join("bob/Maildir")).unwrap();
        fs::write(home.join(".qmail-sales"), "&bob@example.net\n").unwrap();
        fs::write(home.join(".qmail-news-default"), "| /usr/bin/ezmlm-manage\n").unwrap();
        fs::write(home.join(".qmail-default"), "| /bin/vdelivermail '' bounce-no-mailbox\n").unwrap();
        let catch_all = directory.join("vpopmail/all");
        fs::create_dir_all(&catch_all).unwrap();
        fs::write(catch_all.join(".qmail-default"), "./Maildir/\n").unwrap();
        // With many users vpopmail puts them into directories of directories.
        let vpasswd = format!("h:1:0:Dan:{}:NOQUOTA", home.join("0/dan").display());
        let mut make = Command::new("cdb")
            .arg("-c")
            .arg(home.join("vpasswd.cdb"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let line = format!("+3,{}:dan->{vpasswd}\n\n", vpasswd.len());
        std::io::Write::write_all(&mut make.stdin.take().unwrap(), line.as_bytes()).unwrap();
        assert!(make.wait().unwrap().success());
        // As qmail-newu makes it of the lines of users/assign.
        let entry = |home: &Path| format!("x\x0089\x0089\0{}\0-\0\0", home.display());
        let pairs = [
            ("!root\0".to_owned(), format!("root\x000\x000\0{}\0\0\0", directory.display())),
            ("!example.net-".to_owned(), entry(&home)),
            ("!all-".to_owned(), entry(&catch_all)),
            (String::new(), "-".to_owned()),
        ];
        let path = directory.join("cdb");
        let mut child = Command::new("cdb").arg("-c").arg(&path).stdin(Stdio::piped()).spawn().unwrap();
        let text =
            pairs.iter().map(|(key, value)| format!("+{},{}:{key}->{value}\n", key.len(), value.len()));
        use std::io::Write as _;
        child.stdin.take().unwrap().write_all(format!("{}\n", text.collect::<String>()).as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        vec![Backend::Assign(Assign::new(path))]
    });
    house.check(
        &[
            "bob@example.net",
            "Dan@example.net",
            "sales@example.net",
            "news-subscribe@example.net",
            "News-help-7@example.net",
            "root@example.net",
            "all-any@example.net",
        ],
        &["carol@example.net", "news@example.net", "\"../bob\"@example.net", "roo@example.net"],
    );
    assert_eq!(house.home("bob@example.net").as_deref(), Some("vpopmail/example.net/bob/Maildir"));
    assert_eq!(house.home("Dan@example.net").as_deref(), Some("vpopmail/example.net/0/dan/Maildir"));
}

#[test]
fn a_database_is_asked_with_the_address_as_data() {
    let house = house(|directory| {
        let path = directory.join("mail.db");
        let database = rusqlite::Connection::open(&path).unwrap();
        database
            .execute_batch("create table box (address text); insert into box values ('bob@example.net')")
            .unwrap();
        vec![Backend::Sqlite(Sqlite::new(path, "select 1 from box where address = ?1"))]
    });
    house.check(
        &["bob@example.net", "BOB@example.net"],
        &["carol@example.net", "\"' or 1=1 --\"@example.net"],
    );
    fs::remove_file(house.directory.path().join("mail.db")).unwrap();
    let gone = Sqlite::new(house.directory.path().join("none.db"), "select 1");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answer = runtime.block_on(gone.look_up(&"bob@example.net".parse().unwrap()));
    assert_eq!(answer, RecipientAnswer::Unavailable);
}

#[test]
fn a_program_says_it_by_its_exit_code() {
    let house = house(|directory| {
        let text = "[ \"$SENDER $HELO $1\" = 's@example.com helo x' ] || exit 120\n\
                    case $RECIPIENT in bob@*) exit 0 ;; over@*) exit 113 ;; down@*) exit 111 ;; \
                    pass@*) exit 112 ;; own@*) echo '554 gone since May' >&4; exit 100 ;; \
                    odd@*) echo 'nonsense' >&4; exit 100 ;; crash@*) kill -9 $$ ;; *) exit 100 ;; esac";
        vec![Backend::Program(Program::new(script(directory, text), vec!["x".to_owned()]))]
    });
    for (address, answer) in [
        ("bob@example.net", RecipientAnswer::Checked),
        ("carol@example.net", RecipientAnswer::Refused),
        ("over@example.net", RecipientAnswer::Overlimit),
        ("down@example.net", RecipientAnswer::CannotVerify),
        ("pass@example.net", RecipientAnswer::AnyOfDomain),
        ("own@example.net", RecipientAnswer::Said(OwnWords { code: 554, text: "gone since May".into() })),
        ("odd@example.net", RecipientAnswer::Refused),
        ("crash@example.net", RecipientAnswer::CannotExecute),
    ] {
        assert_eq!(house.look_up(address), answer, "{address}");
    }
}

#[test]
fn a_program_may_be_asked_about_recipients_elsewhere_and_is_told_who_sends() {
    let mut house = house(|directory| {
        let text = "[ \"$TCPREMOTEIP $SMTPAUTHUSER ${RELAYCLIENT-unset}\" = '192.0.2.7 alice ' ] || exit 100\n\
                    case $RECIPIENT in many@*) exit 113 ;; *) exit 112 ;; esac";
        vec![Backend::Any, Backend::Program(Program::new(script(directory, text), Vec::new()))]
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let context = Context {
        client: Some("192.0.2.7".parse().unwrap()),
        user: Some("alice".into()),
        relay: Some(String::new()),
        ..Context::default()
    };
    let look_up = |house: &House, address: &str| {
        runtime.block_on(house.recipients.look_up_relayed(&address.parse().unwrap(), &context))
    };
    assert_eq!(look_up(&house, "many@example.net"), RecipientAnswer::AnyOfDomain, "it does not want to know");
    house.recipients.sources[1].relayed = true;
    assert_eq!(look_up(&house, "many@example.net"), RecipientAnswer::Overlimit);
    assert_eq!(look_up(&house, "bob@example.net"), RecipientAnswer::AnyOfDomain);
    assert_eq!(look_up(&house, "many@elsewhere.example"), RecipientAnswer::AnyOfDomain, "nor of that domain");
}

#[test]
fn a_query_that_does_not_end_is_given_up() {
    let house = house(|directory| {
        let path = directory.join("mail.db");
        drop(rusqlite::Connection::open(&path).unwrap().execute_batch("create table box (address text)"));
        let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) \
                       select i from n where i < 0 and ?1 = ?1";
        vec![Backend::Sqlite(Sqlite::new(path, endless).with_patience(Duration::from_millis(50)))]
    });
    assert_eq!(house.look_up("bob@example.net"), RecipientAnswer::Unavailable);
    assert_eq!(house.look_up("bob@example.net"), RecipientAnswer::Unavailable);
}

#[test]
fn the_host_behind_is_asked_once_and_remembered() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = std::thread::spawn(move || {
        let mut asked = Vec::new();
        // Three conversations, and no fourth.
        for stream in listener.incoming().take(3) {
            let mut talk = BufReader::new(stream.unwrap());
            talk.get_mut().write_all(b"220-two\r\n220 lines\r\n").unwrap();
            let mut line = String::new();
            while talk.read_line(&mut line).unwrap() > 0 && !line.starts_with("QUIT") {
                let reply = match line.as_str() {
                    line if line.contains("bob@") => "250 ok\r\n",
                    line if line.contains("full@") => "452 later\r\n",
                    line if line.starts_with("RCPT") => "550 no\r\n",
                    _ => "250 ok\r\n",
                };
                talk.get_mut().write_all(reply.as_bytes()).unwrap();
                asked.push(std::mem::take(&mut line).trim_end().to_owned());
            }
        }
        asked
    });
    let host = HostPort { host: "127.0.0.1".into(), port };
    let house = house(|_| vec![Backend::Forward(CallForward::new(host, "gate.example.org"))]);
    house.check(&["bob@example.net", "Bob@Example.net"], &["carol@example.net", "carol@example.net"]);
    assert_eq!(house.look_up("full@example.net"), RecipientAnswer::Unavailable);
    let asked = asked.join().unwrap();
    assert_eq!(asked.len(), 9);
    assert_eq!(asked[..3], ["HELO gate.example.org", "MAIL FROM:<>", "RCPT TO:<bob@example.net>"]);
    assert_eq!(house.look_up("dave@example.net"), RecipientAnswer::Unavailable, "nobody listens any more");
}
