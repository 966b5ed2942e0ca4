//! A list of bans as it goes out: sorted once, written piece by piece as the client takes it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame};
use logline::Timestamp;

use crate::control::api::{BanView, ListQuery, Mark};
use crate::engine::Lease;
use crate::subject::Subject;

/// A piece is about so large; a million bans are never one text in memory.
const PIECE_BYTES: usize = 64 * 1024;

/// The body of the answer.
pub(super) struct Page {
    bans: std::vec::IntoIter<(Subject, Lease)>,
    now: Timestamp,
    total: usize,
    next: Option<String>,
    written: Written,
}

#[derive(Clone, Copy, PartialEq)]
enum Written {
    Nothing,
    Begun,
    All,
}

impl Page {
    /// The bans that were asked for, of all that the filter left.
    pub(super) fn of(
        mut bans: Vec<(Subject, Lease)>,
        query: &ListQuery,
        now: Timestamp,
    ) -> Result<Page, String> {
        let order = query.order.unwrap_or_default();
        let after = query.after.as_deref().map(str::parse::<Mark>).transpose()?;
        let total = bans.len();
        let mark = |(subject, lease): &(Subject, Lease)| Mark::of(order, subject, lease);
        if let Some(after) = after {
            bans.retain(|ban| mark(ban).compare(&after, order).is_gt());
        }
        let mut placed: Vec<_> = bans.into_iter().map(|ban| (mark(&ban), ban)).collect();
        placed.sort_unstable_by(|(a, _), (b, _)| a.compare(b, order));
        let mut next = None;
        if let Some(limit) = query.limit
            && placed.len() > limit
        {
            placed.truncate(limit);
            next = placed.last().map(|(mark, _)| mark.to_string());
        }
        let bans: Vec<_> = placed.into_iter().map(|(_, ban)| ban).collect();
        Ok(Page { bans: bans.into_iter(), now, total, next, written: Written::Nothing })
    }

    /// The next piece; nothing after the last one.
    fn piece(&mut self) -> Option<Vec<u8>> {
        let mut piece = Vec::new();
        match self.written {
            Written::All => return None,
            Written::Nothing => piece.extend_from_slice(b"{\"bans\":["),
            Written::Begun => {}
        }
        while piece.len() < PIECE_BYTES {
            let Some((subject, lease)) = self.bans.next() else {
                self.end(&mut piece);
                self.written = Written::All;
                return Some(piece);
            };
            let line = if self.written == Written::Nothing { "\n" } else { ",\n" };
            self.written = Written::Begun;
            piece.extend_from_slice(line.as_bytes());
            let view = BanView::of(&subject, &lease, &[], self.now);
            serde_json::to_writer(&mut piece, &view).expect("a buffer takes every write, and a ban is JSON");
        }
        Some(piece)
    }

    fn end(&self, piece: &mut Vec<u8>) {
        piece.extend_from_slice(format!("],\n\"total\":{}", self.total).as_bytes());
        if let Some(next) = &self.next {
            piece.extend_from_slice(
                format!(",\"next\":{}", serde_json::Value::from(next.as_str())).as_bytes(),
            );
        }
        piece.extend_from_slice(b"}\n");
    }
}

impl Body for Page {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.piece().map(|piece| Ok(Frame::data(piece.into()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::api::Bans;
    use crate::engine::Terms;
    use crate::jail::{Mode, Ports};

    const NOW: Timestamp = Timestamp::from_seconds(1000);

    fn bans(count: u32) -> Vec<(Subject, Lease)> {
        let ban = |n: u32| {
            let terms = Terms { jail: "j".into(), mode: Mode::Enforce, ports: Ports::All, reason: None };
            // Several end at the same time.
            let until = Timestamp::from_seconds(2000 + i64::from(n % 7));
            let lease = Lease { from: NOW, until, terms: terms.into(), before: 0 };
            (std::net::Ipv4Addr::from(n).to_string().parse().unwrap(), lease)
        };
        (0..count).map(ban).collect()
    }

    fn read(count: u32, query: &ListQuery) -> Bans {
        let mut page = Page::of(bans(count), query, NOW).unwrap();
        let pieces: Vec<Vec<u8>> = std::iter::from_fn(|| page.piece()).collect();
        serde_json::from_slice(&pieces.concat()).unwrap()
    }

    #[test]
    fn pages_of_any_size_together_are_the_whole_list() {
        for count in [0, 1, 500] {
            let whole = read(count, &ListQuery::default());
            assert_eq!(
                (whole.bans.len(), whole.total, whole.next),
                (count as usize, Some(count as usize), None)
            );
            for limit in [1, 7, 499, 500] {
                let mut query = ListQuery { limit: Some(limit), ..ListQuery::default() };
                let mut joined = Vec::new();
                loop {
                    let page = read(count, &query);
                    assert!(page.bans.len() <= limit);
                    joined.extend(page.bans);
                    let Some(next) = page.next else { break };
                    query.after = Some(next);
                }
                assert_eq!(joined, whole.bans);
            }
        }
    }

    #[test]
    fn a_long_list_comes_in_pieces() {
        let mut page = Page::of(bans(10_000), &ListQuery::default(), NOW).unwrap();
        let pieces: Vec<usize> = std::iter::from_fn(|| page.piece()).map(|piece| piece.len()).collect();
        assert!(pieces.len() > 10 && pieces.iter().all(|len| *len < 2 * PIECE_BYTES), "{pieces:?}");
    }
}
