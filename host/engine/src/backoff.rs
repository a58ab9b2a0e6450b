//! Backoff: how long to wait before something is tried again. Jobs, webhooks and requests share it.

/// A wait that doubles with each failure, up to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exponential {
    /// After the first failure, in milliseconds.
    pub first_ms: u64,
    pub max_ms: u64,
}

impl Exponential {
    /// The wait after `failures` in a row, at least one, in milliseconds and without jitter.
    #[must_use]
    pub const fn wait_ms(self, failures: u32) -> u64 {
        let doublings = failures.saturating_sub(1);
        let doublings = if doublings > 40 { 40 } else { doublings };
        let wait = self.first_ms.saturating_mul(1 << doublings);
        if wait < self.max_ms {
            wait
        } else {
            self.max_ms
        }
    }
}

/// `wait_ms`, longer or shorter by up to a fifth. The jitter is derived from `id`, which identifies the attempt: nothing
/// here draws random numbers, and two backends come to the same wait.
#[must_use]
pub fn jittered_ms(wait_ms: u64, id: &str) -> u64 {
    let fifth = wait_ms / 5;
    wait_ms - fifth + crate::schedule::spread_ms(id, 2 * fifth + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound() {
        let backoff = Exponential {
            first_ms: 500,
            max_ms: 10_000,
        };
        let waits: Vec<u64> = (1..8).map(|failures| backoff.wait_ms(failures)).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        for failures in [0, u32::MAX] {
            assert!(
                (500..=10_000).contains(&backoff.wait_ms(failures)),
                "{failures}"
            );
        }
        let endless = Exponential {
            first_ms: u64::MAX,
            max_ms: u64::MAX,
        };
        assert_eq!(endless.wait_ms(3), u64::MAX);
    }

    #[test]
    fn jitter_is_a_fifth_and_the_same_for_one_attempt() {
        let waits: Vec<u64> = (0..1000)
            .map(|n| jittered_ms(1000, &n.to_string()))
            .collect();
        assert_eq!(
            (waits.iter().min(), waits.iter().max()),
            (Some(&800), Some(&1200))
        );
        assert_eq!(jittered_ms(1000, "7"), jittered_ms(1000, "7"));
        assert_eq!((jittered_ms(0, "7"), jittered_ms(4, "7")), (0, 4));
        assert!(jittered_ms(u64::MAX - 1, "7") > u64::MAX / 5 * 3);
    }
}
