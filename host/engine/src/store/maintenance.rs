//! Retention, dropping, imports, checks and sizes, and the end of a store.

use async_trait::async_trait;

use crate::error::StoreError;
use crate::transfer::{ImportId, ImportPart, Imported};
use crate::upkeep::{CheckReport, Dropped, Pruned, Scope, StoreStats};
use crate::{ModelKey, Timestamp};

/// What operators ask for, and what a backend does for itself.
#[async_trait]
pub trait Maintenance: Send + Sync {
    /// Remove the bodies of the records that were last modified before `before`, deleted ones
    /// included. Hashes and times stay, so that a later pull finds them unchanged. Cursors that had
    /// not read them yet expire, on all hosts. Happens in steps from the oldest on, between which others commit. Idempotent:
    /// after a crash some bodies may be left, and repeating it goes on.
    async fn prune(&self, model: &ModelKey, before: Timestamp) -> Result<Pruned, StoreError>;
    /// Remove everything of `scope`. Readers see it gone at once, but for an integration, whose connections go some at a
    /// time, itself last: meanwhile nothing is added to it, and runs that begin end as cancelled. It returns when the space is
    /// free, and a crash on the way does not bring any of it back. `Busy` while a run of it, on any host, has not
    /// ended.
    async fn drop_scope(&self, scope: &Scope) -> Result<Dropped, StoreError>;

    /// Stage a part of an import, which the caller calls by `import`. One host stages all parts of an import, as what is
    /// staged may go with its process. Idempotent by `number`, counted from 0: a part that was staged already is ignored.
    async fn stage_import(
        &self,
        import: ImportId,
        number: u64,
        part: ImportPart,
    ) -> Result<(), StoreError>;
    /// Make everything of an import visible in one step. Called by the host that staged it. Idempotent by `import`, as long
    /// as that process lives.
    async fn finish_import(&self, import: ImportId) -> Result<Imported, StoreError>;
    /// Forget what was staged. Fine if nothing was.
    async fn abort_import(&self, import: ImportId) -> Result<(), StoreError>;

    /// Compare everything stored with everything else that says something about it. Changes
    /// nothing. What is wrong is in the report; an error means that the check could not go on.
    async fn check(&self) -> Result<CheckReport, StoreError>;
    async fn stats(&self) -> Result<StoreStats, StoreError>;
    /// [`StoreStats::disk_bytes`] alone, which costs nothing.
    async fn disk_bytes(&self) -> Result<u64, StoreError>;
    /// Whether what this host writes is stored. Once that has failed it does so until the store is opened again.
    async fn ready(&self) -> Result<(), StoreError>;
    /// Do now what was put off, compaction above all. A backend whose server sees to that itself does nothing.
    async fn settle(&self) -> Result<(), StoreError>;
    /// Wait until everything that was acknowledged to this host is on disk, and stop. Its later commands fail; those of other
    /// hosts go on.
    async fn close(&self) -> Result<(), StoreError>;
}
