//! Halves of surrogate pairs in JSON: escapes that stand for no character, as where a text was cut within an
//! emoji. A strict reader stops there; the host stores U+FFFD instead.

use std::ops::RangeInclusive;

const HIGH: RangeInclusive<u32> = 0xd800..=0xdbff;
const LOW: RangeInclusive<u32> = 0xdc00..=0xdfff;

/// JSON with U+FFFD for each escape that is half of a surrogate pair; `None` when there is none. The host
/// stores records so; this is for what a plugin reads of them itself.
#[must_use]
pub fn mended(json: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut at = 0;
    while let Some(found) = json
        .as_bytes()
        .get(at..)
        .and_then(|rest| rest.iter().position(|b| *b == b'\\'))
    {
        at += found;
        let half = match unit(json, at) {
            Some(high) if HIGH.contains(&high) => {
                if unit(json, at + 6).is_some_and(|low| LOW.contains(&low)) {
                    at += 12;
                    continue;
                }
                true
            }
            Some(low) if LOW.contains(&low) => true,
            Some(_) => false,
            // Another escape: what comes after its backslash is none.
            None => {
                at += 2;
                continue;
            }
        };
        if half {
            if bytes.is_empty() {
                bytes = json.as_bytes().to_vec();
            }
            if let Some(digits) = bytes.get_mut(at + 2..at + 6) {
                digits.copy_from_slice(b"fffd");
            }
        }
        at += 6;
    }
    // Only ASCII was replaced, by ASCII.
    (!bytes.is_empty()).then(|| String::from_utf8(bytes).ok())?
}

/// The code unit of the escape at `at`, if it is one of four digits.
fn unit(json: &str, at: usize) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = json.as_bytes().get(at..at + 6)? else {
        return None;
    };
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit << 4 | char::from(*digit).to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn halves_are_replaced_and_pairs_are_not() {
        for (json, mended) in [
            (r#"{"a":"cut \ud83d"}"#, Some(r#"{"a":"cut \ufffd"}"#)),
            (r#"{"\uD83D":"\uDE00"}"#, Some(r#"{"\ufffd":"\ufffd"}"#)),
            (
                r#"["\ud83d\ud83d\ude00é"]"#,
                Some(r#"["\ufffd\ud83d\ude00é"]"#),
            ),
            (r#"["\\\ud83d"]"#, Some(r#"["\\\ufffd"]"#)),
            (r#"["\ud83d\ude00", "\\ud83d", "\n\u0041", "\ud83"]"#, None),
            ("{}", None),
        ] {
            assert_eq!(super::mended(json).as_deref(), mended, "{json}");
        }
    }
}
