//! Any bytes as what a client sends, in one piece and byte by byte: the session says, notes and keeps the same. The first
//! byte chooses the service.
#![no_main]

use fuzz::Play;
use libfuzzer_sys::fuzz_target;
use smtpd::session::Service;

fn play(service: Service, said: &[u8], piece: usize) -> Vec<u8> {
    let mut play = Play::open(service);
    for piece in said.chunks(piece) {
        play.hear(piece);
    }
    play.close();
    play.transcript
}

fuzz_target!(|said: &[u8]| {
    let Some((choice, said)) = said.split_first() else { return };
    let service = if choice % 2 == 0 { Service::Smtp } else { Service::Submission };
    let (bytes, whole) = (play(service, said, 1), play(service, said, usize::MAX));
    // AUTH and STARTTLS take note of what came behind them in the same piece.
    let is_pieced = |word: &[u8]| said.to_ascii_uppercase().windows(word.len()).any(|found| found == word);
    if !is_pieced(b"AUTH") && !is_pieced(b"STARTTLS") {
        assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&whole));
    }
});
