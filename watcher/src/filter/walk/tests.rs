//! The walk comes to what the regular expression comes to.

use proptest::prelude::*;
use regex::bytes::RegexBuilder;

use super::*;

/// The walk finds the groups that the regular expression has.
#[track_caller]
fn check(pattern: &str, text: &[u8]) {
    let regex = RegexBuilder::new(pattern).unicode(false).build().unwrap();
    let walk = Walk::of(pattern).unwrap_or_else(|| unreachable!("{pattern} can be walked"));
    let mut trail = Trail::default();
    let outcome = walk.over(text, &mut trail);
    if outcome == Outcome::Left {
        return;
    }
    let found = regex.captures(text);
    assert_eq!(outcome == Outcome::Found, found.is_some(), "{pattern} {}", text.escape_ascii());
    let Some(captures) = found else { return };
    for index in 1..regex.captures_len() {
        let group = captures.get(index).map(|group| (group.start(), group.end()));
        assert_eq!(trail.group(index), group, "group {index} of {pattern} in {}", text.escape_ascii());
    }
}

const PATTERNS: &[&str] = &[
    r"^(\S+)\[([a0-9.:]+)\]: (\S+) (.*)$",
    r"^(a|ab)(c|bcd)(d*)$",
    r"^(a*?)(a*)(b{1,2}?)(.*)$",
    r"^((?:a|b )*)(a)?(.*?)( b)?$",
    r"^(?:(a)|b(c)?){1,3}([^ ]*)$",
    r"^([ab]*)(a+)(b|$)(.*)$",
    r"^(.*): (a.*)?(: )?(.*)$",
    r"^(?:a: |b)?(a|ab|abc|)(?: b)?([^b]{1,4})(?:, (a|b))?(: [ab]{2,3}?)?(.{0,3})$",
    r"^(?:(a)(?: |b))*([^:]{0,5}?)(?:(b)|(:) ?)*(\]?)$",
    r"^([ab]{1,3})([ab]{2})?(\[[^\]]*\])?((?:c|\.){0,2})(.*?)$",
];

proptest! {
    #[test]
    fn a_walk_finds_the_groups_of_the_regular_expression(text in "[ab:c .\\[\\]]{0,14}") {
        PATTERNS.iter().for_each(|pattern| check(pattern, text.as_bytes()));
    }
}

#[test]
fn a_walk_that_goes_back_too_often_is_left() {
    for pattern in
        [r"^(a*)(a*)(a*)(a*)(a*)b$", r"^(?:a|aa|aaa)*(.*)(.*)(.*)[ab]c$", r"^(?:aa)*(?:aa)*(?:aa)*b$"]
    {
        let walk = Walk::of(pattern).unwrap();
        assert_eq!(walk.over(&[b'a'; 5000], &mut Trail::default()), Outcome::Left, "{pattern}");
    }
}

#[test]
fn what_cannot_be_walked_is_refused() {
    for pattern in [r"^(?u:\w)$", r"^\ba$", r"^(a*)*$", r"^(?:ab){3000}$"] {
        assert!(Walk::of(pattern).is_none(), "{pattern}");
    }
}
