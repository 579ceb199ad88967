//! Backoff: how long to wait before the next attempt.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);

/// Full jitter under `min(max, 250 ms x 2^failures)`: any wait up to the bound is
/// as likely as any other, so that lanes which failed together do not return
/// together. `failures` counts from 0, `chance` is a random number.
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
pub fn backoff(failures: u32, max: Duration, chance: u64) -> Duration {
    let bound = FIRST
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(max);
    let bound_ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(chance % bound_ms.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bound_doubles_up_to_its_maximum() {
        let max = Duration::from_secs(30);
        let bound = |failures| backoff(failures, max, bound_ms(failures)).as_millis();
        fn bound_ms(failures: u32) -> u64 {
            (250 << failures.min(7)).min(30_000)
        }
        assert_eq!(bound(0), 250);
        assert_eq!(bound(1), 500);
        assert_eq!(bound(6), 16_000);
        assert_eq!(bound(7), 30_000);
        assert_eq!(backoff(u32::MAX, max, 30_000), max);
        assert_eq!(backoff(u32::MAX, max, 30_001), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_bound(
            failures in any::<u32>(), max_ms in 1_u64..100_000, chance in any::<u64>(),
        ) {
            let wait = backoff(failures, Duration::from_millis(max_ms), chance);
            let doubled = 250_u64.saturating_mul(2_u64.saturating_pow(failures));
            prop_assert!(wait <= Duration::from_millis(max_ms.min(doubled)));
        }
    }
}
