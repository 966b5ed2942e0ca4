//! The page for a browser: four files that are compiled in, which ask the API beside them and nobody else.
//!
//! It changes nothing, unless the configuration names a token; then a ban can be lifted by who knows it. A page of somebody
//! else's cannot do that: the token goes in a header that a browser sends to another host only after asking it, which we
//! never allow, and `Origin` must be ours.

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde_json::json;

use crate::config::Token;
use crate::control::change;
use crate::control::routes::Refused;
use crate::control::server::Shared;

/// Nothing but what we serve ourselves: a text of an attacker's that should come to stand as markup could load nothing,
/// run nothing and send nothing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Who guesses at the token waits.
const WRONG_TOKEN_WAIT: Duration = Duration::from_secs(1);

/// The header that carries the token.
const TOKEN: &str = "x-postern-token";

/// The page, and what it may change.
pub(super) fn routes(token: Option<Token>) -> Router<Shared> {
    let may_unban = token.is_some();
    let page = Router::new()
        .route("/", get(async || file("text/html; charset=utf-8", include_str!("web/index.html"))))
        .route("/app.js", get(async || file("text/javascript; charset=utf-8", include_str!("web/app.js"))))
        .route("/style.css", get(async || file("text/css; charset=utf-8", include_str!("web/style.css"))))
        .route("/icon.svg", get(async || file("image/svg+xml", include_str!("web/icon.svg"))))
        .route("/v1/page", get(async move || Json(json!({ "unban": may_unban }))));
    match token {
        None => page,
        Some(token) => {
            let unban = post(change::unban).layer(from_fn_with_state(token, knows_the_token));
            page.route("/v1/unban", unban)
        }
    }
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

async fn knows_the_token(State(token): State<Token>, request: Request, next: Next) -> Response {
    if !is_same_origin(request.headers()) {
        return Refused(StatusCode::FORBIDDEN, "that page is not ours".to_owned()).into_response();
    }
    let offered = request.headers().get(TOKEN).map(|value| value.as_bytes().to_vec());
    if !offered.is_some_and(|offered| token.is(&offered)) {
        tokio::time::sleep(WRONG_TOKEN_WAIT).await;
        return Refused(StatusCode::FORBIDDEN, "the token is wrong".to_owned()).into_response();
    }
    next.run(request).await
}

/// Whether the request comes from our own page, or from no page at all.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().unwrap_or_default();
    let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    host.is_some() && host == text(header::HOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(origin: Option<&'static str>, ours: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, header::HeaderValue::from_static("127.0.0.1:9826"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, header::HeaderValue::from_static(origin));
        }
        assert_eq!(is_same_origin(&headers), ours, "{origin:?}");
    }

    #[test]
    fn only_our_own_page_may_change_something() {
        check(None, true);
        check(Some("http://127.0.0.1:9826"), true);
        check(Some("http://127.0.0.1"), false);
        check(Some("http://evil.example"), false);
        check(Some("null"), false);
        check(Some(""), false);
    }

    #[test]
    fn nothing_in_the_page_makes_markup_of_text_or_needs_another_host() {
        let (page, script) = (include_str!("web/index.html"), include_str!("web/app.js"));
        let dangerous = [
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "new Function",
            "srcdoc",
            ".style",
        ];
        for word in dangerous {
            assert!(!script.contains(word), "{word}");
        }
        for word in ["style=", "onclick", "onload", "http://", "https://", "<style"] {
            assert!(!page.contains(word), "{word}");
        }
        let others = script.replace("http://www.w3.org/2000/svg", "");
        assert!(!others.contains("http://") && !others.contains("https://"));
        assert!(!include_str!("web/style.css").contains("url("));
    }
}
