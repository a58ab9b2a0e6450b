//! Compares everything stored with everything else that says something about it.
//!
//! It goes piece by piece: the small rows, then each feed, then runs by the thousand. Each piece is
//! a command of the writer thread, so that nothing moves while it is looked at and other commands
//! come between. What is damaged is a finding and does not end the check; what `docs/store-format.md`
//! lists under *Invariants* is what it goes by.
//!
//! # Memory
//!
//! 56 bytes for each record of the feed at hand, and one segment.

mod catalog;
mod feed;
mod files;
mod hooks;
mod index;
mod keyed;
mod look;
mod orphans;
mod parts;
mod runs;
mod sets;
mod snapshots;
mod work;

use std::sync::Arc;

use tidegate_engine::StoreError;
use tidegate_engine::store::Durability;
use tidegate_engine::upkeep::CheckReport;

use crate::components::Components;
use crate::disk::Disk;
use crate::layout::keys::Key;
use crate::writer::Queue;

use look::Look;

/// Rows that one step looks at where a kind of row can be many.
const STEP: usize = 2_000;

/// Check the whole store.
pub(crate) async fn all(
    queue: &Queue,
    disk: &Arc<Disk>,
    components: &Components,
) -> Result<CheckReport, StoreError> {
    let mut check = Check {
        queue,
        disk,
        report: CheckReport::default(),
    };
    let catalog = check.step(catalog::check).await?;
    let catalog = Arc::new(catalog);
    for number in 0..catalog.models.len() {
        let catalog = Arc::clone(&catalog);
        check
            .step(move |look| feed::check(look, &catalog, number))
            .await?;
    }
    for kind in runs::Kind::ALL {
        let mut from = Some(kind.first());
        while let Some(first) = from {
            from = check
                .step(move |look| runs::check(look, kind, &first))
                .await?;
        }
    }
    for kind in keyed::Kind::ALL {
        let mut from = Some(kind.first());
        while let Some(first) = from {
            from = check
                .step(move |look| keyed::check(look, kind, &first))
                .await?;
        }
    }
    for kind in work::Kind::ALL {
        let mut from = Some(kind.first());
        while let Some(first) = from {
            from = check
                .step(move |look| work::check(look, kind, &first))
                .await?;
        }
    }
    for kind in hooks::Kind::ALL {
        let mut from = Some(kind.first());
        while let Some(first) = from {
            from = check
                .step(move |look| hooks::check(look, kind, &first))
                .await?;
        }
    }
    let mut from = Some(parts::first());
    while let Some(first) = from {
        from = check.step(move |look| parts::check(look, &first)).await?;
    }
    check.step(orphans::check).await?;

    let digests = catalog.components.clone();
    let components = components.clone();
    let files = tokio::task::spawn_blocking(move || files::check(&components, &digests)).await;
    let files = files.map_err(|error| {
        StoreError::Backend(format!(
            "the check of component files did not finish: {error}"
        ))
    })?;
    check.report.add(files?);
    Ok(check.report)
}

struct Check<'a> {
    queue: &'a Queue,
    disk: &'a Arc<Disk>,
    report: CheckReport,
}

impl Check<'_> {
    /// Look at a piece, in the writer thread and with nothing unflushed.
    async fn step<T: Send + 'static>(
        &mut self,
        look_at: impl FnOnce(&mut Look<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let disk = Arc::clone(self.disk);
        let step = self.queue.send(Durability::Durable, move |writer| {
            writer.flush()?;
            let view = disk.writer_view();
            let mut look = Look::new(&view);
            let seen = look_at(&mut look)?;
            Ok((seen, look.report))
        });
        let (seen, report) = step?.answer().await?;
        self.report.add(report);
        Ok(seen)
    }
}

/// Where the next step goes on, if this one stopped after `STEP` rows.
type Next = Option<Key>;
