//! The API as others see it: by its description, from the port, with bad manners.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::namespace::in_namespace;
use crate::watcher::{Watcher, eventually, http};

const DRY: &str = "firewall = \"dry-run\"";

/// Status and body of an answer from the port.
#[track_caller]
fn ask(method: &str, path: &str, host: &str) -> (u16, String) {
    let answer = http(
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .as_bytes(),
    );
    let answer = answer.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {answer}"));
    let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        unchunked(body)
    } else {
        body.to_owned()
    };
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole += &rest[..size];
        body = rest[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    whole
}

/// Whether a value has only what its schema describes.
#[track_caller]
fn check_described(value: &Value, schema: &Value, description: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let schema =
            description.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{at}: {name}"));
        return check_described(value, schema, description, at);
    }
    if let Some([whole]) = schema["allOf"].as_array().map(Vec::as_slice) {
        return check_described(value, whole, description, at);
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let Some(schema) =
                    schema["properties"].get(name).or_else(|| schema.get("additionalProperties"))
                else {
                    panic!("{at}.{name} is not described: {schema}");
                };
                check_described(value, schema, description, &format!("{at}.{name}"));
            }
            for name in schema["required"].as_array().into_iter().flatten() {
                assert!(fields.contains_key(name.as_str().unwrap()), "{at} has no {name}");
            }
        }
        Value::Array(items) => {
            items.iter().for_each(|item| check_described(item, &schema["items"], description, at));
        }
        Value::Null => assert!(schema.to_string().contains("nullable"), "{at} is null"),
        Value::String(_) | Value::Number(_) | Value::Bool(_) => {}
    }
}

#[test]
fn every_path_answers_what_its_description_says() {
    in_namespace(|| {
        let watcher = Watcher::start(&format!("{DRY}\n[quota.\"zen.spamhaus.org\"]\nlimit = 100"));
        assert_eq!(watcher.banctl("ban 198.51.100.7 198.51.100.8 --reason x").code, 0);
        assert_eq!(watcher.banctl("allow add 192.0.2.1 --note y").code, 0);
        let (_, text) = ask("GET", "/v1/openapi.json", "localhost");
        let description: Value = serde_json::from_str(&text).unwrap();
        let paths = description["paths"].as_object().unwrap();
        let mut asked = 0;
        for (path, methods) in paths {
            let schema = &methods["get"]["responses"]["200"]["content"]["application/json"]["schema"];
            if schema.get("$ref").is_none() {
                continue;
            }
            let path = path.replace("{subject}", "198.51.100.7").replace("{address}", "198.51.100.7");
            let (status, body) = ask("GET", &path, "127.0.0.1:9826");
            assert_eq!(status, 200, "{path}: {body}");
            let body = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}"));
            check_described(&body, schema, &description, &path);
            asked += 1;
        }
        assert_eq!(asked, 10);
    });
}

#[test]
fn nothing_is_changed_from_the_port_and_no_other_name_is_answered() {
    in_namespace(|| {
        let watcher = Watcher::start(DRY);
        assert_eq!(watcher.banctl("ban 198.51.100.7").code, 0);
        for path in
            ["/v1/bans", "/v1/unban", "/v1/allow", "/v1/disallow", "/v1/confirm", "/v1/explain", "/v1/reload"]
        {
            let (status, _) = ask("POST", path, "127.0.0.1:9826");
            assert!(status == 404 || status == 405, "{path}: {status}");
        }
        assert_eq!(ask("DELETE", "/v1/bans", "localhost").0, 405);
        assert_eq!(ask("GET", "/v1/bans", "evil.example:9826").0, 403);
        assert_eq!(ask("GET", "/metrics", "evil.example:9826").0, 200);
        assert_eq!(ask("GET", "/v1/nothing", "localhost").0, 404);
        assert_eq!(ask("GET", "/v1/bans?limit=x", "localhost").0, 400);
        assert_eq!(ask("GET", "/v1/bans?unknown=x", "localhost").0, 400);
        assert_eq!(ask("GET", "/v1/test/nobody", "localhost").0, 400);
        assert_eq!(watcher.listed(""), ["198.51.100.7"]);
    });
}

#[test]
fn who_listens_hears_of_bans_and_reloads_as_they_happen() {
    in_namespace(|| {
        let watcher = Watcher::start(DRY);
        let mut stream = TcpStream::connect("127.0.0.1:9826").unwrap();
        stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
        // The first bytes of the body say that it is listened to.
        assert_eq!(lines.find(|line| line.starts_with(':')).as_deref(), Some(":"));
        let mut next = |kind: &str| -> Value {
            assert_eq!(lines.find(|line| line.starts_with("event: ")).unwrap(), format!("event: {kind}"));
            let data = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).unwrap();
            serde_json::from_str(&data).unwrap()
        };
        assert_eq!(watcher.banctl("ban 198.51.100.7 --reason x").code, 0);
        let news = next("ban");
        assert_eq!((&news["subject"], &news["ban"]["reason"]), (&"198.51.100.7".into(), &"x".into()));
        assert_eq!(watcher.banctl("unban 198.51.100.7").code, 0);
        assert_eq!(next("unban")["end"], "lifted");
        assert_eq!(watcher.banctl("reload").code, 0);
        next("reloaded");
        std::fs::write(watcher.path("watcher.toml"), "firewal = 1").unwrap();
        assert_eq!(watcher.banctl("reload").code, 78);
        assert!(next("reload-failed")["text"].as_str().unwrap().contains("did you mean `firewall`?"));
    });
}

#[test]
fn hostile_clients_keep_nobody_from_his_answer() {
    in_namespace(|| {
        let watcher = Watcher::start(DRY);
        let mut idle: Vec<TcpStream> = Vec::new();
        for n in 0..40u32 {
            let mut stream = TcpStream::connect("127.0.0.1:9826").unwrap();
            let head: &[u8] = match n % 4 {
                0 => b"GET /v1/bans HTTP/1.1\r\nHost: localhost\r\nX-",
                1 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                2 => b"POST /v1/unban HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n{",
                _ => b"",
            };
            stream.write_all(head).unwrap();
            idle.push(stream);
        }
        let many: String = (0..10_000).map(|n| format!("X-{n}: y\r\n")).collect();
        let answer = http(format!("GET /healthz HTTP/1.1\r\n{many}\r\n").as_bytes());
        assert!(answer.is_none_or(|answer| answer.is_empty() || answer.contains(" 431 ")));
        assert_eq!(ask("GET", "/healthz", "localhost").0, 200);
        assert_eq!(watcher.banctl("status").code, 0);
        // Listeners have a limit of their own, and one more is told so.
        let listen = || {
            let mut stream = TcpStream::connect("127.0.0.1:9826").unwrap();
            stream.write_all(b"GET /v1/events HTTP/1.0\r\n\r\n").unwrap();
            let mut status = [0; 12];
            stream.read_exact(&mut status).unwrap();
            (status == *b"HTTP/1.0 200").then_some(stream)
        };
        drop(idle);
        let listeners: Vec<_> = (0..33).map_while(|_| listen()).collect();
        assert_eq!(listeners.len(), 32);
        assert_eq!(ask("GET", "/healthz", "localhost").0, 200);
        drop(listeners);
        eventually("room for a listener", || {
            // Who left is noticed when he is told something.
            watcher.banctl("ban 198.51.100.7");
            listen()
        });
    });
}
