use std::net::IpAddr;

use super::*;
use crate::blocklist::desk::{LookUp, Plan};
use crate::blocklist::{Action, Blocklist, Finding, Limit, Origin, Sign, Terms, ZoneAnswer};

const NOW: Timestamp = Timestamp::from_seconds(1_795_262_400);

/// One process of many.
struct Process(Desk, SharedBooks);

impl Process {
    fn start(path: &Path, queries: u64) -> Self {
        let (period, reset) = (Duration::from_secs(86_400), Duration::ZERO);
        let limit = Some(Limit { queries, period, reset });
        let terms = Terms { limit, neighbours: 2, text: Some("no".into()), ..Terms::default() };
        let list = Blocklist::new("key.zen.dq.spamhaus.net", Action::Delay, None).with_terms(terms);
        Process(Desk::new(&[list]), SharedBooks::open(path).unwrap())
    }

    fn plan(&mut self, address: IpAddr) -> Plan {
        let Process(desk, books) = self;
        books.around(desk, NOW, Client::of(address), |desk| desk.plan(NOW, 0, address))
    }

    fn answered(&mut self, address: IpAddr, answer: &ZoneAnswer) {
        let Process(desk, books) = self;
        books.around(desk, NOW, Client::of(address), |desk| desk.answered(NOW, 0, address, answer));
    }
}

fn listed() -> ZoneAnswer {
    ZoneAnswer::Addresses { codes: vec![[127, 0, 0, 4].into()], text: None }
}

#[test]
fn what_one_process_heard_another_knows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dnsbl.db");
    let process = || Process::start(&path, 1000);
    let [a, b, c, d]: [IpAddr; 4] = [7, 8, 9, 10].map(|last| [192, 0, 2, last].into());
    assert_eq!(process().plan(a), Plan::Ask);
    process().answered(a, &listed());
    let finding = Finding::Listed(Listing { text: b"no".to_vec(), codes: vec![[127, 0, 0, 4].into()] });
    let expected = LookUp::Found { finding, origin: Origin::Cache };
    assert_eq!(process().plan(a), Plan::Answer(expected));
    // A network is known by what others found in it.
    assert_eq!(process().plan(b), Plan::Ask);
    process().answered(b, &listed());
    assert_eq!(process().plan(c), Plan::Answer(LookUp::PutOff));
    // And a list that refuses is left alone by all.
    process().answered(d, &ZoneAnswer::Addresses { codes: vec![[127, 255, 255, 255].into()], text: None });
    assert_eq!(process().plan([198, 51, 100, 1].into()), Plan::Answer(LookUp::Resting));
    let bytes = fs::read(&path).unwrap();
    assert!(memchr::memmem::find(&bytes, b"key.zen").is_none(), "a key is written nowhere");
}

#[test]
fn all_together_spend_one_budget() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dnsbl.db");
    // At noon a tenth and half of the rest may be spent.
    SharedBooks::open(&path).unwrap();
    let asked: usize = std::thread::scope(|scope| {
        let path = &path;
        let threads: Vec<_> = (0..4_u8)
            .map(|n| {
                scope.spawn(move || {
                    (0..20_u8)
                        .filter(|last| Process::start(path, 40).plan([10, n, 0, *last].into()) == Plan::Ask)
                        .count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(asked, 22);
}

#[test]
fn one_of_all_tests_the_lists_and_what_is_over_goes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dnsbl.db");
    let hour = Duration::from_secs(3600);
    let Process(desk, books) = Process::start(&path, 10);
    assert!(books.takes_test(&desk.names(), NOW, hour));
    let Process(mut desk, books) = Process::start(&path, 10);
    assert!(!books.takes_test(&desk.names(), NOW, hour));
    let address = [192, 0, 2, 7].into();
    books.around(&mut desk, NOW, Client::of(address), |desk| desk.answered(NOW, 0, address, &listed()));
    books.around(&mut desk, NOW, Client::of(address), |desk| desk.tested(NOW, 0, Sign::Good));
    let rows = |table: &str| -> i64 {
        let database = books.lock();
        database.query_row(&format!("select count(*) from {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((rows("verdicts"), rows("networks")), (1, 1));
    assert!(books.takes_test(&desk.names(), NOW + 25 * hour, hour));
    assert_eq!((rows("verdicts"), rows("networks")), (0, 0));
}

#[test]
fn a_damaged_database_costs_queries_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dnsbl.db");
    let mut process = Process::start(&path, 1000);
    process.1.lock().execute_batch("drop table verdicts; drop table networks").unwrap();
    let address = [192, 0, 2, 7].into();
    assert_eq!(process.plan(address), Plan::Ask);
    process.answered(address, &listed());
    assert!(matches!(process.plan(address), Plan::Answer(LookUp::Found { .. })), "this process knows it");
}

/// A server beside such processes: it remembers, and writes now and then.
struct Server(Desk, SharedBooks);

impl Server {
    fn start(path: &Path, queries: u64) -> Self {
        let Process(mut desk, books) = Process::start(path, queries);
        books.settle(&mut desk, NOW, Advance::None);
        Server(desk, books)
    }

    fn plan(&mut self, address: IpAddr) -> Plan {
        let Server(desk, books) = self;
        if !desk.remembers(NOW, 0, Client::of(address)) {
            books.recall(desk, Client::of(address));
            if desk.is_short(NOW, 0) {
                books.settle(desk, NOW, Advance::Taken);
            }
        }
        desk.plan(NOW, 0, address)
    }

    fn write(&mut self) {
        let Server(desk, books) = self;
        books.settle(desk, NOW, Advance::None);
        books.write(&desk.news());
        assert!(!desk.has_news());
    }

    fn used(&self) -> u64 {
        self.0.zones(NOW).map(|(_, budget, _)| budget.used().1).sum()
    }
}

#[test]
fn a_server_and_sessions_keep_the_same_books() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dnsbl.db");
    let mut server = Server::start(&path, 1000);
    let [a, b, c]: [IpAddr; 3] = [[192, 0, 2, 7], [198, 51, 100, 8], [203, 0, 113, 9]].map(IpAddr::from);
    assert_eq!(server.plan(a), Plan::Ask);
    server.0.answered(NOW, 0, a, &listed());
    server.write();
    let is_cached = |plan: &Plan| matches!(plan, Plan::Answer(LookUp::Found { origin: Origin::Cache, .. }));
    let mut session = Process::start(&path, 1000);
    assert!(is_cached(&session.plan(a)), "a session knows what the server heard");
    assert_eq!(session.plan(b), Plan::Ask);
    session.answered(b, &ZoneAnswer::NotListed);
    assert!(is_cached(&server.plan(b)), "and the server what a session heard");
    // A list that refuses a session is left alone by the server as well, once it has opened the books.
    session.answered(c, &ZoneAnswer::Addresses { codes: vec![[127, 255, 255, 255].into()], text: None });
    server.write();
    assert_eq!(server.plan(c), Plan::Answer(LookUp::Resting));
    server.write();
    assert_eq!((server.used(), Server::start(&path, 1000).used()), (2, 2));
}

#[test]
fn a_server_and_sessions_spend_one_budget() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dnsbl.db");
    let mut server = Server::start(&path, 400);
    // At noon a tenth and half of the rest may be spent.
    let asked = |plan: Plan| usize::from(plan == Plan::Ask);
    let (mut of_server, mut of_sessions) = (0, 0);
    for n in 0..=255 {
        of_server += asked(server.plan([10, 0, 0, n].into())) + asked(server.plan([10, 1, 0, n].into()));
        of_sessions += asked(Process::start(&path, 400).plan([10, 2, 0, n].into()));
    }
    assert_eq!(of_server + of_sessions, 220, "{of_server} {of_sessions}");
    server.write();
    assert_eq!(Server::start(&path, 400).used(), 220, "and what was taken in advance is given back");
}

#[test]
fn the_file_of_a_former_version_is_taken_in_once() {
    let directory = tempfile::tempdir().unwrap();
    let (path, file) = (directory.path().join("dnsbl.db"), directory.path().join("dnsbl.jsonl"));
    let text = "{\"zone\":\"zen.dq.spamhaus.net\",\"began\":1795219200,\"used\":9}\nnonsense\n\
        {\"zone\":\"zen.dq.spamhaus.net\",\"client\":\"192.0.2.7\",\"since\":1795262300,\"until\":1795262500,\
        \"said\":\"listed\",\"text\":[110,111],\"codes\":[\"127.0.0.4\"]}\n";
    fs::write(&file, text).unwrap();
    let mut session = Process::start(&path, 1000);
    session.plan([192, 0, 2, 8].into());
    session.1.take_in(&file);
    session.1.take_in(&file);
    assert!(!file.exists());
    let mut server = Server::start(&path, 1000);
    assert_eq!(server.used(), 10, "what was counted apart is one sum");
    let plan = server.plan([192, 0, 2, 7].into());
    assert!(matches!(plan, Plan::Answer(LookUp::Found { finding: Finding::Listed(_), .. })), "{plan:?}");
}

#[test]
fn a_file_that_is_no_database_is_put_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dnsbl.db");
    fs::write(&path, "this is no database, but as long as its first page would be: ".repeat(100)).unwrap();
    let mut process = Process::start(&path, 1000);
    process.answered([192, 0, 2, 7].into(), &listed());
    assert!(matches!(Process::start(&path, 1000).plan([192, 0, 2, 7].into()), Plan::Answer(_)));
    assert!(directory.path().join("dnsbl.db.damaged").exists());
}
