use super::*;
use crate::blocklist::{Action, Limit, Listing};

const HOUR: Duration = Duration::from_secs(3600);
/// 2026-11-21 00:00 UTC.
const START: Timestamp = Timestamp::from_seconds(1_795_219_200);

fn desk(limit: Option<u64>) -> Desk {
    let limit = limit.map(|queries| Limit { queries, period: 24 * HOUR, reset: Duration::ZERO });
    let terms = Terms { limit, ..Terms::default() };
    Desk::new(&[Blocklist::new("list.example", Action::Delay, None).with_terms(terms)])
}

fn address(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

fn listed() -> ZoneAnswer {
    ZoneAnswer::Addresses { codes: vec![[127, 0, 0, 2].into()], text: Some(b"spam".to_vec()) }
}

fn listing() -> Finding {
    Finding::Listed(Listing { text: b"spam".to_vec(), codes: vec![[127, 0, 0, 2].into()] })
}

fn found(finding: Finding, origin: Origin) -> Plan {
    Plan::Answer(LookUp::Found { finding, origin })
}

#[test]
fn a_verdict_is_asked_for_once_while_it_holds() {
    let mut desk = desk(None);
    assert_eq!(desk.plan(START, 0, address(1)), Plan::Ask);
    desk.answered(START, 0, address(1), &listed());
    let cached = found(listing(), Origin::Cache);
    assert_eq!(desk.plan(START + 23 * HOUR, 0, address(1)), cached);
    assert_eq!(desk.plan(START + 24 * HOUR, 0, address(1)), Plan::Ask);
    desk.plan(START, 0, address(2));
    desk.answered(START, 0, address(2), &ZoneAnswer::NotListed);
    assert_eq!(desk.plan(START + HOUR / 2, 0, address(2)), found(Finding::Clear, Origin::Cache));
    assert_eq!(desk.plan(START + HOUR, 0, address(2)), Plan::Ask);
}

#[test]
fn a_client_whose_mail_was_accepted_is_not_asked_about_for_a_day() {
    let mut desk = desk(None);
    desk.plan(START, 0, address(1));
    desk.answered(START, 0, address(1), &ZoneAnswer::NotListed);
    desk.accepted(START + HOUR / 2, address(1));
    assert_eq!(desk.plan(START + 24 * HOUR, 0, address(1)), found(Finding::Clear, Origin::Known));
    assert_eq!(desk.plan(START + 25 * HOUR, 0, address(1)), Plan::Ask);
    // Nobody becomes known by being listed, or by never having been asked about.
    desk.answered(START, 0, address(2), &listed());
    desk.accepted(START, address(2));
    desk.accepted(START, address(3));
    assert!(matches!(
        desk.plan(START, 0, address(2)),
        Plan::Answer(LookUp::Found { finding: Finding::Listed(_), .. })
    ));
    assert_eq!(desk.plan(START, 0, address(3)), Plan::Ask);
}

#[test]
fn who_stays_clean_is_asked_about_less_and_less() {
    let (mut desk, mut now, mut hours) = (desk(None), START, Vec::new());
    for _ in 0..6 {
        assert_eq!(desk.plan(now, 0, address(1)), Plan::Ask);
        desk.answered(now, 0, address(1), &ZoneAnswer::NotListed);
        let held = (1..).find(|n| desk.plan(now + *n * HOUR, 0, address(1)) == Plan::Ask).unwrap();
        hours.push(held);
        now = now + held * HOUR;
    }
    assert_eq!(hours, [1, 2, 4, 8, 16, 24]);
}

#[test]
fn a_newcomer_among_listed_neighbours_is_asked_about_when_it_comes_again() {
    let terms = Terms { neighbours: 2, ..Terms::default() };
    let mut desk = Desk::new(&[Blocklist::new("list.example", Action::Delay, None).with_terms(terms)]);
    for last in 1..=2 {
        desk.plan(START, 0, address(last));
        desk.answered(START, 0, address(last), &listed());
    }
    let minute = Duration::from_secs(60);
    assert_eq!(desk.plan(START, 0, address(3)), Plan::Answer(LookUp::PutOff));
    assert_eq!(desk.plan(START + minute, 0, address(3)), Plan::Answer(LookUp::PutOff), "too soon");
    assert_eq!(desk.plan(START + 5 * minute, 0, address(3)), Plan::Ask);
    desk.answered(START + 5 * minute, 0, address(3), &ZoneAnswer::NotListed);
    assert_eq!(desk.plan(START + 6 * minute, 0, address(3)), found(Finding::Clear, Origin::Cache));
    // A client that was known before the neighbours were is no newcomer.
    assert_eq!(desk.plan(START + 24 * HOUR, 0, address(3)), Plan::Ask);
}

#[test]
fn an_error_is_no_verdict_and_the_zone_rests() {
    let mut desk = desk(None);
    let refused = ZoneAnswer::Addresses { codes: vec![[127, 255, 255, 255].into()], text: None };
    desk.plan(START, 0, address(1));
    let look_up = desk.answered(START, 0, address(1), &refused);
    assert!(matches!(look_up, LookUp::Found { finding: Finding::Error(_), origin: Origin::Query }));
    assert_eq!(desk.plan(START, 0, address(1)), Plan::Answer(LookUp::Resting));
    let used = desk.zones(START).map(|(_, budget, _)| budget.used().1).sum::<u64>();
    assert_eq!(used, 1, "its text is not asked for");
    assert_eq!(desk.plan(START + Duration::from_secs(60), 0, address(1)), Plan::Ask);
}

#[test]
fn what_a_zone_said_that_lists_everybody_is_not_believed() {
    let mut desk = desk(None);
    desk.plan(START, 0, address(1));
    desk.answered(START, 0, address(1), &listed());
    desk.plan(START, 0, address(2));
    desk.tested(START, 0, Sign::ListsAll);
    desk.forget_listings(0);
    assert_eq!(desk.answered(START, 0, address(2), &listed()), LookUp::Resting, "it was under way");
    for last in 1..=3 {
        assert_eq!(desk.plan(START + HOUR, 0, address(last)), Plan::Answer(LookUp::Resting));
    }
    desk.tested(START + HOUR, 0, Sign::Good);
    assert_eq!(desk.plan(START + HOUR, 0, address(1)), Plan::Ask);
}

#[test]
fn a_zone_that_lists_one_client_after_another_is_doubted() {
    let mut desk = desk(None);
    let find = |desk: &mut Desk, now, answers: &[ZoneAnswer]| {
        for (last, answer) in (0..).zip(answers) {
            desk.answered(now, 0, address(last), answer);
        }
        desk.is_in_doubt(now)
    };
    let (many, few) = (vec![listed(); 20], [vec![listed(); 19], vec![ZoneAnswer::NotListed]].concat());
    assert!(!find(&mut desk, START, &few));
    assert!(!find(&mut desk, START, &few));
    assert!(find(&mut desk, START, &many));
    assert_eq!((desk.take_doubts(START), desk.take_doubts(START)), (vec![0], vec![]));
    assert!(!find(&mut desk, START, &many), "it was tested just now");
    assert!(desk.is_in_doubt(START + DOUBT_PAUSE));
}

#[test]
fn where_the_budget_is_spent_nobody_new_is_listed_and_old_verdicts_hold_on() {
    let mut desk = desk(Some(40));
    desk.plan(START, 0, address(1));
    desk.answered(START, 0, address(1), &listed());
    // Four at once; the listing took one for its text, and the others gave theirs back.
    for last in 2..=3 {
        assert_eq!(desk.plan(START, 0, address(last)), Plan::Ask);
        desk.answered(START, 0, address(last), &ZoneAnswer::NotListed);
    }
    assert_eq!(desk.plan(START, 0, address(4)), Plan::Answer(LookUp::NoBudget));
    assert!(desk.spend_for_test(START + 25 * HOUR, 0, 40));
    assert!(!desk.spend_for_test(START + 25 * HOUR, 0, 1), "a test is no reason to ask too much");
    let old = desk.plan(START + 25 * HOUR, 0, address(1));
    assert_eq!(old, found(listing(), Origin::Cache));
}
