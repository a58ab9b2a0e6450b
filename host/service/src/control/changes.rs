//! Who waits for changes of a connection's records, and is told when a commit has made some.

use std::collections::HashMap;

use parking_lot::Mutex;
use tidegate_engine::ConnectionKey;
use tokio::sync::watch;

/// Those who wait, by connection. Only commits of this process tell; whoever waits must look from
/// time to time for what an import or a drop has done.
#[derive(Debug, Default)]
pub(super) struct Changes(Mutex<HashMap<ConnectionKey, watch::Sender<()>>>);

impl Changes {
    /// Sees every commit for this connection from now on.
    pub(super) fn watch(&self, connection: &ConnectionKey) -> watch::Receiver<()> {
        let mut watched = self.0.lock();
        if let Some(sender) = watched.get(connection) {
            return sender.subscribe();
        }
        watched.retain(|_, sender| sender.receiver_count() > 0);
        let (sender, receiver) = watch::channel(());
        watched.insert(connection.clone(), sender);
        receiver
    }

    /// Something of this connection was committed.
    pub(super) fn tell(&self, connection: &ConnectionKey) {
        let watched = self.0.lock();
        if let Some(sender) = watched.get(connection) {
            sender.send_replace(());
        }
    }
}
