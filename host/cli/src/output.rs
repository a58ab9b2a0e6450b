//! Tables, JSON lines, progress, times and sizes for people.
//!
//! Results go to stdout; progress, notices and errors go to stderr. Without a terminal there are
//! no colours, no bars and no rewriting of lines.
//!
//! What goes to people goes through `plain`: what plugins and APIs say can't pass for what we say. What goes to
//! programs, JSON, is exact.

mod plain;

use std::io::{IsTerminal, Write};

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table};
use serde::Serialize;
use tidegate_service::problem::{Problem, Result};

pub(crate) use plain::Block;

/// Write to stdout, with a line's end. A closed pipe (`| head`) ends the program quietly, as tools do.
fn write(text: &str) {
    if writeln!(std::io::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Write a line to stdout, whatever others say in it.
pub(crate) fn line(text: impl std::fmt::Display) {
    write(&plain::one_line(&text.to_string()));
}

/// Write lines of ours.
pub(crate) fn block(block: &Block) {
    write(&block.to_string());
}

/// Write what somebody else said, and nothing but that.
pub(crate) fn foreign(text: &str) {
    write(&plain::lines(text));
}

/// Write one JSON object as a line.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value).map_err(Problem::internal)?;
    json_text(&text);
    Ok(())
}

/// Write JSON text, exactly, in the lines that it has. Control characters that JSON leaves as they are (U+007F
/// to U+009F) are escaped as JSON does, so that it stays JSON.
pub(crate) fn json_text(text: &str) {
    let escaped = |c: char| match c {
        '\u{7f}'..='\u{9f}' => format!("\\u{:04x}", u32::from(c)),
        other => other.to_string(),
    };
    if text.contains(|c| matches!(c, '\u{7f}'..='\u{9f}')) {
        write(&text.chars().map(escaped).collect::<String>());
    } else {
        write(text);
    }
}

/// Say something beside the result, in one line.
pub(crate) fn notice(text: impl std::fmt::Display) {
    say(&plain::one_line(&text.to_string()));
}

/// Say lines of ours beside the result.
pub(crate) fn notice_block(block: &Block) {
    say(&block.to_string());
}

fn say(text: &str) {
    // Nobody can be told when stderr is gone.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Show a problem.
pub(crate) fn error(problem: &Problem) {
    about("error: ", problem);
}

/// Show a problem with what it is about in front.
pub(crate) fn about(what: &str, problem: &Problem) {
    let mut block = Block::new();
    block.quote(what, &problem.message);
    if let Some(hint) = &problem.hint {
        block.line(format!("  hint: {hint}"));
    }
    notice_block(&block);
}

/// Whether progress may be drawn.
pub(crate) fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// A table with a heading; columns named in `right` are aligned to the right.
pub(crate) fn table(
    heading: &[&str],
    right: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Block {
    let mut table = Table::new();
    table
        .load_style(UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()))
        .set_header(heading.to_vec());
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| plain::one_line(cell)));
    }
    for (index, name) in heading.iter().enumerate() {
        if let (true, Some(column)) = (right.contains(name), table.column_mut(index)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    Block::of_table(table.to_string())
}

/// `1.5 MB`: powers of 1000.
pub(crate) fn bytes(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}
