//! Answers that say that there is nothing: no content, nothing new, nothing found.

use tidegate_sdk::Response;

use crate::config::Model;

const NO_CONTENT: u16 = 204;
const NOT_MODIFIED: u16 = 304;

/// How an API says so.
#[derive(Debug)]
pub(crate) struct EmptyRule {
    /// On the first page of a pull.
    statuses: Vec<u16>,
    /// Beyond the last page, and on the first page of changes.
    end_statuses: Vec<u16>,
    may_be_absent: bool,
}

/// What a page was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// It is the first of a pull.
    pub(crate) first: bool,
    /// Only what changed since the last pull.
    pub(crate) changes: bool,
}

impl EmptyRule {
    pub(crate) fn new(model: &Model) -> Self {
        EmptyRule {
            statuses: model.empty_statuses.clone(),
            end_statuses: model.pagination.end_statuses.clone().unwrap_or_default(),
            may_be_absent: model.records_may_be_absent,
        }
    }

    /// Whether an answer that is no failure has nothing. Of a pull of everything, whose first page would say that all
    /// is gone, only when the config says that it may.
    pub(crate) fn is(&self, response: &Response, asked: Asked) -> bool {
        let may_be = self.may_be_absent || asked.changes || !asked.first;
        match response.status() {
            NOT_MODIFIED => asked.changes,
            NO_CONTENT => may_be || self.statuses.contains(&NO_CONTENT),
            status => {
                let is_empty = response.bytes().trim_ascii().is_empty();
                is_empty && (self.may_be_absent || self.statuses.contains(&status))
            }
        }
    }

    /// Whether a failure of this status means that there is nothing.
    pub(crate) fn is_status(&self, status: u16, asked: Asked) -> bool {
        let by_end = asked.changes && self.end_statuses.contains(&status);
        asked.first && (by_end || self.statuses.contains(&status))
    }
}
