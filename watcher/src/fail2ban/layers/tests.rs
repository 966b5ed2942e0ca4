use std::collections::BTreeMap;

use super::*;
use crate::fail2ban::definition::Definition;

/// Files of a test, under `/f`.
pub(crate) struct Files(BTreeMap<PathBuf, String>);

impl Files {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let file = |(name, text): &(&str, &str)| (Path::new("/f").join(name), (*text).to_owned());
        Files(files.iter().map(file).collect())
    }
}

impl Tree for Files {
    fn read(&self, path: &Path) -> Option<io::Result<String>> {
        self.0.get(path).cloned().map(Ok)
    }

    fn list(&self, directory: &Path, extension: &str) -> Vec<PathBuf> {
        let is_in = |path: &&PathBuf| {
            path.parent() == Some(directory) && path.extension().is_some_and(|found| found == extension)
        };
        self.0.keys().filter(is_in).cloned().collect()
    }
}

/// The value of `a` in `[Definition]` of `/f/x.conf`, or the mistake.
#[track_caller]
fn check(files: &[(&str, &str)], expected: Result<&str, &str>) {
    let layers = Layers::read(&Files::new(files), Path::new("/f/x"));
    let value = layers.and_then(|layers| {
        let value = layers.get("Definition", "a", &Variables::new()).map_err(|mistake| *mistake)?;
        Ok(value.unwrap_or_default())
    });
    let value = value.map_err(|mistakes| mistakes.to_string());
    assert_eq!(value.as_deref().map_err(String::as_str), expected);
}

#[test]
fn a_later_file_goes_before_an_earlier_one() {
    let conf = ("x.conf", "[Definition]\na = conf\n");
    let more = ("x.d/1.conf", "[Definition]\na = %(known/a)s 1\n");
    let local = ("x.local", "[Definition]\na = local\n");
    let last = ("x.d/9.local", "[Definition]\na = %(known/a)s last\n");
    check(&[conf], Ok("conf"));
    check(&[conf, more], Ok("conf 1"));
    check(&[conf, more, local], Ok("local"));
    check(&[conf, more, local, last], Ok("local last"));
}

#[test]
fn includes_stand_before_and_after() {
    let conf = ("x.conf", "[INCLUDES]\nbefore = b.conf\nafter = c.local\n[Definition]\na = x%(q)s\n");
    check(&[conf, ("b.conf", "[DEFAULT]\nq = b\n[Definition]\na = b\n")], Ok("xb"));
    check(&[conf, ("b.conf", "[DEFAULT]\nq = b\n"), ("c.local", "[Definition]\na = c\n")], Ok("c"));
    check(&[conf, ("b.conf", "[DEFAULT]\nq = b\n"), ("b.local", "[DEFAULT]\nq = B\n")], Ok("xB"));
    check(&[conf], Err("/f/x.conf:2:1: there is no file /f/b.conf"));
    check(&[("x.conf", "[INCLUDES]\nbefore = x.conf\n[Definition]\na = 1\n")], Ok("1"));
}

#[test]
fn values_take_in_those_of_their_section_of_others_and_of_the_defaults() {
    let text = "[DEFAULT]\nd = D\n[s]\no = S%(p)s\np = P\n[Definition]\np = p\na = %(p)s %(d)s %(s/o)s %(default/d)s %% %(__name__)s\n";
    check(&[("x.conf", text)], Ok("p D Sp D % Definition"));
}

#[test]
fn what_is_not_there_or_has_no_end_is_told_at_its_place() {
    check(&[("x.conf", "[Definition]\n\na = %(b)s\n")], Err("/f/x.conf:3:1: `a`: there is no `b` for %(b)s"));
    check(
        &[("x.conf", "[Definition]\na = %(a)s\n")],
        Err("/f/x.conf:2:1: `a`: the values ask for each other without an end"),
    );
    check(
        &[("x.conf", "[Definition]\na = 100%\n")],
        Err("/f/x.conf:2:1: `a`: a single % is neither %(name)s nor %%"),
    );
    check(&[], Err("/f/x.conf:1:1: there is no such file"));
}

#[test]
fn a_value_that_grows_without_measure_is_refused() {
    let mut text = String::from("[Definition]\nz = 0123456789\n");
    for (name, of) in
        ["y", "x", "w", "v", "u", "t", "s", "a"].iter().zip(["z", "y", "x", "w", "v", "u", "t", "s"])
    {
        text.push_str(&format!("{name} = {}\n", format!("%({of})s").repeat(10)));
    }
    check(&[("x.conf", &text)], Err("/f/x.conf:10:1: `a`: it is longer than 1048576 bytes"));
}

#[track_caller]
fn failregex(parameters: &[(&str, &str)], text: &str, expected: &[&str]) {
    let given: Vec<(String, String)> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let files = Files::new(&[("x.conf", text)]);
    let definition = Definition::read(&files, Path::new("/f/x.conf"), &given).unwrap();
    assert_eq!(definition.failregex, expected);
}

#[test]
fn parameters_go_before_what_a_filter_says() {
    let text = "[Definition]\nfailregex = ^<pre>%(mode)s <re-<mode>> <HOST>$\n    ^b$\nre-one = 1\nre-two = 2\nmode = one\n[Init]\npre = p\n";
    failregex(&[], text, &["^pone 1 <HOST>$", "^b$"]);
    failregex(&[("mode", "two")], text, &["^ptwo 2 <HOST>$", "^b$"]);
    failregex(&[("pre", "<known/pre>q")], text, &["^pqone 1 <HOST>$", "^b$"]);
    failregex(&[("failregex", "^c$")], text, &["^c$"]);
}

#[test]
fn what_holds_under_a_condition_alone_is_not_taken() {
    failregex(
        &[],
        "[Init]\nn = 4\n[Init?family=inet6]\nn = 6\n[Definition]\nfailregex = ^<x>$\nx = y\n",
        &["^y$"],
    );
}

#[test]
fn a_local_file_that_includes_its_own_neighbour_is_read_once() {
    let local = "[INCLUDES]\nbefore = x.other\n[Definition]\na = local\n";
    check(&[("x.conf", "[Definition]\na = conf\n"), ("x.local", local), ("x.other", "")], Ok("local"));
}

#[test]
fn files_that_include_each_other_too_deep_are_a_mistake() {
    let names: Vec<String> =
        (0..60).map(|n| if n == 0 { "x.conf".to_owned() } else { format!("{n}.conf") }).collect();
    let texts: Vec<String> = (1..=60).map(|n| format!("[INCLUDES]\nbefore = {n}.conf\n")).collect();
    let files: Vec<(&str, &str)> = names.iter().zip(&texts).map(|(name, text)| (&**name, &**text)).collect();
    check(&files, Err("/f/50.conf:1:1: files include each other more than 50 deep"));
}
