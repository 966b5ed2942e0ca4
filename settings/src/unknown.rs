//! Keys that nobody asked for.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::asked::{Asked, Route};
use crate::nearest;

/// Calls `report` with each key that was not asked for, in the tables that were opened, and what to say of it.
pub(crate) fn keys<'t>(root: &'t DeTable<'t>, asked: &Asked, report: &mut dyn FnMut(Range<usize>, String)) {
    visit(root, &Route::root(), asked, report);
}

fn visit(table: &DeTable<'_>, route: &Route, asked: &Asked, report: &mut dyn FnMut(Range<usize>, String)) {
    // A table that nobody opened was refused as a whole; its keys are nobody's business.
    let Some(known) = asked.of(route) else { return };
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        if !known.contains(name) {
            let absent = known.iter().map(String::as_str).filter(|known| !table.contains_key(*known));
            let hint = hint(name, absent, asked.place_for(name, route));
            report(key.span(), format!("unknown key `{}`{hint}", name.escape_debug()));
            continue;
        }
        match value.get_ref() {
            DeValue::Table(table) => visit(table, &route.key(name), asked, report),
            DeValue::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    if let Some(table) = element.get_ref().as_table() {
                        visit(table, &route.element(name, index), asked, report);
                    }
                }
            }
            _ => {}
        }
    }
}

/// What may have been meant: a key of this table that is not set, or the same key of another table.
fn hint<'a>(name: &str, absent: impl Iterator<Item = &'a str>, elsewhere: Option<&str>) -> String {
    if let Some(meant) = nearest(name, absent) {
        return format!("; did you mean `{meant}`?");
    }
    elsewhere.map(|title| format!("; it belongs {title}")).unwrap_or_default()
}
