//! A page of section 5 from a page of the documentation: what stands there about a file's format is written once, and reads
//! the same with `man` as in a browser. It knows the Markdown that our pages use and no more: headings, paragraphs, lists,
//! tables, blocks of code; within a line code, bold and links. Pictures are left out.

use std::fmt::Write as _;

/// The manual page of a file, in section 5, from its pages in Markdown; `about` is its one line in `apropos`. The title of each
/// page but the first is a heading.
pub fn format(file: &str, about: &str, markdown: &str) -> String {
    let mut page = format!(
        ".TH \"{}\" 5\n.SH NAME\n{} \\- {}\n.SH DESCRIPTION\n",
        file.to_uppercase(),
        inline(file),
        inline(about)
    );
    let mut titles = 0;
    let mut lines = markdown.lines().peekable();
    while let Some(line) = lines.next() {
        titles += usize::from(line.starts_with("# "));
        if let Some(heading) = line.strip_prefix("### ") {
            let _ = writeln!(page, ".SS \"{}\"", quoted(heading));
        } else if let Some(heading) =
            line.strip_prefix("# ").filter(|_| titles > 1).or(line.strip_prefix("## "))
        {
            let _ = writeln!(page, ".SH \"{}\"", quoted(&heading.to_uppercase()));
        } else if line.trim_start().starts_with("```") {
            let code = lines.by_ref().take_while(|line| !line.trim_start().starts_with("```"));
            block(&code.collect::<Vec<_>>(), &mut page);
        } else if line.starts_with('|') {
            let mut rows = vec![line];
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                rows.push(row);
            }
            table(&rows, &mut page);
        } else if !(line.trim().is_empty() || line.starts_with("# ") || line.starts_with("![")) {
            let mut text = line.trim().to_owned();
            while let Some(more) = lines.next_if(|line| continues(line)) {
                text = format!("{text} {}", more.trim());
            }
            paragraph(&text, &mut page);
        }
    }
    page
}

/// Whether a line goes on with what the one before it began.
fn continues(line: &str) -> bool {
    let line = line.trim_start();
    let begins = ["#", "|", "```", "- ", "!["].iter().any(|sign| line.starts_with(sign));
    !(line.is_empty() || begins || numbered(line).is_some())
}

/// The number of an item, and its text.
fn numbered(line: &str) -> Option<(&str, &str)> {
    let (number, text) = line.split_once(". ")?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some((number, text))
}

fn paragraph(text: &str, page: &mut String) {
    let (begin, text) = match (text.strip_prefix("- "), numbered(text)) {
        (Some(item), _) => (".IP \\(bu 2".to_owned(), item),
        (None, Some((number, item))) => (format!(".IP {number}. 4"), item),
        (None, None) => (".PP".to_owned(), text),
    };
    let _ = writeln!(page, "{begin}\n{}", guarded(&inline(text)));
}

fn block(lines: &[&str], page: &mut String) {
    page.push_str(".PP\n.RS 4\n.nf\n");
    for line in lines {
        let _ = writeln!(page, "{}", guarded(&escaped(line)));
    }
    page.push_str(".fi\n.RE\n");
}

/// Each row is what stands in its column `key`, or else in its first, and behind that the others, with what they are called.
fn table(rows: &[&str], page: &mut String) {
    let header = rows.first().map(|row| cells(row)).unwrap_or_default();
    let key = header.iter().position(|name| name == "key").unwrap_or(0);
    for row in rows.iter().skip(2).map(|row| cells(row)) {
        let tag = row.get(key).map(String::as_str).unwrap_or_default();
        let rest =
            row.iter().zip(&header).enumerate().filter(|(at, (cell, _))| *at != key && !cell.is_empty());
        let rest: Vec<String> = rest
            .map(|(_, (cell, name))| match name.as_str() {
                "default" | "when" => format!("{}: {cell}.", capital(name)),
                _ => cell.clone(),
            })
            .collect();
        let _ = writeln!(page, ".TP\n{}\n{}", guarded(&inline(tag)), guarded(&inline(&rest.join(" "))));
    }
}

/// The cells of a row; a bar that is written `\|` is one of a cell's own.
fn cells(row: &str) -> Vec<String> {
    let row = row.replace("\\|", "\u{0}");
    let inner = row.trim().trim_start_matches('|').trim_end_matches('|');
    inner.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Code and bold are bold, a link is its text.
fn inline(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*', '[']) {
        let (before, from) = rest.split_at(at);
        out.push_str(&escaped(before));
        if let Some((shown, after)) = span(from) {
            out.push_str(&shown);
            rest = after;
        } else {
            // It stands for itself.
            let (sign, after) = from.split_at(1);
            out.push_str(&escaped(sign));
            rest = after;
        }
    }
    out + &escaped(rest)
}

/// What begins here, if anything does, as it is shown; and what comes after it.
fn span(text: &str) -> Option<(String, &str)> {
    if let Some(code) = text.strip_prefix('`') {
        let (code, after) = code.split_once('`')?;
        return Some((format!("\\fB{}\\fR", escaped(code)), after));
    }
    if let Some(bold) = text.strip_prefix("**") {
        let (bold, after) = bold.split_once("**")?;
        return Some((format!("\\fB{}\\fR", escaped(&bold.replace('`', ""))), after));
    }
    let (label, after) = text.strip_prefix('[')?.split_once("](")?;
    // A bracket of another kind may come before a link.
    let (_, after) = is_balanced(label).then(|| after.split_once(')'))??;
    Some((inline(label), after))
}

/// Whether each bracket that is opened is closed, and none that is not.
fn is_balanced(label: &str) -> bool {
    let step = |depth: u32, sign: &str| if sign == "[" { depth.checked_add(1) } else { depth.checked_sub(1) };
    label.matches(['[', ']']).try_fold(0, step) == Some(0)
}

/// Nothing in it is a word of troff.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga")
}

/// For an argument between quotes.
fn quoted(text: &str) -> String {
    inline(text).replace('"', "\\(dq")
}

/// A line that would be an order to troff is none.
fn guarded(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(markdown: &str, expected: &str) {
        let page = format("x.toml", "settings", markdown);
        let (_, body) = page.split_once(".SH DESCRIPTION\n").unwrap();
        assert_eq!(body, expected, "{markdown}");
    }

    #[test]
    fn each_kind_of_text_has_its_form() {
        check(
            "# Title\n\nOne `a-b` and\n**two** [three](x.md#y).\n",
            ".PP\nOne \\fBa\\-b\\fR and \\fBtwo\\fR three.\n",
        );
        check("# A\nx\n# B\n", ".PP\nx\n.SH \"B\"\n");
        check("## A `key`\n### B\n![p](p.png)\n", ".SH \"A \\fBKEY\\fR\"\n.SS \"B\"\n");
        check("- one\n  more\n- two\n", ".IP \\(bu 2\none more\n.IP \\(bu 2\ntwo\n");
        check("1. one\n2. two\n", ".IP 1. 4\none\n.IP 2. 4\ntwo\n");
        check("```toml\n.a = '\\d'\n\nb\n```\n", ".PP\n.RS 4\n.nf\n\\&.a = \\(aq\\ed\\(aq\n\nb\n.fi\n.RE\n");
        check(
            "| key | default | |\n|---|---|---|\n| `a` | 1 | x \\| y |\n",
            ".TP\n\\fBa\\fR\nDefault: 1. x | y\n",
        );
        check(
            "| when | key | |\n|---|---|---|\n| MAIL | `a` | x |\n| | `b` | |\n",
            ".TP\n\\fBa\\fR\nWhen: MAIL. x\n.TP\n\\fBb\\fR\n\n",
        );
    }

    #[test]
    fn what_looks_like_a_sign_and_is_none_stands_for_itself() {
        check(
            "`[[source]]` is [quota] * 2, `a` at 3`\n",
            ".PP\n\\fB[[source]]\\fR is [quota] * 2, \\fBa\\fR at 3\\(ga\n",
        );
        check("[a] is [`[b]`](c.md), d](e)\n", ".PP\n[a] is \\fB[b]\\fR, d](e)\n");
        check(".start\n", ".PP\n\\&.start\n");
    }
}
