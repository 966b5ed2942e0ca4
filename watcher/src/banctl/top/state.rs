//! What is on the screen, and what a key means. Pure.

use std::collections::VecDeque;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::control::api::{BanView, Bans, JailView, News, Status, Why};
use crate::subject::Subject;

/// So much of what happened is kept to be shown.
const NEWS_KEPT: usize = 500;
/// So far one key goes.
const PAGE: usize = 10;

/// The whole picture at one moment.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) status: Status,
    pub(super) jails: Vec<JailView>,
    pub(super) bans: Bans,
}

/// What the screen is told.
#[derive(Debug)]
pub(super) enum Told {
    Key(KeyEvent),
    Redraw,
    Picture(Box<Picture>),
    /// The watcher cannot be asked, and why.
    Lost(String),
    News(Box<News>),
    Why(Box<Why>),
    /// What came of something.
    Said(String),
}

/// What the screen wants done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    Leave,
    Unban(Subject),
    Why(Subject),
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Bans,
    Jails,
    Sources,
    News,
}

impl Tab {
    pub(super) const ALL: [Tab; 4] = [Tab::Bans, Tab::Jails, Tab::Sources, Tab::News];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Tab::Bans => "1 bans",
            Tab::Jails => "2 jails",
            Tab::Sources => "3 sources",
            Tab::News => "4 live",
        }
    }

    const fn next(self) -> Tab {
        match self {
            Tab::Bans => Tab::Jails,
            Tab::Jails => Tab::Sources,
            Tab::Sources => Tab::News,
            Tab::News => Tab::Bans,
        }
    }
}

/// What keys go to.
#[derive(Debug)]
pub(super) enum Focus {
    /// The list.
    List,
    /// The line in which is typed what the list is to have.
    Filter,
    /// The question whether somebody is to be let in again.
    Unban(Subject),
    /// The explanation of a ban.
    Why(Box<Why>),
}

/// All that is shown.
#[derive(Debug)]
pub(super) struct View {
    pub(super) picture: Picture,
    pub(super) news: VecDeque<News>,
    pub(super) tab: Tab,
    pub(super) focus: Focus,
    pub(super) filter: String,
    /// The line of the list that is chosen.
    pub(super) chosen: usize,
    /// What came of the last thing that was done.
    pub(super) said: String,
    /// Why the picture is old.
    pub(super) lost: Option<String>,
}

impl View {
    pub(super) fn new(picture: Picture) -> Self {
        View {
            picture,
            news: VecDeque::new(),
            tab: Tab::Bans,
            focus: Focus::List,
            filter: String::new(),
            chosen: 0,
            said: String::new(),
            lost: None,
        }
    }

    /// Whether bans were in force when it was last looked.
    pub(super) fn is_well(&self) -> bool {
        self.picture.status.ready && self.lost.is_none()
    }

    /// The bans that the filter leaves.
    pub(super) fn bans(&self) -> Vec<&BanView> {
        let has = |ban: &&BanView| {
            ban.subject.to_string().contains(&self.filter) || ban.jail.contains(&self.filter)
        };
        self.picture.bans.bans.iter().filter(has).collect()
    }

    /// Takes in what it is told.
    pub(super) fn told(&mut self, told: Told) -> Wish {
        match told {
            Told::Key(key) => return self.key(key),
            Told::Redraw => {}
            Told::Picture(picture) => {
                self.picture = *picture;
                self.lost = None;
            }
            Told::Lost(why) => self.lost = Some(why),
            Told::News(news) => self.happened(*news),
            Told::Why(why) => self.focus = Focus::Why(why),
            Told::Said(said) => self.said = said,
        }
        self.choose(self.chosen);
        Wish::Nothing
    }

    /// Something happened: the list has it before the whole picture is asked for again.
    fn happened(&mut self, news: News) {
        let bans = &mut self.picture.bans.bans;
        let is = |ban: &BanView| {
            news.subject.as_ref() == Some(&ban.subject.to_string()) && news.jail.as_ref() == Some(&ban.jail)
        };
        if news.kind == "unban" || news.ban.is_some() {
            bans.retain(|ban| !is(ban));
        }
        if let Some(ban) = &news.ban {
            bans.insert(0, BanView { evidence: Vec::new(), ..ban.clone() });
        }
        self.news.push_front(news);
        self.news.truncate(NEWS_KEPT);
    }

    fn key(&mut self, key: KeyEvent) -> Wish {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Wish::Leave;
        }
        self.said.clear();
        match std::mem::replace(&mut self.focus, Focus::List) {
            Focus::List => return self.list_key(key.code),
            Focus::Filter => self.filter_key(key.code),
            Focus::Unban(subject) if matches!(key.code, KeyCode::Char('y' | 'Y')) => {
                return Wish::Unban(subject);
            }
            // Any other key says no, or has read enough.
            Focus::Unban(_) | Focus::Why(_) => {}
        }
        Wish::Nothing
    }

    fn list_key(&mut self, key: KeyCode) -> Wish {
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return Wish::Leave,
            KeyCode::Tab => self.turn_to(self.tab.next()),
            KeyCode::Char('1') => self.turn_to(Tab::Bans),
            KeyCode::Char('2') => self.turn_to(Tab::Jails),
            KeyCode::Char('3') => self.turn_to(Tab::Sources),
            KeyCode::Char('4') => self.turn_to(Tab::News),
            KeyCode::Down | KeyCode::Char('j') => self.choose(self.chosen + 1),
            KeyCode::Up | KeyCode::Char('k') => self.choose(self.chosen.saturating_sub(1)),
            KeyCode::PageDown => self.choose(self.chosen + PAGE),
            KeyCode::PageUp => self.choose(self.chosen.saturating_sub(PAGE)),
            KeyCode::Home => self.choose(0),
            KeyCode::End => self.choose(usize::MAX),
            KeyCode::Char('/') if self.tab == Tab::Bans => self.focus = Focus::Filter,
            KeyCode::Char('u') => {
                if let Some(subject) = self.subject() {
                    self.focus = Focus::Unban(subject);
                }
            }
            KeyCode::Enter | KeyCode::Char('i') => return self.subject().map_or(Wish::Nothing, Wish::Why),
            _ => {}
        }
        Wish::Nothing
    }

    fn filter_key(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => return,
            KeyCode::Esc => {
                self.filter.clear();
                return;
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(char) => self.filter.push(char),
            _ => {}
        }
        self.focus = Focus::Filter;
        self.choose(0);
    }

    fn turn_to(&mut self, tab: Tab) {
        self.tab = tab;
        self.chosen = 0;
    }

    fn choose(&mut self, wanted: usize) {
        self.chosen = wanted.min(self.rows().saturating_sub(1));
    }

    fn rows(&self) -> usize {
        match self.tab {
            Tab::Bans => self.bans().len(),
            Tab::Jails => self.picture.jails.len(),
            Tab::Sources => self.picture.status.sources.len(),
            Tab::News => self.news.len(),
        }
    }

    /// Whom the chosen line is about.
    fn subject(&self) -> Option<Subject> {
        match self.tab {
            Tab::Bans => self.bans().get(self.chosen).map(|ban| ban.subject.clone()),
            Tab::News => self.news.get(self.chosen)?.subject.as_ref()?.parse().ok(),
            Tab::Jails | Tab::Sources => None,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
