//! What a person is told about a file, to the letter.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use expect_test::{Expect, expect};
use ipnet::IpNet;
use proptest::prelude::*;
use settings::{DeValue, Document, Located, Mistakes, Table, Text, Value, one_of};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Service {
    Smtp,
    Submission,
}

impl Value for Service {
    const EXPECTED: &'static str = "\"smtp\" or \"submission\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(value, &[("smtp", Service::Smtp), ("submission", Service::Submission)])
    }
}

/// A reader that asks for a key of every type.
fn read(root: &Table<'_>) {
    root.require::<String>("hostname");
    root.get::<Vec<String>>("domains");
    root.get::<bool>("private");
    root.get::<u16>("port");
    root.get::<f64>("growth");
    root.get::<Duration>("within");
    root.get::<IpAddr>("address");
    root.get::<SocketAddr>("metrics");
    root.get::<Vec<IpNet>>("networks");
    root.get::<Service>("service");
    root.get::<Text<u8>>("text");
    root.path("file");
    let tls = root.table_or_empty("tls");
    tls.path("certificate");
    tls.path("key");
    for listen in root.tables("listen") {
        listen.require::<SocketAddr>("address");
        listen.get::<Vec<IpAddr>>("proxy");
    }
    if let Some(quota) = root.table("quota") {
        for (_, zone) in quota.entries() {
            zone.require::<u64>("limit");
        }
    }
    root.string_map("codes");
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "an expectation is written in the call")]
fn check(text: &str, expected: Expect) {
    let document = Document::parse("f.toml", text);
    read(&document.root());
    expected.assert_eq(&document.finish().err().map(|mistakes| mistakes.to_string()).unwrap_or_default());
}

#[test]
fn a_right_file_has_no_mistake() {
    check(
        r#"
hostname = "mx.example.org"
domains = ["example.org"]
private = true
port = 0x19
growth = 2
within = "1h30m"
address = "2001:db8::1"
metrics = "[::1]:9825"
networks = ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"]
service = "smtp"
text = "7"
file = "a.log"
codes = { "127.0.0.2" = "sbl" }
tls.key = "key.pem"
[[listen]]
address = "127.0.0.1:25"
[quota."zen.spamhaus.org"]
limit = 300_000
"#,
        expect![""],
    );
}

#[test]
fn different_mistakes_in_one_file_are_all_named_with_line_and_column() {
    check(
        "hostnmae = \"mx\"\nport = 70000\n\n[[listen]]\n  address = 25\n[[listen]]\n[tls]\ncertificate = true\n",
        expect![[r#"
            f.toml:1:1: `hostname` is missing; expected a string such as "text"
            f.toml:1:1: unknown key `hostnmae`; did you mean `hostname`?
            f.toml:2:8: expected a whole number from 0 to 65535, such as 25, found the number 70000
            f.toml:5:13: expected an address and a port such as "127.0.0.1:25" or "[::1]:25", found the number 25
            f.toml:6:1: `address` is missing; expected an address and a port such as "127.0.0.1:25" or "[::1]:25"
            f.toml:8:15: expected a path such as "/var/log/mail.log", found true"#]],
    );
}

#[test]
fn each_bad_element_of_a_list_is_named_at_its_place() {
    check(
        "hostname = \"é\"\nnetworks = [\"é\", \"192.0.2.7/24\", \"::/0\",\n  7, \"2001:db8::1/32\"]\ndomains = \"a\"\n",
        expect![[r#"
            f.toml:2:13: expected a network such as "192.0.2.0/24", "2001:db8::/32" or an address, found the string "é"
            f.toml:2:18: "192.0.2.7/24" is not the start of a network: write "192.0.2.0/24", or "192.0.2.7" alone
            f.toml:3:3: expected a network such as "192.0.2.0/24", "2001:db8::/32" or an address, found the number 7
            f.toml:3:6: "2001:db8::1/32" is not the start of a network: write "2001:db8::/32", or "2001:db8::1" alone
            f.toml:4:11: expected a list in brackets, each element a string such as "text", found the string "a""#]],
    );
}

#[test]
fn a_value_of_the_wrong_type_is_answered_with_an_example() {
    check(
        r#"
hostname = 1979-05-27
private = "true"
port = -1
growth = inf
within = 600
address = "mx.example.org"
metrics = "127.0.0.1"
service = "smtps"
text = "300"
file = ""
codes = { "127.0.0.2" = 2, "127.0.0.3" = ["x"] }
listen = { address = "127.0.0.1:25" }
quota = { zen = 3 }
[[tls]]
"#,
        expect![[r#"
            f.toml:2:12: expected a string such as "text", found a date or time
            f.toml:3:11: expected true or false, found the string "true"
            f.toml:4:8: expected a whole number from 0 to 65535, such as 25, found the number -1
            f.toml:5:10: expected a number such as 2.0, found the number inf
            f.toml:6:10: a duration needs a unit: write "600s" for seconds, or "10m", "1h", "30d"
            f.toml:7:11: expected an address such as "192.0.2.7" or "2001:db8::7", found the string "mx.example.org"
            f.toml:8:11: "127.0.0.1" has no port: write "127.0.0.1:25", say
            f.toml:9:11: expected one of "smtp", "submission", found the string "smtps"; did you mean "smtp"?
            f.toml:10:8: "300": number too large to fit in target type
            f.toml:11:8: expected a path such as "/var/log/mail.log", found the string ""
            f.toml:12:25: expected a string such as "text", found the number 2
            f.toml:12:42: expected a string such as "text", found a list
            f.toml:13:10: expected a list of tables: [[listen]], found a table
            f.toml:14:17: expected a table: [quota.zen], found the number 3
            f.toml:15:1: expected a table: [tls], found a list"#]],
    );
}

#[test]
fn every_syntax_error_is_named_and_what_follows_from_it_is_not() {
    check(
        "hostname mx.example.org\nport = abc\nwithin = 10m\ndomains = [\"a\", \"b\"\nservice = \"smpt\"\nprivate =\n[tls\nkey = 1\n",
        expect![[r#"
            f.toml:1:10: key with no value, expected `=`
            f.toml:2:8: text must be quoted: write "abc"
            f.toml:3:10: text must be quoted: write "10m"
            f.toml:4:11: this list is not closed: `]` is missing
            f.toml:5:11: expected one of "smtp", "submission", found the string "smpt"; did you mean "smtp"?
            f.toml:6:10: a value is missing after `=`
            f.toml:7:5: unclosed table, expected `]`"#]],
    );
    check(
        "hostname = 'mx\nport = 70000\nport = 25\n[quota]\n[quota]\n",
        expect![[r#"
            f.toml:1:15: invalid literal string, expected `'`
            f.toml:2:8: expected a whole number from 0 to 65535, such as 25, found the number 70000
            f.toml:3:1: `port` is set twice
            f.toml:5:2: `quota` is set twice"#]],
    );
    check(
        "within = '''\nhostname = \"mx\"\n",
        expect!["f.toml:1:10: this text is not closed: ''' is missing"],
    );
}

#[test]
fn a_bracket_that_is_not_closed_spoils_no_other_statement() {
    check(
        "hostname = \"mx\"\nnetworks = [\n  \"192.0.2.0/24\",\n  \"192.0.2.7/24\",\nport = 70000\n",
        expect![[r#"
            f.toml:2:12: this list is not closed: `]` is missing
            f.toml:5:8: expected a whole number from 0 to 65535, such as 25, found the number 70000"#]],
    );
    check(
        "hostname = \"mx\"\ndomains = [\"a\"\n[tls]\nkey = 1\n",
        expect![[r#"
        f.toml:2:11: this list is not closed: `]` is missing
        f.toml:4:7: expected a path such as "/var/log/mail.log", found the number 1"#]],
    );
    check(
        "hostname = \"mx\"\ncodes = { \"127.0.0.2\" = \"sbl\"\nport = 70000\n",
        expect![[r#"
        f.toml:2:9: this table is not closed: `}` is missing
        f.toml:3:8: expected a whole number from 0 to 65535, such as 25, found the number 70000"#]],
    );
    check(
        "hostname = \"mx\"\ncodes = { a = \"sbl\" b = \"c\" }\nport = 70000\ndomains = [\"a\"",
        expect![[r#"
            f.toml:2:21: missing comma between key-value pairs, expected `,`
            f.toml:3:8: expected a whole number from 0 to 65535, such as 25, found the number 70000
            f.toml:4:11: this list is not closed: `]` is missing"#]],
    );
    check(
        "hostname = \"mx\"\ndomains = [\"a\" \"b\"]\n]\nport = 70000 25\n[tls]]\n[]\n= 1\n",
        expect![[r#"
        f.toml:2:16: missing comma between array elements, expected `,`
        f.toml:3:1: missing table open, expected `[`
        f.toml:4:8: text must be quoted: write "70000 25"
        f.toml:5:6: unexpected key or value, expected newline, `#`"#]],
    );
}

#[test]
fn a_key_in_the_wrong_table_is_sent_to_the_right_one() {
    check(
        "hostname = \"mx\"\ncertificate = \"c\"\nproxy = []\n[tls]\nport = 25\nkye = \"k\"\n[tls.more]\n\"a b\" = 1\n",
        expect![[r#"
            f.toml:2:1: unknown key `certificate`; it belongs in [tls]
            f.toml:3:1: unknown key `proxy`
            f.toml:5:1: unknown key `port`; it belongs at the top of the file, before the first [table]
            f.toml:6:1: unknown key `kye`; did you mean `key`?
            f.toml:7:6: unknown key `more`"#]],
    );
}

#[test]
fn two_mistakes_on_one_key_are_one_report() {
    let document = Document::parse("f.toml", "port = \"x\"\nlist = [1, 2]\nwithin = \"1h\"");
    let root = document.root();
    root.get::<u16>("port");
    root.get::<u16>("port");
    root.mistake("port", "is not open");
    for element in root.get::<Vec<Located<u8>>>("list").into_iter().flatten() {
        document.mistake_at(element.place, format!("{} is odd", element.value));
        document.mistake_at(element.place, "said again");
    }
    root.mistake("within", "first");
    root.mistake("within", "second");
    root.mistake("absent", "is needed here");
    root.mistake_at_table("one thing");
    root.mistake_at_table("another thing");
    expect![[r#"
        f.toml:1:1: is needed here
        f.toml:1:1: one thing
        f.toml:1:1: another thing
        f.toml:1:8: expected a whole number from 0 to 65535, such as 25, found the string "x"
        f.toml:2:9: 1 is odd
        f.toml:2:12: 2 is odd
        f.toml:3:10: first"#]]
    .assert_eq(&document.finish().unwrap_err().to_string());
}

#[test]
fn bytes_that_are_no_utf8_are_a_mistake_at_their_place() {
    let document =
        Document::from_bytes("f.toml", b"hostname = \"m\xffx\xff\"\n# \xc3\xa9 \xe9\nport = 70000\n");
    read(&document.root());
    expect![[r#"
        f.toml:1:14: the file must be UTF-8; here it is not
        f.toml:2:5: the file must be UTF-8; here it is not
        f.toml:3:8: expected a whole number from 0 to 65535, such as 25, found the number 70000"#]]
    .assert_eq(&document.finish().unwrap_err().to_string());
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_key() {
    check(
        "\u{feff}port = 70000\r\nhostname = 3\r\n",
        expect![[r#"
            f.toml:1:8: expected a whole number from 0 to 65535, such as 25, found the number 70000
            f.toml:2:12: expected a string such as "text", found the number 3"#]],
    );
}

#[test]
fn relative_paths_count_from_the_file() {
    let path = |name: &str, path: &str| {
        let document = Document::parse(name, format!("file = {path:?}"));
        let found = document.root().path("file");
        (found, document.directory().to_owned())
    };
    let at = |file: &str, directory: &str| (Some(PathBuf::from(file)), PathBuf::from(directory));
    assert_eq!(path("/etc/postern/smtpd.toml", "cert.pem"), at("/etc/postern/cert.pem", "/etc/postern"));
    assert_eq!(path("/etc/postern/smtpd.toml", "/cert.pem"), at("/cert.pem", "/etc/postern"));
    assert_eq!(path("smtpd.toml", "cert.pem"), at("cert.pem", "."));
    assert_eq!(path("var/smtpd.toml", "mail"), at("var/mail", "var"));
}

#[test]
fn several_files_report_together_in_order() {
    let mut mistakes = Mistakes::new();
    for (name, text) in [("b.toml", "x = 1\ny = 2"), ("a.toml", "z = 1"), ("c.toml", "")] {
        let document = Document::parse(name, text);
        document.root();
        mistakes.merge(document.finish());
    }
    expect![[r#"
        a.toml:1:1: unknown key `z`
        b.toml:1:1: unknown key `x`
        b.toml:2:1: unknown key `y`"#]]
    .assert_eq(&mistakes.into_result(()).unwrap_err().to_string());
}

#[test]
fn values_come_out_as_they_were_written() {
    let document = Document::parse(
        "f.toml",
        "b = '2'\na = '1'\n[t.z]\n[t.y]\n[n]\nnets = ['192.0.2.7', '2001:db8::/32']\n",
    );
    let root = document.root();
    assert_eq!(root.keys(), ["b", "a", "t", "n"]);
    assert_eq!(
        root.table("t").map(|t| t.entries().into_iter().map(|(key, _)| key).collect()),
        Some(vec!["z".into(), "y".into()])
    );
    let nets: Option<Vec<IpNet>> = root.table_or_empty("n").get("nets");
    assert_eq!(nets, Some(vec!["192.0.2.7/32".parse().unwrap(), "2001:db8::/32".parse().unwrap()]));
    assert_eq!((root.get_or("a", String::new()), root.get_or("c", 7u8)), ("1".to_owned(), 7));
    assert!(root.holds_table("t") && !root.holds_table("a") && !root.holds_table("c"));
    assert_eq!(root.require::<String>("b"), Some("2".to_owned()));
    assert_eq!(document.finish_with(Some(1)), Ok(1));
}

#[test]
fn a_file_that_cannot_be_opened_is_no_mistake_of_the_file() {
    let error = Document::read(Path::new("/nonexistent/f.toml")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

proptest! {
    /// Whatever stands in a file, each mistake is at a place that the file has.
    #[test]
    fn no_input_panics(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "((hostname|networks|listen|quota|tls|codes|within|port|[a-zé]{1,3})(\\.[a-z\"]{0,3})?( = )?|[\\[\\]{}\",.'=é#0-9 ]{0,4}|\n){0,30}"
                .prop_map(String::into_bytes),
        ],
    ) {
        let lines = bytes.split(|&b| b == b'\n').count();
        let document = Document::from_bytes("f.toml", &bytes);
        read(&document.root());
        for mistake in document.finish().err().into_iter().flatten() {
            prop_assert!((1..=lines).contains(&mistake.line));
            prop_assert!((1..=bytes.len() + 1).contains(&mistake.column));
            prop_assert!(!mistake.message.chars().any(char::is_control), "{}", mistake.message);
        }
    }
}
