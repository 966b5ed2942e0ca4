//! The loop around one session: it reads, writes, asks and waits, and decides nothing.

mod shared;

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::now;
use crate::metrics::Stage;
use crate::plugins::consult;
use crate::queue::Parcel;
use crate::session::{Ask, End, Envelope, Gone, Input, OpenAnswer, Output, Session, StoreAnswer};
use crate::stop::Stop;
use crate::wire::Wire;

pub(crate) use shared::Place;
pub use shared::{Current, Shared};

/// What is read at once. A session holds no more than this of what it has not understood yet, and half a line.
pub const READ_BYTES: usize = 8 * 1024;

thread_local! {
    /// Room for what a session wants done: one for each thread that runs sessions, and none for each that waits.
    static ROOM: Cell<Vec<Output>> = const { Cell::new(Vec::new()) };
}

/// One session and its connection.
#[derive(Debug)]
pub(crate) struct Connection {
    wire: Wire,
    session: Session,
    shared: Arc<Shared>,
    parcel: Option<Parcel>,
    unsent: Vec<u8>,
    /// The client takes no replies any more, and why.
    deaf: Option<Gone>,
    /// The server was told to stop.
    stopped: bool,
    /// When the connection came, until the first reply.
    came: Option<Instant>,
    /// When the message was opened that is coming in.
    opened: Option<Instant>,
}

/// What follows from a batch of outputs.
enum Next {
    Read,
    Answer(Input<'static>),
    Closed(End),
}

/// What ended the wait for a client.
enum Heard {
    Bytes(Vec<u8>),
    Gone(Gone),
    Nothing,
    Stop,
}

impl Connection {
    pub(crate) fn new(wire: Wire, session: Session, shared: Arc<Shared>) -> Self {
        Connection {
            wire,
            session,
            shared,
            parcel: None,
            unsent: Vec::new(),
            deaf: None,
            stopped: false,
            came: Some(Instant::now()),
            opened: None,
        }
    }

    /// Runs the session to its end. The connection is open still, for a farewell that the journal need not wait for.
    pub(crate) async fn run(mut self, mut stop: Stop) -> (End, Wire) {
        let (end, karma) = (self.converse(&mut stop).await, self.session.karma());
        if let (Some(memory), Some(points)) = (self.shared.karma.clone(), karma) {
            let client = self.session.client();
            // Whether it is remembered changes nothing for this session.
            let _ = tokio::task::spawn_blocking(move || memory.ended(now(), client, points)).await;
        }
        (end, self.wire)
    }

    async fn converse(&mut self, stop: &mut Stop) -> End {
        let mut out = ROOM.take();
        self.session.handle(now(), Input::Connected, &mut out);
        loop {
            let heard;
            let input = match self.carry_out(&mut out).await {
                Next::Closed(end) => {
                    ROOM.set(out);
                    return end;
                }
                Next::Answer(input) => input,
                Next::Read => {
                    // A session may wait for minutes: it keeps no room for what it once had to say.
                    self.unsent = Vec::new();
                    ROOM.set(std::mem::take(&mut out));
                    heard = self.listen(stop).await;
                    out = ROOM.take();
                    match &heard {
                        Heard::Bytes(bytes) => Input::Bytes(bytes),
                        Heard::Gone(gone) => Input::Gone(*gone),
                        Heard::Nothing => Input::Timeout,
                        Heard::Stop => Input::Shutdown,
                    }
                }
            };
            self.session.handle(now(), input, &mut out);
        }
    }

    /// How long the client may still take.
    fn patience(&self) -> Duration {
        self.session.deadline().map_or(self.session.patience(), |deadline| deadline.since(now()))
    }

    /// Waits for the client, for as long as the session has patience.
    async fn listen(&mut self, stop: &mut Stop) -> Heard {
        let patience = self.patience();
        tokio::select! {
            read = self.wire.read() => read.map_or_else(Heard::Gone, Heard::Bytes),
            () = tokio::time::sleep(patience) => Heard::Nothing,
            () = stop.requested(), if !self.stopped => {
                self.stopped = true;
                Heard::Stop
            }
        }
    }

    async fn carry_out(&mut self, out: &mut Vec<Output>) -> Next {
        for output in out.drain(..) {
            match output {
                Output::Reply(reply) if self.unsent.is_empty() => self.unsent = reply,
                Output::Reply(reply) => self.unsent.extend_from_slice(&reply),
                Output::Fact(record) => self.shared.telemetry.note(&record),
                Output::Body(bytes) => {
                    if self.append(&bytes) {
                        Box::pin(self.spill()).await;
                    }
                }
                Output::Discard => self.parcel = None,
                Output::Pause(pause) => {
                    self.flush().await;
                    tokio::time::sleep(pause).await;
                }
                Output::Ask(ask) => {
                    self.flush().await;
                    return match self.deaf {
                        Some(gone) => Next::Answer(Input::Gone(gone)),
                        // What is asked seldom is large; a session that waits for its client has no room for it.
                        None => Box::pin(self.answer(ask)).await,
                    };
                }
                Output::More => {
                    self.flush().await;
                    return Next::Answer(self.deaf.map_or(Input::Resume, Input::Gone));
                }
                Output::StartTls => {
                    self.flush().await;
                    return Next::Answer(Box::pin(self.encrypt()).await);
                }
                Output::Close(end) => {
                    self.farewell(end);
                    self.flush().await;
                    return Next::Closed(end);
                }
            }
        }
        self.flush().await;
        self.deaf.map_or(Next::Read, |gone| Next::Answer(Input::Gone(gone)))
    }

    /// Answers, and notes how long that took where somebody had to be asked.
    async fn answer(&mut self, ask: Ask) -> Next {
        let asked = Instant::now();
        let (stage, input) = match ask {
            Ask::Password { user, password } => {
                let answer = self.shared.authority.check(user, password, self.session.peer().into()).await;
                (Stage::Password, Input::Password(answer))
            }
            Ask::Response { user, challenge, response } => {
                let origin = self.session.peer().into();
                let answer = self.shared.authority.respond(user, &challenge, response, origin).await;
                (Stage::Password, Input::Password(answer))
            }
            Ask::Credential { user } => {
                return Next::Answer(Input::Credential(self.shared.authority.credential(&user)));
            }
            Ask::Blocklist { zone, address } => {
                let answer = self.shared.blocklists.look_up(zone, address).await;
                (Stage::Blocklist, Input::Blocklist(answer))
            }
            Ask::Inquire(inquiry) => {
                (Stage::Inquiry, Input::Inquired(self.shared.inquirer.answer(inquiry).await))
            }
            Ask::Recipient(mailbox) => {
                let context = self.session.context();
                let answer = self.shared.recipients.look_up(&mailbox, &context).await;
                (Stage::Recipient, Input::Recipient(answer))
            }
            Ask::Relayed(mailbox) => {
                let context = self.session.context();
                let answer = self.shared.recipients.look_up_relayed(&mailbox, &context).await;
                (Stage::Recipient, Input::Recipient(answer))
            }
            Ask::Plugins(consultation) => (Stage::Inquiry, Input::Plugins(consult(consultation).await)),
            Ask::Open(envelope) => return Next::Answer(Input::Opened(self.open(envelope))),
            Ask::Store => (Stage::Store, Input::Stored(self.store().await)),
        };
        self.took(stage, asked);
        Next::Answer(input)
    }

    fn open(&mut self, envelope: Envelope) -> OpenAnswer {
        self.parcel = self.shared.queue.open(envelope);
        self.opened = self.parcel.is_some().then(Instant::now);
        match &self.parcel {
            Some(parcel) => OpenAnswer::Open { qp: parcel.qp() },
            None => OpenAnswer::Closed,
        }
    }

    /// Takes a piece of the message; true when it is time to write.
    fn append(&mut self, bytes: &[u8]) -> bool {
        self.parcel.as_mut().is_some_and(|parcel| {
            parcel.append(bytes);
            parcel.is_full()
        })
    }

    /// Writes what there is of the message. A parcel that failed is gone; the message is read to its end and refused.
    async fn spill(&mut self) {
        let Some(parcel) = self.parcel.take() else {
            return;
        };
        match parcel.flush().await {
            Ok(parcel) => self.parcel = Some(parcel),
            Err(error) => tracing::error!(%error, "cannot write a message to the queue"),
        }
    }

    async fn store(&mut self) -> StoreAnswer {
        let Some(parcel) = self.parcel.take() else {
            return StoreAnswer::Failed;
        };
        let stored = self.shared.queue.commit(parcel).await.unwrap_or_else(|error| {
            tracing::error!(%error, "cannot keep a message in the queue");
            StoreAnswer::Failed
        });
        if stored == StoreAnswer::Stored {
            self.shared.blocklists.accepted(self.session.client());
        }
        if let Some(opened) = self.opened.take() {
            self.took(Stage::Message, opened);
        }
        stored
    }

    async fn encrypt(&mut self) -> Input<'static> {
        let Some(tls) = &self.shared.tls else {
            return Input::TlsFailed;
        };
        let patience = self.patience();
        let asked = Instant::now();
        match self.wire.encrypt(&tls.offer(), patience).await {
            Ok(handshake) => {
                self.took(Stage::Handshake, asked);
                Input::TlsDone(Box::new(handshake))
            }
            Err(error) => {
                tracing::debug!(%error, "handshake failed");
                Input::TlsFailed
            }
        }
    }

    /// Whoever said QUIT says no more. Whom the server leaves may be speaking still, and is listened to for a moment.
    fn farewell(&mut self, end: End) {
        if end == End::Clean && !self.stopped && self.deaf.is_none() && !self.unsent.is_empty() {
            let said = self.wire.farewell(&self.unsent);
            self.unsent.drain(..said);
        }
    }

    async fn flush(&mut self) {
        if self.unsent.is_empty() || self.deaf.is_some() {
            return;
        }
        // Who does not take what he is told keeps his place no longer than who says nothing.
        let patience = self.session.patience();
        self.deaf = self.wire.write(&self.unsent, patience).await.err().map(|error| match error.kind() {
            io::ErrorKind::TimedOut => Gone::Deaf,
            _ => Gone::Closed,
        });
        self.unsent.clear();
        if let Some(came) = self.came.take() {
            self.took(Stage::Greeting, came);
        }
    }

    fn took(&self, stage: Stage, since: Instant) {
        self.shared.telemetry.metrics().took(stage, since.elapsed());
    }
}
