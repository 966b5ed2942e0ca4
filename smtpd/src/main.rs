//! The command `postern-smtpd`.

fn main() {}
