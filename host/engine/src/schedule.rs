//! Schedules: when something is due (the rules of that are [`tidegate_rules::schedule`]), and what becomes of
//! moments that have passed.

mod calendar;
mod definition;

pub use tidegate_rules::schedule::*;

pub use calendar::{Calendar, Plan};
pub use definition::*;

/// How far behind its fires a schedule runs, in milliseconds: the same for one `id` at all times,
/// and different for different ones, so that what is due together does not start together. Less
/// than `window_ms`, and 0 without one.
#[must_use]
pub fn spread_ms(id: &str, window_ms: u64) -> u64 {
    let hash = blake3::hash(id.as_bytes());
    let first = hash.as_bytes().first_chunk::<8>();
    let number = first.map_or(0, |bytes| u64::from_le_bytes(*bytes));
    number.checked_rem(window_ms).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_together_is_spread_over_the_window() {
        let window = 60_000;
        let mut counts = [0; 6];
        for number in 0..6000 {
            let id = format!("crm/contacts/{number}");
            let spread = spread_ms(&id, window);
            assert_eq!(spread, spread_ms(&id, window));
            counts[usize::try_from(spread / 10_000).unwrap()] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1200).contains(count)),
            "{counts:?}"
        );
        assert_eq!(spread_ms("crm", 0), 0);
    }
}
