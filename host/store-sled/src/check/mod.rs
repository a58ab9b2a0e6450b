//! Compares everything stored with everything else that says something about it.
//!
//! It goes piece by piece: the small rows, then each feed, then runs by the hundred. Each piece is
//! a command of the writer thread, so that nothing moves while it is looked at and other commands
//! come between; but a feed, which can be large, is held and looked at beside the writer. What is damaged is a finding and does not end the check; what `docs/store-format.md`
//! lists under *Invariants* is what it goes by.
//!
//! # Memory
//!
//! 56 bytes for each record of the feed at hand, and one segment.

mod catalog;
mod checker;
mod feed;
mod files;
mod hooks;
mod index;
mod keyed;
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

use crate::SledStore;
use crate::layout::keys::Key;
use crate::writer::Writer;

use catalog::Catalog;
use checker::Checker;

/// Rows that one step looks at where a kind of row can be many.
const STEP: usize = 500;

/// Check the whole store.
pub(crate) async fn all(store: &SledStore) -> Result<CheckReport, StoreError> {
    let mut check = Check {
        store,
        report: CheckReport::default(),
    };
    let mut known = catalog::Known::default();
    for kind in catalog::Kind::ALL {
        let mut from = Some(kind.first());
        while let Some(first) = from {
            let mut own = std::mem::take(&mut known);
            let look_at = move |look: &mut Checker<'_>| {
                let next = catalog::check(look, &mut own, kind, &first)?;
                Ok((own, next))
            };
            (known, from) = check.step(look_at).await?;
        }
    }
    let catalog = Arc::new(known.catalog);
    for number in 0..catalog.models.len() {
        check.model(&catalog, number).await?;
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
    check.step(orphans::unknown_kinds).await?;
    for tag in orphans::OF_FEEDS {
        let mut from = Some(Key::new(tag));
        while let Some(first) = from {
            let catalog = Arc::clone(&catalog);
            from = check
                .step(move |look| orphans::check(look, &catalog, tag, &first))
                .await?;
        }
    }

    let digests = catalog.components.clone();
    let components = store.components().clone();
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
    store: &'a SledStore,
    report: CheckReport,
}

impl Check<'_> {
    /// Look at a piece, in the writer thread and with nothing unflushed.
    async fn step<T: Send + 'static>(
        &mut self,
        look_at: impl FnOnce(&mut Checker<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let disk = self.store.disk();
        let step = self.store.write(move |writer| {
            writer.flush()?;
            let view = disk.writer_view();
            let mut look = Checker::new(&view);
            let seen = look_at(&mut look)?;
            Ok((seen, look.report))
        });
        let (seen, report) = step.await?;
        self.report.add(report);
        Ok(seen)
    }

    /// Look at the model with this number in the catalog, beside the writer: commands that would change its feed
    /// give way meanwhile. Nothing is said of one that was removed before it was done.
    async fn model(&mut self, catalog: &Arc<Catalog>, number: usize) -> Result<(), StoreError> {
        let Some(feed) = catalog.models.get(number).map(|model| model.feed) else {
            return Ok(());
        };
        let hold = move |writer: &mut Writer| writer.hold(feed);
        let hold = self.store.in_turn(Durability::Durable, hold).await?;
        let (disk, own) = (self.store.disk(), Arc::clone(catalog));
        let look_at = move || {
            let view = disk.writer_view();
            let mut look = Checker::new(&view);
            if let Some(model) = own
                .models
                .get(number)
                .filter(|own| feed::is_there(&look, own))
            {
                feed::check(&mut look, model)?;
            }
            Ok((hold, look.report))
        };
        let (hold, report) = self.store.large(look_at).await?;
        let own = Arc::clone(catalog);
        let is_there = self.step(move |look| {
            let model = own
                .models
                .get(number)
                .filter(|own| feed::is_there(look, own));
            model.map_or(Ok(false), |model| {
                feed::check_snapshots(look, model).map(|()| true)
            })
        });
        if is_there.await? {
            self.report.add(report);
        }
        drop(hold);
        Ok(())
    }
}

/// Where the next step goes on, if this one stopped after `STEP` rows.
type ResumeAt = Option<Key>;
