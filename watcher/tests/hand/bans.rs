//! Bans by hand: made, listed, explained, tested, lifted.

use crate::namespace::{in_namespace, nft};
use crate::watcher::{Watcher, eventually, subjects};

const DRY: &str = "firewall = \"dry-run\"";

#[test]
fn a_list_has_what_was_asked_for_in_the_order_that_was_asked_for() {
    in_namespace(|| {
        let watcher = Watcher::start(DRY);
        assert_eq!(watcher.banctl("ban 192.0.2.7 192.0.2.9 --for 2h").code, 0);
        assert_eq!(watcher.banctl("ban 198.51.100.0/24 --for 1h --jail password-guessing").code, 0);
        assert_eq!(watcher.banctl("ban 2001:db8::7 --for 3h").code, 0);
        assert_eq!(watcher.listed(""), ["198.51.100.0/24", "192.0.2.7", "192.0.2.9", "2001:db8::7"]);
        assert_eq!(watcher.listed("--sort newest")[0], "2001:db8::7");
        assert_eq!(watcher.listed("--sort subject")[0], "192.0.2.7");
        assert_eq!(watcher.listed("--jail password-guessing"), ["198.51.100.0/24"]);
        assert_eq!(watcher.listed("--network 192.0.2.0/24"), ["192.0.2.7", "192.0.2.9"]);
        assert_eq!(watcher.listed("--network 198.51.100.77"), ["198.51.100.0/24"]);
        assert_eq!(watcher.listed("--since 1h").len(), 4);
        assert_eq!(watcher.listed("--since 2001-01-01").len(), 4);
        assert_eq!(watcher.listed("--since 2200-01-01"), Vec::<String>::new());
        assert_eq!(watcher.listed("--mode watch"), Vec::<String>::new());
        let page = watcher.json("list --limit 3", 0);
        assert_eq!((subjects(&page).len(), &page["total"]), (3, &4.into()));
        let told = watcher.banctl("list --limit 3").out;
        assert!(told.starts_with("SUBJECT ") && told.ends_with("… 3 of 4; --limit N shows more\n"), "{told}");
        let wrong = watcher.banctl("list --since yesterday");
        assert!(wrong.code == 2 && wrong.err.contains("as 1h or 7d"), "{wrong:?}");
    });
}

#[test]
fn many_are_banned_and_let_in_at_once_and_who_is_no_address_is_told_of() {
    in_namespace(|| {
        let watcher = Watcher::start("firewall = \"nftables\"");
        let many: String = (0..20_000u32)
            .map(|n| format!("{}\n", std::net::Ipv4Addr::from(0x0a0b_0000 ^ 0xc000_0000 ^ n)))
            .collect();
        let input = format!("# a list\n{many}  2001:db8:1::/48 # a comment\nnobody\n");
        let said = watcher.banctl_fed("--json ban - --reason many", &input);
        assert_eq!(said.code, 1);
        let answer: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(subjects(&answer).len(), 20_001);
        assert_eq!(answer["refused"][0]["subject"], "nobody");
        assert_eq!(watcher.json("test 2001:db8:1::7", 0)["dropped"], true);
        std::fs::write(watcher.path("list"), &many).unwrap();
        let said = watcher.banctl(&format!("unban --file {}", watcher.path("list").display()));
        assert_eq!(said.code, 0, "{}", said.err);
        assert_eq!(watcher.listed(""), ["2001:db8:1::/48"]);
        let empty = watcher.banctl_fed("ban -", "# nobody\n");
        assert!(empty.code == 2 && empty.err.contains("names nobody"), "{empty:?}");
    });
}

#[test]
fn the_kernel_is_asked_whether_somebody_is_dropped() {
    in_namespace(|| {
        let watcher = Watcher::start("firewall = \"nftables\"");
        assert_eq!(watcher.banctl("test 198.51.100.7").code, 1);
        assert_eq!(watcher.banctl("ban 198.51.100.7").code, 0);
        assert_eq!(watcher.banctl("ban 198.51.100.0/24 --jail password-guessing").code, 0);
        let tested = watcher.json("test 198.51.100.7", 0);
        assert_eq!((&tested["dropped"], &tested["firewall"]), (&true.into(), &"nftables".into()));
        assert_eq!(subjects(&tested).len(), 2);
        assert_eq!(tested["held"].as_array().unwrap().len(), 2);
        let told = watcher.banctl("test 198.51.100.7").out;
        assert!(told.starts_with("198.51.100.7 is dropped: says the kernel\n"), "{told}");
        // A table that somebody emptied is whole again before anybody could ask twice.
        nft("flush table inet postern");
        nft("delete table inet postern");
        eventually("the ban's return", || (watcher.banctl("test 198.51.100.7").code == 0).then_some(()));
        assert_eq!(watcher.banctl("unban 198.51.100.7 198.51.100.0/24").code, 0);
        assert_eq!(watcher.banctl("test 198.51.100.7").code, 1);
        let wrong = watcher.banctl("test nobody");
        assert!(wrong.code == 2 && wrong.err.contains("invalid value 'nobody'"), "{wrong:?}");
    });
}

#[test]
fn a_firewall_that_keeps_nobody_out_says_so() {
    in_namespace(|| {
        let watcher = Watcher::start(DRY);
        assert_eq!(watcher.banctl("ban 198.51.100.7").code, 0);
        let said = watcher.banctl("test 198.51.100.7");
        assert!(said.code == 1 && said.out.contains("\"dry-run\", which keeps nobody out"), "{said:?}");
    });
}

#[test]
fn the_record_keeps_what_was_and_why_tells_who_is_near() {
    in_namespace(|| {
        let mut watcher = Watcher::start(DRY);
        assert_eq!(watcher.banctl("history").code, 1);
        assert_eq!(
            watcher.banctl_fed("ban - --reason twice", "198.51.100.7\n198.51.100.8\n203.0.113.5\n").code,
            0
        );
        assert_eq!(watcher.banctl("unban 198.51.100.7").code, 0);
        assert_eq!(watcher.banctl("ban 198.51.100.7 --for 5m").code, 0);
        watcher.restart();
        let record = watcher.json("history 198.51.100.7", 0);
        assert_eq!(subjects(&record), ["198.51.100.7", "198.51.100.7"]);
        let bans = record["bans"].as_array().unwrap();
        assert_eq!((&bans[0]["ended"], &bans[1]["end"]), (&serde_json::Value::Null, &"lifted".into()));
        assert_eq!(subjects(&watcher.json("history 198.51.100.0/24", 0)).len(), 3);
        assert_eq!(subjects(&watcher.json("history --limit 1", 0)), ["198.51.100.7"]);
        assert_eq!(watcher.banctl("history 192.0.2.1").code, 1);
        let why = watcher.json("why 198.51.100.7", 0);
        assert_eq!((&why["on_record"], &why["neighbours_total"]), (&2.into(), &1.into()));
        let told = watcher.banctl("why 198.51.100.7").out;
        assert!(told.contains("banctl history 198.51.100.7"), "{told}");
        assert!(told.contains("near it   1 more is banned:\n    198.51.100.8 by manual"), "{told}");
        let told = watcher.banctl("history 198.51.100.7").out;
        assert!(told.contains("lifted by hand") && told.contains("reason    twice"), "{told}");
    });
}

#[test]
fn what_was_typed_wrong_is_told_with_what_is_right() {
    in_namespace(|| {
        let watcher = Watcher::start(DRY);
        for (words, code, expected) in [
            ("ban", 2, "<ADDR|NET|->"),
            ("ban 192.0.2.300", 1, "is no address and no network"),
            ("ban 192.0.2.1 --jail nowhere", 1, "there is no jail `nowhere`"),
            ("ban 127.0.0.1", 1, "never banned"),
            ("unban", 2, "required"),
            ("unban 192.0.2.1", 1, "not banned; `banctl test 192.0.2.1` asks the firewall"),
            ("confirm 192.0.2.1", 1, "`banctl confirm` lists those that do"),
            ("allow remove 192.0.2.1", 1, "not exempt by hand"),
            ("allow remove 127.0.0.1", 1, "not exempt by hand, but: loopback"),
            ("allow add 192.0.2.7", 0, "is never banned"),
            ("ban 192.0.2.0/24", 1, "since 192.0.2.7 is allowed by hand: banctl allow remove 192.0.2.7"),
            ("list --jail nowhere", 2, "there is no jail `nowhere`; there are: "),
            ("list --jail spam-source", 0, "of these nobody is banned"),
            ("status", 0, "NOBODY IS KEPT OUT"),
            ("unban 192.0.2.1 --all", 2, "cannot be used with"),
            ("why user@example.org", 2, "is no address and no network"),
            ("export --format xml", 2, "nft, json, csv, rbldnsd"),
            ("lost", 2, "unrecognized subcommand"),
            ("top", 2, "wants a terminal"),
        ] {
            let said = watcher.banctl(words);
            assert_eq!(said.code, code, "{words}: {said:?}");
            assert!(said.out.contains(expected) || said.err.contains(expected), "{words}: {said:?}");
        }
        let reload = watcher.banctl("reload --wait");
        assert!(reload.code == 0 && reload.out.contains("taken over"), "{reload:?}");
    });
}
