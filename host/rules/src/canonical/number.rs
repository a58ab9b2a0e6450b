//! The one exact spelling of a JSON number: digits without zeros at either end, then the exponent.

use super::error::Reason;

/// Exponents with more digits are refused: no such number means anything to anybody.
const EXPONENT_DIGITS_MAX: usize = 18;

/// Parts of a number's text.
struct Parts<'a> {
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

/// How many bytes the number at the start of `text` takes, if it is canonical as it stands and
/// simple: an integer below a float's largest, as almost all numbers are.
#[inline]
pub(super) fn canonical_len(text: &[u8]) -> Option<usize> {
    let start = usize::from(text.first() == Some(&b'-'));
    let len = text
        .iter()
        .skip(start)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let end = start + len;
    let leading = text.get(start)?;
    let last = text.get(end.checked_sub(1)?)?;
    let zero = len == 1 && start == 0 && *last == b'0';
    let simple = (1..=FINITE_DIGITS).contains(&len) && *leading != b'0' && *last != b'0';
    let ends = !matches!(text.get(end), Some(b'.' | b'e' | b'E'));
    ((zero || simple) && ends).then_some(end)
}

/// Append the canonical spelling of the number at the start of `text` to `out`; returns how many
/// bytes of `text` it takes.
pub(super) fn copy(text: &[u8], out: &mut Vec<u8>) -> Result<usize, Reason> {
    let (parts, len) = split(text)?;
    spell(&parts, out);
    if parts.exponent > 0 || parts.integer.len() > FINITE_DIGITS {
        check_finite(text, len)?;
    }
    Ok(len)
}

/// An integer of so many digits is below the largest float.
const FINITE_DIGITS: usize = 308;

/// Readers parse numbers as floats; one that is infinite there would break them all.
fn check_finite(text: &[u8], len: usize) -> Result<(), Reason> {
    let number = text
        .get(..len)
        .and_then(|text| std::str::from_utf8(text).ok());
    match number.and_then(|text| text.parse::<f64>().ok()) {
        Some(value) if value.is_finite() => Ok(()),
        _ => Err(Reason::NumberRange),
    }
}

fn split(text: &[u8]) -> Result<(Parts<'_>, usize), Reason> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (integer, mut rest) = digits(rest);
    if integer.is_empty() || (integer.len() > 1 && integer.first() == Some(&b'0')) {
        return Err(Reason::Number);
    }
    let mut fraction: &[u8] = &[];
    if let [b'.', after @ ..] = rest {
        (fraction, rest) = digits(after);
        if fraction.is_empty() {
            return Err(Reason::Number);
        }
    }
    let mut exponent = 0;
    if let [b'e' | b'E', after @ ..] = rest {
        let (sign, after) = match after {
            [b'-', after @ ..] => (-1, after),
            [b'+', after @ ..] => (1, after),
            after => (1, after),
        };
        let digits_of_exponent;
        (digits_of_exponent, rest) = digits(after);
        if digits_of_exponent.is_empty() {
            return Err(Reason::Number);
        }
        let significant = without_zeros_in_front(digits_of_exponent);
        if significant.len() > EXPONENT_DIGITS_MAX {
            return Err(Reason::NumberRange);
        }
        for digit in significant {
            exponent = exponent * 10 + i64::from(digit - b'0');
        }
        exponent *= sign;
    }
    Ok((
        Parts {
            negative,
            integer,
            fraction,
            exponent,
        },
        text.len() - rest.len(),
    ))
}

fn spell(parts: &Parts<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    if parts.negative {
        out.push(b'-');
    }
    let digits_start = out.len();
    let integer = without_zeros_in_front(parts.integer);
    out.extend_from_slice(integer);
    if integer.is_empty() {
        out.extend_from_slice(without_zeros_in_front(parts.fraction));
    } else {
        out.extend_from_slice(parts.fraction);
    }
    // The value is now `digits` times ten to this power.
    let mut power = parts.exponent - i64::try_from(parts.fraction.len()).unwrap_or(i64::MAX);
    while out.len() > digits_start && out.last() == Some(&b'0') {
        out.pop();
        power += 1;
    }
    if out.len() == digits_start {
        // Zero, whatever its sign and exponent.
        out.truncate(start);
        out.push(b'0');
    } else if power != 0 {
        out.push(b'e');
        out.extend_from_slice(power.to_string().as_bytes());
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let len = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at_checked(len).unwrap_or((text, &[]))
}

fn without_zeros_in_front(digits: &[u8]) -> &[u8] {
    let zeros = digits
        .iter()
        .position(|digit| *digit != b'0')
        .unwrap_or(digits.len());
    digits.get(zeros..).unwrap_or_default()
}
