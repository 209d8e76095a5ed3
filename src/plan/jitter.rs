//! Spreading replicas over time: the same seed always gives the same answer.

use time::Duration;

/// The first pause after a failure.
const FIRST: Duration = Duration::SECOND;
/// The longest pause between attempts.
const LONGEST: Duration = Duration::minutes(5);
/// The longest one while nothing usable is served.
const LONGEST_WITHOUT: Duration = Duration::seconds(15);

/// What tells one replica from another, such as the hash of a pod's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// From a name that no other replica has.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(hash(name.as_bytes()))
    }

    /// A number in `0.0..1.0` that depends on the seed and on `salt` alone.
    #[must_use]
    pub fn share(self, salt: &str) -> f64 {
        // The finalizer of SplitMix64 (Steele, Lea, Flood 2014) mixes the two hashes.
        let mut bits = self.0 ^ hash(salt.as_bytes()).rotate_left(32);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        f64::from(u32::try_from(bits >> 32).unwrap_or_default()) / 4_294_967_296.0
    }
}

/// FNV-1a: short, and no secret depends on it.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// How long to wait after the `failures`th failure in a row: doubling from a second to five
/// minutes, by up to half less; sooner when what is served does not last that long
/// (`remaining`), and every fifteen seconds at least when it is over.
#[must_use]
pub fn pause_after(failures: u32, remaining: Duration, seed: Seed) -> Duration {
    let doubled = FIRST * 2_i32.pow(failures.saturating_sub(1).min(9));
    let most = if remaining.is_positive() {
        (remaining / 8_i32).clamp(FIRST, LONGEST)
    } else {
        LONGEST_WITHOUT
    };
    let share = seed.share(&failures.to_string());
    doubled.min(most) * (1.0 - share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_stable_and_differs_between_replicas_and_leaves() {
        let (a, b) = (Seed::of("hook-7d9f-abcde"), Seed::of("hook-7d9f-abcdf"));
        assert_eq!(a.share("01"), Seed::of("hook-7d9f-abcde").share("01"));
        assert!((a.share("01") - b.share("01")).abs() > f64::EPSILON);
        assert!((a.share("01") - a.share("02")).abs() > f64::EPSILON);
    }

    #[test]
    fn shares_are_spread_evenly() {
        let mut tenths = [0; 10];
        for replica in 0..10_000 {
            let share = Seed::of(&format!("pod-{replica}")).share("serial");
            assert!((0.0..1.0).contains(&share));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let tenth = (share * 10.0) as usize;
            tenths[tenth] += 1;
        }
        assert!(
            tenths.iter().all(|&n| (850..1150).contains(&n)),
            "{tenths:?}"
        );
    }

    #[test]
    fn pauses_double_up_to_five_minutes_and_are_jittered_downwards() {
        let seed = Seed::of("a");
        let day = Duration::DAY;
        for (failures, longest) in [
            (1, 1),
            (2, 2),
            (5, 16),
            (9, 256),
            (10, 300),
            (4_000_000, 300),
        ] {
            let pause = pause_after(failures, day, seed);
            assert!(pause <= Duration::seconds(longest), "{failures}: {pause}");
            assert!(
                pause >= Duration::seconds(longest) / 2,
                "{failures}: {pause}"
            );
        }
    }

    #[test]
    fn a_pair_that_ends_soon_is_not_slept_over() {
        let seed = Seed::of("a");
        assert!(pause_after(20, Duration::seconds(40), seed) <= Duration::seconds(5));
        assert!(pause_after(20, Duration::seconds(1), seed) <= Duration::SECOND);
        assert!(pause_after(20, -Duration::DAY, seed) <= LONGEST_WITHOUT);
        assert!(pause_after(20, Duration::ZERO, seed) >= LONGEST_WITHOUT / 2);
    }
}
