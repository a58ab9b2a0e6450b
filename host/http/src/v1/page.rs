//! Pages of listings: how many rows one has, whether there are more, and where they begin.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tidegate_engine::limits::{API_PAGE_BYTES, API_PAGE_ROWS};
use utoipa::IntoParams;

use super::problem::{Answer, Failed};

/// Rows of a page that doesn't say how many it wants.
const USUAL: u64 = 100;

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// Where the page before ended.
    pub(super) cursor: Option<String>,
    /// Most of the page.
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<u64>,
}

impl PageQuery {
    /// The last of the page before.
    pub(super) fn after<K: FromStr>(&self) -> Answer<Option<K>> {
        let after = self.cursor.as_deref().map(str::parse::<K>).transpose();
        after.map_err(|_| Failed::invalid("cursor: use one as it was given out"))
    }
}

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
    /// A page of the whole list, which it sorts by `key`: what comes after the cursor, whether or not that
    /// is still there.
    pub(super) fn of<K>(mut all: Vec<T>, query: &PageQuery, key: impl Fn(&T) -> &K) -> Answer<Self>
    where
        K: Ord + FromStr + ToString,
    {
        let limit = page_limit(query.limit)?;
        let after = query.after::<K>()?;
        all.sort_by(|a, b| key(a).cmp(key(b)));
        let begin = after.map_or(0, |after| all.partition_point(|row| *key(row) <= after));
        let mut rows = all.split_off(begin);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().map(|last| key(last).to_string());
        Ok(Self {
            next_cursor: last.filter(|_| more),
            rows,
            more,
        })
    }

    /// The first `limit` rows of `found`, for which one more was asked: it tells whether there are more. Fewer if
    /// together they are too large for one page.
    pub(super) fn cut<R>(found: &[R], limit: usize, cursor: impl Fn(&R) -> String) -> Self
    where
        T: for<'r> From<&'r R> + Serialize,
    {
        let mut rows: Vec<T> = Vec::new();
        let mut bytes = 0;
        for row in found.iter().take(limit).map(T::from) {
            bytes += length(&row);
            if bytes > API_PAGE_BYTES && !rows.is_empty() {
                break;
            }
            rows.push(row);
        }
        let more = found.len() > rows.len();
        let last = rows.len().checked_sub(1).and_then(|last| found.get(last));
        Self {
            next_cursor: last.map(cursor).filter(|_| more),
            rows,
            more,
        }
    }
}

/// How many bytes something has as JSON.
pub(super) fn length(row: &impl Serialize) -> u64 {
    struct Count(u64);

    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    // What can't be written has no length, and fails as an answer.
    let _ = serde_json::to_writer(&mut count, row);
    count.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(all: &[u32], cursor: Option<&str>, limit: u64) -> (Vec<u32>, Option<String>) {
        let query = PageQuery {
            cursor: cursor.map(str::to_owned),
            limit: Some(limit),
        };
        let page = Page::of(all.to_vec(), &query, |row| row).unwrap();
        assert_eq!(page.more, page.next_cursor.is_some());
        (page.rows, page.next_cursor)
    }

    #[test]
    fn pages_go_on_after_what_may_be_gone() {
        assert_eq!(page(&[3, 1, 2], None, 2), (vec![1, 2], Some("2".into())));
        assert_eq!(page(&[3, 1, 2], Some("2"), 2), (vec![3], None));
        // 2 is gone, 1 has come back, 4 is new.
        assert_eq!(
            page(&[4, 3, 1], Some("2"), 1),
            (vec![3], Some("3".to_owned()))
        );
        assert_eq!(page(&[1, 2], None, 2), (vec![1, 2], None));
        assert_eq!(page(&[1, 2], Some("9"), 2), (vec![], None));
        assert_eq!(page(&[], None, 1), (vec![], None));
    }

    #[test]
    fn what_was_not_given_out_is_no_cursor() {
        for (cursor, limit) in [(Some("x"), None), (None, Some(0)), (None, Some(1001))] {
            let cursor = cursor.map(str::to_owned);
            let query = PageQuery { cursor, limit };
            assert!(Page::of(vec![1_u32], &query, |row| row).is_err());
        }
    }

    #[test]
    fn a_page_ends_before_it_is_too_large() {
        #[derive(Serialize)]
        struct Row(String);

        impl From<&usize> for Row {
            fn from(bytes: &usize) -> Self {
                Self("x".repeat(*bytes))
            }
        }

        let most = usize::try_from(API_PAGE_BYTES).unwrap();
        // (rows, limit, rows of the page)
        let rows: [(&[usize], usize, usize); 5] = [
            (&[1, 1, 1], 2, 2),
            (&[1, 1], 2, 2),
            (&[most / 2, most / 3, most / 3], 3, 2),
            (&[most * 2, 1], 3, 1),
            (&[], 3, 0),
        ];
        for (found, limit, wanted) in rows {
            let page = Page::<Row>::cut(found, limit, ToString::to_string);
            assert_eq!(page.rows.len(), wanted);
            assert_eq!(page.more, wanted < found.len());
            assert_eq!(page.next_cursor.is_some(), page.more);
        }
    }
}
