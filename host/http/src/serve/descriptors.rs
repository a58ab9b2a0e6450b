//! Descriptors: each connection of a client, each request of a plugin and each of the store's files takes one.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Have as many as the machine allows. Shells and supervisors start processes with a lower limit, for programs that
/// know no more than 1,024 of them.
pub(super) fn raise() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the number of open files stays as low as it is");
    }
}
