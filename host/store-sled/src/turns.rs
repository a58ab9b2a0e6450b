//! Turns at a feed. Work on a feed that takes many steps holds the feed meanwhile: a command that would change
//! it gives way, and comes again when the work is done. All other commands go on between the steps.

use tidegate_engine::StoreError;
use tidegate_engine::store::Durability;
use tokio::sync::watch;

use crate::SledStore;
use crate::writer::Writer;

/// Holds a feed as long as it is kept.
#[derive(Debug)]
pub(crate) struct Hold(watch::Sender<()>);

/// Says whether a [`Hold`] is still kept.
#[derive(Debug, Clone)]
pub(crate) struct Held(watch::Receiver<()>);

impl Hold {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    pub(crate) fn held(&self) -> Held {
        Held(self.0.subscribe())
    }
}

impl Held {
    pub(crate) fn is_over(&self) -> bool {
        // Nothing is ever sent: it fails once there is no sender.
        self.0.has_changed().is_err()
    }

    async fn over(mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

/// What became of a command that may have to give way.
#[derive(Debug)]
pub(crate) enum Turn<T> {
    Done(T),
    /// It has changed nothing, and has to come again after this.
    After(Held),
}

impl SledStore {
    /// Send a command again and again until it is its turn.
    pub(crate) async fn in_turn<T: Send + 'static>(
        &self,
        durability: Durability,
        command: impl Fn(&mut Writer) -> Result<Turn<T>, StoreError> + Clone + Send + 'static,
    ) -> Result<T, StoreError> {
        loop {
            match self.command(durability, command.clone()).await? {
                Turn::Done(done) => return Ok(done),
                Turn::After(held) => held.over().await,
            }
        }
    }
}
