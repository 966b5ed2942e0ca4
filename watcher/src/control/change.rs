//! Answers that change something, over the control socket alone. Each is given once it is written to the database.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Json;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::control::Command;
use crate::control::api::{
    AllowRequest, Allows, BanRequest, Bans, ExplainRequest, Explained, Message, SubjectsRequest, UnbanRequest,
};
use crate::control::read::{flush, wrong};
use crate::control::routes::Refused;
use crate::control::server::Shared;

type Answer<T> = Result<Json<T>, Refused>;

pub(super) async fn ban(State(shared): State<Shared>, body: Bytes) -> Answer<Bans> {
    change(&shared, &body, |request: BanRequest, back| Command::Ban(request, back)).await
}

pub(super) async fn unban(State(shared): State<Shared>, body: Bytes) -> Answer<Bans> {
    change(&shared, &body, |request: UnbanRequest, back| Command::Unban(request, back)).await
}

pub(super) async fn allow(State(shared): State<Shared>, body: Bytes) -> Answer<Allows> {
    change(&shared, &body, |request: AllowRequest, back| Command::Allow(request, back)).await
}

pub(super) async fn disallow(State(shared): State<Shared>, body: Bytes) -> Answer<Allows> {
    change(&shared, &body, |request: SubjectsRequest, back| Command::Disallow(request, back)).await
}

pub(super) async fn confirm(State(shared): State<Shared>, body: Bytes) -> Answer<Bans> {
    change(&shared, &body, |request: SubjectsRequest, back| Command::Confirm(request, back)).await
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

async fn change<R: DeserializeOwned, A>(
    shared: &Shared,
    body: &[u8],
    command: impl FnOnce(R, oneshot::Sender<A>) -> Command,
) -> Answer<A> {
    let request = parse(body)?;
    let answer = shared.commands.ask(|back| command(request, back)).await?;
    flush(shared).await;
    Ok(Json(answer))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))
}
