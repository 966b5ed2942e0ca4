//! Each test in a network of its own, which it may break as it likes and for which it needs no root.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

const INSIDE: &str = "POSTERN_TEST_INSIDE_NAMESPACE";

/// Runs the calling test's `body` as root of a network of its own.
#[track_caller]
pub(crate) fn in_namespace(body: impl FnOnce()) {
    unshared(&["--user", "--map-root-user", "--net"], || {
        run("ip", "link set lo up");
        body();
    });
}

/// Runs the calling test's `body` as one who has no capability, in the network that all share.
#[track_caller]
pub(crate) fn without_capabilities(body: impl FnOnce()) {
    unshared(&["--user"], body);
}

/// Starts the test binary again under `unshare`, for the calling test alone.
#[track_caller]
fn unshared(options: &[&str], body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let name = std::thread::current().name().expect("a test's thread is named for it").to_owned();
    let output = Command::new("unshare")
        .args(options)
        .arg("--")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare is needed (util-linux)");
    let (said, cried) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "in its namespace: {}\n{said}{cried}", output.status);
    assert!(said.contains("1 passed"), "{name} was not run in its namespace:\n{said}{cried}");
}

/// Runs a program with the words of `arguments`, gives what it prints.
#[track_caller]
pub(crate) fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split(' ')).output().expect(program);
    let cried = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {cried}");
    String::from_utf8(output.stdout).unwrap()
}

/// What the real `nft` says.
#[track_caller]
pub(crate) fn nft(arguments: &str) -> String {
    run("nft", arguments)
}

/// Gives this machine one more address, to be a client with.
#[track_caller]
pub(crate) fn add_address(address: &str) -> IpAddr {
    let flags = if address.contains(':') { " nodad" } else { "" };
    run("ip", &format!("address add {address} dev lo{flags}"));
    address.parse().unwrap()
}

/// A server on some port of this address.
#[track_caller]
pub(crate) fn listen(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((address.parse::<IpAddr>().unwrap(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Connects from one address of this machine to another, unless that takes longer than `patience`.
pub(crate) fn connect(from: IpAddr, to: SocketAddr, patience: Duration) -> Option<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    socket.connect_timeout(&to.into(), patience).ok()?;
    Some(socket.into())
}

/// Expects that one address can, or cannot, connect.
#[track_caller]
pub(crate) fn check_connects(from: IpAddr, to: SocketAddr, expected: bool) {
    // On loopback an answer comes within microseconds, or never.
    let patience = if expected { Duration::from_secs(5) } else { Duration::from_millis(150) };
    assert_eq!(connect(from, to, patience).is_some(), expected, "{from} to {to}");
}
