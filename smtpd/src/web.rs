//! `/metrics` and `/healthz`.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::stop::Stop;
use crate::telemetry::Telemetry;

/// Serves until the server stops.
///
/// # Errors
/// Where the socket cannot be used.
pub async fn run(socket: std::net::TcpListener, telemetry: Arc<Telemetry>, mut stop: Stop) -> io::Result<()> {
    let socket = TcpListener::from_std(socket)?;
    tracing::info!(address = %socket.local_addr()?, "metrics");
    let pages = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .with_state(telemetry);
    axum::serve(socket, pages)
        .with_graceful_shutdown(async move {
            // A sender that is gone means the server is gone too.
            let () = stop.requested().await;
        })
        .await
}

async fn metrics(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], telemetry.metrics().text())
}
