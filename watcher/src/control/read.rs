//! Answers that change nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path as Segment, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};

use crate::control::Command;
use crate::control::api::{
    AllowView, Allows, AskedList, BanView, EvidenceView, Histories, HistoryQuery, HistoryView, JailList,
    ListQuery, Message, Quotas, Status, Tested, Why,
};
use crate::control::command::AllowDone;
use crate::control::page::Gathered;
use crate::control::portion::each_listed;
use crate::control::routes::Refused;
use crate::control::server::Shared;
use crate::store::{Reader, RecordFilter, StoreError, StoredBan};
use crate::subject::Subject;

/// `why` shows no more bans than this.
const BANS_SHOWN_MAX: u32 = 100;
/// Bans of the record in one answer, unless told otherwise, and at most.
const RECORD_SHOWN: u32 = 20;
const RECORD_SHOWN_MAX: u32 = 10_000;
/// The database is given so long to catch up before an answer says what is in it.
const FLUSH_WAIT: Duration = Duration::from_secs(2);
/// What the port and the socket answer, in the words of OpenAPI.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

type Asked<T> = Result<Query<T>, QueryRejection>;

pub(super) async fn status(State(shared): State<Shared>) -> Result<Json<Status>, Refused> {
    Ok(Json(shared.commands.ask(Command::Status).await?))
}

/// The engine's thread copies what the filter leaves, a part at a time, and no more: sorting and writing is done here.
pub(super) async fn list(State(shared): State<Shared>, query: Asked<ListQuery>) -> Result<Response, Refused> {
    let query = checked(query)?;
    let filter = query.filter().map_err(wrong)?;
    let mut gathered = Gathered::new(&query).map_err(wrong)?;
    let now = each_listed(&shared, filter, |bans| gathered.add(bans)).await?;
    let page = tokio::task::spawn_blocking(move || gathered.page(now)).await;
    let page = page.map_err(|error| broken(&error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::new(page)).into_response())
}

pub(super) async fn jails(State(shared): State<Shared>) -> Result<Json<JailList>, Refused> {
    Ok(Json(shared.commands.ask(Command::Jails).await?))
}

pub(super) async fn allowed(State(shared): State<Shared>) -> Result<Json<Allows>, Refused> {
    let AllowDone { allowed, .. } = shared.commands.ask(Command::Allowed).await?;
    let allowed = allowed.iter().map(|(network, entry)| AllowView::of(*network, entry)).collect();
    Ok(Json(Allows { allowed, refused: Vec::new() }))
}

pub(super) async fn asked(State(shared): State<Shared>) -> Result<Json<AskedList>, Refused> {
    Ok(Json(shared.commands.ask(Command::Asked).await?))
}

pub(super) async fn quota(State(shared): State<Shared>) -> Result<Json<Quotas>, Refused> {
    Ok(Json(shared.commands.ask(Command::Quota).await?))
}

pub(super) async fn test(
    State(shared): State<Shared>,
    Segment(address): Segment<String>,
) -> Result<Json<Tested>, Refused> {
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(wrong(format!("`{}` is no address", address.escape_debug())));
    };
    match shared.commands.ask(|back| Command::Test(address, back)).await? {
        Ok(tested) => Ok(Json(tested)),
        Err(Message { message }) => Err(Refused(StatusCode::INTERNAL_SERVER_ERROR, message)),
    }
}

/// The engine says who is banned, the database why: a database that is lost takes only the evidence with it.
pub(super) async fn why(
    State(shared): State<Shared>,
    Segment(subject): Segment<String>,
) -> Result<Json<Why>, Refused> {
    let subject: Subject = subject.parse().map_err(wrong)?;
    let mut why = shared.commands.ask(|back| Command::Why(subject, back)).await?;
    flush(&shared).await;
    let (subject, subjects) = (why.subject.clone(), why.bans.iter().map(|ban| ban.subject.clone()).collect());
    let read = recorded(&shared, move |reader| {
        let subjects: Vec<Subject> = subjects;
        Ok((reader.bans(&subjects, BANS_SHOWN_MAX)?, reader.count(&subject)?))
    });
    match read.await {
        Ok((found, on_record)) => {
            why.bans.iter_mut().for_each(|ban| ban.evidence = evidence(&found, ban));
            why.on_record = on_record;
        }
        Err(Refused(_, message)) => tracing::warn!("the evidence of a ban cannot be read: {message}"),
    }
    Ok(Json(why))
}

fn evidence(found: &[StoredBan], ban: &BanView) -> Vec<EvidenceView> {
    let stored = found.iter().find(|stored| stored.subject == ban.subject && *stored.lease.jail == *ban.jail);
    stored.map(|stored| stored.evidence.iter().map(EvidenceView::of).collect()).unwrap_or_default()
}

pub(super) async fn history(
    State(shared): State<Shared>,
    query: Asked<HistoryQuery>,
) -> Result<Json<Histories>, Refused> {
    record(&shared, None, checked(query)?).await
}

pub(super) async fn history_of(
    State(shared): State<Shared>,
    Segment(subject): Segment<String>,
    query: Asked<HistoryQuery>,
) -> Result<Json<Histories>, Refused> {
    let subject = subject.parse().map_err(wrong)?;
    record(&shared, Some(subject), checked(query)?).await
}

async fn record(
    shared: &Shared,
    subject: Option<Subject>,
    query: HistoryQuery,
) -> Result<Json<Histories>, Refused> {
    let since = query.since.as_deref().map(crate::control::api::instant).transpose().map_err(wrong)?;
    let limit = query.limit.unwrap_or(RECORD_SHOWN).min(RECORD_SHOWN_MAX);
    flush(shared).await;
    let filter = RecordFilter { subject, jail: query.jail, since };
    let found = recorded(shared, move |reader| reader.record(&filter, limit)).await?;
    let now = std::time::SystemTime::now().into();
    Ok(Json(Histories { bans: found.iter().map(|stored| HistoryView::of(stored, now)).collect() }))
}

/// Reads the database, on a thread that may wait for it.
async fn recorded<T: Send + 'static>(
    shared: &Shared,
    read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Refused> {
    let database = Arc::clone(&shared.database);
    let read = tokio::task::spawn_blocking(move || read(&Reader::open(&database)?)).await;
    read.map_err(|error| broken(&error))?
        .map_err(|error| Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

pub(super) async fn events(State(shared): State<Shared>) -> Result<Response, Refused> {
    let Some(feed) = shared.live.listen() else {
        return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, "too many listen already".to_owned()));
    };
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::new(feed)).into_response())
}

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

pub(super) async fn metrics(State(shared): State<Shared>) -> Response {
    // An engine that is busy for so long leaves the values as they were when somebody looked last.
    let _ = tokio::time::timeout(FLUSH_WAIT, shared.commands.ask(Command::Publish)).await;
    let body = shared.metrics.expose();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], body).into_response()
}

pub(super) async fn health(State(shared): State<Shared>) -> Response {
    match tokio::time::timeout(FLUSH_WAIT, shared.commands.ask(Command::Status)).await {
        Ok(Ok(status)) if status.ready => (StatusCode::OK, "ok\n").into_response(),
        Ok(Ok(_)) => (StatusCode::SERVICE_UNAVAILABLE, "bans are not yet in force\n").into_response(),
        Ok(Err(_)) | Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the engine does not answer\n").into_response()
        }
    }
}

/// Waits until what happened is written, so that what is answered now is still true after a crash.
pub(super) async fn flush(shared: &Shared) {
    let (done, written) = sync_channel(1);
    if shared.commands.send(Command::Flush(done)).is_ok() {
        // A disk that is slower than that delays the answer no longer; the ban itself is in force.
        let _ = tokio::task::spawn_blocking(move || written.recv_timeout(FLUSH_WAIT)).await;
    }
}

fn checked<T>(query: Asked<T>) -> Result<T, Refused> {
    query.map(|Query(query)| query).map_err(|error| wrong(error.body_text()))
}

/// The question is wrong.
pub(super) fn wrong(why: String) -> Refused {
    Refused(StatusCode::BAD_REQUEST, why)
}

fn broken(error: &tokio::task::JoinError) -> Refused {
    Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}
