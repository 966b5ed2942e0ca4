use super::*;

/// 2005-08-14 12:00:00 in Zürich.
const NOW: Timestamp = Timestamp::from_seconds(1_124_013_600);

fn filter(definition: Definition) -> Filter {
    let definition = Definition { name: "x".to_owned(), ..definition };
    Filter::new(Arc::new(Rules::new(&definition, TimeZone::UTC).unwrap()))
}

fn one(failregex: &str) -> Definition {
    Definition {
        failregex: failregex.lines().map(str::to_owned).collect(),
        maxlines: 1,
        ..Definition::default()
    }
}

/// What each line is: its outcome, whose failure it is, and of how many lines.
#[track_caller]
fn check(definition: Definition, lines: &str, expected: &[&str]) {
    let mut filter = filter(definition);
    let mut found = Vec::new();
    for line in lines.lines() {
        let mut told = Vec::new();
        filter.line(line.as_bytes(), NOW, &mut |f| {
            told.push(format!("{:?} {} {}", f.outcome, f.failure.id().unwrap_or("-"), f.failure.lines));
        });
        found.push(if told.is_empty() { "-".to_owned() } else { told.join(", ") });
    }
    assert_eq!(found, expected);
}

#[test]
fn the_line_ends_where_its_text_does() {
    check(
        one(r"^failed from <HOST>$"),
        "failed from 192.0.2.7\nfailed from 192.0.2.7 x",
        &["Counted 192.0.2.7 1", "-"],
    );
}

#[test]
fn the_first_pattern_that_matches_wins() {
    let mut filter = filter(one("^a <HOST>\n^. <HOST>"));
    let mut rules = Vec::new();
    filter.line(b"a 192.0.2.7", NOW, &mut |found| rules.push(found.rule));
    filter.tries_all = true;
    filter.line(b"a 192.0.2.7", NOW, &mut |found| rules.push(found.rule));
    assert_eq!(rules, [1, 1, 2]);
}

#[test]
fn the_prefix_gives_its_content_to_the_patterns() {
    let prefregex = Some(r"^p\[<F-MLFID>\d+</F-MLFID>\]: <F-CONTENT>.+</F-CONTENT>$".to_owned());
    let definition = Definition { prefregex, ..one("^failed <HOST>$") };
    check(definition, "p[1]: failed 192.0.2.7\nfailed 192.0.2.7", &["Counted 192.0.2.7 1", "-"]);
}

#[test]
fn what_is_to_be_ignored_is_no_failure() {
    let definition = Definition { ignoreregex: vec!["192.0.2.8$".to_owned()], ..one("^failed <HOST>$") };
    check(definition, "failed 192.0.2.7\nfailed 192.0.2.8", &["Counted 192.0.2.7 1", "-"]);
}

#[test]
fn a_session_is_one_failure_whoever_names_it_first() {
    let failregex = "^<F-MLFID>\\d+</F-MLFID> <F-NOFAIL>connect</F-NOFAIL> <HOST>$\n\
                     ^<F-MLFID>\\d+</F-MLFID> failed <F-USER>\\S+</F-USER>$\n\
                     ^<F-MLFID>\\d+</F-MLFID> <F-MLFGAINED>ok</F-MLFGAINED> <F-USER>\\S+</F-USER>$\n\
                     ^<F-MLFID>\\d+</F-MLFID> <F-NOFAIL><F-MLFFORGET>bye</F-MLFFORGET></F-NOFAIL>$\n\
                     ^<F-MLFID>\\d+</F-MLFID> from <HOST>$";
    check(
        one(failregex),
        "1 connect 192.0.2.7\n1 failed a\n1 bye\n1 failed a\n1 from 192.0.2.8\n2 connect 192.0.2.9\n2 ok a\n2 bye",
        &[
            "Context 192.0.2.7 0",
            "Counted 192.0.2.7 2",
            "Context 192.0.2.7 0",
            "Pending - 1",
            "Counted 192.0.2.8 2",
            "Context 192.0.2.9 0",
            "Context 192.0.2.9 0",
            "Context 192.0.2.9 0",
        ],
    );
}

#[test]
fn a_failure_may_span_several_lines_and_pass_over_others() {
    let definition = Definition { maxlines: 4, ..one(r"^conn (\d+) <HOST>$<SKIPLINES>^conn \1 failed$") };
    check(
        definition,
        "conn 1 192.0.2.7\nconn 2 192.0.2.8\nconn 2 failed\nconn 1 failed\nconn 1 failed",
        &["-", "-", "Counted 192.0.2.8 2", "Counted 192.0.2.7 2", "-"],
    );
}

#[test]
fn a_name_is_a_host_unless_names_are_not_wanted() {
    check(one("^failed <HOST>$"), "failed a.example", &["Counted a.example 1"]);
    let definition = Definition { usedns: Some("no".to_owned()), ..one("^failed <HOST>$") };
    check(definition, "failed a.example\nfailed ::1", &["-", "Counted ::1 1"]);
}

#[test]
fn a_pattern_that_says_of_nobody_that_he_failed_is_refused() {
    let definition = Definition { name: "x".to_owned(), ..one("^failed$") };
    assert!(Rules::new(&definition, TimeZone::UTC).is_err());
}

#[test]
fn a_line_without_a_date_is_of_the_time_of_the_one_before() {
    let mut filter = filter(one("failed <HOST>$"));
    let line = |filter: &mut Filter, line: &str| filter.line(line.as_bytes(), NOW, &mut |_| {}).at;
    assert_eq!(line(&mut filter, "failed 192.0.2.7"), None);
    let at = line(&mut filter, "2005-08-14 09:59:30 failed 192.0.2.7");
    assert!(at.is_some());
    assert_eq!(line(&mut filter, "failed 192.0.2.7"), at);
}

#[test]
fn a_pattern_that_gives_up_is_counted() {
    let mut filter = filter(one(r"^(?P<a>(?:(?:(?!x)\w)+\s*)+): (?P=a)! <HOST>$"));
    let line = format!("{}: b! 192.0.2.7", "a".repeat(60));
    filter.line(line.as_bytes(), NOW, &mut |_| {});
    assert_eq!(filter.refused, 1);
}

#[test]
fn no_bytes_can_panic_a_filter() {
    let mut filter = filter(one("^.*<HOST>"));
    for line in [b"\xff\xfe\n\r\n".as_slice(), b"", b"\n", &[0; 100_000], "é".repeat(20_000).as_bytes()] {
        filter.line(line, NOW, &mut |_| {});
        filter.message(line, NOW, &mut |_| {});
    }
}
