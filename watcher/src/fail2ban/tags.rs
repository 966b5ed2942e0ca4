//! `<name>` in the values of a filter: replaced by the option of that name, as often as that brings up another one.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

/// A value may take in the same option so often.
const REPLACEMENTS_MAX: u32 = 25;

/// So many replacements are made in all, and no value is longer: two options can ask for more than there is memory.
const STEPS_MAX: u32 = 100_000;
const VALUE_BYTES_MAX: usize = 1 << 20;

/// Replaces every `<name>` in every value. `other` gives options that are not among them; what nobody knows stays as it is:
/// `<HOST>` is for the regular expression.
///
/// # Errors
/// One sentence: which option asks for itself.
pub fn replace(
    options: &mut IndexMap<String, String>,
    other: &mut dyn FnMut(&str) -> Option<String>,
) -> Result<(), String> {
    // An option that stands under a condition is one of several; which, only an action can tell.
    let conditional = |name: &String| name.split_once('?').map(|(plain, _)| plain.to_owned());
    let ignored: HashSet<String> = options.keys().filter_map(conditional).collect();
    let names: Vec<String> = options.keys().filter(|name| !ignored.contains(*name)).cloned().collect();
    let mut counts: HashMap<String, HashMap<String, u32>> = HashMap::new();
    let mut steps = 0;
    loop {
        let mut again = false;
        for name in &names {
            let Some(mut value) = options.get(name).cloned() else { continue };
            let count = counts.entry(name.clone()).or_default();
            let mut changed = false;
            let mut from = 0;
            while let Some((start, end)) = next_tag(&value, from) {
                let tag = value.get(start + 1..end - 1).unwrap_or_default().to_owned();
                let found = if ignored.contains(&tag) { None } else { options.get(&tag).cloned() };
                let found = match found {
                    None if !ignored.contains(&tag) => other(&tag),
                    found => found,
                };
                let Some(replacement) = found else {
                    from = end;
                    continue;
                };
                let times = count.entry(tag.clone()).or_insert(0);
                *times += 1;
                steps += 1;
                if tag == *name || *times > REPLACEMENTS_MAX || steps > STEPS_MAX {
                    return Err(format!("`{name}` takes in <{tag}> without an end"));
                }
                value = value.replace(&format!("<{tag}>"), &replacement);
                if value.len() > VALUE_BYTES_MAX {
                    return Err(format!("`{name}` is longer than {VALUE_BYTES_MAX} bytes"));
                }
                changed = true;
                from = start;
            }
            if changed {
                // What was put together by a replacement may be a name itself: `<lt_<logtype>/datepattern>`.
                again |= next_tag(&value, 0).is_some();
                options.insert(name.clone(), value);
            }
        }
        if !again {
            return Ok(());
        }
    }
}

/// Where the next `<name>` stands, its brackets included; the name holds neither blank nor bracket.
fn next_tag(value: &str, from: usize) -> Option<(usize, usize)> {
    let mut open = None;
    for (at, byte) in value.bytes().enumerate().skip(from) {
        match byte {
            b'<' => open = Some(at),
            b' ' => open = None,
            b'>' => match open.take() {
                Some(start) if at > start + 1 => return Some((start, at + 1)),
                _ => {}
            },
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(options: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let mut map: IndexMap<String, String> =
            options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        replace(&mut map, &mut |name| (name == "lt_file/prefix").then(|| "P".to_owned()))?;
        Ok(map.into_values().collect())
    }

    #[test]
    fn names_are_replaced_also_where_a_replacement_makes_them() {
        let options = [("a", "<lt_<kind>/prefix> <HOST> <b>"), ("kind", "file"), ("b", "<kind>!")];
        assert_eq!(run(&options).unwrap(), ["P <HOST> file!", "file", "file!"]);
    }

    #[test]
    fn an_option_that_takes_in_itself_is_refused() {
        assert!(run(&[("a", "<b>"), ("b", "<a>")]).is_err());
        assert!(run(&[("a", "x<a>")]).is_err());
    }

    #[test]
    fn a_value_that_grows_without_measure_is_refused() {
        let ten = |name: &str| format!("<{name}>").repeat(3) + "<z>";
        let names: Vec<String> = (0..20).map(|n| format!("n{n}")).collect();
        let mut map: IndexMap<String, String> =
            names.iter().zip(names.iter().skip(1)).map(|(a, b)| (a.clone(), ten(b))).collect();
        map.insert("n19".to_owned(), "x".repeat(1000));
        assert!(replace(&mut map, &mut |_| None).is_err());
    }
}
