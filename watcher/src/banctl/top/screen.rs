//! The picture, drawn. Pure: a view in, cells out.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table, TableState, Tabs, Wrap};
use settings::duration::human;

use super::state::{Focus, Tab, View};
use crate::banctl::show;
use crate::control::api::SourceStatus;
use crate::jail::Mode;

/// Draws it. Colours stand beside words, never for them.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View) {
    let rows = [Constraint::Length(2), Constraint::Length(1), Constraint::Min(3), Constraint::Length(1)];
    let [head, tabs, body, foot] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(Paragraph::new(heading(view)), head);
    let titles = Tab::ALL.map(Tab::title);
    let at = Tab::ALL.iter().position(|tab| *tab == view.tab);
    frame.render_widget(Tabs::new(titles).select(at).highlight_style(Modifier::REVERSED), tabs);
    list(frame, view, body);
    frame.render_widget(Paragraph::new(footing(view)), foot);
    match &view.focus {
        Focus::Why(why) => over(frame, &format!(" why {} ", why.subject), &show::why(why)),
        Focus::Unban(subject) => over(frame, " unban ", &format!("Let {subject} in again? y / n")),
        Focus::List | Focus::Filter => {}
    }
}

fn heading(view: &View) -> Vec<Line<'static>> {
    let status = &view.picture.status;
    let force = if status.ready { "all bans in force".green() } else { "BANS ARE NOT IN FORCE".red().bold() };
    let first = Line::from(vec![
        format!("postern-watcher {}  firewall {}: ", status.version, status.firewall).into(),
        force,
    ]);
    let second = match (&view.lost, &status.firewall_trouble) {
        (Some(why), _) | (None, Some(why)) => Line::from(why.clone()).red(),
        (None, None) => Line::from(format!(
            "{} bans, {} offenders counted, {:.1} lines/s",
            status.active,
            status.counted,
            status.sources.iter().map(|source| source.lines_per_second).sum::<f64>()
        )),
    };
    vec![first, second]
}

fn footing(view: &View) -> Line<'static> {
    if let Focus::Filter = view.focus {
        return Line::from(format!("/{}", view.filter)).bold();
    }
    if !view.said.is_empty() {
        return Line::from(view.said.clone()).bold();
    }
    let filter = if view.filter.is_empty() { String::new() } else { format!("  [only {}]", view.filter) };
    Line::from(format!("q leave  Tab 1-4 view  ↑↓ choose  i why  u unban  / filter{filter}")).dim()
}

fn list(frame: &mut Frame<'_>, view: &View, area: Rect) {
    let (heads, widths, rows) = match view.tab {
        Tab::Bans => bans(view),
        Tab::Jails => jails(view),
        Tab::Sources => sources(view),
        Tab::News => news(view),
    };
    let table = Table::new(rows, widths)
        .header(Row::new(heads).style(Modifier::BOLD))
        .row_highlight_style(Modifier::REVERSED);
    let mut state = TableState::default().with_selected(view.chosen);
    frame.render_stateful_widget(table, area, &mut state);
}

type Columns = (Vec<&'static str>, Vec<Constraint>, Vec<Row<'static>>);

fn bans(view: &View) -> Columns {
    let rows = view.bans().into_iter().map(|ban| {
        let watched = if ban.mode == Mode::Watch { " (watch)" } else { "" };
        let ports = ban.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        let ports = if ports.is_empty() { "all".to_owned() } else { ports };
        let left = human(Duration::from_secs(ban.remaining_seconds)).to_string();
        Row::new([
            ban.subject.to_string(),
            format!("{}{watched}", ban.jail),
            left,
            ban.before.to_string(),
            ports,
        ])
    });
    let widths = [
        Constraint::Min(20),
        Constraint::Length(28),
        Constraint::Length(12),
        Constraint::Length(6),
        Constraint::Length(14),
    ];
    (vec!["SUBJECT", "JAIL", "ENDS IN", "BEFORE", "PORTS"], widths.to_vec(), rows.collect())
}

fn jails(view: &View) -> Columns {
    let rows = view.picture.jails.iter().map(|jail| {
        let within = human(Duration::from_secs(jail.within_seconds));
        let rule = format!("{} in {within}", jail.threshold);
        Row::new([
            jail.name.clone(),
            jail.active.to_string(),
            jail.mode.name().to_owned(),
            rule,
            jail.about.clone(),
        ])
    });
    let widths = [
        Constraint::Length(28),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(14),
        Constraint::Min(20),
    ];
    (vec!["JAIL", "BANS", "MODE", "RULE", "ABOUT"], widths.to_vec(), rows.collect())
}

fn sources(view: &View) -> Columns {
    let rows = view.picture.status.sources.iter().map(|source| {
        let (told, style) = standing(source);
        Row::new([
            source.name.clone(),
            format!("{:.1}", source.lines_per_second),
            format!("{:.1}s", source.lag_seconds),
            source.behind_bytes.to_string(),
            told,
        ])
        .style(style)
    });
    let widths = [
        Constraint::Min(30),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(10),
        Constraint::Min(20),
    ];
    (vec!["SOURCE", "LINES/S", "LAG", "BEHIND", ""], widths.to_vec(), rows.collect())
}

fn standing(source: &SourceStatus) -> (String, Style) {
    let bad = Style::new().fg(Color::Red);
    if let Some(trouble) = &source.trouble {
        return (format!("not read: {trouble}"), bad);
    }
    if let Some(quiet) = source.silent_seconds {
        return (format!("silent for {}", human(Duration::from_secs(quiet))), bad);
    }
    if source.not_understood {
        return ("not understood any more".to_owned(), bad);
    }
    if source.lost > 0 {
        return (format!("lost lines {} times", source.lost), Style::new().fg(Color::Yellow));
    }
    (source.ended.clone().unwrap_or_default(), Style::new())
}

fn news(view: &View) -> Columns {
    let rows = view.news.iter().map(|news| {
        // A screen has room for seconds, not for nanoseconds.
        let at = news.at.get(..19).unwrap_or(&news.at).to_owned();
        Row::new([at, news.kind.clone(), news.text.clone()])
    });
    let widths = [Constraint::Length(20), Constraint::Length(18), Constraint::Min(30)];
    (vec!["AT (UTC)", "WHAT", ""], widths.to_vec(), rows.collect())
}

/// A text before everything else.
fn over(frame: &mut Frame<'_>, title: &str, text: &str) {
    let rows = u16::try_from(text.lines().count()).unwrap_or(u16::MAX).saturating_add(2);
    let all = frame.area();
    let height = rows.min(all.height);
    let area = Rect { x: all.x, y: all.y + (all.height - height) / 2, width: all.width, height };
    let block = Block::bordered().title(title.to_owned());
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(text.to_owned()).wrap(Wrap { trim: false }).block(block), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::state::tests::view;
    use super::*;
    use crate::control::api::Why;

    fn drawn(view: &View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, view)).unwrap();
        terminal.backend().to_string()
    }

    #[track_caller]
    fn check_shows(view: &View, expected: &[&str]) {
        let drawn = drawn(view, 100, 12);
        for text in expected {
            assert!(drawn.contains(text), "no {text:?} in\n{drawn}");
        }
    }

    #[test]
    fn the_screen_shows_who_is_banned_and_how_the_watcher_is() {
        let mut view = view(&[("192.0.2.7", "guessing")]);
        check_shows(
            &view,
            &["all bans in force", "1 bans, 7 offenders", "192.0.2.7", "guessing", "1h", "25"],
        );
        view.lost = Some("no watcher answers".into());
        check_shows(&view, &["no watcher answers"]);
        view.focus = Focus::Why(Box::new(Why::nothing_about("192.0.2.7".parse().unwrap())));
        check_shows(&view, &["why 192.0.2.7", "192.0.2.7 is not banned"]);
    }

    #[test]
    fn no_terminal_is_too_small_and_no_byte_reaches_it_as_it_is() {
        let mut view = view(&[("user:\u{1b}[2Jx", "guessing")]);
        for tab in Tab::ALL {
            view.tab = tab;
            for (width, height) in [(1, 1), (10, 2), (80, 5), (300, 100)] {
                assert!(!drawn(&view, width, height).contains('\u{1b}'));
            }
        }
    }
}
