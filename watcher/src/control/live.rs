//! Live views: what happens, sent to whoever listens, as server-sent events.
//!
//! Who tells never waits. Each listener has a queue of its own; one that is full belongs to somebody who does not read
//! fast enough, and he is dropped: he may come again and ask for the whole picture.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::control::api::News;

/// So many may listen at a time.
const LISTENERS_MAX: usize = 32;
/// So many events may wait for one of them.
const WAITING_MAX: usize = 1024;
/// A line that says nothing is sent so often: it tells both ends that the other is still there.
const BEAT: Duration = Duration::from_secs(15);

/// Where it is told, and where it is listened to.
#[derive(Clone, Default)]
pub struct Live(Arc<Inner>);

#[derive(Default)]
struct Inner {
    listeners: Mutex<Vec<Sender<Bytes>>>,
    /// How many listen, so that nobody puts anything into words for nobody.
    heard_by: AtomicUsize,
    told: AtomicU64,
}

impl Live {
    /// Whether anybody listens.
    pub fn is_heard(&self) -> bool {
        self.0.heard_by.load(Ordering::Relaxed) > 0
    }

    /// Tells everybody who listens.
    pub fn tell(&self, news: &News) {
        let number = self.0.told.fetch_add(1, Ordering::Relaxed) + 1;
        let Ok(data) = serde_json::to_string(news) else { return };
        // JSON on one line holds no line break, which alone would end the field.
        let event = Bytes::from(format!("event: {}\nid: {number}\ndata: {data}\n\n", news.kind));
        let mut listeners = self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.try_send(event.clone()).is_ok());
        self.0.heard_by.store(listeners.len(), Ordering::Relaxed);
    }

    /// Listens from now on; none where too many do already.
    pub(super) fn listen(&self) -> Option<Feed> {
        let mut listeners = self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| !listener.is_closed());
        if listeners.len() >= LISTENERS_MAX {
            return None;
        }
        let (sender, receiver) = channel(WAITING_MAX);
        listeners.push(sender);
        self.0.heard_by.store(listeners.len(), Ordering::Relaxed);
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(Feed { receiver, beat, is_over: false })
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("heard_by", &self.0.heard_by).finish_non_exhaustive()
    }
}

/// The body of an answer that goes on until one of the two has had enough. Its first bytes come at once, so that who
/// listens knows that he does.
pub(super) struct Feed {
    receiver: Receiver<Bytes>,
    beat: Interval,
    is_over: bool,
}

impl Body for Feed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = |bytes| Poll::Ready(Some(Ok(Frame::data(bytes))));
        if self.is_over {
            return Poll::Ready(None);
        }
        match self.receiver.poll_recv(cx) {
            Poll::Ready(Some(event)) => return data(event),
            Poll::Ready(None) => {
                self.is_over = true;
                return data(Bytes::from_static(b"event: dropped\ndata: {}\n\n"));
            }
            Poll::Pending => {}
        }
        match self.beat.poll_tick(cx) {
            Poll::Ready(_) => data(Bytes::from_static(b":\n\n")),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::news::{Item, Topic};
    use logline::Timestamp;

    fn news(text: &str) -> News {
        Item::new(Topic::Reloaded, Timestamp::from_seconds(0), text).news
    }

    async fn next(feed: &mut Feed) -> Option<String> {
        let frame = feed.frame().await?.unwrap();
        Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn who_listens_hears_and_who_does_not_read_is_dropped() {
        let live = Live::default();
        assert!(!live.is_heard());
        let mut feed = live.listen().unwrap();
        assert!(live.is_heard());
        assert_eq!(next(&mut feed).await.unwrap(), ":\n\n");
        live.tell(&news("a\nb"));
        let told = next(&mut feed).await.unwrap();
        assert!(told.starts_with("event: reloaded\nid: 1\ndata: {"), "{told}");
        assert_eq!(told.matches('\n').count(), 4, "{told}");
        for _ in 0..=WAITING_MAX {
            live.tell(&news("more"));
        }
        assert!(!live.is_heard());
        for _ in 0..WAITING_MAX {
            assert!(next(&mut feed).await.unwrap().contains("more"));
        }
        assert_eq!(next(&mut feed).await.unwrap(), "event: dropped\ndata: {}\n\n");
        assert_eq!(next(&mut feed).await, None);
    }

    #[tokio::test]
    async fn no_more_may_listen_than_there_is_room_for_and_who_leaves_makes_room() {
        let live = Live::default();
        let mut feeds: Vec<Feed> = (0..LISTENERS_MAX).map(|_| live.listen().unwrap()).collect();
        assert!(live.listen().is_none());
        feeds.pop();
        assert!(live.listen().is_some());
    }
}
