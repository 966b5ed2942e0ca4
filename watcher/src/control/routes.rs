//! Which path is answered by what: everything over the control socket, what changes nothing over the port as well.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{MethodRouter, get, post};

use crate::config::Token;
use crate::control::api::Message;
use crate::control::command::Busy;
use crate::control::server::Shared;
use crate::control::{change, read, web};

/// A request's body may be so large: more than 100,000 networks.
const BODY_BYTES_MAX: usize = 8 << 20;
/// From a request's head to the beginning of its answer; a body that takes longer to come is not waited for.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// What only asks.
fn reads() -> [(&'static str, MethodRouter<Shared>); 14] {
    [
        ("/v1/status", get(read::status)),
        ("/v1/bans", get(read::list)),
        ("/v1/bans/{*subject}", get(read::why)),
        ("/v1/history", get(read::history)),
        ("/v1/history/{*subject}", get(read::history_of)),
        ("/v1/test/{address}", get(read::test)),
        ("/v1/allow", get(read::allowed)),
        ("/v1/asked", get(read::asked)),
        ("/v1/quota", get(read::quota)),
        ("/v1/jails", get(read::jails)),
        ("/v1/events", get(read::events)),
        ("/v1/openapi.json", get(read::openapi)),
        ("/metrics", get(read::metrics)),
        ("/healthz", get(read::health)),
    ]
}

/// What changes something; and `explain`, whose question is too long for a path.
fn changes() -> [(&'static str, MethodRouter<Shared>); 7] {
    [
        ("/v1/bans", post(change::ban)),
        ("/v1/unban", post(change::unban)),
        ("/v1/allow", post(change::allow)),
        ("/v1/disallow", post(change::disallow)),
        ("/v1/confirm", post(change::confirm)),
        ("/v1/explain", post(change::explain)),
        ("/v1/reload", post(change::reload)),
    ]
}

/// For whoever may use the control socket.
pub(super) fn control(shared: Shared) -> Router {
    let all = reads().into_iter().chain(changes());
    finished(all.fold(Router::new(), |router, (path, answer)| router.route(path, answer)), shared)
}

/// For whoever reaches the port: nothing can be changed there, but by who knows the page's token.
pub(super) fn public(shared: Shared, token: Option<Token>) -> Router {
    let router = reads().into_iter().fold(Router::new(), |router, (path, answer)| router.route(path, answer));
    finished(router.merge(web::routes(token)).layer(from_fn(meant)), shared)
}

/// For whoever may not.
pub(super) fn forbidden() -> Router {
    Router::new().fallback(async || {
        refusal(StatusCode::FORBIDDEN, "only root and the group postern may ask the watcher")
    })
}

fn finished(router: Router<Shared>, shared: Shared) -> Router {
    router
        .fallback(async || {
            refusal(StatusCode::NOT_FOUND, "there is no such path; /v1/openapi.json has them all")
        })
        .method_not_allowed_fallback(async || {
            refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "nothing can be changed here: that is what the control socket is for",
            )
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(in_time))
        .with_state(shared)
}

async fn in_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(ANSWER_WAIT, next.run(request))
        .await
        .unwrap_or_else(|_| refusal(StatusCode::REQUEST_TIMEOUT, "that took too long"))
}

/// A page on the Internet can have a browser on this machine ask us under a name of its own, and read the answer: what
/// names people is told only to who asked for us. Metrics and health name nobody.
async fn meant(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if request.uri().path().starts_with("/v1/") && !host.is_none_or(is_ours) {
        return refusal(StatusCode::FORBIDDEN, "ask by address, as localhost, or by this machine's own name");
    }
    next.run(request).await
}

/// Whether `Host` names this machine in a way that nobody else can make a name mean.
fn is_ours(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let own = rustix::system::uname();
    bare.parse::<std::net::IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || own.nodename().to_str().is_ok_and(|own| name.eq_ignore_ascii_case(own))
}

fn refusal(status: StatusCode, why: &str) -> Response {
    Refused(status, why.to_owned()).into_response()
}

/// An answer that is none.
pub(super) struct Refused(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(Message { message: self.1 })).into_response()
    }
}

impl From<Busy> for Refused {
    fn from(busy: Busy) -> Self {
        Refused(StatusCode::SERVICE_UNAVAILABLE, busy.to_string())
    }
}

/// Every path with its method, for whoever describes them.
#[cfg(test)]
pub(super) fn all() -> Vec<(&'static str, &'static str)> {
    let reads = reads().map(|(path, _)| ("get", path));
    let changes = changes().map(|(path, _)| ("post", path));
    reads.into_iter().chain(changes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_else_can_point_at_us_are_ours() {
        for ours in ["127.0.0.1:9826", "127.0.0.1", "localhost:9826", "[::1]:9826", "[::1]", "192.0.2.7:80"] {
            assert!(is_ours(ours), "{ours}");
        }
        for others in
            ["evil.example", "evil.example:9826", "localhost.evil.example", "", "1.2.3.4.evil.example:1"]
        {
            assert!(!is_ours(others), "{others}");
        }
    }
}
