//! Clocks: conversion between timescales, and the 33-bit clock of MPEG-TS.

use std::time::Duration;

/// Units a second of [`to_flicks`]: every timescale in common use divides it, so that times of different
/// tracks compare without rounding.
pub const FLICKS: u32 = 705_600_000;

/// Ticks a second of MPEG-TS timestamps (ISO 13818-1 §2.4.3.7).
pub const MPEG_HZ: u32 = 90_000;

/// MPEG-TS timestamps count modulo this (33 bits, ISO 13818-1 §2.4.3.7): 26.5 hours.
pub const MPEG_WRAP: i64 = 1 << 33;

/// Converts `ticks` at `from` a second into ticks at `to` a second, to the nearest, halves away from zero.
/// Saturates where the result does not fit; a `from` of zero gives 0.
#[must_use]
pub fn rescale(ticks: i64, from: u32, to: u32) -> i64 {
    if from == to {
        return ticks;
    }
    if from == 0 {
        return 0;
    }
    // Nearly all that there is, and a tenth of the time of what follows.
    if let Some(product) = ticks.checked_mul(to.into())
        && let Some(rounded) = product.checked_add(i64::from(from / 2) * product.signum())
    {
        return rounded / i64::from(from);
    }
    let product = i128::from(ticks) * i128::from(to);
    let half = i128::from(from / 2) * product.signum();
    let quotient = (product + half) / i128::from(from);
    i64::try_from(quotient).unwrap_or(if quotient < 0 { i64::MIN } else { i64::MAX })
}

/// Ticks at `timescale` a second as flicks, 1/705,600,000 of a second.
#[must_use]
pub fn to_flicks(ticks: i64, timescale: u32) -> i64 {
    rescale(ticks, timescale, FLICKS)
}

/// Flicks as ticks at `timescale` a second, to the nearest.
#[must_use]
pub fn from_flicks(flicks: i64, timescale: u32) -> i64 {
    rescale(flicks, FLICKS, timescale)
}

/// A length in ticks of [`MPEG_HZ`], those that are whole.
pub(crate) fn mpeg_ticks(duration: Duration) -> i64 {
    let ticks = duration.as_nanos().saturating_mul(MPEG_HZ.into()) / 1_000_000_000;
    i64::try_from(ticks).unwrap_or(i64::MAX)
}

/// Unrolls a 33-bit timestamp: of all times that `timestamp` may stand for, the one nearest to `reference`.
#[must_use]
pub fn unwrap_33(timestamp: u64, reference: i64) -> i64 {
    let low = i64::try_from(timestamp).unwrap_or(0) & (MPEG_WRAP - 1);
    let distance = low.wrapping_sub(reference) & (MPEG_WRAP - 1);
    let signed = if distance >= MPEG_WRAP / 2 {
        distance - MPEG_WRAP
    } else {
        distance
    };
    reference.saturating_add(signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_taken_nearest_to_its_reference() {
        const W: u64 = 1 << 33;
        for (timestamp, reference, expected) in [
            (0, 0, 0),
            (5, MPEG_WRAP - 5, MPEG_WRAP + 5),
            (W - 5, 5, -5),
            (W - 5, MPEG_WRAP + 5, MPEG_WRAP - 5),
            (100, 3 * MPEG_WRAP + 50, 3 * MPEG_WRAP + 100),
            (0, -1, 0),
        ] {
            assert_eq!(unwrap_33(timestamp, reference), expected, "{timestamp} near {reference}");
        }
    }

    #[test]
    fn common_timescales_survive_the_way_through_flicks() {
        for timescale in [600, 1000, 12_800, 15_360, 24_000, 30_000, 44_100, 48_000, 90_000, 10_000_000] {
            for ticks in [0, 1, 2089, 123_456_789, -77, 1 << 40] {
                assert_eq!(from_flicks(to_flicks(ticks, timescale), timescale), ticks, "{ticks}/{timescale}");
            }
        }
    }

    #[test]
    fn rescaling_rounds_to_the_nearest_and_never_overflows() {
        assert_eq!(rescale(1, 2, 1), 1);
        assert_eq!(rescale(-1, 2, 1), -1);
        assert_eq!(rescale(1024, 44_100, 90_000), 2090);
        assert_eq!(rescale(i64::MAX, 1, 2), i64::MAX);
        assert_eq!(rescale(i64::MIN, 1, 2), i64::MIN);
        assert_eq!(rescale(1, 0, 2), 0);
    }

    proptest::proptest! {
        #[test]
        fn the_short_way_gives_the_same(ticks: i64, shift in 0..64_u32, from in 1..u32::MAX, to: u32) {
            let ticks = ticks >> shift;
            let exact = i128::from(ticks) * i128::from(to);
            let rounded = (exact + i128::from(from / 2) * exact.signum()) / i128::from(from);
            let expected = rounded.clamp(i64::MIN.into(), i64::MAX.into());
            proptest::prop_assert_eq!(i128::from(rescale(ticks, from, to)), if from == to { ticks.into() } else { expected });
        }
    }
}
