//! Bans by hand on their way: what a person ordered stands in no log, so it is written before it is done, and a kill in
//! between leaves no ban in the kernel that nobody knows of. Lines are read meanwhile.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::control::Telling;
use crate::engine::Output;

/// A disk that is slower than that holds up no ban.
const WRITTEN_IN: Duration = Duration::from_millis(50);

/// Orders that are being written, in the order in which they were given.
#[derive(Debug, Default)]
pub(super) struct Orders(VecDeque<Order>);

/// One of them.
pub(super) struct Order {
    pub(super) outputs: Vec<Output>,
    pub(super) news: Telling,
    /// Tells whoever asked that it is done.
    pub(super) answer: Box<dyn FnOnce()>,
    written: Arc<AtomicBool>,
    due: Instant,
}

impl Orders {
    /// One more. What is given is to be set when it is written.
    pub(super) fn add(
        &mut self,
        outputs: Vec<Output>,
        news: Telling,
        answer: impl FnOnce() + 'static,
    ) -> Arc<AtomicBool> {
        let written = Arc::new(AtomicBool::new(false));
        let due = Instant::now() + WRITTEN_IN;
        self.0.push_back(Order {
            outputs,
            news,
            answer: Box::new(answer),
            written: Arc::clone(&written),
            due,
        });
        written
    }

    /// The next that is written, or has waited long enough.
    pub(super) fn take(&mut self, now: Instant) -> Option<Order> {
        self.0.pop_front_if(|order| order.written.load(Ordering::Acquire) || order.due <= now)
    }

    /// When the next is done whatever the disk says.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.0.front().map(|order| order.due)
    }

    /// All that are left, at the end.
    pub(super) fn take_all(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.0).into()
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("outputs", &self.outputs.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_done_when_it_is_written_and_in_any_case_soon() {
        let mut orders = Orders::default();
        let written = orders.add(Vec::new(), Telling::Each, || ());
        let _ = orders.add(Vec::new(), Telling::Number, || ());
        assert!(orders.take(Instant::now()).is_none());
        written.store(true, Ordering::Release);
        assert_eq!(orders.take(Instant::now()).map(|order| order.news), Some(Telling::Each));
        let due = orders.due_at().unwrap();
        assert!(orders.take(due - Duration::from_millis(1)).is_none());
        assert_eq!(orders.take(due).map(|order| order.news), Some(Telling::Number));
        assert!(orders.due_at().is_none() && orders.take_all().is_empty());
    }
}
