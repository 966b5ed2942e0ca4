//! What keys and news do to the screen.

use super::*;
use crate::control::api::rfc3339;
use crate::jail::Mode;
use crate::news::{Item, Topic};
use logline::Timestamp;

pub(in crate::banctl::top) fn ban(subject: &str, jail: &str) -> BanView {
    BanView {
        subject: subject.parse().unwrap(),
        jail: jail.into(),
        mode: Mode::Enforce,
        from: rfc3339(Timestamp::from_seconds(0)),
        until: rfc3339(Timestamp::from_seconds(3600)),
        remaining_seconds: 3600,
        before: 2,
        ports: vec![25],
        reason: None,
        evidence: Vec::new(),
    }
}

pub(in crate::banctl::top) fn view(bans: &[(&str, &str)]) -> View {
    let status = Status {
        version: "1".into(),
        ready: true,
        firewall: "nftables".into(),
        firewall_trouble: None,
        active: bans.len(),
        counted: 7,
        since: rfc3339(Timestamp::from_seconds(0)),
        sources: Vec::new(),
        notices: Vec::new(),
    };
    let bans =
        Bans { bans: bans.iter().map(|(subject, jail)| ban(subject, jail)).collect(), ..Bans::default() };
    View::new(Picture { status, jails: Vec::new(), bans })
}

fn press(view: &mut View, keys: &str) -> Wish {
    let key = |char| match char {
        '\n' => KeyCode::Enter,
        '\t' => KeyCode::Tab,
        '\u{1b}' => KeyCode::Esc,
        '↓' => KeyCode::Down,
        other => KeyCode::Char(other),
    };
    let mut wish = Wish::Nothing;
    for char in keys.chars() {
        wish = view.told(Told::Key(KeyEvent::from(key(char))));
    }
    wish
}

const BANS: [(&str, &str); 3] =
    [("192.0.2.7", "guessing"), ("198.51.100.0/24", "flood"), ("2001:db8::7", "guessing")];

#[test]
fn a_ban_is_lifted_after_a_yes_alone() {
    let mut view = view(&BANS);
    assert_eq!(press(&mut view, "↓u"), Wish::Nothing);
    assert_eq!(press(&mut view, "n"), Wish::Nothing);
    assert_eq!(press(&mut view, "uy"), Wish::Unban("198.51.100.0/24".parse().unwrap()));
}

#[test]
fn a_ban_is_explained_and_the_explanation_left_by_any_key() {
    let mut view = view(&BANS);
    assert_eq!(press(&mut view, "\n"), Wish::Why("192.0.2.7".parse().unwrap()));
    view.told(Told::Why(Box::new(Why::nothing_about("192.0.2.7".parse().unwrap()))));
    assert!(matches!(view.focus, Focus::Why(_)));
    assert_eq!(press(&mut view, "q"), Wish::Nothing);
    assert_eq!(press(&mut view, "q"), Wish::Leave);
}

#[test]
fn the_filter_leaves_what_has_what_was_typed() {
    let mut view = view(&BANS);
    press(&mut view, "/guess\n↓↓↓");
    assert_eq!(view.bans().len(), 2);
    assert_eq!(press(&mut view, "i"), Wish::Why("2001:db8::7".parse().unwrap()));
    press(&mut view, "/\u{1b}");
    assert_eq!(view.bans().len(), 3);
}

#[test]
fn what_happens_is_on_the_list_at_once_and_kept_up_to_a_limit() {
    let mut view = view(&BANS);
    let mut item = Item::new(Topic::Ban, Timestamp::from_seconds(1), "x is banned").news;
    (item.subject, item.jail) = (Some("192.0.2.9".into()), Some("flood".into()));
    item.ban = Some(ban("192.0.2.9", "flood"));
    view.told(Told::News(Box::new(item)));
    assert_eq!(view.bans().len(), 4);
    let mut over = Item::new(Topic::Unban, Timestamp::from_seconds(2), "over").news;
    (over.subject, over.jail) = (Some("192.0.2.7".into()), Some("guessing".into()));
    for _ in 0..NEWS_KEPT {
        view.told(Told::News(Box::new(over.clone())));
    }
    assert_eq!(view.bans().len(), 3);
    assert_eq!(view.news.len(), NEWS_KEPT);
    assert_eq!(press(&mut view, "4uy"), Wish::Unban("192.0.2.7".parse().unwrap()));
}
