//! Fuzzing the reading of cassettes: real ones with lines and bytes changed, on stable.
//!
//! Runs for a second, or for `TIDEGATE_FUZZ_SECONDS`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test ends by panicking, helpers included"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use bolero::{TypeGenerator, check};
use tidegate_engine::cassette::{Ask, Cassette, Difference, differences};

const REAL: &[&str] = &[
    include_str!("../../../plugins/hello/cassettes/todos.jsonl"),
    include_str!("../../../plugins/kinto/cassettes/nothing-new.jsonl"),
];

/// One change of a file's lines.
#[derive(Debug, Clone, TypeGenerator)]
enum Edit {
    Swap(u8, u8),
    Repeat(u8),
    Remove(u8),
    /// A byte of a line, counted from its start.
    Byte(u8, u16, u8),
    /// The first number after a place in a line.
    Number(u8, u16, i32),
    Cut(u8, u16),
}

fn edit(lines: &mut Vec<Vec<u8>>, edit: &Edit) {
    if lines.is_empty() {
        return;
    }
    let count = lines.len();
    let at = |line: u8| usize::from(line) % count;
    match *edit {
        Edit::Swap(a, b) => lines.swap(at(a), at(b)),
        Edit::Repeat(line) => lines.insert(at(line), lines[at(line)].clone()),
        Edit::Remove(line) => {
            lines.remove(at(line));
        }
        Edit::Byte(line, place, byte) => {
            let line = &mut lines[at(line)];
            let place = usize::from(place) % line.len().max(1);
            if let Some(old) = line.get_mut(place) {
                *old = byte;
            }
        }
        Edit::Number(line, place, number) => {
            let line = &mut lines[at(line)];
            let start = usize::from(place) % line.len().max(1);
            let digits = |byte: &u8| byte.is_ascii_digit();
            if let Some(first) = line[start..].iter().position(digits) {
                let first = start + first;
                let rest = &line[first..];
                let length = rest.iter().take_while(|byte| digits(byte)).count();
                line.splice(first..first + length, number.to_string().into_bytes());
            }
        }
        Edit::Cut(line, place) => {
            let line = &mut lines[at(line)];
            line.truncate(usize::from(place) % line.len().max(1));
        }
    }
}

/// What a replay of just this would be told.
fn of_itself(cassette: &Cassette) -> Vec<Difference> {
    let asks: Vec<&Ask> = cassette.calls.iter().map(|call| &call.ask).collect();
    differences(&asks, &asks, Some((&cassette.end, &cassette.end)))
}

#[test]
fn cassettes() {
    let seconds = std::env::var("TIDEGATE_FUZZ_SECONDS").ok();
    let time = Duration::from_secs(seconds.map_or(1, |text| text.parse().unwrap()));
    for real in REAL {
        let whole = Cassette::parse(real.as_bytes()).expect("a real one is read");
        assert_eq!(of_itself(&whole), []);
    }
    let inputs = check!()
        .with_test_time(time)
        .with_type::<(bool, Vec<Edit>)>();
    inputs.for_each(|(second, edits)| {
        let real = REAL[usize::from(*second)];
        let mut lines: Vec<Vec<u8>> = real
            .split_inclusive('\n')
            .map(|line| line.as_bytes().to_vec())
            .collect();
        for one in edits.iter().take(6) {
            edit(&mut lines, one);
        }
        let bytes = lines.concat();
        match Cassette::parse(&bytes) {
            Ok(read) => {
                // Each answer has a place of its own, without a gap.
                let places = read.calls.iter().filter_map(|call| call.answer.as_ref());
                let places: BTreeSet<u64> = places.map(|(place, _)| *place).collect();
                assert!(places.iter().copied().eq(0..places.len() as u64));
                assert_eq!(of_itself(&read), []);
            }
            Err(error) => {
                let count = bytes.split_inclusive(|byte| *byte == b'\n').count();
                assert!((1..=count.max(1)).contains(&error.line), "{error}");
                assert!(!error.reason.is_empty());
            }
        }
    });
}
