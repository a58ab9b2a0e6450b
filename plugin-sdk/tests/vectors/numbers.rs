//! Numbers as APIs write them, the same each time: for tests of what becomes of them on their way.
//!
//! `TIDEGATE_NUMBERS=1000000` tries a million.

/// How many to try.
pub(crate) fn how_many(usual: usize) -> usize {
    let set = std::env::var("TIDEGATE_NUMBERS").ok();
    set.map_or(usual, |count| count.parse().unwrap())
}

/// A number by its place (splitmix64): the shortest text of a double, 16 and 17 digits with a point among them, an
/// exponent, an integer of 64 bits.
pub(crate) fn number(at: u64) -> String {
    let mixed = |salt: u64| {
        let seed = at.wrapping_mul(4).wrapping_add(salt);
        let mut z = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let sign = if mixed(0) & 1 == 0 { "" } else { "-" };
    match mixed(0) >> 1 & 3 {
        0 => {
            let double = f64::from_bits(mixed(1));
            if double.is_finite() {
                format!("{double:?}")
            } else {
                "98.37282740013183".to_owned()
            }
        }
        // Money and measures.
        1 => {
            let digits = (mixed(1) % 90_000_000_000_000_000 + 10_000_000_000_000_000).to_string();
            let point = 1 + usize::try_from(mixed(2) % 15).unwrap();
            format!("{sign}{}.{}", &digits[..point], &digits[point..])
        }
        2 => format!(
            "{sign}0.{:017}e{}",
            mixed(1) % 100_000_000_000_000_000,
            mixed(2) % 300
        ),
        _ => format!("{sign}{}", mixed(1)),
    }
}
