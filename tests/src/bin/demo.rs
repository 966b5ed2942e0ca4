//! `make demo`: shows an attack and its end. Exits 0 only if every step happened.
//!
//! Usage: `demo [PICTURE]`: where the picture of the page goes.

use std::path::PathBuf;
use std::process::ExitCode;

use e2e::{demo, namespace};

fn main() -> ExitCode {
    let picture = std::env::args_os().nth(1).map(PathBuf::from);
    match namespace::enter().and_then(|()| demo::play(picture.as_deref(), &mut |_, _| Ok(()))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody can be told that standard error is closed.
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("demo: {error:#}\n"));
            ExitCode::from(2)
        }
    }
}
