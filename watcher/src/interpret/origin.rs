//! Where a line stands among others, as far as that decides what it can be believed.
//!
//! The log of a mail server's gate is one stream: tcpserver and all that it starts write into it, and so, through a name
//! with a line feed in it, does a client. In such a stream an address must be connected, whatever line names it. A
//! program that writes under its own name, as syslog has it, is believed by itself: no client can put a line under it.

use crate::connections::Connections;
use crate::envelope::EnvelopeKind;
use crate::filter::Filter;

/// The envelope of a line, the program it names and that program's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin<'l> {
    pub(super) kind: EnvelopeKind,
    pub(super) program: Option<&'l [u8]>,
    pub(super) pid: Option<u32>,
}

/// Among which lines connections are told of.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Option<(EnvelopeKind, Option<Vec<u8>>)>);

/// What an address needs in order to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The line alone, where its shape lets no client put another address there.
    Line,
    /// A connection that is open.
    Connected,
}

impl Origin<'_> {
    /// What an address needs in a line that a filter reads; none where the line is another program's.
    pub(super) fn trust(self, filter: &Filter, gate: &Gate, connections: &Connections) -> Option<Trust> {
        if !filter.programs.cover(self.program) {
            return None;
        }
        Some(if self.is_in_gate(filter, gate, connections) { Trust::Connected } else { Trust::Line })
    }

    /// Whether a line of a program that a filter reads stands in the gate's stream, as far as that filter can tell.
    pub(super) fn is_in_gate(self, filter: &Filter, gate: &Gate, connections: &Connections) -> bool {
        let is_named = self.program.is_some() && filter.programs.are_named();
        !is_named && gate.has(self, connections)
    }
}

impl Gate {
    /// A connection was told of here.
    pub(super) fn stands_in(&mut self, origin: Origin<'_>) {
        if !self.is(origin) {
            self.0 = Some((origin.kind, origin.program.map(<[u8]>::to_vec)));
        }
    }

    fn is(&self, origin: Origin<'_>) -> bool {
        self.0
            .as_ref()
            .is_some_and(|(kind, program)| (*kind, program.as_deref()) == (origin.kind, origin.program))
    }

    /// Whether a line of this origin stands in the gate's stream. Where none was told of since the start, sessions that
    /// were open then say that there is one, and every line without a program may be in it.
    fn has(&self, origin: Origin<'_>, connections: &Connections) -> bool {
        match self.0 {
            Some(_) => self.is(origin),
            None => origin.program.is_none() && !connections.is_empty(),
        }
    }
}
