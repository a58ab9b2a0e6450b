//! From the config of a pagination style to the style, with an error for each key that is missing,
//! that goes with another style, or that contradicts another key.

use tidegate_sdk::prelude::*;
use tidegate_sdk::{ConfigPath, Finder, Pointer};

use super::said::SIGNS;
use super::{CursorFrom, Envelope, Kind, Paging, RECORDS};
use crate::config::{Pagination, Style};

impl Paging {
    /// `records` is the pointer to a page's records; `key` is that of the model.
    pub(crate) fn new(config: &Pagination, records: &str, key: &ConfigPath) -> Result<Self> {
        let records = key.at("records").pointer(records)?;
        let key = key.at("pagination");
        only_keys_of(config, &key)?;
        let parameter = |default: Option<&str>| {
            let parameter = config.parameter.as_deref().or(default);
            parameter.map(str::to_owned).ok_or_else(|| {
                key.at("parameter")
                    .wrong("is missing: the query parameter that takes the cursor")
            })
        };
        let kind = match config.style {
            Style::None => Kind::None,
            Style::Cursor => Kind::Cursor {
                parameter: parameter(None)?,
                from: cursor_from(config, &key)?,
            },
            Style::Page => Kind::Page {
                parameter: parameter(Some("page"))?,
                first: config.first.unwrap_or(1),
            },
            Style::Offset => Kind::Offset {
                parameter: parameter(Some("offset"))?,
                first: config.first.unwrap_or(0),
            },
            Style::Link => Kind::Link,
            Style::NextUrl => Kind::NextUrl {
                header: one_of(
                    &key,
                    [
                        ("url_pointer", &config.url_pointer),
                        ("url_header", &config.url_header),
                    ],
                )
                .map(|name| (name == "url_header").then(|| config.url_header.clone()))?
                .flatten(),
            },
        };
        match (config.page_size, &config.page_size_parameter) {
            (Some(0), _) => return Err(key.at("page_size").wrong("must be at least 1")),
            (None, Some(_)) => {
                return Err(key
                    .at("page_size")
                    .wrong("is missing, as `page_size_parameter` is given"));
            }
            (Some(_), None) if !matches!(config.style, Style::Page | Style::Offset) => {
                return Err(key
                    .at("page_size_parameter")
                    .wrong("is missing, as `page_size` is given"));
            }
            _ => {}
        }
        Ok(Paging {
            kind,
            envelope: Envelope::new(config, records, &key)?,
            size: config.page_size,
            size_parameter: config.page_size_parameter.clone(),
            end_statuses: config.end_statuses.clone().unwrap_or_default(),
            end_values: end_values(config, &key)?,
            is_stable: config.stable_order.unwrap_or_default(),
            key: key.clone(),
        })
    }
}

impl Envelope {
    fn new(config: &Pagination, records: Pointer, key: &ConfigPath) -> Result<Self> {
        let mut pointers = vec![records];
        let mut add = |name: &str, text: &Option<String>| -> Result<Option<usize>> {
            let Some(text) = text else {
                return Ok(None);
            };
            pointers.push(key.at(name).pointer(text)?);
            Ok(Some(pointers.len() - 1))
        };
        let cursor = add("cursor_pointer", &config.cursor_pointer)?;
        let url = add("url_pointer", &config.url_pointer)?;
        let more = add("more_pointer", &config.more_pointer)?;
        let pages = add("total_pages_pointer", &config.total_pages_pointer)?;
        let total = add("total_pointer", &config.total_pointer)?;
        let first = pointers.len();
        pointers.extend(signs_beside(&pointers));
        let signs = first..pointers.len();
        let finder = Finder::new(pointers).ok_or_else(|| key.wrong("has too many pointers"))?;
        Ok(Envelope {
            finder: finder.list(RECORDS),
            next: cursor.or(url),
            more,
            pages,
            total,
            signs,
        })
    }
}

/// The members by which an answer says that it failed, unless the records lie there.
fn signs_beside(pointers: &[Pointer]) -> Vec<Pointer> {
    let records = pointers.get(RECORDS).and_then(|p| p.segments().first());
    // A list without an envelope says nothing of itself.
    let Some(records) = records else {
        return Vec::new();
    };
    let taken = SIGNS.contains(&records.as_str());
    let signs = SIGNS.iter().filter(|_| !taken);
    signs.map(|name| Pointer::of_segments([*name])).collect()
}

/// What a cursor is when there is no more; `None` when nothing is said.
fn end_values(config: &Pagination, key: &ConfigPath) -> Result<Option<Vec<String>>> {
    let Some(values) = &config.end_values else {
        return Ok(None);
    };
    let value = |value| {
        let text = crate::plan::text(value);
        text.ok_or_else(|| {
            key.at("end_values")
                .wrong("is no list of texts and numbers")
        })
    };
    values.iter().map(value).collect::<Result<_>>().map(Some)
}

fn cursor_from(config: &Pagination, key: &ConfigPath) -> Result<CursorFrom> {
    let name = one_of(
        key,
        [
            ("cursor_pointer", &config.cursor_pointer),
            ("cursor_header", &config.cursor_header),
            ("cursor_record_pointer", &config.cursor_record_pointer),
        ],
    )?;
    Ok(
        match (name, &config.cursor_header, &config.cursor_record_pointer) {
            ("cursor_header", Some(header), _) => CursorFrom::Header(header.clone()),
            ("cursor_record_pointer", _, Some(pointer)) => {
                CursorFrom::LastRecord(key.at("cursor_record_pointer").pointer(pointer)?)
            }
            _ => CursorFrom::Body,
        },
    )
}

/// The one of these keys that is given.
fn one_of<const N: usize>(
    key: &ConfigPath,
    keys: [(&'static str, &Option<String>); N],
) -> Result<&'static str> {
    let mut given = keys.iter().filter(|(_, value)| value.is_some());
    match (given.next(), given.next()) {
        (Some((name, _)), None) => Ok(name),
        (Some((first, _)), Some((second, _))) => Err(key
            .at(second)
            .wrong(format!("can't go together with `{first}`"))),
        (None, _) => {
            let names: Vec<String> = keys.iter().map(|(name, _)| format!("`{name}`")).collect();
            Err(key.wrong(format!("needs one of {}", names.join(", "))))
        }
    }
}

/// Refuses keys that the style has no use for: they would be silently ignored otherwise.
fn only_keys_of(config: &Pagination, key: &ConfigPath) -> Result<()> {
    use Style::{Cursor, Link, NextUrl, Offset, Page};
    let counted: &[Style] = &[Page, Offset];
    let given: [(&str, bool, &[Style]); 13] = [
        (
            "parameter",
            config.parameter.is_some(),
            &[Cursor, Page, Offset],
        ),
        ("first", config.first.is_some(), counted),
        ("cursor_pointer", config.cursor_pointer.is_some(), &[Cursor]),
        ("cursor_header", config.cursor_header.is_some(), &[Cursor]),
        (
            "cursor_record_pointer",
            config.cursor_record_pointer.is_some(),
            &[Cursor],
        ),
        ("url_pointer", config.url_pointer.is_some(), &[NextUrl]),
        ("url_header", config.url_header.is_some(), &[NextUrl]),
        (
            "more_pointer",
            config.more_pointer.is_some(),
            &[Cursor, Page, Offset, Link, NextUrl],
        ),
        (
            "total_pages_pointer",
            config.total_pages_pointer.is_some(),
            &[Page],
        ),
        (
            "total_pointer",
            config.total_pointer.is_some(),
            &[Cursor, Page, Offset, Link, NextUrl],
        ),
        (
            "end_values",
            config.end_values.is_some(),
            &[Cursor, NextUrl],
        ),
        (
            "stable_order",
            config.stable_order.is_some(),
            &[Cursor, Link, NextUrl],
        ),
        ("end_statuses", config.end_statuses.is_some(), counted),
    ];
    for (name, given, styles) in given {
        if given && !styles.contains(&config.style) {
            return Err(key.at(name).wrong(format!(
                "is not used by the style `{}`",
                name_of(config.style)
            )));
        }
    }
    Ok(())
}

fn name_of(style: Style) -> &'static str {
    match style {
        Style::None => "none",
        Style::Cursor => "cursor",
        Style::Page => "page",
        Style::Offset => "offset",
        Style::Link => "link",
        Style::NextUrl => "next_url",
    }
}
