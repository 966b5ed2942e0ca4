//! Long requests and long answers in portions: the engine deals with one in a few milliseconds, and with lines, bans and
//! other people's questions before the next.

use std::collections::VecDeque;
use std::sync::Arc;

use logline::Timestamp;
use tokio::sync::oneshot;

use crate::control::Command;
use crate::control::api::Filter;
use crate::control::command::{Busy, Listed, Portion, Telling};
use crate::control::server::Shared;
use crate::engine::Lease;
use crate::news::AT_ONCE_MAX;
use crate::subject::Subject;

/// So many are dealt with in one go.
const PORTION: usize = 500;

/// So many portions are under way at once: while one is written to the disk, the next is prepared.
const AHEAD: usize = 4;

/// Has the engine do something about each of these, a portion at a time; `take` is given what came of each.
pub(super) async fn portions<T, A>(
    shared: &Shared,
    items: Vec<T>,
    command: impl Fn(Portion<T>, oneshot::Sender<A>) -> Command,
    mut take: impl FnMut(A),
) -> Result<(), Busy> {
    let news = if items.len() > AT_ONCE_MAX { Telling::Number } else { Telling::Each };
    let mut under_way: VecDeque<oneshot::Receiver<A>> = VecDeque::new();
    let mut items = items.into_iter();
    loop {
        let portion: Vec<T> = items.by_ref().take(PORTION).collect();
        let is_last = portion.is_empty();
        if !is_last {
            let portion = Portion { items: portion, news };
            under_way.push_back(shared.commands.put(|back| command(portion, back)).await?);
        }
        while under_way.len() >= AHEAD || is_last {
            let Some(answer) = under_way.pop_front() else { return Ok(()) };
            take(answer.await.map_err(|_| Busy)?);
            // Whoever else asks has his turn.
            tokio::task::yield_now().await;
        }
    }
}

/// The bans that a filter leaves, in no order. One that stands all the while is there once.
pub(super) async fn listed(shared: &Shared, filter: Filter) -> Result<Vec<(Subject, Lease)>, Busy> {
    let mut all = Vec::new();
    each_listed(shared, filter, |bans| all.extend(bans)).await?;
    Ok(all)
}

/// The same, given on part by part; and when the last of them was so.
pub(super) async fn each_listed(
    shared: &Shared,
    filter: Filter,
    mut take: impl FnMut(Vec<(Subject, Lease)>),
) -> Result<Timestamp, Busy> {
    let filter = Arc::new(filter);
    let mut under_way = VecDeque::new();
    let mut now = std::time::SystemTime::now().into();
    for part in 0.. {
        let question = |back| Command::List(part, Arc::clone(&filter), back);
        under_way.push_back(shared.commands.put(question).await?);
        if under_way.len() < AHEAD {
            continue;
        }
        let Some(answer) = under_way.pop_front() else { continue };
        // Those that are under way then are of parts that there are not.
        let Some(Listed { at, bans }) = answer.await.map_err(|_| Busy)? else { break };
        now = at;
        take(bans);
    }
    Ok(now)
}
