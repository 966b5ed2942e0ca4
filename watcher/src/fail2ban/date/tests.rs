use super::*;

/// 2005-08-14 12:00:00 in Zürich.
const NOW: Timestamp = Timestamp::from_seconds(1_124_013_600);

fn zone() -> TimeZone {
    TimeZone::get("Europe/Zurich").unwrap()
}

/// What is left of the line, and the instant in the zone of the machine.
fn read(detector: &mut Detector, line: &str) -> (String, Option<String>) {
    let Some(found) = detector.find(line.as_bytes(), NOW) else { return (line.to_owned(), None) };
    let mut rest = line.to_owned();
    rest.replace_range(found.text.clone(), "");
    let at = found.stamp.map(|stamp| {
        let at = jiff::Timestamp::from_nanosecond(stamp.at.nanos().into()).unwrap();
        zone().to_datetime(at).to_string()
    });
    (rest, at)
}

#[track_caller]
fn check(patterns: Option<&str>, line: &str, rest: &str, at: Option<&str>) {
    let mut detector = Detector::new(patterns, zone()).unwrap();
    assert_eq!(read(&mut detector, line), (rest.to_owned(), at.map(str::to_owned)), "{line}");
}

#[test]
fn the_default_ways_of_writing_a_date_are_known() {
    let same = "2005-01-23T21:59:59";
    for date in [
        "Sun Jan 23 21:59:59 2005",
        "Jan 23 21:59:59",
        "Sun Jan 23 21:59:59.011",
        "Sun Jan 23 2005 21:59:59.011",
        "2005/01/23 21:59:59",
        "2005.01.23 21:59:59",
        "23/01/2005 21:59:59",
        "23/01/05 21:59:59",
        "[23/Jan/2005:21:59:59 +0100]",
        "[23/Jan/2005:21:59:59.123]",
        "01/23/2005:21:59:59",
        "2005-01-23 21:59:59",
        "2005-01-23 21:59:59,000",
        "23-Jan-2005 21:59:59.02",
        "23-Jan-2005 21:59:59 +0100",
        "01-23-2005 21:59:59.252",
        "@4000000041f4104f00000000",
        "2005-01-23T20:59:59.252Z",
        "2005-01-23T15:59:59-05:00",
        "2005-01-23 15:59:59 -05:00",
        "<01/23/05@21:59:59>",
        "050123 21:59:59",
        "Jan 23, 2005 9:59:59 PM",
        "Jan-23-05 21:59:59",
        "20050123T215959",
        "20050123 215959",
        "PST Jan 23 12:59:59",
        "+01:00 Jan 23 21:59:59",
        "1106513999",
    ] {
        let mut detector = Detector::new(None, zone()).unwrap();
        let (rest, at) = read(&mut detector, &format!("{date} [sshd] error: PAM"));
        assert_eq!(at.as_deref(), Some(same), "{date}");
        assert!(
            ["", "[]", "<>"].iter().any(|left| rest == format!("{left} [sshd] error: PAM")),
            "{date}: {rest}"
        );
    }
}

#[test]
fn a_time_alone_is_of_today_or_of_yesterday() {
    check(None, "11:22:33 x", " x", Some("2005-08-14T11:22:33"));
    check(None, "23:22:33 x", " x", Some("2005-08-13T23:22:33"));
}

#[test]
fn a_date_without_a_year_is_of_this_year_or_the_last() {
    check(None, "Aug 14 11:00:00 x", " x", Some("2005-08-14T11:00:00"));
    check(None, "Aug 16 11:00:00 x", " x", Some("2004-08-16T11:00:00"));
}

#[test]
fn a_date_that_is_none_is_cut_out_all_the_same() {
    check(None, "Feb 30 11:00:00 x", " x", None);
    check(Some("^%Y-%m-%d %H:%M:%S"), "0000-12-30 11:00:00 x", " x", None);
    check(Some("^%Y-%m-%d %H:%M:%S"), "9999-12-30 11:00:00 x", " x", None);
}

#[test]
fn the_text_of_the_group_is_the_date() {
    let pattern = r"^[^\[]*\[({DATE})";
    check(
        Some(pattern),
        "1.2.3.4 - [23/Jan/2005:21:59:59 +0100] x",
        "1.2.3.4 - [] x",
        Some("2005-01-23T21:59:59"),
    );
    check(Some(r"^t=%Y-%m-%dT%H:%M:%S%z"), "t=2005-01-23T21:59:59+0100 x", " x", Some("2005-01-23T21:59:59"));
    check(Some("^L %d/%m/%Y - %H:%M:%S"), "L 23/01/2005 - 21:59:59 x", " x", Some("2005-01-23T21:59:59"));
}

#[test]
fn a_pattern_without_a_date_leaves_the_line_whole() {
    check(Some(r"^I\(()**"), "I(1) x", "I(1) x", None);
    check(Some("{NONE}"), "Aug 14 11:00:00 x", "Aug 14 11:00:00 x", None);
}

#[test]
fn seconds_since_1970_may_have_fractions_and_stand_in_brackets() {
    check(
        Some("EPOCH"),
        "type=X msg=audit(1106513999.000:1): x",
        "type=X msg=audit(:1): x",
        Some("2005-01-23T21:59:59"),
    );
    check(Some("{^LN-BEG}Epoch"), "[1106513999] x", "[] x", Some("2005-01-23T21:59:59"));
    check(Some("^ts={EPOCH}"), "ts=1106513999.500 x", " x", Some("2005-01-23T21:59:59.5"));
    check(Some("LEPOCH"), "1106513999123 x", " x", Some("2005-01-23T21:59:59.123"));
    check(Some("EPOCH"), "no 1106513999 x", "no 1106513999 x", None);
}

#[test]
fn at_the_beginning_two_signs_may_stand_before_a_date() {
    check(Some("{^LN-BEG}"), "<[2005-01-23 21:59:59] x", "<[] x", Some("2005-01-23T21:59:59"));
    check(Some("{^LN-BEG}"), "a 2005-01-23 21:59:59 x", "a 2005-01-23 21:59:59 x", None);
}

#[test]
fn a_date_in_what_a_line_says_is_not_taken_where_another_stood_before() {
    let mut detector = Detector::new(None, zone()).unwrap();
    for second in 10..20 {
        read(&mut detector, &format!("2005-06-21 16:30:{second} a"));
    }
    let (rest, _) = read(&mut detector, "2005-06-21 16:56:02 user 01-23-2005 21:59:59.252 b");
    assert_eq!(rest, " user 01-23-2005 21:59:59.252 b");
}

#[test]
fn what_is_no_pattern_is_told() {
    for pattern in ["%Q", "(%Y", "[%Y", "%Y**+", "(?P=x)", r"\"] {
        assert!(Detector::new(Some(pattern), zone()).is_err(), "{pattern}");
    }
}

#[test]
fn a_pattern_that_goes_round_in_circles_gives_up() {
    let mut detector = Detector::new(Some(r"^(?:(?:a*)*)*%Y"), zone()).unwrap();
    assert_eq!(detector.find("a".repeat(5000).as_bytes(), NOW), None);
}

proptest::proptest! {
    #[test]
    fn no_pattern_and_no_line_can_panic(
        pattern in r"[%YmdHMSfzbEx(){}|?*+\[\]^$\\.,:<>=!P0-9a \-]{0,24}",
        line in ".{0,60}",
    ) {
        if let Ok(mut detector) = Detector::new(Some(&pattern), TimeZone::UTC) {
            detector.find(line.as_bytes(), NOW);
            detector.find(line.as_bytes(), NOW);
        }
    }

    #[test]
    fn no_line_can_panic(line in r"[0-9 :./,\-\[\]TZ+@a-fJanUTC]{0,60}") {
        let mut detector = Detector::new(None, TimeZone::UTC).unwrap();
        detector.find(line.as_bytes(), NOW);
        detector.find(line.as_bytes(), NOW);
    }
}
