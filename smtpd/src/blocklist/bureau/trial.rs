//! Whether a zone can be relied on, found out by asking about addresses of which everybody knows what it must say
//! (RFC 5782 §5).

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Bureau;
use crate::blocklist::desk::Desk;
use crate::blocklist::health::Sign;
use crate::blocklist::{Action, Blocklist, Finding, ZoneAnswer};
use crate::clock::now;

/// How often each zone is tested: by a server, or by one of all sessions where there is none.
pub(super) const TEST: Duration = Duration::from_secs(3600);

/// Every working list lists this address (RFC 5782 §5).
const ALWAYS_LISTED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// No working list lists this one.
const NEVER_LISTED: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Nor this, which is nobody's address: a private list may have the one above, and who has both lists the world.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(240, 0, 0, 1));

/// Queries that a test makes at most.
const TEST_QUERIES: u64 = 3;

/// Why a zone is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    /// It is time.
    Usual,
    /// It may have begun to list everybody since, and name servers may remember what it said of the usual addresses.
    Doubt,
}

impl Test {
    /// Two addresses of which no working list has both.
    fn never_listed(self) -> [IpAddr; 2] {
        match self {
            Test::Usual => [NEVER_LISTED, NOBODY],
            Test::Doubt => [reserved(), reserved()],
        }
    }
}

/// An address that is nobody's, and that nobody has asked about: one of 240.0.0.0/4 (RFC 1112 §4).
fn reserved() -> IpAddr {
    let mut bytes = [0; 4];
    // Without randomness it is an address that may have been asked about.
    let _ = getrandom::fill(&mut bytes);
    let [a, b, c, d] = bytes;
    Ipv4Addr::new(240 + a % 15, b, c, d).into()
}

impl Bureau {
    /// Tests the lists where that is this process's turn, as it is one's of all that share the books in each hour.
    pub async fn test_in_turn(&self) {
        if self.books.is_some() && self.takes_test(TEST) {
            self.test().await;
        }
    }

    /// Whether it is for this process to test the lists, where nobody did so for that time.
    fn takes_test(&self, every: Duration) -> bool {
        let zones: Vec<String> = self.lists.iter().map(|list| list.shown_zone().to_owned()).collect();
        self.books.as_ref().is_none_or(|books| books.at_hand.takes_test(&zones, now(), every))
    }

    /// Tests at the start, each such time, and whatever is in doubt between.
    pub(super) async fn test_for_ever(&self, every: Duration) {
        loop {
            // Sessions see that it was done, and leave it.
            self.takes_test(Duration::ZERO);
            self.test().await;
            let next = Instant::now() + every;
            while timeout_at(next, self.doubt.notified()).await.is_ok() {
                let doubts = self.desk().take_doubts(now());
                self.test_those(|index| doubts.contains(&index), Test::Doubt).await;
            }
        }
    }

    /// Tests every zone (RFC 5782 §5).
    async fn test(&self) {
        self.test_those(|_| true, Test::Usual).await;
    }

    async fn test_those(&self, is_meant: impl Fn(usize) -> bool, test: Test) {
        let lists = self.lists.iter().enumerate();
        for (index, list) in lists.filter(|(index, list)| is_meant(*index) && list.dead().is_none()) {
            let spend = |desk: &mut Desk, now| desk.spend_for_test(now, index, TEST_QUERIES);
            if !self.on_desk(ALWAYS_LISTED, spend) {
                tracing::info!(zone = list.shown_zone(), "its limit has no query left for a test");
                continue;
            }
            let ask = async |address| {
                let answer = self.names.blocklist(&list.query(address), |_| false).await;
                let silent = answer == ZoneAnswer::Failed;
                (list.judge(address, &answer), silent)
            };
            let [first, second] = test.never_listed();
            let (mut never, always) = (ask(first).await, ask(ALWAYS_LISTED).await);
            match never {
                (Finding::Listed(_), _) => never = ask(second).await,
                _ => self.on_desk(ALWAYS_LISTED, |desk, now| desk.give_back(now, index, 1)),
            }
            self.judge_test(index, list, never, always);
        }
    }

    fn judge_test(&self, index: usize, list: &Blocklist, never: (Finding, bool), always: (Finding, bool)) {
        let zone = list.shown_zone();
        let sign = match (never, always) {
            ((_, true), _) | (_, (_, true)) => Sign::Silent,
            ((Finding::Listed(_), _), _) => {
                tracing::error!(zone, "this blocklist lists addresses that nobody has, that is everybody");
                self.forget_listings(index, zone);
                Sign::ListsAll
            }
            // A list of the good may have a code of its own for that, or none.
            (_, (Finding::Error(_) | Finding::Clear, _)) if list.action() == Action::Accept => Sign::Good,
            ((Finding::Error(what), _), _) | (_, (Finding::Error(what), _)) => {
                tracing::error!(zone, %what, "this blocklist answers with an error");
                Sign::Refuses
            }
            (_, (Finding::Clear, _)) => {
                tracing::warn!(zone, "this blocklist does not list 127.0.0.2, which every working one does");
                Sign::Good
            }
            (_, (Finding::Listed(_), _)) => Sign::Good,
        };
        if let Some(rest) = self.on_desk(ALWAYS_LISTED, |desk, now| desk.tested(now, index, sign)) {
            tracing::error!(zone, "it is not asked for {} s", rest.as_secs());
        }
    }

    /// Whom a zone that lists everybody has listed would be refused for as long as listings are remembered.
    fn forget_listings(&self, index: usize, zone: &str) {
        self.desk().forget_listings(index);
        if let Some(books) = &self.books {
            books.at_hand.forget_listings(zone);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::blocklist::{Life, Limit, Terms};
    use crate::names::Names;

    /// A name server that knows no name, and counts the questions for 127.0.0.2.
    fn name_server() -> (SocketAddr, Arc<AtomicUsize>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (address, count) = (socket.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&count);
        std::thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((length, asker)) = socket.recv_from(&mut packet) {
                let mut reply = packet[..length].to_vec();
                (reply[2], reply[3]) = (0x81, 0x83);
                if reply[12..].starts_with(b"\x012\x010\x010\x03127") {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                socket.send_to(&reply, asker).unwrap();
            }
        });
        (address, count)
    }

    fn bureau(state: &Path, server: SocketAddr, queries: u64) -> Bureau {
        let limit = Some(Limit { queries, period: TEST, reset: Duration::ZERO });
        let list = |zone, limit| {
            Blocklist::new(zone, Action::Delay, None).with_terms(Terms { limit, ..Terms::default() })
        };
        let lists = [list("dnsbl.sorbs.net", None), list("list.example", limit)];
        Bureau::open(&lists, Names::new(&[server]).unwrap(), state, Life::Server)
    }

    #[tokio::test]
    async fn a_server_tests_its_lists_at_the_start_and_again_and_again() {
        let (directory, (server, count)) = (tempfile::tempdir().unwrap(), name_server());
        let bureau = bureau(directory.path(), server, 1_000_000);
        let tested_thrice = async {
            while count.load(Ordering::Relaxed) < 3 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = bureau.test_for_ever(Duration::from_millis(1)) => {}
            () = tested_thrice => {}
        }
        // The list that is no more was not asked, and no session has a test to make.
        let zones: Vec<u64> = bureau.desk().zones(now()).map(|(_, budget, _)| budget.used().1).collect();
        assert!(zones[0] == 0 && zones[1] >= 6, "{zones:?}");
        assert!(!bureau.takes_test(TEST));
    }

    #[tokio::test]
    async fn a_test_takes_no_query_that_the_limit_does_not_have() {
        let (directory, (server, count)) = (tempfile::tempdir().unwrap(), name_server());
        let bureau = bureau(directory.path(), server, 4);
        bureau.test().await;
        bureau.test().await;
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }
}
