//! Answers about bans that wait for a word, budgets, and what an event would be.

use logline::Text;

use crate::control::api::{AskedList, AskedView, ExplainRequest, Explained, ExplainedJail, Message, Quotas};
use crate::event::{Event, Kind};
use crate::run::clock;
use crate::run::daemon::Daemon;
use crate::subject::Network;

impl Daemon {
    pub(super) fn asked(&self) -> AskedList {
        AskedList { asked: self.watch.engine.asked().map(AskedView::of).collect() }
    }

    pub(super) fn quota(&self) -> Quotas {
        Quotas { zones: self.watch.engine.book().view(clock()) }
    }

    pub(super) fn explain(&self, request: &ExplainRequest) -> Result<Explained, Message> {
        let now = clock();
        let kind: Kind = request.kind.parse().map_err(|message| Message { message })?;
        let network: Network = request.address.parse().map_err(|message| Message { message })?;
        let fields =
            request.fields.iter().map(|(name, value)| (name.as_str(), Text::from(value.as_str()))).collect();
        let address = Some(network.net().addr());
        let event = Event { kind, at: now, address, weight: 1, fields, line: b"" };
        let jails = self.watch.engine.explain(now, &event);
        Ok(Explained { jails: jails.iter().map(ExplainedJail::of).collect() })
    }
}
