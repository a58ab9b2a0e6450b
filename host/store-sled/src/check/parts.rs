//! Parts of long values: each belongs to a value that has that many. Their checksum is looked at
//! with the value.

use tidegate_engine::StoreError;

use crate::disk::{damaged, decode_part_key};
use crate::layout::keys::{Key, Tag};

use super::checker::Checker;
use super::{ResumeAt, STEP};

pub(super) fn first() -> Key {
    Key::new(Tag::Part)
}

pub(super) fn check(look: &mut Checker<'_>, from: &Key) -> Result<ResumeAt, StoreError> {
    let end = first().after_prefix();
    let view = look.view;
    for (count, item) in view.raw(from, &end).enumerate() {
        let Some((key, _)) = look.undamaged(item)? else {
            return Ok(None);
        };
        if count == STEP {
            return Ok(Some(Key::stored(&key)));
        }
        look.report.keys += 1;
        let decoded = decode_part_key(&key).map_err(|corrupt| damaged(&key, corrupt));
        let Some((parent, part)) = look.undamaged(decoded)? else {
            continue;
        };
        let parts = view.parts(&parent);
        if look.undamaged(parts)?.is_some_and(|parts| part >= parts) {
            look.wrong_key(&key, "a part of a value that has no such part");
        }
    }
    Ok(None)
}
