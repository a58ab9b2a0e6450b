//! Pages of listings: how many rows one has, whether there are more, and where they begin.

use tidegate_engine::limits::API_PAGE_ROWS;

use super::problem::{Answer, Failed};

/// Rows of a page that doesn't say how many it wants.
const USUAL: u64 = 100;

/// How many rows a page has.
pub(super) fn page_limit(limit: Option<u64>) -> Answer<usize> {
    let limit = limit.unwrap_or(USUAL);
    if !(1..=API_PAGE_ROWS).contains(&limit) {
        return Err(Failed::invalid(format!(
            "limit: it is 1 to {API_PAGE_ROWS}"
        )));
    }
    Ok(usize::try_from(limit).unwrap_or(1))
}

/// A page of what was found.
pub(super) struct Page<T> {
    pub(super) rows: Vec<T>,
    /// Where the next page begins; nothing after the last.
    pub(super) next_cursor: Option<String>,
    pub(super) more: bool,
}

impl<T> Page<T> {
    /// The first `limit` rows of `found`, for which one more was asked: it tells whether there are more.
    pub(super) fn cut<R>(found: &[R], limit: usize, cursor: impl Fn(&R) -> String) -> Self
    where
        T: for<'r> From<&'r R>,
    {
        let more = found.len() > limit;
        let page = found.get(..limit).unwrap_or(found);
        Self {
            rows: page.iter().map(Into::into).collect(),
            next_cursor: page.last().map(cursor).filter(|_| more),
            more,
        }
    }
}
