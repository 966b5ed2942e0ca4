//! Answers that change something, over the control socket alone. Each is given once it is written to the database.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Json;
use serde::de::DeserializeOwned;

use crate::control::Command;
use crate::control::api::{
    AllowRequest, AllowView, Allows, BanRequest, BanView, Bans, ExplainRequest, Explained, Filter, Message,
    Refusal, SubjectsRequest, UnbanRequest,
};
use crate::control::command::{AllowDone, AllowTerms, BanTerms, Done};
use crate::control::portion::{listed, portions};
use crate::control::read::{flush, wrong};
use crate::control::routes::Refused;
use crate::control::server::Shared;
use crate::jail::{JailName, MANUAL};
use crate::subject::{Network, Subject};

/// A ban by hand lasts no longer; every ban ends by itself.
const BAN_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);
/// An exemption by hand that ends lasts no longer; without an end it lasts until it is removed.
const ALLOW_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);
/// A note is kept up to this length.
const NOTE_CHARACTERS_MAX: usize = 500;

type Answer<T> = Result<Json<T>, Refused>;

pub(super) async fn ban(State(shared): State<Shared>, body: Bytes) -> Answer<Bans> {
    let BanRequest { subjects, for_seconds, jail, reason } = parse(&body)?;
    let (networks, refused) = read::<Network>(subjects);
    let jail: JailName = jail.as_deref().unwrap_or(MANUAL).into();
    let terms = Arc::new(BanTerms { length: Duration::from_secs(for_seconds).min(BAN_MAX), jail, reason });
    let mut answer = Bans { refused, ..Bans::default() };
    let order = |portion, back| Command::Ban(portion, Arc::clone(&terms), back);
    portions(&shared, networks, order, |done| add(&mut answer, done)).await?;
    flush(&shared).await;
    Ok(Json(answer))
}

pub(super) async fn unban(State(shared): State<Shared>, body: Bytes) -> Answer<Bans> {
    let UnbanRequest { subjects, jail, all } = parse(&body)?;
    let (subjects, refused) = read::<Subject>(subjects);
    let mut answer = Bans { refused, ..Bans::default() };
    if all || jail.is_some() {
        let none_in = jail.clone().filter(|_| !all);
        let whose = if all { Filter::default() } else { Filter::of_jail(jail.unwrap_or_default()) };
        let bans = listed(&shared, whose).await?;
        let bans: Vec<_> = bans.into_iter().map(|(subject, lease)| (subject, lease.jail.clone())).collect();
        if let (Some(subject), true) = (none_in, bans.is_empty()) {
            answer.refused.push(Refusal { subject, why: "nobody is banned by this jail".to_owned() });
        }
        portions(&shared, bans, Command::Lift, |done| add(&mut answer, done)).await?;
    }
    portions(&shared, subjects, Command::Unban, |done| add(&mut answer, done)).await?;
    flush(&shared).await;
    Ok(Json(answer))
}

pub(super) async fn allow(State(shared): State<Shared>, body: Bytes) -> Answer<Allows> {
    let AllowRequest { subjects, for_seconds, note } = parse(&body)?;
    let (networks, refused) = read::<Network>(subjects);
    let terms = Arc::new(AllowTerms {
        length: for_seconds.map(|seconds| Duration::from_secs(seconds).min(ALLOW_MAX)),
        note: note.map(|note| note.chars().take(NOTE_CHARACTERS_MAX).collect()),
    });
    let mut answer = Allows { refused, ..Allows::default() };
    let order = |portion, back| Command::Allow(portion, Arc::clone(&terms), back);
    portions(&shared, networks, order, |done| add_allowed(&mut answer, done)).await?;
    flush(&shared).await;
    Ok(Json(answer))
}

pub(super) async fn disallow(State(shared): State<Shared>, body: Bytes) -> Answer<Allows> {
    let SubjectsRequest { subjects, .. } = parse(&body)?;
    let (networks, refused) = read::<Network>(subjects);
    let mut answer = Allows { refused, ..Allows::default() };
    portions(&shared, networks, Command::Disallow, |done| add_allowed(&mut answer, done)).await?;
    flush(&shared).await;
    Ok(Json(answer))
}

pub(super) async fn confirm(State(shared): State<Shared>, body: Bytes) -> Answer<Bans> {
    let request: SubjectsRequest = parse(&body)?;
    let answer = shared.commands.ask(|back| Command::Confirm(request, back)).await?;
    flush(&shared).await;
    Ok(Json(answer))
}

pub(super) async fn explain(State(shared): State<Shared>, body: Bytes) -> Answer<Explained> {
    let request: ExplainRequest = parse(&body)?;
    match shared.commands.ask(|back| Command::Explain(request, back)).await? {
        Ok(explained) => Ok(Json(explained)),
        Err(Message { message }) => Err(wrong(message)),
    }
}

pub(super) async fn reload(State(shared): State<Shared>) -> Answer<Message> {
    match shared.commands.ask(Command::Reload).await? {
        Ok(message) => Ok(Json(message)),
        Err(Message { message }) => Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, message)),
    }
}

/// What was named, as far as it can be read, and why not where it cannot.
fn read<T: std::str::FromStr<Err = String>>(subjects: Vec<String>) -> (Vec<T>, Vec<Refusal>) {
    let (mut read, mut refused) = (Vec::with_capacity(subjects.len()), Vec::new());
    for subject in subjects {
        match subject.parse() {
            Ok(parsed) => read.push(parsed),
            Err(why) => refused.push(Refusal { subject, why }),
        }
    }
    (read, refused)
}

fn add(answer: &mut Bans, done: Done) {
    let Done { at, bans, refused } = done;
    answer.bans.extend(bans.iter().map(|(subject, lease)| BanView::of(subject, lease, &[], at)));
    answer.refused.extend(refused);
}

fn add_allowed(answer: &mut Allows, done: AllowDone) {
    answer.allowed.extend(done.allowed.iter().map(|(network, entry)| AllowView::of(*network, entry)));
    answer.refused.extend(done.refused);
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))
}
