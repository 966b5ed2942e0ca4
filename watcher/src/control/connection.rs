//! One connection of a client who may be slow, broken or hostile: everything that he can make us wait for or keep has a
//! limit.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};

/// So many connections to one listener at a time; others wait in the kernel's queue.
pub(super) const CONNECTIONS_MAX: usize = 64;
/// The head of a request, from its first byte to its last, and the pause before it.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// What a request's head may be as a whole.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Lines of a head.
const HEADERS_MAX: usize = 64;
/// Who takes nothing of an answer for so long is gone.
const WRITE_WAIT: Duration = Duration::from_secs(10);
/// Nobody stays longer, be he as lively as he may: whoever listens for events comes again.
const LIFE: Duration = Duration::from_secs(3600);

/// Answers one client until he or his time is over. His faults are his own: nobody is told of them.
pub(super) async fn serve<S>(stream: S, app: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    let stream = TokioIo::new(Patient { stream, stalled: None });
    let _ = timeout(LIFE, http.serve_connection(stream, TowerToHyperService::new(app))).await;
}

/// A stream whose other end has [`WRITE_WAIT`] to take something of what is written.
struct Patient<S> {
    stream: S,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// What became of an attempt to write, unless it was the last of too long a wait.
    fn judge<T>(&mut self, cx: &mut Context<'_>, attempt: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if attempt.is_ready() {
            self.stalled = None;
            return attempt;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_WAIT)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let attempt = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, attempt)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let attempt = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, attempt)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let attempt = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(cx, attempt)
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// What a client is answered who sends these bytes and then nothing; time passes by itself.
    async fn answer(bytes: &[u8]) -> String {
        let (mut client, server) = duplex(1 << 16);
        let app = Router::new().route("/", get(|| async { "x".repeat(1 << 20) }));
        let served = tokio::spawn(serve(server, app));
        // Who is refused at his head's beginning cannot write its end.
        let _ = client.write_all(bytes).await;
        let mut answer = Vec::new();
        // A connection that is reset has said what it had to say.
        let _ = client.read_to_end(&mut answer).await;
        served.await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[track_caller]
    fn check_status(answer: &str, status: &str) {
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{}", answer.get(..80).unwrap_or(answer));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_who_never_ends_his_request_is_let_go() {
        assert!(!answer(b"GET / HTTP/1.1\r\nHost: x\r\nX-").await.contains("200"));
        assert_eq!(answer(b"").await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_who_asks_and_stays_is_answered_and_let_go() {
        check_status(&answer(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await, "200");
    }

    #[tokio::test(start_paused = true)]
    async fn garbage_and_ten_thousand_headers_are_refused() {
        check_status(&answer(b"\x16\x03\x01\x02garbage\r\n\r\n").await, "400");
        let many = (0..10_000).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
        check_status(&answer(format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes()).await, "431");
        let long = "y".repeat(100_000);
        check_status(&answer(format!("GET / HTTP/1.1\r\nX: {long}\r\n\r\n").as_bytes()).await, "431");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_who_does_not_read_is_let_go() {
        let (mut client, server) = duplex(1024);
        let app = Router::new().route("/", get(|| async { "x".repeat(1 << 20) }));
        let served = tokio::spawn(serve(server, app));
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        served.await.unwrap();
        drop(client);
    }
}
