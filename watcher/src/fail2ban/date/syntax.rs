//! A date pattern as text: a regular expression with `%` fields in it, read into a tree.

use super::field::Field;

/// A pattern may hold so many elements, repetitions put out.
const ELEMENTS_MAX: usize = 20_000;

/// Groups may lie in each other so deep.
const DEPTH_MAX: usize = 50;

/// What a place in the line must be like; nothing is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The beginning of the line.
    Start,
    /// Its end.
    End,
    /// Between a character of a word and one that is none.
    Edge,
    /// Anywhere else.
    NoEdge,
    /// Where a date may begin: at the beginning, at an edge, or before what is no letter or digit.
    DateStart,
    /// Where a date may end: at the end, at an edge, or before what is no letter or digit.
    DateEnd,
}

/// A set of bytes. One above 0x7f counts as a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Set([u64; 4]);

impl Set {
    pub(super) fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|word| word & (1 << (byte & 63)) != 0)
    }

    pub(super) fn add(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    pub(super) fn all() -> Self {
        Set([u64::MAX; 4])
    }

    pub(super) fn join(&mut self, other: &Set) {
        self.0.iter_mut().zip(other.0).for_each(|(word, more)| *word |= more);
    }

    pub(super) fn of(is_in: impl Fn(u8) -> bool) -> Self {
        let mut set = Set::default();
        (0..=u8::MAX).filter(|byte| is_in(*byte)).for_each(|byte| set.add(byte));
        set
    }

    fn inverted(self) -> Self {
        Set(self.0.map(|word| !word))
    }

    /// With the other case of every letter in it.
    fn in_any_case(self) -> Self {
        Set::of(|byte| self.has(byte.to_ascii_lowercase()) || self.has(byte.to_ascii_uppercase()))
    }
}

/// Whether a byte is part of a word.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// One element of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Set(Set),
    Place(Place),
    /// The field, and the group that it is.
    Field(Field, usize),
    Sequence(Vec<Node>),
    Either(Vec<Node>),
    Repeat {
        node: Box<Node>,
        least: usize,
        most: Option<usize>,
        greedy: bool,
    },
    Group(usize, Box<Node>),
    /// What the group took, once more.
    Again(usize),
    /// What follows, or stands before, is like this; or is not.
    Look {
        node: Box<Node>,
        behind: bool,
        not: bool,
    },
}

/// A pattern that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    pub(super) node: Node,
    /// Which group is which field.
    pub(super) fields: Vec<(Field, usize)>,
    /// How many groups there are.
    pub(super) groups: usize,
}

/// Reads a pattern; with `any_case`, letters are taken in any case.
pub(super) fn read(text: &str, any_case: bool) -> Result<Tree, String> {
    let mut reader =
        Reader { rest: text, any_case, fields: Vec::new(), names: Vec::new(), groups: 0, depth: 0 };
    let node = reader.either()?;
    if !reader.rest.is_empty() {
        return Err("a bracket is closed that was not opened".to_owned());
    }
    let Reader { fields, groups, .. } = reader;
    if size(&node) > ELEMENTS_MAX {
        return Err("it is too long".to_owned());
    }
    Ok(Tree { node, fields, groups })
}

/// How many elements there are when repetitions are put out.
fn size(node: &Node) -> usize {
    match node {
        Node::Set(_) | Node::Place(_) | Node::Field(..) | Node::Again(_) => 1,
        Node::Sequence(nodes) | Node::Either(nodes) => nodes.iter().map(size).fold(1, usize::saturating_add),
        Node::Repeat { node, least, most, .. } => {
            size(node).saturating_mul((*least).max(most.unwrap_or(1)).max(1)).saturating_add(2)
        }
        Node::Group(_, node) | Node::Look { node, .. } => size(node).saturating_add(2),
    }
}

struct Reader<'p> {
    rest: &'p str,
    any_case: bool,
    fields: Vec<(Field, usize)>,
    names: Vec<(String, usize)>,
    groups: usize,
    depth: usize,
}

impl<'p> Reader<'p> {
    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest.strip_prefix(text);
        if let Some(rest) = found {
            self.rest = rest;
        }
        found.is_some()
    }

    fn take(&mut self) -> Option<char> {
        let first = self.rest.chars().next()?;
        self.rest = self.rest.get(first.len_utf8()..).unwrap_or_default();
        Some(first)
    }

    fn either(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("its groups lie in each other too deep".to_owned());
        }
        let mut branches = vec![self.sequence()?];
        while self.eat("|") {
            branches.push(self.sequence()?);
        }
        self.depth -= 1;
        Ok(if branches.len() == 1 { branches.swap_remove(0) } else { Node::Either(branches) })
    }

    fn sequence(&mut self) -> Result<Node, String> {
        let mut nodes = Vec::new();
        while !self.rest.is_empty() && !self.rest.starts_with(['|', ')']) {
            let node = self.element()?;
            nodes.push(self.repeated(node)?);
        }
        Ok(Node::Sequence(nodes))
    }

    fn repeated(&mut self, node: Node) -> Result<Node, String> {
        let (least, most) = match self.rest.chars().next() {
            Some('?') => (0, Some(1)),
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('{') => match count(self.rest) {
                Some((least, most, length)) => {
                    self.rest = self.rest.get(length..).unwrap_or_default();
                    return self.repeat(node, least, most);
                }
                None => return Ok(node),
            },
            _ => return Ok(node),
        };
        self.take();
        self.repeat(node, least, most)
    }

    fn repeat(&mut self, node: Node, least: usize, most: Option<usize>) -> Result<Node, String> {
        if most.is_some_and(|most| most < least) {
            return Err("a repetition ends before it begins".to_owned());
        }
        let greedy = !self.eat("?");
        if self.rest.starts_with(['+', '*']) {
            return Err("a repetition of a repetition".to_owned());
        }
        Ok(Node::Repeat { node: Box::new(node), least, most, greedy })
    }

    fn element(&mut self) -> Result<Node, String> {
        let Some(first) = self.take() else { return Ok(Node::Sequence(Vec::new())) };
        Ok(match first {
            '%' => return self.field(),
            '(' => return self.group(),
            '[' => return self.class(),
            '\\' => return self.escape(),
            '.' => Node::Set(Set::of(|byte| byte != b'\n')),
            '^' => Node::Place(Place::Start),
            '$' => Node::Place(Place::End),
            '?' | '*' | '+' => return Err(format!("nothing stands before `{first}`")),
            c => self.character(c),
        })
    }

    fn character(&self, c: char) -> Node {
        let mut bytes = [0; 4];
        let one = |byte: &u8| {
            let set = Set::of(|other| other == *byte);
            Node::Set(if self.any_case { set.in_any_case() } else { set })
        };
        let mut nodes: Vec<Node> = c.encode_utf8(&mut bytes).as_bytes().iter().map(one).collect();
        if nodes.len() == 1 { nodes.swap_remove(0) } else { Node::Sequence(nodes) }
    }

    fn field(&mut self) -> Result<Node, String> {
        if self.eat("%") {
            return Ok(self.character('%'));
        }
        let (field, length) = Field::named(self.rest).ok_or_else(|| {
            let named: String = self.rest.chars().take(3).collect();
            format!("there is no field `%{named}`")
        })?;
        self.rest = self.rest.get(length..).unwrap_or_default();
        self.groups += 1;
        self.fields.push((field, self.groups));
        Ok(Node::Field(field, self.groups))
    }

    fn group(&mut self) -> Result<Node, String> {
        let look = [("?=", false, false), ("?!", false, true), ("?<=", true, false), ("?<!", true, true)];
        if let Some((_, behind, not)) = look.iter().find(|(sign, ..)| self.rest.starts_with(sign)) {
            self.take();
            while self.rest.starts_with(['<', '=', '!']) && !self.eat("=") && !self.eat("!") {
                self.take();
            }
            let node = Box::new(self.closed()?);
            return Ok(Node::Look { node, behind: *behind, not: *not });
        }
        if self.eat("?:") {
            return self.closed();
        }
        if self.eat("?P=") {
            let (name, rest) = self.rest.split_once(')').ok_or("a group is not closed")?;
            self.rest = rest;
            let group = self.names.iter().find(|(known, _)| known == name).map(|(_, group)| *group);
            return group.map(Node::Again).ok_or_else(|| format!("there is no group `{name}` before this"));
        }
        self.groups += 1;
        let group = self.groups;
        if self.eat("?P<") {
            let (name, rest) = self.rest.split_once('>').ok_or("the name of a group is not closed")?;
            self.rest = rest;
            self.names.push((name.to_owned(), group));
            self.fields.extend(Field::of_group(name).map(|field| (field, group)));
        } else if self.rest.starts_with('?') {
            return Err("a kind of group that no date pattern has".to_owned());
        }
        Ok(Node::Group(group, Box::new(self.closed()?)))
    }

    fn closed(&mut self) -> Result<Node, String> {
        let node = self.either()?;
        if self.eat(")") { Ok(node) } else { Err("a group is not closed".to_owned()) }
    }

    fn escape(&mut self) -> Result<Node, String> {
        let Some(escaped) = self.take() else { return Err("a backslash at the end".to_owned()) };
        Ok(match escaped {
            'b' => Node::Place(Place::Edge),
            'B' => Node::Place(Place::NoEdge),
            'A' => Node::Place(Place::Start),
            'Z' => Node::Place(Place::End),
            digit @ '1'..='9' => {
                let group = usize::from(u8::try_from(digit).unwrap_or_default() - b'0');
                if group > self.groups {
                    return Err(format!("there is no group {group} before this"));
                }
                Node::Again(group)
            }
            c => match shorthand(c) {
                Some(set) => Node::Set(set),
                None if c.is_ascii_alphanumeric() => return Err(format!("`\\{c}` means nothing here")),
                None => self.character(c),
            },
        })
    }

    fn class(&mut self) -> Result<Node, String> {
        let inverted = self.eat("^");
        let mut set = Set::default();
        let mut first = true;
        loop {
            let Some(c) = self.take() else { return Err("a class is not closed".to_owned()) };
            if c == ']' && !first {
                break;
            }
            first = false;
            let low = match c {
                '\\' => {
                    let escaped = self.take().ok_or("a class is not closed")?;
                    match shorthand(escaped) {
                        Some(short) if !matches!(escaped, 't' | 'n' | 'r') => {
                            set.join(&short);
                            continue;
                        }
                        Some(_) => control(escaped),
                        None => escaped,
                    }
                }
                c => c,
            };
            let mut high = low;
            let mut ahead = self.rest.chars();
            if ahead.next() == Some('-') && ahead.next().is_some_and(|next| next != ']') {
                self.take();
                high = self.take().unwrap_or(low);
                if high == '\\' {
                    high = self.take().unwrap_or(low);
                }
            }
            span(&mut set, low, high)?;
        }
        let set = if self.any_case { set.in_any_case() } else { set };
        Ok(Node::Set(if inverted { set.inverted() } else { set }))
    }
}

/// Adds the characters from one to another. One that is no ASCII is any byte that is none: a class takes single bytes.
fn span(set: &mut Set, low: char, high: char) -> Result<(), String> {
    if low > high {
        return Err(format!("a range that ends before it begins: {low}-{high}"));
    }
    let byte = |c: char| u8::try_from(c).ok().filter(u8::is_ascii);
    match (byte(low), byte(high)) {
        (Some(low), Some(high)) => (low..=high).for_each(|byte| set.add(byte)),
        (Some(low), None) => (low..=u8::MAX).for_each(|byte| set.add(byte)),
        (None, _) => (0x80..=u8::MAX).for_each(|byte| set.add(byte)),
    }
    Ok(())
}

/// The set that a letter behind a backslash is.
fn shorthand(c: char) -> Option<Set> {
    let space = |byte: u8| matches!(byte, b' ' | b'\t'..=b'\r');
    Some(match c {
        'd' => Set::of(|byte| byte.is_ascii_digit()),
        'D' => Set::of(|byte| !byte.is_ascii_digit()),
        'w' => Set::of(is_word),
        'W' => Set::of(|byte| !is_word(byte)),
        's' => Set::of(space),
        'S' => Set::of(|byte| !space(byte)),
        't' | 'n' | 'r' => Set::of(|byte| char::from(byte) == control(c)),
        _ => return None,
    })
}

fn control(c: char) -> char {
    match c {
        't' => '\t',
        'n' => '\n',
        'r' => '\r',
        c => c,
    }
}

/// `{2}`, `{2,}`, `{,3}` or `{2,3}` at the beginning: how often, and how long it is.
fn count(text: &str) -> Option<(usize, Option<usize>, usize)> {
    let (inner, _) = text.strip_prefix('{')?.split_once('}')?;
    let length = inner.len() + 2;
    let (least, most) = inner.split_once(',').unwrap_or((inner, inner));
    if least.is_empty() && most.is_empty() {
        return None;
    }
    let least = if least.is_empty() { 0 } else { least.parse().ok()? };
    let most = if most.is_empty() { None } else { Some(most.parse().ok()?) };
    Some((least, most, length))
}
