//! The limits that are reached before a session begins, or behind it, each with its reply and its line of the journal.

use crate::house::{Client, House};

const LISTEN: &str = "[[listen]]\naddress = \"127.0.0.1:0\"\n";

#[track_caller]
fn check_second(settings: &str, reply: &str, facts: &[&str]) {
    let house = House::new(&format!("{LISTEN}{settings}\n"));
    let server = house.start();
    let mut first = Client::connect(server.listen[0]);
    first.expect("", "220");
    let mut second = Client::connect(server.listen[0]);
    second.expect("", reply);
    assert!(second.is_closed(), "{settings}");
    let log = house.log();
    for fact in facts {
        assert!(log.contains(fact), "{settings}: {fact} is missing in {log}");
    }
}

#[test]
fn connections_have_limits_in_all_from_an_address_and_in_a_minute() {
    let denied = "tcpserver: deny 2 mx.example.org:127.0.0.1:";
    let many = " code=421 reason=toomanyconnections detail= ";
    let fast = " code=421 reason=toomanyconnections detail=rate ";
    for setting in ["connections_max = 1", "connections_per_address_max = 1"] {
        let reply = "421 too many connections, try again later (#4.7.0)\r\n";
        check_second(
            &format!("[limits]\n{setting}"),
            reply,
            &[denied, many, "tcpserver: end 2 status 25600\n"],
        );
    }
    for setting in ["per_address = 1", "per_network = 1"] {
        let reply = "421 too many connections a minute, try again later (#4.7.0)\r\n";
        check_second(
            &format!("[rates]\n{setting}"),
            reply,
            &[denied, fast, "tcpserver: end 2 status 25600\n"],
        );
    }
}

#[test]
fn a_queue_that_is_full_takes_no_message() {
    let house = House::new(&format!("{LISTEN}[limits]\nqueue_messages_max = 0\n"));
    house.add_user("alice", "secret");
    let server = house.start();
    let mut client = Client::connect(server.listen[0]);
    client.expect("", "220");
    client.expect("MAIL FROM:<>", "250");
    client.expect("RCPT TO:<alice@example.org>", "250");
    client.expect("DATA", "451 qqt failure (#4.3.0)");
    assert!(house.log().contains(" code=451 reason=qqtfailure detail= "), "{}", house.log());
}
