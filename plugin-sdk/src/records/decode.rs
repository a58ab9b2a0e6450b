//! Items of a page as a type, where one that is of another shape does not stop the others.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{Commit, id};
use crate::{Failure, HttpPage, Result};

/// How much of an item goes into a message.
const EXCERPT_CHARS: usize = 160;
/// Of so many items, at least one should be of the shape that the plugin expects.
const PAGE_OF_NONE: usize = 2;

impl Commit {
    /// The page's items, decoded. One that `T` can't hold is a bad record: this commit
    /// [skips](Commit::skip) it, with its id if it has one, its position and the reason, and the others go on
    /// ([`OnBadRecord`](crate::OnBadRecord)).
    ///
    /// Fails with the code `response-invalid` when it is no page of items, or when no item of several can be
    /// decoded and none of this run could: then `T` is not what the API sends.
    ///
    /// ```
    /// use tidegate_sdk::prelude::*;
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Contact {
    ///     id: u64,
    ///     email: String,
    /// }
    ///
    /// # async fn contacts(cx: Cx) -> Result<()> {
    /// let mut pages = cx.get("/contacts").paginate(Paginate::link());
    /// while let Some(page) = pages.next().await? {
    ///     let mut commit = cx.batch("Contact");
    ///     let contacts: Vec<Contact> = commit.items(&page)?;
    ///     commit.save_all(&contacts)?.commit().await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn items<T: DeserializeOwned>(&mut self, page: &HttpPage) -> Result<Vec<T>> {
        let items = self.items_and_json(page)?;
        Ok(items.into_iter().map(|(item, _)| item).collect())
    }

    /// The same, each with the JSON text that it was decoded from, for plugins that read some of an item and
    /// store all of it.
    pub fn items_and_json<'a, T: DeserializeOwned>(
        &mut self,
        page: &'a HttpPage,
    ) -> Result<Vec<(T, &'a RawValue)>> {
        self.decode_or(page.raw_items()?, |position, error| {
            page.item_failure_at(position, error)
        })
    }

    /// The same for a list that is no page: `cx.get("/todos").json::<Vec<Box<RawValue>>>()`.
    pub fn decode<'a, T: DeserializeOwned>(
        &mut self,
        items: impl IntoIterator<Item = &'a RawValue>,
    ) -> Result<Vec<T>> {
        let items: Vec<&RawValue> = items.into_iter().collect();
        let decoded = self.decode_or(items, |position, error| {
            let problem = format!("item {position} can't be decoded: {error}");
            Failure::other(problem).code("response-invalid")
        })?;
        Ok(decoded.into_iter().map(|(item, _)| item).collect())
    }

    fn decode_or<'a, T: DeserializeOwned>(
        &mut self,
        items: Vec<&'a RawValue>,
        none: impl Fn(usize, &str) -> Failure,
    ) -> Result<Vec<(T, &'a RawValue)>> {
        let count = items.len();
        let mut decoded = Vec::with_capacity(count);
        let mut bad = Vec::new();
        for (position, item) in items.into_iter().enumerate() {
            match of_text(item.get()) {
                Ok(value) => decoded.push((value, item)),
                Err(error) => {
                    let begins = crate::text::excerpt(item.get(), EXCERPT_CHARS);
                    bad.push((position, item, format!("{error} of {begins}")));
                }
            }
        }
        let tally = self.cx.tally();
        tally.decoded(decoded.len());
        if let Some((position, _, reason)) = bad.first()
            && count >= PAGE_OF_NONE
            && !tally.has_decoded()
        {
            return Err(none(*position, reason));
        }
        for (position, item, reason) in bad {
            let id = id::find(item.get(), &self.id_field).ok();
            self.skip_at(position, id.as_deref(), reason);
        }
        Ok(decoded)
    }
}

/// The item, with half of a surrogate pair mended as the host does before it stores a record.
fn of_text<T: DeserializeOwned>(json: &str) -> serde_json::Result<T> {
    serde_json::from_str(json).or_else(|error| match crate::mended(json) {
        Some(mended) => serde_json::from_str(&mended),
        None => Err(error),
    })
}
