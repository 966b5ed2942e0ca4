//! Plots as SVG inside a page: no script, no other file. Colours are classes, so that the page chooses them for light and
//! for dark.

use std::fmt::{self, Write};

use crate::replay::Escaped;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 180.0;

/// More bars than this are gathered, so that each is wide enough to be seen.
const BARS_MAX: usize = 240;

/// One bar: what it is called, and its parts from the ground up.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) parts: Vec<u64>,
}

/// Stacked bars over time; `names` are the parts', and so are the classes `c0`, `c1` ….
pub(super) fn bars(page: &mut String, title: &str, names: &[&str], bars: &[Bar]) -> fmt::Result {
    let bars = gathered(bars);
    let most = bars.iter().map(|bar| bar.parts.iter().sum::<u64>()).max().unwrap_or(0).max(1);
    writeln!(page, "<figure><figcaption>{}", Escaped(title))?;
    for (class, name) in names.iter().enumerate() {
        write!(
            page,
            " <span class=k><svg width=10 height=10><rect class=c{class} width=10 height=10 /></svg> "
        )?;
        write!(page, "{}</span>", Escaped(name))?;
    }
    writeln!(page, "</figcaption>")?;
    let (right, bottom) = (WIDTH + 60.0, HEIGHT + 24.0);
    writeln!(page, "<svg viewBox='0 0 {right} {bottom}' role=img aria-label='{}'>", Escaped(title))?;
    writeln!(page, "<text x=54 y=12 class=e>{most}</text><text x=54 y={HEIGHT} class=e>0</text>")?;
    writeln!(page, "<path class=a d='M60 0V{HEIGHT}H{right}' />")?;
    let step = WIDTH / number(bars.len().max(1) as u64);
    for (place, bar) in bars.iter().enumerate() {
        let (x, mut y) = (60.0 + number(place as u64) * step, HEIGHT);
        writeln!(page, "<g><title>{}</title>", Escaped(&label(bar, names)))?;
        for (class, part) in bar.parts.iter().enumerate() {
            let height = HEIGHT * number(*part) / number(most);
            y -= height;
            let width = (step - 1.0).max(1.0);
            writeln!(page, "<rect class=c{class} x={x:.1} y={y:.1} width={width:.1} height={height:.1} />")?;
        }
        writeln!(page, "</g>")?;
    }
    if let (Some(first), Some(last)) = (bars.first(), bars.last()) {
        writeln!(page, "<text x=60 y={bottom}>{}</text>", Escaped(&first.name))?;
        writeln!(page, "<text x={right} y={bottom} class=e>{}</text>", Escaped(&last.name))?;
    }
    writeln!(page, "</svg></figure>")
}

/// Lying bars, each with its name and its number.
pub(super) fn ranking(page: &mut String, title: &str, rows: &[(String, u64)]) -> fmt::Result {
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let height = rows.len() * 22;
    writeln!(page, "<figure><figcaption>{}</figcaption>", Escaped(title))?;
    writeln!(page, "<svg viewBox='0 0 1020 {height}' role=img aria-label='{}'>", Escaped(title))?;
    for (place, (name, count)) in rows.iter().enumerate() {
        let (y, width) = (place * 22, 600.0 * number(*count) / number(most));
        writeln!(page, "<text x=300 y={} class=e>{}</text>", y + 15, Escaped(name))?;
        writeln!(page, "<rect class=c0 x=310 y={} width={width:.1} height=16 />", y + 2)?;
        writeln!(page, "<text x={:.1} y={}>{count}</text>", 316.0 + width, y + 15)?;
    }
    writeln!(page, "</svg></figure>")
}

fn label(bar: &Bar, names: &[&str]) -> String {
    let parts = names.iter().zip(&bar.parts).map(|(name, part)| format!("{name} {part}"));
    format!("{}: {}", bar.name, parts.collect::<Vec<_>>().join(", "))
}

/// As many bars as can be seen: neighbours are added up.
fn gathered(bars: &[Bar]) -> Vec<Bar> {
    let together = bars.len().div_ceil(BARS_MAX).max(1);
    let sum = |group: &[Bar]| {
        let parts = group.iter().map(|bar| bar.parts.len()).max().unwrap_or(0);
        let part = |place: usize| group.iter().filter_map(|bar| bar.parts.get(place)).sum();
        let name = group.first().map(|bar| bar.name.clone()).unwrap_or_default();
        Bar { name, parts: (0..parts).map(part).collect() }
    };
    bars.chunks(together).map(sum).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a bar is drawn to a tenth of a point")]
fn number(count: u64) -> f64 {
    count as f64
}
