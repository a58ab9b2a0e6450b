//! What a page must pass before it reaches a store: ids, sizes, bodies.

use std::collections::HashSet;

use super::{Page, PageError, Save, Skipped};
use crate::Name;
use crate::canonical::{self, BodyHash};
use crate::limits::Limits;

/// Check ids, sizes, counts and bodies, and resolve repeated ids so that the last of each wins and
/// no id is both deleted and saved. Each save gets its hash; of a member that occurs more than once
/// in an object of its body, only the last is left.
///
/// A record that can't be stored is moved to `skipped`, as far as `may_skip` goes (which is then 0).
///
/// Returns the repeated ids (at most 20 of them), for the run's log.
pub fn prepare(pages: &mut [Page], limits: &Limits) -> Result<Vec<String>, PageError> {
    let records = pages.iter().map(Page::len).sum::<usize>();
    if records as u64 > limits.records_per_commit {
        return Err(PageError::ManyRecords {
            records,
            max: limits.records_per_commit,
        });
    }
    let bytes = pages
        .iter()
        .flat_map(|p| &p.save)
        .map(|s| s.body.len() as u64)
        .sum::<u64>();
    if bytes > limits.commit_bytes {
        return Err(PageError::ManyBytes {
            bytes,
            max: limits.commit_bytes,
        });
    }
    let mut repeated = Vec::new();
    for page in pages {
        for (index, id) in page.delete.iter().enumerate() {
            check_id(&page.model, index, id, limits)?;
        }
        check_saves(page, limits)?;
        keep_last(page, &mut repeated);
    }
    Ok(repeated)
}

/// Check and hash what is saved; what can't be stored is skipped, or refused when it may not be.
fn check_saves(page: &mut Page, limits: &Limits) -> Result<(), PageError> {
    let Page {
        model,
        save,
        skipped,
        may_skip,
        ..
    } = page;
    let may_skip = std::mem::take(may_skip);
    let known = u32::try_from(skipped.len()).unwrap_or(u32::MAX);
    let most = may_skip.saturating_sub(known);
    if let Some(first) = skipped.first()
        && known > may_skip
    {
        return Err(PageError::ManySkipped {
            model: model.clone(),
            first: Box::new(first.clone()),
            none_fits: save.is_empty() && skipped.iter().all(|skipped| skipped.id.is_none()),
            most: may_skip,
        });
    }
    let mut bad: Vec<(usize, PageError)> = Vec::new();
    for (index, save) in save.iter_mut().enumerate() {
        let Err(error) = check_save(model, index, save, limits) else {
            continue;
        };
        bad.push((index, error));
        if bad.len() as u64 > u64::from(most) {
            let (_, first) = bad.swap_remove(0);
            let first = Box::new(first);
            return Err(match may_skip {
                0 => *first,
                most => PageError::ManyBad { first, most },
            });
        }
    }
    if bad.is_empty() {
        return Ok(());
    }
    let mut bad = bad.into_iter().peekable();
    let mut index = 0;
    save.retain_mut(|save| {
        let found = bad.next_if(|(at, _)| *at == index);
        index += 1;
        let Some((at, error)) = found else {
            return true;
        };
        skipped.push(Skipped {
            id: Some(std::mem::take(&mut save.id)).filter(|id| !id.is_empty()),
            position: u32::try_from(at).unwrap_or(u32::MAX),
            reason: error.to_string(),
        });
        false
    });
    Ok(())
}

fn check_save(
    model: &Name,
    index: usize,
    save: &mut Save,
    limits: &Limits,
) -> Result<(), PageError> {
    check_id(model, index, &save.id, limits)?;
    if save.body.len() as u64 > limits.record_bytes {
        return Err(PageError::LongBody {
            model: model.clone(),
            id: save.id.clone(),
            bytes: save.body.len(),
            max: limits.record_bytes,
        });
    }
    save.hash = Some(check_body(model, save)?);
    Ok(())
}

/// Check and hash a body, and leave of repeated members the last.
pub fn check_body(model: &Name, save: &mut Save) -> Result<BodyHash, PageError> {
    canonical::settle(&mut save.body).map_err(|reason| {
        let (model, id) = (model.clone(), save.id.clone());
        if reason.is_too_deep() {
            return PageError::DeepBody { model, id };
        }
        PageError::Body { model, id, reason }
    })
}

/// Check a checkpoint's size and that it is JSON.
pub fn check_checkpoint(checkpoint: &str, limits: &Limits) -> Result<(), PageError> {
    if checkpoint.len() as u64 > limits.checkpoint_bytes {
        return Err(PageError::LongCheckpoint {
            bytes: checkpoint.len(),
            max: limits.checkpoint_bytes,
        });
    }
    check_is_json(checkpoint)
}

/// Check that a checkpoint is JSON.
pub fn check_is_json(checkpoint: &str) -> Result<(), PageError> {
    serde_json::from_str::<serde::de::IgnoredAny>(checkpoint)
        .map(|_| ())
        .map_err(|error| PageError::Checkpoint {
            reason: error.to_string(),
        })
}

pub fn check_id(model: &Name, index: usize, id: &str, limits: &Limits) -> Result<(), PageError> {
    let model = || model.clone();
    if id.is_empty() {
        return Err(PageError::EmptyId {
            model: model(),
            index,
        });
    }
    if id.len() as u64 > limits.record_id_bytes {
        let max = limits.record_id_bytes;
        return Err(PageError::LongId {
            model: model(),
            index,
            bytes: id.len(),
            max,
        });
    }
    // ASCII first: almost every id is, and `char::is_control` costs a table look-up.
    if id.bytes().any(|b| !(0x20..0x7f).contains(&b)) && id.chars().any(char::is_control) {
        return Err(PageError::ControlInId {
            model: model(),
            index,
            id: id.to_owned(),
        });
    }
    Ok(())
}

/// The model of this name, if a run may write it.
pub fn granted(models: &[Name], model: &str) -> Result<Name, String> {
    let found = models.iter().find(|name| name.as_str() == model);
    found.cloned().ok_or_else(|| {
        let model: String = model.chars().take(100).collect();
        let known: Vec<&str> = models.iter().map(Name::as_str).collect();
        format!(
            "the manifest does not list the model {model:?} here; it lists: {}",
            known.join(", ")
        )
    })
}

fn keep_last(page: &mut Page, repeated: &mut Vec<String>) {
    const REPORTED_MAX: usize = 20;
    let mut seen: HashSet<&str> = HashSet::with_capacity(page.save.len() + page.delete.len());
    let mut drop_saves = HashSet::new();
    for (index, save) in page.save.iter().enumerate().rev() {
        if !seen.insert(&save.id) {
            drop_saves.insert(index);
            if repeated.len() < REPORTED_MAX {
                repeated.push(save.id.clone());
            }
        }
    }
    let keep_deletes: Vec<bool> = page.delete.iter().map(|id| seen.insert(id)).collect();
    if drop_saves.is_empty() && keep_deletes.iter().all(|keep| *keep) {
        return;
    }
    for (id, keep) in page.delete.iter().zip(&keep_deletes) {
        if !keep && repeated.len() < REPORTED_MAX {
            repeated.push(id.clone());
        }
    }
    let mut index = 0;
    page.save.retain(|_| {
        index += 1;
        !drop_saves.contains(&(index - 1))
    });
    let mut keep = keep_deletes.into_iter();
    page.delete.retain(|_| keep.next().unwrap_or(true));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Blame;

    fn page(save: &[(&str, &str)], delete: &[&str]) -> Page {
        Page {
            save: save
                .iter()
                .map(|(id, body)| Save {
                    id: (*id).into(),
                    body: (*body).into(),
                    hash: None,
                })
                .collect(),
            delete: delete.iter().map(|id| (*id).into()).collect(),
            ..Page::of("Contact".parse().unwrap())
        }
    }

    #[test]
    fn the_last_of_an_id_wins() {
        let mut pages = [page(
            &[("a", "{}"), ("b", r#"{"x":2}"#), ("a", r#"{"x":3}"#)],
            &["b", "c", "c"],
        )];
        let repeated = prepare(&mut pages, &Limits::default()).unwrap();
        assert_eq!(
            pages[0],
            page(&[("b", r#"{"x":2}"#), ("a", r#"{"x":3}"#)], &["c"])
        );
        assert_eq!(repeated, ["a", "b", "c"]);
    }

    #[test]
    fn bad_pages_are_refused() {
        let limits = Limits {
            records_per_commit: 3,
            record_bytes: 10,
            ..Limits::default()
        };
        let long = "x".repeat(513);
        let rows: &[(Page, &str)] = &[
            (
                page(&[("a", "{}"), ("", "{}")], &[]),
                "record 1 has an empty id",
            ),
            (page(&[(&long, "{}")], &[]), "record_id_bytes is 512"),
            (page(&[("a\nb", "{}")], &[]), "control character"),
            (page(&[("a\u{85}", "{}")], &[]), "control character"),
            (
                page(&[("a", "{\"k\": \"0123456789\"}")], &[]),
                "record_bytes is 10",
            ),
            (
                page(&[("a", "{}")], &["b", "c", "d"]),
                "records_per_commit is 3",
            ),
        ];
        for (page, message) in rows {
            let error = prepare(&mut [page.clone()], &limits)
                .unwrap_err()
                .to_string();
            assert!(error.contains(message), "{error}");
        }
    }
    #[test]
    fn what_can_not_be_stored_is_skipped() {
        let limits = Limits {
            record_bytes: 200,
            ..Limits::default()
        };
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(70), "]".repeat(70));
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(200));
        let bad = [
            ("", "{}", None),
            ("a\tb", "{}", Some("control character")),
            ("deep", deep.as_str(), Some("json_depth")),
            ("large", &large, Some("record_bytes")),
            ("inf", r#"{"a":1e400}"#, Some("out of range")),
            ("list", "[]", Some("must start with")),
        ];
        let mut saves = vec![("first", "{}")];
        saves.extend(bad.iter().map(|(id, body, _)| (*id, *body)));
        saves.push(("last", "{}"));
        let with = |may_skip| Page {
            may_skip,
            ..page(&saves, &[])
        };
        let mut pages = [with(6)];
        prepare(&mut pages, &limits).unwrap();
        let [page] = &pages;
        let ids: Vec<&str> = page.save.iter().map(|save| save.id.as_str()).collect();
        assert_eq!((ids, page.may_skip), (vec!["first", "last"], 0));
        assert_eq!(page.skipped.len(), bad.len());
        for ((position, (id, _, says)), skipped) in bad.iter().enumerate().zip(&page.skipped) {
            assert_eq!(skipped.position as usize, position + 1);
            let known = says.map(|_| (*id).to_owned());
            assert_eq!(skipped.id, known, "{skipped:?}");
            assert!(
                skipped.reason.contains(says.unwrap_or("empty id")),
                "{skipped:?}"
            );
        }
        // One more than may be, and nothing is taken.
        let error = prepare(&mut [with(5)], &limits).unwrap_err().to_string();
        assert!(
            error.contains("empty id") && error.contains("than the 5 that"),
            "{error}"
        );
        let error = prepare(&mut [with(0)], &limits).unwrap_err().to_string();
        assert!(error.ends_with("at its source"), "{error}");
    }

    #[test]
    fn who_is_to_blame() {
        for (id, body, blame) in [
            ("", "{}", Blame::Guest),
            ("a", "[]", Blame::Guest),
            ("a", r#"{"a":"#, Blame::Guest),
            ("a\n", "{}", Blame::Upstream),
            ("a", r#"{"a":1e309}"#, Blame::Upstream),
            ("a", r#"{"a":-1e999}"#, Blame::Upstream),
        ] {
            let bad = page(&[("b", "{}"), (id, body), (id, body)], &[]);
            for may_skip in [0, 1] {
                let mut pages = [Page {
                    may_skip,
                    ..bad.clone()
                }];
                let error = prepare(&mut pages, &Limits::default()).unwrap_err();
                assert_eq!(error.blame(), blame, "{error}");
            }
        }
    }
}
