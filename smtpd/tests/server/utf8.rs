//! Addresses beyond ASCII (RFC 6531), from a client that speaks them to a mailbox, through all that looks at them.

use crate::clients::python;
use crate::house::{House, wait_for};

#[test]
fn an_address_beyond_ascii_has_a_mailbox_in_either_form_of_its_domain() {
    let house = House::with_services("");
    let settings = std::fs::read_to_string(house.path("smtpd.toml")).unwrap();
    let domains = "[\"bücher.example\"]\nrcpthosts = [\".köln.example\"]";
    house.configure(&settings.replace("[\"example.org\"]", domains));
    house.add_user("José@Bücher.example", "contraseña");
    let server = house.start();
    python(
        &server,
        1,
        "
import base64
c = smtplib.SMTP('127.0.0.1', port)
c.starttls(context=tls)
c.ehlo()
c.command_encoding = 'utf-8'
secret = base64.b64encode('\\0josé@bücher.example\\0contraseña'.encode()).decode()
assert c.docmd('AUTH', 'PLAIN ' + secret)[0] == 235
to = ['josé@bücher.example', 'JOSÉ@xn--bcher-kva.example', 'josé+lista@BÜCHER.example']
refused = c.sendmail('josé@bücher.example', to + ['jose@bücher.example'], 'Subject: ¿qué?\\r\\n\\r\\ntext\\r\\n'.encode(), ['SMTPUTF8'])
assert list(refused) == ['jose@bücher.example'] and refused['jose@bücher.example'][0] == 550, refused
c.quit()",
    );
    python(
        &server,
        0,
        "
c = smtplib.SMTP('127.0.0.1', port)
c.ehlo()
c.command_encoding = 'utf-8'
assert c.docmd('MAIL FROM:<a@example.net>')[0] == 250
assert c.docmd('RCPT TO:<josé@bücher.example>')[0] == 553
assert c.docmd('MAIL FROM:<ann@例え.example> SMTPUTF8')[0] == 250
for domain in ['mail.köln.example', 'MAIL.KÖLN.example', 'mail.xn--kln-sna.example']:
    assert c.docmd(f'RCPT TO:<x@{domain}>')[0] == 250
assert c.docmd('RCPT TO:<x@köln.example>')[0] == 553
c.quit()",
    );
    let new = house.path("mail/xn--bcher-kva.example/josé/new");
    let mail = || std::fs::read_dir(&new).map(Iterator::count).unwrap_or(0);
    wait_for("three messages", || Some(()).filter(|()| mail() == 3));
    let log = house.log();
    for fact in [
        r": auth: auth-success type=plain user=<jos\xc3\xa9@b\xc3\xbccher.example>",
        r" rcptto=jos\xc3\xa9@xn--bcher-kva.example relay=yes rcpthosts=yes ",
        r"CHKUSER rejected rcpt: from <jos\xc3\xa9@b\xc3\xbccher.example|",
        r" reason=syntax detail=nonascii ",
        r" reason=rcpthosts detail= ",
        r" mailfrom=ann@\xe4\xbe\x8b\xe3\x81\x88.example rcptto=x@mail.xn--kln-sna.example relay=no ",
    ] {
        assert!(log.contains(fact), "{fact} in {log}");
    }
}
