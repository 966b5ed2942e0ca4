//! The word to stop, said once and heard by every task.

use tokio::sync::watch;

/// Says it.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Hears it.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// One who says it and one, to be cloned, who hears it.
pub fn channel() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Says it.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Waits for it. Who comes later hears it too.
    pub async fn requested(&mut self) {
        // Where nobody can say it any more, it is as good as said.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
