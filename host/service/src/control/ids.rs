//! Chance for new ids. What is made later sorts later, within a millisecond too, as lists are in the order of ids
//! (the ULID specification, "Monotonicity").

use parking_lot::Mutex;
use tidegate_engine::Timestamp;

use crate::problem::Result;

/// Bits of a ULID beside its time.
const BITS: u32 = 80;

#[derive(Debug)]
struct Sequence {
    at: Timestamp,
    last: u128,
}

static SEQUENCE: Mutex<Sequence> = Mutex::new(Sequence {
    at: Timestamp(0),
    last: 0,
});

impl Sequence {
    fn next(&mut self, now: Timestamp, random: u128) -> u128 {
        self.last = match self.at == now {
            true => self.last.saturating_add(1),
            // Half of the room is kept for those that follow.
            false => random >> (u128::BITS - BITS + 1),
        };
        self.at = now;
        self.last
    }
}

/// The 80 bits that an id made at `now` has beside its time.
pub(super) fn next(now: Timestamp) -> Result<u128> {
    let mut random = [0; 16];
    crate::secrets::random(&mut random)?;
    let mut sequence = SEQUENCE.lock();
    Ok(sequence.next(now, u128::from_be_bytes(random)))
}

#[cfg(test)]
mod tests {
    use tidegate_engine::run::RunId;

    use super::*;

    #[test]
    fn ids_are_in_the_order_in_which_they_were_made() {
        let mut sequence = Sequence {
            at: Timestamp(0),
            last: 0,
        };
        let mut before = None;
        for number in 0..10_000u64 {
            let now = Timestamp(1_000 + number / 1_000);
            // The worst that chance can do: less each time.
            let random = u128::MAX - u128::from(number) * (u128::MAX / 20_000);
            let id = RunId::from_parts(now, sequence.next(now, random));
            assert_eq!(id.time(), now);
            assert!(before < Some(id), "{number}");
            before = Some(id);
        }
    }

    #[test]
    fn ids_of_different_times_have_nothing_in_common() {
        let (one, other) = (next(Timestamp(1)), next(Timestamp(2)));
        assert_ne!(one.unwrap(), other.unwrap());
    }
}
