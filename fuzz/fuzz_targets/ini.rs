//! Any bytes as the files of a fail2ban filter, `.conf` and `.local` and what they include, 0xff between them: they are
//! read or refused with a place, within bounds, and nothing panics.
#![no_main]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use watcher::fail2ban::definition::Definition;
use watcher::fail2ban::layers::Tree;

const FILES: [&str; 4] = ["f/x.conf", "f/x.local", "f/common.conf", "f/x.d/one.conf"];

struct Memory(BTreeMap<PathBuf, String>);

impl Tree for Memory {
    fn read(&self, path: &Path) -> Option<io::Result<String>> {
        self.0.get(path).cloned().map(Ok)
    }

    fn list(&self, directory: &Path, extension: &str) -> Vec<PathBuf> {
        let is_there = |path: &&PathBuf| {
            path.parent() == Some(directory) && path.extension().is_some_and(|found| found == extension)
        };
        self.0.keys().filter(is_there).cloned().collect()
    }
}

fuzz_target!(|input: &[u8]| {
    let texts = input.split(|byte| *byte == 0xff).map(|text| String::from_utf8_lossy(text).into_owned());
    let tree = Memory(FILES.iter().map(PathBuf::from).zip(texts).collect());
    match Definition::read(&tree, Path::new(FILES[0]), &[("mode".to_owned(), "normal".to_owned())]) {
        Ok(definition) => {
            let again =
                Definition::read(&tree, Path::new(FILES[0]), &[("mode".to_owned(), "normal".to_owned())]);
            assert_eq!(again.ok(), Some(definition));
        }
        Err(mistakes) => assert!(!mistakes.to_string().is_empty()),
    }
});
