//! What the config points at in answers, and no answer of a run had: a misspelt pointer ends a list early,
//! and fails nothing.

use std::cell::{Cell, RefCell};

use tidegate_sdk::{ConfigPath, PageSizes, Response};

use crate::config::{Model, Pagination, Style, WithDeletes};
use crate::paging::Body;

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Records,
    /// The cursor or URL of the next page, which many APIs leave out where there is none.
    Next,
    NextHeader(String),
    More,
    Pages,
    Total,
    Etag,
}

/// A key of the config that names a part of an answer, and whether that was ever there.
#[derive(Debug)]
struct Place {
    key: ConfigPath,
    /// As the config, or HTTP, calls it.
    name: String,
    part: Part,
    seen: Cell<bool>,
}

/// A run's memory of what its answers have.
#[derive(Debug)]
pub(crate) struct Answers {
    places: Vec<Place>,
    /// What asks for the size of pages, and that size.
    asked: Option<(ConfigPath, u64)>,
    sizes: RefCell<PageSizes>,
    answers: Cell<u64>,
    /// What deletes nothing of a list of several answers, as nothing could prove it.
    unproven: Option<ConfigPath>,
}

impl Answers {
    pub(crate) fn new(model: &Model, key: &ConfigPath) -> Self {
        let pagination = &model.pagination;
        let size = pagination
            .page_size
            .filter(|_| pagination.page_size_parameter.is_some());
        Answers {
            places: places(model, pagination, key),
            asked: size.map(|size| (key.at("pagination.page_size_parameter"), size)),
            sizes: RefCell::default(),
            answers: Cell::new(0),
            unproven: can_prove_nothing(model).then(|| key.at("full_pull_with_deletes")),
        }
    }

    /// An answer with a page of the list.
    pub(crate) fn page(&self, response: &Response, body: &Body<'_>) {
        let records = body.records.as_ref().map_or(0, Vec::len);
        self.sizes.borrow_mut().page(records as u64);
        self.answers.set(self.answers.get() + 1);
        let there = body.there;
        for place in &self.places {
            let is_there = match &place.part {
                _ if place.seen.get() => continue,
                Part::Records => there.records,
                Part::Next => there.next,
                Part::More => there.more,
                Part::Pages => there.pages,
                Part::Total => there.total,
                Part::NextHeader(name) => response.header(name).is_some(),
                Part::Etag => response.header("ETag").is_some(),
            };
            place.seen.set(is_there);
        }
    }

    /// The list is read from its start.
    pub(crate) fn restart(&self) {
        self.sizes.borrow_mut().restart();
    }

    /// What an operator should know, once a run is over.
    pub(crate) fn findings(&self) -> Vec<String> {
        let (sizes, answers) = (self.sizes.borrow(), self.answers.get());
        let mut findings = Vec::new();
        if answers == 0 {
            return findings;
        }
        // A page that is not full needs no next one.
        let may_go_on = self
            .asked
            .as_ref()
            .is_none_or(|(_, size)| sizes.most() >= *size);
        for Place {
            key,
            name,
            part,
            seen,
        } in &self.places
        {
            let is_due = match part {
                Part::Records => true,
                Part::Next | Part::NextHeader(_) => may_go_on && sizes.most() > 0,
                Part::More | Part::Pages | Part::Total | Part::Etag => sizes.most() > 0,
            };
            if seen.get() || !is_due {
                continue;
            }
            let answers = match answers {
                1 => "the answer does not have".to_owned(),
                answers => format!("none of {answers} answers has"),
            };
            findings.push(match part {
                Part::Records => format!(
                    "`{key}`: {answers} anything at `{name}`; that is fine if there were no records"
                ),
                Part::Next => format!(
                    "`{key}`: {answers} anything at `{name}`; that is fine if all records fit one page, and the \
                     API leaves it out then"
                ),
                Part::NextHeader(_) => format!(
                    "`{key}`: {answers} a header `{name}`; that is fine if all records fit one page, and the API \
                     leaves it out then"
                ),
                Part::More => format!("`{key}`: {answers} anything at `{name}`"),
                Part::Pages | Part::Total => format!("`{key}`: {answers} a count at `{name}`"),
                Part::Etag => format!("`{key}`: {answers} a header `{name}`, so that it changes nothing"),
            });
        }
        if let Some(key) = &self.unproven
            && (answers > 1 || (self.asked.is_some() && may_go_on))
        {
            findings.push(format!(
                "`{key}`: what is gone can't be told of a list that comes in several answers by cursor or link, so \
                 nothing is deleted: say how to ask for one record (`confirm`), or that the list is sorted by what \
                 does not change (`pagination.stable_order`)"
            ));
        }
        if let Some((key, asked)) = &self.asked
            && let Some(finding) = sizes.finding(*asked)
        {
            findings.push(format!("`{key}`: {finding}"));
        }
        findings
    }
}

/// Whether deletions are wanted, and neither a request for one record nor a second reading could prove one.
fn can_prove_nothing(model: &Model) -> bool {
    let pagination = &model.pagination;
    let is_opaque = matches!(
        pagination.style,
        Style::Cursor | Style::Link | Style::NextUrl
    );
    let is_ordered = model.incremental.as_ref().is_some_and(|i| i.ordered);
    matches!(model.full_pull_with_deletes, WithDeletes::Whether(true))
        && is_opaque
        && !is_ordered
        && pagination.stable_order != Some(true)
        && model.detail.is_none()
}

fn places(model: &Model, pagination: &Pagination, key: &ConfigPath) -> Vec<Place> {
    let mut places = Vec::new();
    let mut add = |name: &str, shown: &str, part: Part| {
        places.push(Place {
            key: key.at(name),
            name: shown.to_owned(),
            part,
            seen: Cell::new(false),
        });
    };
    if model.records_may_be_absent {
        add("records", &model.records, Part::Records);
    }
    let pointers = [
        ("cursor_pointer", &pagination.cursor_pointer, Part::Next),
        ("url_pointer", &pagination.url_pointer, Part::Next),
        ("more_pointer", &pagination.more_pointer, Part::More),
        (
            "total_pages_pointer",
            &pagination.total_pages_pointer,
            Part::Pages,
        ),
        ("total_pointer", &pagination.total_pointer, Part::Total),
    ];
    for (name, pointer, part) in pointers {
        if let Some(pointer) = pointer {
            add(&format!("pagination.{name}"), pointer, part);
        }
    }
    let headers = [
        ("cursor_header", &pagination.cursor_header),
        ("url_header", &pagination.url_header),
    ];
    for (name, header) in headers {
        if let Some(header) = header {
            add(
                &format!("pagination.{name}"),
                header,
                Part::NextHeader(header.clone()),
            );
        }
    }
    if pagination.style == Style::Link && pagination.page_size_parameter.is_some() {
        add(
            "pagination.style",
            "Link",
            Part::NextHeader("Link".to_owned()),
        );
    }
    if model.conditional {
        add("conditional", "ETag", Part::Etag);
    }
    places
}
