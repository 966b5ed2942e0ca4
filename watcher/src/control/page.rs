//! A list of bans as it goes out: sorted once, written piece by piece as the client takes it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame};
use logline::Timestamp;

use crate::control::api::{BanView, ListQuery, Mark, Order};
use crate::engine::Lease;
use crate::subject::Subject;

/// A piece is about so large; a million bans are never one text in memory.
const PIECE_BYTES: usize = 64 * 1024;

/// Who wants a page is kept no more than so many times its bans.
const GATHERED_TIMES: usize = 8;
/// But so many in any case.
const GATHERED_MIN: usize = 4096;

/// The bans of a page, as they come in; those that others come before are let go.
pub(super) struct Gathered {
    bans: Vec<(Subject, Lease)>,
    order: Order,
    after: Option<Mark>,
    limit: Option<usize>,
    total: usize,
}

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

impl Gathered {
    /// For what was asked for; in words, what is wrong with that.
    pub(super) fn new(query: &ListQuery) -> Result<Gathered, String> {
        let after = query.after.as_deref().map(str::parse::<Mark>).transpose()?;
        let order = query.order.unwrap_or_default();
        Ok(Gathered { bans: Vec::new(), order, after, limit: query.limit, total: 0 })
    }

    /// More of them, in no order.
    pub(super) fn add(&mut self, bans: Vec<(Subject, Lease)>) {
        self.total += bans.len();
        let Gathered { order, after, .. } = self;
        let is_after = |(subject, lease): &(Subject, Lease)| {
            after.as_ref().is_none_or(|after| after.is_before(*order, (subject, lease)))
        };
        self.bans.extend(bans.into_iter().filter(is_after));
        if let Some(limit) = self.limit
            && self.bans.len() > limit.saturating_mul(GATHERED_TIMES).max(GATHERED_MIN)
        {
            // One more than the page has, which tells that there is a next one.
            let order = self.order;
            self.bans.select_nth_unstable_by(limit, |a, b| order.compare((&a.0, &a.1), (&b.0, &b.1)));
            self.bans.truncate(limit + 1);
        }
    }

    /// The page.
    pub(super) fn page(self, now: Timestamp) -> Page {
        let Gathered { mut bans, order, limit, total, .. } = self;
        bans.sort_unstable_by(|a, b| order.compare((&a.0, &a.1), (&b.0, &b.1)));
        let mut next = None;
        if let Some(limit) = limit
            && bans.len() > limit
        {
            bans.truncate(limit);
            next = bans.last().map(|(subject, lease)| Mark::of(order, (subject, lease)).to_string());
        }
        Page { bans: bans.into_iter(), now, total, next, written: Written::Nothing }
    }
}

impl Page {
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
        let mut gathered = Gathered::new(query).unwrap();
        for part in bans(count).chunks(97) {
            gathered.add(part.to_vec());
        }
        let mut page = gathered.page(NOW);
        let pieces: Vec<Vec<u8>> = std::iter::from_fn(|| page.piece()).collect();
        serde_json::from_slice(&pieces.concat()).unwrap()
    }

    #[test]
    fn pages_of_any_size_together_are_the_whole_list() {
        // The last are so many that those which a page has no room for are let go while they come in.
        for (count, limits) in
            [(0, [1, 7]), (1, [1, 7]), (500, [1, 7]), (500, [499, 500]), (9000, [500, 8999])]
        {
            let whole = read(count, &ListQuery::default());
            assert_eq!(
                (whole.bans.len(), whole.total, whole.next),
                (count as usize, Some(count as usize), None)
            );
            for limit in limits {
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
        let mut gathered = Gathered::new(&ListQuery::default()).unwrap();
        gathered.add(bans(10_000));
        let mut page = gathered.page(NOW);
        let pieces: Vec<usize> = std::iter::from_fn(|| page.piece()).map(|piece| piece.len()).collect();
        assert!(pieces.len() > 10 && pieces.iter().all(|len| *len < 2 * PIECE_BYTES), "{pieces:?}");
    }
}
