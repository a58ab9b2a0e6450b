//! Halves of surrogate pairs: escapes of JSON that stand for no character.

use std::ops::RangeInclusive;

const HIGH: RangeInclusive<u32> = 0xd800..=0xdbff;
const LOW: RangeInclusive<u32> = 0xdc00..=0xdfff;

/// Put U+FFFD where an escape is half of a surrogate pair. Nothing else changes, lengths neither.
pub(super) fn mend(json: &mut String) {
    let mut bytes = std::mem::take(json).into_bytes();
    let mut at = 0;
    while let Some(found) = bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(|b| *b == b'\\'))
    {
        at += found;
        match unit(&bytes, at) {
            Some(high) if HIGH.contains(&high) => {
                if unit(&bytes, at + 6).is_some_and(|low| LOW.contains(&low)) {
                    at += 12;
                    continue;
                }
                replace(&mut bytes, at);
                at += 6;
            }
            Some(low) if LOW.contains(&low) => {
                replace(&mut bytes, at);
                at += 6;
            }
            Some(_) => at += 6,
            // Another escape: what comes after its backslash is none.
            None => at += 2,
        }
    }
    // Only ASCII was replaced, by ASCII.
    *json = String::from_utf8(bytes).unwrap_or_default();
}

/// The code unit of the escape at `at`, if it is one of four digits.
fn unit(bytes: &[u8], at: usize) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = bytes.get(at..at + 6)? else {
        return None;
    };
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit << 4 | char::from(*digit).to_digit(16)?)
    })
}

fn replace(bytes: &mut [u8], at: usize) {
    if let Some(digits) = bytes.get_mut(at + 2..at + 6) {
        digits.copy_from_slice(b"fffd");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn halves_are_replaced_and_pairs_are_not() {
        for (json, mended) in [
            (r#"{"a":"cut \ud83d"}"#, r#"{"a":"cut \ufffd"}"#),
            (r#"{"\uD83D":"\uDE00"}"#, r#"{"\ufffd":"\ufffd"}"#),
            (r#"{"a":"\ud83d\ude00"}"#, r#"{"a":"\ud83d\ude00"}"#),
            (
                r#"{"a":"\ud83d\ud83d\ude00"}"#,
                r#"{"a":"\ufffd\ud83d\ude00"}"#,
            ),
            (r#"{"a":"\\ud83d"}"#, r#"{"a":"\\ud83d"}"#),
            (r#"{"a":"\\\ud83d"}"#, r#"{"a":"\\\ufffd"}"#),
            (r#"{"a":"\ud83d\n\u0041é"}"#, r#"{"a":"\ufffd\n\u0041é"}"#),
            (r#"{"a":"\ud83"#, r#"{"a":"\ud83"#),
        ] {
            let mut text = json.to_owned();
            super::mend(&mut text);
            assert_eq!(text, mended);
        }
    }
}
