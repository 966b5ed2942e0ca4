//! The loop around the queue's mind: it delivers, writes down and removes, and decides nothing.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use logline::Channel;
use tokio::sync::mpsc;

use crate::clock::now;
use crate::config::Dkim;
use crate::queue::bounce::Original;
use crate::queue::dispatch::{Dispatcher, Input, Job, Origin, Outcome, Output};
use crate::queue::maildir::Mail;
use crate::queue::order::orders_for;
use crate::queue::remote::Remote;
use crate::queue::report::Report;
use crate::queue::signature::Signer;
use crate::queue::{
    Dropbox, Message, MessageId, Order, Parcel, Program, Router, Spool, Store, bounce, store,
};
use crate::recipients::Recipients;
use crate::session::{Envelope, Policy, StoreAnswer};
use crate::stop::Stop;
use crate::telemetry::Telemetry;

/// Accepted messages that wait to be seen by the courier; a session that accepts more waits.
const ACCEPTED_MAX: usize = 1024;

/// Outcomes that wait to be noted; all deliveries that can be under way fit.
const FINISHED_MAX: usize = 64;

/// How often orders are looked for. An order is a person's, who can wait a second.
const ORDERS_EVERY: Duration = Duration::from_millis(500);

/// What a delivery needs.
#[derive(Debug)]
pub struct Delivering {
    /// Hostname and local domains.
    pub policy: Arc<Policy>,
    /// Who has a mailbox.
    pub recipients: Arc<Recipients>,
    /// Who signs.
    pub dkim: Dkim,
    /// Where facts go.
    pub telemetry: Arc<Telemetry>,
    /// How many messages there may be.
    pub messages_max: usize,
}

/// Changes what the courier goes by.
#[derive(Clone, Debug)]
pub struct Renewal(mpsc::Sender<(Remote, Delivering)>);

impl Renewal {
    /// From the next delivery on.
    ///
    /// # Errors
    /// Where TLS cannot be set up; nothing has changed then.
    pub async fn renew(&self, router: Router, with: Delivering) -> Result<(), rustls::Error> {
        let remote = Remote::new(router, &with.policy.hostname)?;
        // A courier that has ended delivers nothing more.
        let _ = self.0.send((remote, with)).await;
        Ok(())
    }
}

/// What a session needs of the queue.
#[derive(Clone, Debug)]
pub enum QueueHandle {
    /// A queue that this process holds.
    Own(OwnQueue),
    /// A queue that is another's.
    Dropbox(Dropbox),
    /// Another's program.
    Program(Program),
}

/// A queue, and the courier that is told of each message.
#[derive(Clone, Debug)]
pub struct OwnQueue {
    store: Arc<Store>,
    accepted: mpsc::Sender<Message>,
    length: Arc<AtomicUsize>,
    messages_max: usize,
}

impl QueueHandle {
    /// A place for a message; `None` when the queue is full.
    pub fn open(&self, envelope: Envelope) -> Option<Parcel> {
        match self {
            QueueHandle::Own(queue) => queue.open(envelope).map(|spool| Parcel::Spool(Box::new(spool))),
            QueueHandle::Dropbox(dropbox) => {
                dropbox.spool(envelope).map(|spool| Parcel::Spool(Box::new(spool)))
            }
            QueueHandle::Program(program) => match program.start(&envelope) {
                Ok(running) => Some(Parcel::Program(Box::new(running))),
                Err(error) => {
                    tracing::error!(%error, program = %program.0.display(), "cannot start the queue's program");
                    None
                }
            },
        }
    }

    /// Makes a message safe and has it delivered.
    ///
    /// # Errors
    /// Where it is not taken, for a reason that has no words.
    pub async fn commit(&self, parcel: Parcel) -> io::Result<StoreAnswer> {
        match (self, parcel) {
            (_, Parcel::Program(running)) => running.finish().await,
            (QueueHandle::Own(queue), Parcel::Spool(spool)) => {
                queue.commit(*spool).await.map(|()| StoreAnswer::Stored)
            }
            (QueueHandle::Dropbox(dropbox), Parcel::Spool(spool)) => {
                let dropbox = dropbox.clone();
                let committed = tokio::task::spawn_blocking(move || dropbox.commit(*spool)).await;
                committed.map_err(io::Error::other)?.map(|()| StoreAnswer::Stored)
            }
            (QueueHandle::Program(_), Parcel::Spool(_)) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl OwnQueue {
    fn open(&self, envelope: Envelope) -> Option<Spool> {
        if self.length.load(Ordering::Relaxed) >= self.messages_max {
            return None;
        }
        self.store.spool(envelope).ok()
    }

    async fn commit(&self, spool: Spool) -> io::Result<()> {
        let store = Arc::clone(&self.store);
        let message =
            tokio::task::spawn_blocking(move || store.commit(spool)).await.map_err(io::Error::other)??;
        if self.accepted.send(message).await.is_err() {
            // The courier has ended with the server; the message is delivered after the next start.
            tracing::info!("a message was accepted during shutdown; it is delivered after the next start");
        }
        Ok(())
    }
}

/// A delivery's number and how it ended.
type Finished = (u64, Outcome);

/// Delivers the queue's messages.
#[derive(Debug)]
pub struct Courier {
    dispatcher: Dispatcher,
    deliverer: Arc<Deliverer>,
    accepted: mpsc::Receiver<Message>,
    finish: mpsc::Sender<Finished>,
    finished: mpsc::Receiver<Finished>,
    renewal: mpsc::Sender<(Remote, Delivering)>,
    renewed: mpsc::Receiver<(Remote, Delivering)>,
    length: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Deliverer {
    store: Arc<Store>,
    remote: Remote,
    signer: Signer,
    with: Delivering,
}

impl Courier {
    /// A courier over the messages in `store`, and the handle by which sessions reach it.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(store: Store, router: Router, with: Delivering) -> Result<(Self, QueueHandle), rustls::Error> {
        let store = Arc::new(store);
        let length = Arc::new(AtomicUsize::new(0));
        let (sender, accepted) = mpsc::channel(ACCEPTED_MAX);
        let handle = OwnQueue {
            store: Arc::clone(&store),
            accepted: sender,
            length: Arc::clone(&length),
            messages_max: with.messages_max,
        };
        let dispatcher = Dispatcher::new(with.policy.domains.clone(), rustix::process::getuid().as_raw());
        let remote = Remote::new(router, &with.policy.hostname)?;
        let signer = Signer::new(&with.dkim);
        let deliverer = Arc::new(Deliverer { store, remote, signer, with });
        let (finish, finished) = mpsc::channel(FINISHED_MAX);
        let (renewal, renewed) = mpsc::channel(1);
        let courier = Courier { dispatcher, deliverer, accepted, finish, finished, renewal, renewed, length };
        Ok((courier, QueueHandle::Own(handle)))
    }

    /// By which it learns that the settings were read again.
    pub fn renewal(&self) -> Renewal {
        Renewal(self.renewal.clone())
    }

    fn renew(&mut self, remote: Remote, with: Delivering) {
        self.dispatcher.set_locals(with.policy.domains.clone());
        let store = Arc::clone(&self.deliverer.store);
        // Deliveries that are under way keep what they have.
        let signer = Signer::new(&with.dkim);
        self.deliverer = Arc::new(Deliverer { store, remote, signer, with });
    }

    /// Delivers to the mailboxes here what is due, and ends: for a process that lives for one session. What goes to
    /// other hosts waits for a server, because a process that waits for the network holds a place at the gate.
    pub async fn run_once(mut self) {
        self.dispatcher = self.dispatcher.without_remote();
        // In this order, so that the journal has a new message's beginning.
        self.take_orders().await;
        self.restore().await;
        self.take_orders().await;
        while self.dispatcher.is_busy() {
            let Some((delivery, outcome)) = self.finished.recv().await else {
                return;
            };
            self.feed(Input::Finished(delivery, outcome)).await;
            self.take_orders().await;
        }
    }

    /// Delivers until the server stops, and then waits for what is under way.
    pub async fn run(mut self, mut stop: Stop) {
        self.carry_out(self.dispatcher.status(), &mut Vec::new()).await;
        self.restore().await;
        let mut orders = tokio::time::interval(ORDERS_EVERY);
        orders.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let next = self.dispatcher.next().map_or(Duration::from_secs(3600), |next| next.since(now()));
            tokio::select! {
                Some(message) = self.accepted.recv() => self.feed(Input::Queued(Box::new(message), Origin::Accepted)).await,
                Some((delivery, outcome)) = self.finished.recv() => self.feed(Input::Finished(delivery, outcome)).await,
                () = tokio::time::sleep(next) => self.feed(Input::Tick).await,
                _ = orders.tick() => self.take_orders().await,
                Some((remote, with)) = self.renewed.recv() => self.renew(remote, with),
                () = stop.requested() => break,
            }
        }
        self.dispatcher.stop();
        while self.dispatcher.is_busy() {
            let Some((delivery, outcome)) = self.finished.recv().await else {
                return;
            };
            self.feed(Input::Finished(delivery, outcome)).await;
        }
    }

    async fn restore(&mut self) {
        let deliverer = Arc::clone(&self.deliverer);
        match tokio::task::spawn_blocking(move || deliverer.store.scan()).await {
            Ok(Ok(messages)) => {
                for message in messages
                    .into_iter()
                    .filter(|message| !self.dispatcher.has(message.id))
                    .collect::<Vec<_>>()
                {
                    self.feed(Input::Queued(Box::new(message), Origin::Restored)).await;
                }
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "cannot read the queue; its messages wait for the next start");
            }
            Err(error) => {
                tracing::error!(%error, "cannot read the queue; its messages wait for the next start");
            }
        }
    }

    async fn take_orders(&mut self) {
        let orders = match orders_for(self.deliverer.store.directory()) {
            Ok(orders) => orders,
            Err(error) => return tracing::error!(%error, "cannot look for orders"),
        };
        for (order, file) in orders {
            match order {
                Order::Retry(id) => self.feed(Input::Retry(id)).await,
                Order::Remove(id) => self.feed(Input::Remove(id)).await,
                Order::Take(id) => self.take(id).await,
            }
            if let Err(error) = std::fs::remove_file(&file) {
                tracing::error!(%error, file = %file.display(), "cannot remove an order that was carried out");
            }
        }
    }

    /// A session of another process put a message here. One that was found at the start is known already.
    async fn take(&mut self, id: MessageId) {
        if self.dispatcher.has(id) {
            return;
        }
        let deliverer = Arc::clone(&self.deliverer);
        match tokio::task::spawn_blocking(move || store::read(deliverer.store.directory(), id)).await {
            Ok(Ok(message)) => self.feed(Input::Queued(Box::new(message), Origin::Accepted)).await,
            // It was found, and delivered, before its order was.
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(Err(error)) => tracing::error!(message = %id, %error, "cannot read a message of the queue"),
            Err(error) => tracing::error!(message = %id, %error, "cannot read a message of the queue"),
        }
    }

    async fn feed(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut out = Vec::new();
            self.dispatcher.handle(now(), input, &mut out);
            self.length.store(self.dispatcher.len(), Ordering::Relaxed);
            for output in out {
                self.carry_out(output, &mut inputs).await;
            }
        }
    }

    async fn carry_out(&self, output: Output, inputs: &mut Vec<Input>) {
        let deliverer = Arc::clone(&self.deliverer);
        match output {
            Output::Fact(record) => deliverer.with.telemetry.note(&record),
            Output::Start(job) => {
                let finish = self.finish.clone();
                tokio::spawn(async move {
                    let (delivery, outcome) = (job.delivery, deliverer.deliver(job).await);
                    // Nobody waits for the outcome only after the courier has ended; the delivery is then repeated.
                    let _ = finish.send((delivery, outcome)).await;
                });
            }
            Output::Save(id, state) => {
                on_disk("note the state of a message", move || deliverer.store.save(id, &state)).await;
            }
            Output::Remove(id) => {
                on_disk("remove a message", move || deliverer.store.remove(id)).await;
            }
            Output::Tell(id, reports) => {
                let told = on_disk("write a report of delay", move || deliverer.bounce(id, &reports)).await;
                if let Some(report) = told.flatten() {
                    inputs.push(Input::Queued(Box::new(report), Origin::Accepted));
                }
            }
            Output::Bounce(id, reports) => {
                let bounced = on_disk("write a bounce", move || deliverer.bounce(id, &reports)).await;
                match bounced.flatten() {
                    Some(bounce) => {
                        inputs.push(Input::Bounced(id, bounce.id));
                        inputs.push(Input::Queued(Box::new(bounce), Origin::Accepted));
                    }
                    None => inputs.push(Input::BounceFailed(id)),
                }
            }
            Output::DoubleBounce(id) => {
                tracing::warn!(message = %id, "double bounce: a bounce cannot be delivered and is discarded");
            }
        }
    }
}

impl Deliverer {
    async fn deliver(self: Arc<Self>, job: Job) -> Outcome {
        let text = match self.store.text(job.message) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(message = %job.message, %error, "cannot read a message of the queue");
                return Outcome::Deferred("Unable to read the message. (#4.3.0)".to_owned());
            }
        };
        match job.channel {
            Channel::Remote => self.deliver_elsewhere(job, text).await,
            Channel::Local => {
                let done = tokio::task::spawn_blocking(move || self.deliver_here(&job, text)).await;
                done.unwrap_or_else(|_| {
                    Outcome::Deferred("Temporary error on maildir delivery. (#4.3.0)".to_owned())
                })
            }
        }
    }

    async fn deliver_elsewhere(self: Arc<Self>, job: Job, text: std::fs::File) -> Outcome {
        let deliverer = Arc::clone(&self);
        let signed = tokio::task::spawn_blocking(move || {
            let signature = deliverer.signer.sign(&text, &deliverer.with.policy)?;
            Ok::<_, io::Error>((signature, text))
        });
        match signed.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok((signature, text)) => self.remote.deliver(&job, &signature, text).await,
            // Unsigned it could be refused for good, where the domain's DMARC record asks for that.
            Err(error) => {
                tracing::error!(message = %job.message, %error, "cannot sign a message; it waits");
                Outcome::Deferred("Unable to sign the message. (#4.3.0)".to_owned())
            }
        }
    }

    fn deliver_here(&self, job: &Job, mut text: std::fs::File) -> Outcome {
        let directory = match self.with.recipients.home(&job.recipient) {
            Ok(Some(directory)) => directory,
            Ok(None) => return Outcome::Failed("Sorry, no mailbox here by that name. (#5.1.1)".to_owned()),
            Err(error) => {
                tracing::error!(%error, recipient = %job.recipient, "cannot look for a mailbox");
                return Outcome::Deferred("Unable to read the users now. (#4.3.0)".to_owned());
            }
        };
        let mail = Mail {
            sender: job.sender.as_ref(),
            recipient: &job.recipient,
            hostname: &self.with.policy.hostname,
            delivery: job.delivery,
        };
        match mail.deliver(&directory, &mut text) {
            Ok(()) => Outcome::Delivered("did 1+0+0".to_owned()),
            Err(error) => {
                tracing::error!(directory = %directory.display(), %error, "cannot deliver to a maildir");
                Outcome::Deferred("Temporary error on maildir delivery. (#4.3.0)".to_owned())
            }
        }
    }

    fn bounce(&self, id: MessageId, reports: &[Report]) -> io::Result<Option<Message>> {
        let message = store::read(self.store.directory(), id)?;
        let original = Original::of(&message, reports);
        let mut text = Vec::new();
        self.store.text(id)?.take(original.bytes_max()).read_to_end(&mut text)?;
        let hostname = &self.with.policy.hostname;
        let original = original.part(&text);
        let Some((envelope, text)) = bounce::bounce(hostname, now(), &message, original, reports) else {
            return Ok(None);
        };
        let mut spool = self.store.spool(envelope)?;
        spool.append(&text);
        self.store.commit(spool).map(Some)
    }
}

/// Runs what blocks where it may; trouble is told, for the next attempt or start repeats the work.
async fn on_disk<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            tracing::error!(%error, "cannot {what}");
            None
        }
        Err(error) => {
            tracing::error!(%error, "cannot {what}");
            None
        }
    }
}
