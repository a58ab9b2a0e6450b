//! `docs/hostile.md`: the cases, what came of each, and how the healthy runs beside it fared.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use crate::case::End;
use crate::house::Row;
use crate::support::root;

const FILE: &str = "docs/hostile.md";

/// Compare what came of the cases with the file, or write it anew. Figures are not compared.
pub fn check(rows: &[Row], alone: &[Duration]) {
    let path = root().join(FILE);
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        fs::write(&path, document(rows, alone)).unwrap();
        return;
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let written: Vec<String> = written.lines().filter_map(verdict).collect();
    let came: Vec<String> = rows.iter().filter_map(|row| verdict(&line(row))).collect();
    assert_eq!(
        came, written,
        "{FILE} is not what came of the cases; write it anew with TIDEGATE_BLESS=1"
    );
}

/// The cells of a row that don't change from machine to machine.
fn verdict(line: &str) -> Option<String> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let is_row = cells.len() == 10 && !cells[1].starts_with('-') && cells[1] != "case";
    is_row.then(|| cells[1..6].join(" | "))
}

fn line(row: &Row) -> String {
    let End {
        outcome,
        class,
        blame,
        limit,
    } = &row.end;
    let or_none = |text: &str| {
        if text.is_empty() {
            "–".to_owned()
        } else {
            text.to_owned()
        }
    };
    let limit = match limit.as_str() {
        "" => "–".to_owned(),
        name => format!("`{name}`"),
    };
    format!(
        "| {} | {outcome} | {} | {} | {limit} | {} | {} | {} |",
        row.case.name,
        or_none(class),
        or_none(blame),
        seconds(row.took),
        ms(median(&row.beside)),
        ms(slowest(&row.beside)),
    )
}

fn document(rows: &[Row], alone: &[Duration]) -> String {
    let day = std::process::Command::new("date").arg("+%Y-%m-%d").output();
    let day = String::from_utf8(day.unwrap().stdout).unwrap();
    let all: Vec<Duration> = rows.iter().flat_map(|row| row.beside.clone()).collect();
    let mut text = format!(
        "# Hostile plugins and servers\n\n\
         What `tests/hostile` does to a host, and what comes of it; `cargo test --test hostile` compares all\n\
         but the figures with this file, and with `TIDEGATE_BLESS=1` writes it anew. In one process, four\n\
         cases run at a time, and beside each of them an honest plugin syncs 20 records from a healthy\n\
         server again and again. *Class* `plugin` is a refusal to deploy.\n\n\
         Figures of {}, a development build (opt-level 1) on two processors. {} cases; {} healthy runs beside them, all\n\
         successful: median {} ms, slowest {} ms. With nothing beside it, such a run takes {} ms (median).\n\n\
         | case | ends as | class | blame | limit | stopped after, s | healthy runs beside it: median, ms | slowest, ms |\n\
         |---|---|---|---|---|---|---|---|\n",
        day.trim(),
        rows.len(),
        all.len(),
        ms(median(&all)),
        ms(slowest(&all)),
        ms(median(alone)),
    );
    for row in rows {
        let _ = writeln!(text, "{}", line(row));
    }
    text
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

fn slowest(times: &[Duration]) -> Duration {
    times.iter().copied().max().unwrap()
}

fn ms(time: Duration) -> u128 {
    time.as_millis()
}

fn seconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64())
}
