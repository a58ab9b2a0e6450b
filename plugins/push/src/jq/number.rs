//! Values as JSON text, with numbers as jq writes them.

use std::fmt::Write;

use jaq_json::{Num, Val};

/// The value as JSON text. What JSON has no number for is written as jq does: null, and the largest.
pub(super) fn text(value: &Val) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Val, to: &mut String) {
    match value {
        Val::Null => to.push_str("null"),
        Val::Bool(true) => to.push_str("true"),
        Val::Bool(false) => to.push_str("false"),
        Val::Num(number) => to.push_str(&digits(number)),
        Val::BStr(bytes) | Val::TStr(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            // Writing a text to a string can't fail.
            to.push_str(&serde_json::to_string(&text).unwrap_or_default());
        }
        Val::Arr(items) => {
            to.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    to.push(',');
                }
                write(item, to);
            }
            to.push(']');
        }
        Val::Obj(members) => {
            to.push('{');
            for (position, (name, member)) in members.iter().enumerate() {
                if position > 0 {
                    to.push(',');
                }
                write(name, to);
                to.push(':');
                write(member, to);
            }
            to.push('}');
        }
    }
}

/// A number: as it was written where it was not calculated with.
pub(super) fn digits(number: &Num) -> String {
    match number {
        Num::Float(float) if float.is_nan() => "null".to_owned(),
        Num::Float(float) if float.is_infinite() => {
            let sign = if *float < 0.0 { "-" } else { "" };
            format!("{sign}1.7976931348623157e+308")
        }
        Num::Float(float) => of_float(*float),
        other => other.to_string(),
    }
}

/// The shortest digits that mean the number, laid out as jq does.
fn of_float(float: f64) -> String {
    let scientific = format!("{:e}", float.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let point = exponent + 1;
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let mut text = if float < 0.0 {
        "-".to_owned()
    } else {
        String::new()
    };
    if point <= -4 || point > count + 15 {
        let (first, rest) = digits.split_at(1);
        text.push_str(first);
        if !rest.is_empty() {
            text.push('.');
            text.push_str(rest);
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        // Writing to a string can't fail.
        let _ = write!(text, "e{sign}{:02}", exponent.abs());
    } else if point <= 0 {
        text.push_str("0.");
        text.extend((point..0).map(|_| '0'));
        text.push_str(&digits);
    } else if point >= count {
        text.push_str(&digits);
        text.extend((count..point).map(|_| '0'));
    } else {
        let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
        text.push_str(whole);
        text.push('.');
        text.push_str(fraction);
    }
    text
}

/// A text as a number: digits with a sign, a fraction and an exponent, and nothing beside them.
pub(super) fn read(text: &str) -> Option<Val> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = unsigned.splitn(2, ['e', 'E']);
    let mantissa = parts.next()?;
    let exponent = parts
        .next()
        .map(|exponent| exponent.strip_prefix(['-', '+']).unwrap_or(exponent));
    let mut halves = mantissa.splitn(2, '.');
    let whole = halves.next()?;
    let fraction = halves.next().unwrap_or_default();
    let are_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let fits = !(whole.is_empty() && fraction.is_empty())
        && are_digits(whole)
        && are_digits(fraction)
        && exponent.is_none_or(|exponent| !exponent.is_empty() && are_digits(exponent));
    if !fits {
        return None;
    }
    // What is JSON stays as it is written; the rest is made so.
    super::parse_strictly(text).ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        super::parse_strictly(&of_float(number)).ok()
    })
}
