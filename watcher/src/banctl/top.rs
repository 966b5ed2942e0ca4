//! `top`: the whole picture on one screen, and what happens as it happens.
//!
//! The picture ([`screen`]) and what a key means ([`state`]) are pure. Here are the terminal and three threads that fill
//! one bounded queue: what is typed, what happens, and the picture as a whole every few seconds.

mod screen;
mod state;

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::bail;
use hyper::Method;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use crate::banctl::ask::NO;
use crate::banctl::path_of;
use crate::control::api::{Bans, JailList, News, Status, UnbanRequest, Why};
use crate::control::client::{self, ClientError};
use crate::subject::Subject;
use state::{Picture, Told, View, Wish};

/// The picture is asked for anew so often.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// No more bans are shown: whoever wants all has `list`.
const BANS_SHOWN: usize = 1000;
/// So much may wait to be shown; what is told waits then, and the watcher drops who waits too long.
const WAITING_MAX: usize = 256;
/// Who was dropped listens again after this.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// The ages on the screen go on even where nothing happens.
const DRAW_EVERY: Duration = Duration::from_millis(500);

/// Shows it until it is left.
pub(super) fn run(socket: &Path) -> anyhow::Result<ExitCode> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        bail!("top wants a terminal; for a program there are `list --json` and `status --json`");
    }
    // Who cannot ask is told so before the screen is taken.
    let first = look(socket)?;
    let (tell, told) = sync_channel(WAITING_MAX);
    let mut view = View::new(first);
    start(socket, &tell)?;
    let mut terminal = ratatui::try_init()?;
    let shown = show(&mut terminal, &mut view, socket, &tell, &told);
    ratatui::restore();
    shown?;
    Ok(if view.is_well() { ExitCode::SUCCESS } else { NO })
}

fn show(
    terminal: &mut DefaultTerminal,
    view: &mut View,
    socket: &Path,
    tell: &SyncSender<Told>,
    told: &Receiver<Told>,
) -> io::Result<()> {
    loop {
        terminal.draw(|frame| screen::draw(frame, view))?;
        let first = told.recv_timeout(DRAW_EVERY).ok();
        for told in first.into_iter().chain(told.try_iter().take(WAITING_MAX)) {
            match view.told(told) {
                Wish::Nothing => {}
                Wish::Leave => return Ok(()),
                Wish::Unban(subject) => aside(socket, tell, move |socket| unban(&socket, &subject)),
                Wish::Why(subject) => aside(socket, tell, move |socket| why(&socket, &subject)),
            }
        }
    }
}

/// Asks without keeping the screen waiting.
fn aside(socket: &Path, tell: &SyncSender<Told>, ask: impl FnOnce(PathBuf) -> Told + Send + 'static) {
    let (socket, tell) = (socket.to_owned(), tell.clone());
    // The screen may be gone by then.
    thread::spawn(move || drop(tell.send(ask(socket))));
}

fn unban(socket: &Path, subject: &Subject) -> Told {
    let request = UnbanRequest { subjects: vec![subject.to_string()], ..UnbanRequest::default() };
    let answer = ask::<Bans>(socket, Method::POST, "/v1/unban", Some(&request));
    Told::Said(match answer {
        Ok(bans) if bans.refused.is_empty() => format!("{subject} is let in again"),
        Ok(bans) => bans.refused.into_iter().map(|refusal| refusal.why).collect::<Vec<_>>().join("; "),
        Err(error) => error.to_string(),
    })
}

fn why(socket: &Path, subject: &Subject) -> Told {
    match ask::<Why>(socket, Method::GET, &format!("/v1/bans/{}", path_of(subject)), None) {
        Ok(why) => Told::Why(Box::new(why)),
        Err(error) => Told::Said(error.to_string()),
    }
}

/// The three that fill the queue. They end with the program.
fn start(socket: &Path, tell: &SyncSender<Told>) -> io::Result<()> {
    let (keys, looks, news) = (tell.clone(), tell.clone(), tell.clone());
    let (looking, listening) = (socket.to_owned(), socket.to_owned());
    thread::Builder::new().name("keys".into()).spawn(move || read_keys(&keys))?;
    thread::Builder::new().name("looks".into()).spawn(move || look_again(&looking, &looks))?;
    thread::Builder::new().name("news".into()).spawn(move || listen(&listening, &news))?;
    Ok(())
}

fn read_keys(tell: &SyncSender<Told>) {
    while let Ok(event) = event::read() {
        let told = match event {
            Event::Key(key) if key.kind == KeyEventKind::Press => Told::Key(key),
            Event::Resize(..) => Told::Redraw,
            _ => continue,
        };
        if tell.send(told).is_err() {
            return;
        }
    }
}

fn look_again(socket: &Path, tell: &SyncSender<Told>) {
    loop {
        thread::sleep(LOOK_EVERY);
        let told = match look(socket) {
            Ok(picture) => Told::Picture(Box::new(picture)),
            Err(error) => Told::Lost(error.to_string()),
        };
        if tell.send(told).is_err() {
            return;
        }
    }
}

fn look(socket: &Path) -> Result<Picture, ClientError> {
    Ok(Picture {
        status: ask::<Status>(socket, Method::GET, "/v1/status", None)?,
        jails: ask::<JailList>(socket, Method::GET, "/v1/jails", None)?.jails,
        bans: ask::<Bans>(socket, Method::GET, &format!("/v1/bans?order=newest&limit={BANS_SHOWN}"), None)?,
    })
}

fn listen(socket: &Path, tell: &SyncSender<Told>) {
    loop {
        let mut pending = Vec::new();
        let mut take = |piece: &[u8]| {
            pending.extend_from_slice(piece);
            while let Some(end) = pending.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = pending.drain(..end + 2).collect();
                if let Some(news) = news(&event)
                    && tell.send(Told::News(Box::new(news))).is_err()
                {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
            Ok(())
        };
        match blocking(client::copy(socket, "/v1/events", &mut take)) {
            Ok(Err(_)) => return,
            Ok(Ok(())) | Err(_) => thread::sleep(LISTEN_AGAIN),
        }
    }
}

/// What an event tells; none for one that tells nothing.
fn news(event: &[u8]) -> Option<News> {
    let data = event.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"data: "))?;
    serde_json::from_slice(data).ok()
}

fn ask<A: serde::de::DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<&UnbanRequest>,
) -> Result<A, ClientError> {
    blocking(client::ask(socket, method, path, body))
}

fn blocking<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a process that had one for its first question has another").block_on(work)
}
