//! One page of changes: what the destination has to be told of each, seen from what it has
//! acknowledged before.

use jaq_json::Val;
use serde_json::value::RawValue;
use tidegate_sdk::prelude::*;
use tidegate_sdk::{Change, ChangeAction};

use crate::config::OnLeftOut;
use crate::jq;
use crate::made::Made;
use crate::plan::{self, Plan};

/// What the transform makes of a record is stored as a record (the limit `record_bytes`), with a
/// little around it.
const RECORD_BYTES_MAX: usize = 1024 * 1024 - 64;
/// A page ends after the record that reaches this many bytes: a request's body has at most 8 MiB.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How a record that may be at the destination, or not, begins in the push's model.
const SENDING: &str = "{\"tidegate/sending\":";

/// A record about which the destination is being told. It is stored so before that: when nobody hears what became of
/// the request, it may be there so or not, and is told again, whatever has become of it by then.
fn sending(record: &str) -> String {
    format!("{SENDING}{record}}}")
}

/// The record as the destination has it, or may have it.
fn at_destination(known: &str) -> &str {
    let inner = known
        .strip_prefix(SENDING)
        .and_then(|inner| inner.strip_suffix('}'));
    inner.unwrap_or(known)
}

/// Changes and what to do about them.
#[derive(Default)]
pub(crate) struct Page {
    /// The cursor after each change, in order.
    pub(crate) cursors: Vec<String>,
    pub(crate) work: Vec<PushItem>,
    pub(crate) counts: Counts,
    /// Why the change after the last one can't be pushed.
    pub(crate) failure: Option<Failure>,
}

/// Something to be told to the destination.
#[derive(Debug)]
pub(crate) struct PushItem {
    /// Which change of the page it is about.
    pub(crate) position: usize,
    pub(crate) id: String,
    /// When the record changed, in Unix milliseconds.
    pub(crate) modified_at: u64,
    /// The record as the destination is to have it; to be deleted: as it has it.
    pub(crate) record: Val,
    /// The same as JSON text; `None` when it is to be deleted.
    pub(crate) save: Option<String>,
    /// How it is stored as acknowledged, or on its way from before; `None` for what is new.
    pub(crate) before: Option<String>,
    /// How it is stored while nobody knows what the destination has.
    pub(crate) unsure: String,
}

/// Changes that need no request.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    /// The destination has it just so.
    pub(crate) unchanged: u64,
    /// Filtered out or deleted, and never pushed.
    pub(crate) left_out: u64,
    /// Filtered out or deleted, and kept at the destination, as the config does not say otherwise.
    pub(crate) kept: u64,
    /// Retention has removed the body.
    pub(crate) pruned: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, more: Counts) {
        self.unchanged += more.unchanged;
        self.left_out += more.left_out;
        self.kept += more.kept;
        self.pruned += more.pruned;
    }
}

impl Page {
    /// What to do about `changes`, up to the first that can't be pushed.
    pub(crate) async fn of(
        cx: &Cx,
        plan: &Plan,
        changes: Vec<Change>,
        made: &mut Made,
    ) -> Result<Page> {
        let ids = changes.iter().map(|change| &change.id);
        let known: Vec<Option<Box<RawValue>>> = cx.get_records(&plan.name, ids).await?;
        let mut page = Page::default();
        let mut bytes = 0;
        for (change, known) in changes.into_iter().zip(known) {
            let cursor = change.cursor.clone();
            match page.decide(plan, change, known.as_deref(), made) {
                Ok(()) => page.cursors.push(cursor),
                Err(failure) => {
                    page.failure = Some(failure);
                    break;
                }
            }
            let of_last = page
                .work
                .last()
                .filter(|work| work.position + 1 == page.cursors.len());
            bytes += of_last
                .and_then(|work| work.save.as_ref())
                .map_or(0, String::len);
            if bytes >= PAGE_BYTES_MAX {
                break;
            }
        }
        Ok(page)
    }

    fn decide(
        &mut self,
        plan: &Plan,
        change: Change,
        known: Option<&RawValue>,
        made: &mut Made,
    ) -> Result<()> {
        let is_deleted = change.action == ChangeAction::Deleted;
        let wanted = match (change.action, &change.body) {
            (ChangeAction::Deleted, _) => None,
            (_, None) => {
                warn!(
                    "`{}` is passed over: retention removed its body before it was pushed",
                    change.id
                );
                self.counts.pruned += 1;
                return Ok(());
            }
            (_, Some(body)) => transformed(plan, &change.id, body, made)?,
        };
        let (record, save) = match (wanted, known) {
            (Some((_, text)), Some(known)) if text == known.get() => {
                self.counts.unchanged += 1;
                return Ok(());
            }
            (Some((record, text)), _) => (record, Some(text)),
            (None, None) => {
                self.counts.left_out += 1;
                return Ok(());
            }
            (None, Some(_))
                if plan.delete.is_none()
                    || (!is_deleted && plan.on_left_out == OnLeftOut::Keep) =>
            {
                self.counts.kept += 1;
                return Ok(());
            }
            (None, Some(known)) => {
                let record = jq::parse(at_destination(known.get()));
                (
                    record.map_err(|problem| {
                        Failure::other(format!("the stored `{}`: {problem}", change.id))
                    })?,
                    None,
                )
            }
        };
        let before = known.map(|known| known.get().to_owned());
        let there = before.as_deref().map(at_destination);
        let unsure = sending(save.as_deref().or(there).unwrap_or_default());
        self.work.push(PushItem {
            position: self.cursors.len(),
            id: change.id,
            modified_at: change.last_modified_at,
            record,
            save,
            before,
            unsure,
        });
        Ok(())
    }
}

/// What the transform makes of a body, as a value and as JSON text; `None` when it leaves it out.
pub(crate) fn transformed(
    plan: &Plan,
    id: &str,
    body: &str,
    made: &mut Made,
) -> Result<Option<(Val, String)>> {
    let unfit = |problem: String| {
        let what = format!("the record `{id}` of {}", plan.feed());
        plan::unfit(&plan.key().at("transform"), &what, problem)
    };
    let input = jq::parse(body).map_err(unfit)?;
    let Some(record) = plan.transform.run(input, id).map_err(unfit)? else {
        made.nothing();
        return Ok(None);
    };
    made.record(&record);
    let text = jq::text(&record).map_err(unfit)?;
    if !matches!(record, Val::Obj(_)) {
        let begins: String = text.chars().take(40).collect();
        return Err(unfit(format!("it makes no object of it, but {begins}")));
    }
    if text.len() > RECORD_BYTES_MAX {
        let bytes = text.len();
        return Err(unfit(format!(
            "it makes {bytes} bytes of it; at most {RECORD_BYTES_MAX} work"
        )));
    }
    Ok(Some((record, text)))
}
