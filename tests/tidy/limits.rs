//! Every limit is documented as it is.

use super::read;

/// A number as code writes it: `128 * MIB`, `100_000`.
fn product(text: &str) -> u64 {
    let factor = |word: &str| match word.trim() {
        "KIB" => 1 << 10,
        "MIB" => 1 << 20,
        "GIB" => 1 << 30,
        "MINUTE_MS" => 60_000,
        number => number
            .replace('_', "")
            .parse()
            .unwrap_or_else(|_| panic!("what is {number:?}?")),
    };
    text.split('*').map(factor).product()
}

/// A number as a document writes it: `128 MiB`, `100,000`, `5 min`.
fn quantity(text: &str) -> u64 {
    let (number, unit) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let number: u64 = number
        .replace(',', "")
        .parse()
        .unwrap_or_else(|_| panic!("what is {text:?}?"));
    number
        * match unit {
            "" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "s" => 1000,
            "min" => 60_000,
            "h" => 3_600_000,
            _ => panic!("what is {unit:?}?"),
        }
}

#[test]
fn every_limit_is_documented_as_it_is() {
    let code = read("host/rules/src/limits.rs");
    let table = code
        .split("\nlimits! {\n")
        .nth(1)
        .and_then(|rest| rest.split("\n}").next())
        .unwrap();
    let row = |line: &str| {
        let (name, rest) = line.trim().split_once(" = ")?;
        let (numbers, reason) = rest.split_once(", \"")?;
        let numbers: Vec<u64> = numbers.split(", ").map(product).collect();
        assert_eq!(numbers.len(), 3, "{line}");
        let reason = reason.trim_end_matches("\";").to_owned();
        Some((name.to_owned(), numbers, reason))
    };
    let in_code: Vec<_> = table.lines().filter_map(row).collect();
    assert!(in_code.len() > 20, "{in_code:?}");

    let document = read("docs/limits.md");
    let cells = |line: &str| -> Option<Vec<String>> {
        let cells = line.strip_prefix("| `")?.trim_end_matches('|').split('|');
        Some(
            cells
                .map(|cell| cell.trim().trim_matches('`').to_owned())
                .collect(),
        )
    };
    let documented: Vec<_> = document
        .lines()
        .filter_map(cells)
        .filter(|cells| cells.len() == 5)
        .map(|cells| {
            let numbers = cells[1..4].iter().map(|cell| quantity(cell)).collect();
            (cells[0].clone(), numbers, cells[4].clone())
        })
        .collect();
    assert_eq!(documented, in_code);

    // Those that nobody sets are in code of their own.
    let code = read("host/rules/src/limits/fixed.rs");
    let fixed = |line: &str| {
        let (names, rest) = line.trim().split_once(" = ")?;
        let (value, reason) = rest.split_once(", \"")?;
        let name = names.split(' ').nth(1)?.to_owned();
        let value = product(value);
        Some((name, value, reason.trim_end_matches("\";").to_owned()))
    };
    let table = code.split("\nfixed! {\n").nth(1).unwrap();
    let in_code: Vec<_> = table.lines().filter_map(fixed).collect();
    assert!(in_code.len() > 10, "{in_code:?}");
    let documented: Vec<_> = document
        .lines()
        .filter_map(cells)
        .filter(|cells| cells.len() == 3)
        .map(|cells| (cells[0].clone(), quantity(&cells[1]), cells[2].clone()))
        .collect();
    assert_eq!(documented, in_code);

    // Constants of the SDK and of our plugins, each in its own file.
    let rows: Vec<Vec<String>> = document
        .lines()
        .filter_map(cells)
        .filter(|cells| cells.len() == 4)
        .collect();
    assert!(rows.len() > 15, "{rows:?}");
    for row in rows {
        let code = read(&row[2]);
        let after = code.split(&format!("const {}: ", row[0])).nth(1);
        let value = after.and_then(|after| after.split(" = ").nth(1)?.split(';').next());
        assert_eq!(value.map(product), Some(quantity(&row[1])), "{row:?}");
    }
}
