//! `name[option=value, other="a, b"]`: how fail2ban's jails hand parameters to filters and actions.

/// A name and its parameters, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What stands before the bracket.
    pub name: String,
    /// The parameters as they are written; their names are in lower case.
    pub options: Vec<(String, String)>,
}

/// Reads one name with its parameters.
///
/// # Errors
/// One sentence: which text is no parameter.
pub fn read(text: &str) -> Result<Named, String> {
    let text = text.trim();
    let Some((name, rest)) = text.split_once('[') else {
        return Ok(Named { name: text.to_owned(), options: Vec::new() });
    };
    let inner = rest.strip_suffix(']').ok_or_else(|| format!("`{text}` has no closing bracket"))?;
    let mut options = Vec::new();
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let (option, after) = rest.split_once('=').ok_or_else(|| format!("`{rest}` is no option=value"))?;
        let option = option.trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '?');
        if option.is_empty() || !option.chars().all(is_name) {
            return Err(format!("`{option}` is no name of an option"));
        }
        let (value, after) = value(after.trim_start())?;
        options.push((option.to_lowercase(), value.trim().to_owned()));
        let after = after.trim_start();
        let next =
            after.strip_prefix(',').or_else(|| after.strip_prefix(']')?.trim_start().strip_prefix('['));
        rest = match next {
            Some(next) => next.trim_start(),
            None if after.is_empty() => after,
            None => return Err(format!("`{after}` stands where a comma must")),
        };
    }
    Ok(Named { name: name.trim().to_owned(), options })
}

/// One value, quoted or not, and what stands behind it.
fn value(text: &str) -> Result<(&str, &str), String> {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split_once(quote).ok_or_else(|| format!("`{text}` has no closing quote"));
        }
    }
    let end = text.find([',', ']']).unwrap_or(text.len());
    Ok(text.split_at(end))
}

/// Splits a list of such names, as `action` is one, at blanks outside of brackets.
pub fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut in_brackets, mut quote) = (None, false, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if in_brackets => quote = Some(c),
            (None, '[') => in_brackets = true,
            (None, ']') => in_brackets = false,
            (None, c) if c.is_whitespace() && !in_brackets => {
                let rest = text.get(at..).unwrap_or_default().trim_start();
                if !rest.starts_with('[') {
                    parts.extend(start.take().and_then(|start| text.get(start..at)));
                }
                continue;
            }
            (None, _) => {}
        }
        start.get_or_insert(at);
    }
    parts.extend(start.and_then(|start| text.get(start..)));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, name: &str, options: &[(&str, &str)]) {
        let named = read(text).unwrap();
        let found: Vec<(&str, &str)> = named.options.iter().map(|(o, v)| (o.as_str(), v.as_str())).collect();
        assert_eq!((named.name.as_str(), found.as_slice()), (name, options));
    }

    #[test]
    fn parameters_may_be_quoted_and_stand_in_groups() {
        check("sshd", "sshd", &[]);
        check("sshd[mode=aggressive]", "sshd", &[("mode", "aggressive")]);
        check("a[x=\"1, 2]\", Y='3']", "a", &[("x", "1, 2]"), ("y", "3")]);
        check("a[x=1][y=2,\n   z=]", "a", &[("x", "1"), ("y", "2"), ("z", "")]);
    }

    #[test]
    fn what_is_no_parameter_is_refused() {
        assert!(read("a[x]").is_err());
        assert!(read("a[x=\"1]").is_err());
        assert!(read("a[x=\"1\" y=2]").is_err());
        assert!(read("a[x=1").is_err());
    }

    #[test]
    fn a_list_is_split_outside_of_brackets() {
        let text = "ban[a=\"x y\",\n  b=2]\n  mail[c=1] drop.py";
        assert_eq!(split(text), ["ban[a=\"x y\",\n  b=2]", "mail[c=1]", "drop.py"]);
    }
}
