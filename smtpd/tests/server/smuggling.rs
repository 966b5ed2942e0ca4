//! The sequences of the public scanners over a real connection, to a mailbox: nobody gets a message that another one hid.

use crate::clients::python;
use crate::house::{House, wait_for};

/// What ends a message for some server; between two halves of it another packet begins.
const SCRIPT: &str = r"
import socket
sequences = [b'\n.\n', b'\n.\r', b'\r.\n', b'\r.\r', b'\n.\r\n', b'\r\n.\n', b'\r.\r\n', b'\r\n.\r', b'\r\n\0.\r\n', b'\r\n.\0\r\n',
    b'\r\n\0.\r', b'\r\n\0.\n', b'\r\n.\r\r\n', b'\r\r\n.\r\r\n', b'\n\n.\r\n', b'\r\n.']
inner = b'MAIL FROM:<forged@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nSubject: forged\r\n\r\n.\r\nQUIT\r\n'
for sequence in sequences:
    for half in range(len(sequence) + 1):
        s = socket.create_connection(('127.0.0.1', port))
        s.settimeout(20)
        f = s.makefile('rb')
        f.readline()
        for command in [b'MAIL FROM:<a@example.net>', b'RCPT TO:<alice@example.org>', b'DATA']:
            s.sendall(command + b'\r\n')
            assert f.readline()[:1] in b'23', command
        try:
            s.sendall(b'text' + sequence[:half])
            s.sendall(sequence[half:] + inner)
            s.shutdown(socket.SHUT_WR)
        except OSError: pass
        try: said = f.read()
        except OSError: said = b''
        # At most one message was taken, and then the session ended with it.
        assert said.count(b'\r\n') <= 2 and said[:3] in (b'', b'250', b'451'), (sequence, half, said)
print(sum(len(sequence) + 1 for sequence in sequences))
";

#[test]
fn no_message_comes_out_of_another() {
    for settings in ["", "[limits]\nbare_newline = \"end-line\"\n"] {
        let house = House::with_services(settings);
        house.add_user("alice", "correct horse");
        house.add_user("bob", "battery staple");
        let server = house.start();
        let sessions: usize = python(&server, 0, SCRIPT).trim().parse().unwrap();
        let ended = || house.log().matches("tcpserver: end ").count();
        wait_for("all sessions to end", || Some(()).filter(|()| ended() == sessions));
        let log = house.log();
        assert!(!log.contains("mailfrom=forged") && house.mail("bob").is_empty(), "{log}");
        let taken = log.matches(" reason=queueaccept ").count();
        wait_for("what was taken", || Some(()).filter(|()| house.mail("alice").len() == taken));
        assert!(house.mail("alice").iter().all(|mail| mail.starts_with("Return-Path: <a@example.net>\n")));
    }
}
