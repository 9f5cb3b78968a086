//! Sample tables in memory: a few bytes a sample, so that memory hardly grows with the stream.
//!
//! A table is serialised as its end: what came after [`Numbers::mark_saved`]. [`Numbers::put_behind`] joins the ends again.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Appends `value` in groups of seven bits, lowest first.
fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

/// Reads what [`put`] wrote.
fn take(bytes: &mut std::slice::Iter<'_, u8>) -> Option<u64> {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let byte = *bytes.next()?;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
        shift += 7;
    }
}

/// Numbers in the order they came, each in as few bytes as it needs.
#[derive(Debug, Clone, Default)]
pub(super) struct Numbers {
    bytes: Vec<u8>,
    count: u32,
    /// Of both, what was serialised before.
    saved: (usize, u32),
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (bytes, count) = self.saved;
        let end = self.bytes.get(bytes..).unwrap_or_default();
        (Bytes::copy_from_slice(end), self.count.saturating_sub(count)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (bytes, count) = <(Bytes, u32)>::deserialize(deserializer)?;
        Ok(Self {
            saved: (bytes.len(), count),
            bytes: bytes.into(),
            count,
        })
    }
}

impl Numbers {
    pub(super) fn push(&mut self, value: u64) {
        put(&mut self.bytes, value);
        self.count += 1;
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn mark_saved(&mut self) {
        self.saved = (self.bytes.len(), self.count);
    }

    /// Makes this the end of `earlier`, which was marked as saved when this was serialised.
    pub(super) fn put_behind(&mut self, mut earlier: Self) {
        earlier.bytes.append(&mut self.bytes);
        earlier.count = earlier.count.saturating_add(self.count);
        earlier.mark_saved();
        *self = earlier;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        let mut bytes = self.bytes.iter();
        std::iter::from_fn(move || take(&mut bytes))
    }
}

/// Numbers that only grow, kept as their differences.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Rising {
    steps: Numbers,
    last: u64,
}

impl Rising {
    pub(super) fn mark_saved(&mut self) {
        self.steps.mark_saved();
    }

    pub(super) fn put_behind(&mut self, earlier: Self) {
        self.steps.put_behind(earlier.steps);
    }

    /// `value` must not be smaller than the one before.
    pub(super) fn push(&mut self, value: u64) {
        self.steps.push(value.saturating_sub(self.last));
        self.last = value;
    }

    pub(super) fn count(&self) -> u32 {
        self.steps.count()
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        self.steps.iter().scan(0, |sum, step| {
            *sum += step;
            Some(*sum)
        })
    }
}

/// Values of which many in a row are equal, kept as runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Runs {
    /// Value and length of each complete run, in turn.
    runs: Numbers,
    current: Option<(i64, u32)>,
}

impl Runs {
    pub(super) fn mark_saved(&mut self) {
        self.runs.mark_saved();
    }

    pub(super) fn put_behind(&mut self, earlier: Self) {
        self.runs.put_behind(earlier.runs);
    }

    pub(super) fn push(&mut self, value: i64) {
        match &mut self.current {
            Some((current, count)) if *current == value && *count < u32::MAX => *count += 1,
            _ => {
                self.close();
                self.current = Some((value, 1));
            }
        }
    }

    /// Number of runs.
    pub(super) fn count(&self) -> u32 {
        self.runs.count() / 2 + u32::from(self.current.is_some())
    }

    /// The last value that was pushed.
    pub(super) fn last(&self) -> Option<i64> {
        self.current.map(|(value, _)| value)
    }

    /// Each run as its value and its length.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, u32)> {
        let mut numbers = self.runs.iter();
        let complete = std::iter::from_fn(move || {
            let value = numbers.next()?;
            Some((unzigzag(value), u32::try_from(numbers.next()?).unwrap_or(u32::MAX)))
        });
        complete.chain(self.current)
    }

    fn close(&mut self) {
        if let Some((value, count)) = self.current.take() {
            self.runs.push(zigzag(value));
            self.runs.push(count.into());
        }
    }
}

/// Small numbers of either sign as small numbers without one.
fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(values: Vec<u64>) {
            let mut numbers = Numbers::default();
            values.iter().for_each(|&value| numbers.push(value));
            prop_assert_eq!(numbers.count() as usize, values.len());
            prop_assert_eq!(numbers.iter().collect::<Vec<_>>(), values);
        }

        #[test]
        fn rising_numbers_come_back(mut values: Vec<u64>) {
            values.sort_unstable();
            let mut rising = Rising::default();
            values.iter().for_each(|&value| rising.push(value));
            prop_assert_eq!(rising.iter().collect::<Vec<_>>(), values);
        }

        #[test]
        fn runs_come_back(values: Vec<(i64, u8)>) {
            let mut runs = Runs::default();
            let flat: Vec<i64> = values.iter().flat_map(|&(value, count)| vec![value; count.into()]).collect();
            flat.iter().for_each(|&value| runs.push(value));
            let back: Vec<i64> = runs.iter().flat_map(|(value, count)| vec![value; count as usize]).collect();
            prop_assert_eq!(runs.iter().count(), runs.count() as usize);
            prop_assert_eq!(runs.last(), flat.last().copied());
            prop_assert_eq!(back, flat);
        }
    }

    #[test]
    fn a_typical_sample_takes_a_handful_of_bytes() {
        let mut sizes = Numbers::default();
        let mut offsets = Runs::default();
        for n in 0..1000_u64 {
            sizes.push(2_000 + n * 13 % 9_000);
            offsets.push([7200, 18000, 7200, 0, 3600][(n % 5) as usize]);
        }
        assert!(sizes.bytes.len() + offsets.runs.bytes.len() <= 7 * 1000);
    }
}
