//! `make demo`: shows an attack and its end. Exits 0 only if every step happened.

use std::process::ExitCode;

use e2e::{demo, namespace};

fn main() -> ExitCode {
    match namespace::enter().and_then(|()| demo::play()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody can be told that standard error is closed.
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("demo: {error:#}\n"));
            ExitCode::from(2)
        }
    }
}
