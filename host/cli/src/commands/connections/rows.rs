//! The rows of a file of connections: JSON lines, or CSV with a header.
//!
//! Secrets are references to the environment or to files, of which the operator says which ones. What is wrong is told without repeating
//! what could be one in clear.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use tidegate_service::control::NewConnection;
use tidegate_service::problem::{Problem, Result};
use tidegate_service::secrets::SecretMap;
use url::Url;

use crate::secrets::Sources;

/// Most bytes of a file, and rows in it.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
const ROWS_MAX: usize = 100_000;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values with a header
    Csv,
}

/// What was read, each row with its line.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) good: Vec<(u64, NewConnection)>,
    pub(super) bad: Vec<(u64, Problem)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    connection: ConnectionName,
    base_url: Url,
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default)]
    metadata: Map<String, Value>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    external_id: Option<String>,
    // Taken apart by hand: serde's errors repeat what they don't like.
    #[serde(default)]
    secrets: Value,
}

/// Members of a row that are objects.
const OBJECTS: [&str; 4] = ["config", "metadata", "tags", "secrets"];

/// Read every row of a file.
pub(super) fn read(
    integration: &Name,
    path: &Path,
    format: Option<Format>,
    sources: &Sources,
) -> Result<Rows> {
    let shown = path.display();
    let format = match (format, path.extension().and_then(|end| end.to_str())) {
        (Some(format), _) => format,
        (None, Some("jsonl" | "ndjson")) => Format::Jsonl,
        (None, Some("csv")) => Format::Csv,
        (None, _) => {
            let problem = Problem::invalid("is it JSON lines or CSV? its name does not say");
            return Err(problem.at(shown).hint("add --format jsonl or --format csv"));
        }
    };
    let unreadable = |error: std::io::Error| Problem::not_found(error).at(path.display());
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let mut file = file.take(FILE_BYTES_MAX + 1);
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message = format!("it has more than {FILE_BYTES_MAX} bytes; split it");
        return Err(Problem::invalid(message).at(shown));
    }
    // As spreadsheets begin a file.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let rows: Vec<(u64, Result<Row>)> = match format {
        Format::Jsonl => json_rows(bytes),
        Format::Csv => csv_rows(bytes).map_err(|problem| problem.at(path.display()))?,
    };
    if rows.len() > ROWS_MAX {
        let message = format!("it has {} rows; the most is {ROWS_MAX}", rows.len());
        return Err(Problem::invalid(message).at(shown));
    }
    let mut read = Rows::default();
    for (line, row) in rows {
        match row.and_then(|row| connection(integration, row, sources)) {
            Ok(connection) => read.good.push((line, connection)),
            Err(problem) => read.bad.push((line, problem)),
        }
    }
    Ok(read)
}

fn json_rows(bytes: &[u8]) -> Vec<(u64, Result<Row>)> {
    let lines = bytes.split(|byte| *byte == b'\n').zip(1..);
    let lines = lines.filter(|(line, _)| !line.trim_ascii().is_empty());
    lines
        .map(|(line, number)| {
            let row = serde_json::from_slice(line)
                .map_err(|error| Problem::invalid(told(&error)))
                .and_then(row);
            (number, row)
        })
        .collect()
}

/// serde counts lines from the row's own beginning, which says nothing in a file.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(" at line ") {
        Some((text, _)) if error.column() > 0 => format!("{text}, at column {}", error.column()),
        _ => text,
    }
}

fn row(object: Map<String, Value>) -> Result<Row> {
    serde_json::from_value(Value::Object(object)).map_err(|error| Problem::invalid(told(&error)))
}

fn csv_rows(bytes: &[u8]) -> Result<Vec<(u64, Result<Row>)>> {
    let mut reader = csv::ReaderBuilder::new().from_reader(bytes);
    let header = reader.headers().map_err(Problem::invalid)?.clone();
    let columns: Vec<(&str, Option<&str>)> = header
        .iter()
        .map(|name| {
            let name = name.trim();
            name.split_once('.')
                .map_or((name, None), |(object, key)| (object, Some(key)))
        })
        .collect();
    for (at, (name, key)) in columns.iter().enumerate() {
        let known = match key {
            None => {
                OBJECTS.contains(name) || ["connection", "base_url", "external_id"].contains(name)
            }
            Some(key) => OBJECTS.contains(name) && !key.is_empty(),
        };
        if !known {
            let message = format!(
                "the column {:?} means nothing here",
                header.get(at).unwrap_or_default()
            );
            return Err(Problem::invalid(message).hint(
                "columns are connection, base_url, external_id, and config.KEY, metadata.KEY, tags.KEY, secrets.KEY",
            ));
        }
        if columns.iter().take(at).any(|other| *other == (*name, *key)) {
            return Err(Problem::invalid(format!("there are two columns {name:?}")));
        }
    }
    let mut rows = Vec::new();
    let mut record = csv::StringRecord::new();
    loop {
        let line = reader.position().line();
        match reader.read_record(&mut record) {
            Ok(false) => return Ok(rows),
            Ok(true) => {
                let line = record.position().map_or(line, csv::Position::line);
                let object = object(&columns, &record);
                rows.push((line, object.and_then(row)));
            }
            Err(error) => {
                let line = error.position().map_or(line, csv::Position::line);
                rows.push((line, Err(Problem::invalid(csv_told(&error)))));
            }
        }
    }
}

fn csv_told(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            format!("it has {len} cells, and the header has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

/// A row as the object that it would be in JSON. Empty cells are not there.
fn object(
    columns: &[(&str, Option<&str>)],
    record: &csv::StringRecord,
) -> Result<Map<String, Value>> {
    let mut object = Map::new();
    let cells = columns
        .iter()
        .zip(record)
        .filter(|(_, cell)| !cell.is_empty());
    for ((name, key), cell) in cells {
        let text = || Value::String(cell.to_owned());
        match key {
            None if OBJECTS.contains(name) => {
                let parsed: Map<String, Value> = serde_json::from_str(cell)
                    .map_err(|_| Problem::invalid(format!("{name}: a JSON object is expected")))?;
                members(&mut object, name)?.extend(parsed);
            }
            None => {
                object.insert((*name).to_owned(), text());
            }
            Some(key) => {
                let is_json = matches!(*name, "config" | "metadata");
                let parsed = is_json.then(|| serde_json::from_str(cell).ok()).flatten();
                members(&mut object, name)?.insert((*key).to_owned(), parsed.unwrap_or_else(text));
            }
        }
    }
    Ok(object)
}

fn members<'a>(
    object: &'a mut Map<String, Value>,
    name: &str,
) -> Result<&'a mut Map<String, Value>> {
    let members = object
        .entry(name)
        .or_insert_with(|| Value::Object(Map::new()));
    members
        .as_object_mut()
        .ok_or_else(|| Problem::internal("a member that is no object"))
}

fn connection(integration: &Name, row: Row, sources: &Sources) -> Result<NewConnection> {
    Ok(NewConnection {
        key: ConnectionKey {
            integration: integration.clone(),
            connection: row.connection,
        },
        base_url: row.base_url,
        config: row.config,
        metadata: row.metadata,
        tags: row.tags,
        external_id: row.external_id,
        secrets: references(&row.secrets, sources)?,
    })
}

fn references(secrets: &Value, sources: &Sources) -> Result<SecretMap> {
    let wanted = || {
        Problem::invalid("secrets: an object is expected, with env:VAR or file:PATH for each name")
    };
    let secrets = match secrets {
        Value::Null => return Ok(SecretMap::new()),
        Value::Object(secrets) => secrets,
        _ => return Err(wanted()),
    };
    let reference =
        |(name, source): (&String, &Value)| sources.read(name, source.as_str().ok_or_else(wanted)?);
    secrets.iter().map(reference).collect()
}
