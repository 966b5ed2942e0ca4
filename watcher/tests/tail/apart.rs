//! Tests that need a process of their own: to be measured, or to be root of file systems of their own.

use std::process::Command;

const APART: &str = "POSTERN_TEST_APART";

/// Runs the calling test's `body` in a process of its own, which `wrapper` starts.
#[track_caller]
pub(crate) fn apart(wrapper: &[&str], body: impl FnOnce()) {
    if std::env::var_os(APART).is_some() {
        return body();
    }
    let name = std::thread::current().name().expect("a test's thread is named for it").to_owned();
    let program = std::env::current_exe().unwrap();
    let mut words = wrapper.iter().map(std::ffi::OsStr::new).chain([program.as_os_str()]);
    let output = Command::new(words.next().unwrap())
        .args(words)
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(APART, "1")
        .output()
        .unwrap();
    let (said, cried) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "apart: {}\n{said}{cried}", output.status);
    assert!(said.contains("1 passed"), "{name} was not run:\n{said}{cried}");
}

/// The most memory that this process ever had, in bytes.
pub(crate) fn memory_bytes_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
