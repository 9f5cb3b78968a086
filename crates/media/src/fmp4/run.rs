//! The track run box, read without allocation (ISO 14496-12 §8.8.8).

use crate::error::Error;

const DATA_OFFSET: u32 = 0x1;
const FIRST_FLAGS: u32 = 0x4;
const DURATION: u32 = 0x100;
const SIZE: u32 = 0x200;
const FLAGS: u32 = 0x400;
const COMPOSITION: u32 = 0x800;

/// A `trun` box.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    present: u32,
    count: u32,
    /// From the base of the track fragment, in bytes.
    pub(super) data_offset: Option<i32>,
    first_flags: Option<u32>,
    entries: &'a [u8],
}

/// What a run says of one sample; what is `None` is the track fragment's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RunSample {
    pub(super) duration: Option<u32>,
    pub(super) size: Option<u32>,
    pub(super) flags: Option<u32>,
    /// Composition offset. Signed in both versions: writers put negative offsets into version 0 too.
    pub(super) composition: i32,
}

/// Takes a 32-bit field off the front.
fn take(bytes: &mut &[u8]) -> Option<u32> {
    let (field, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_be_bytes(*field))
}

impl<'a> Run<'a> {
    /// Reads the body of a `trun` box.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let mut rest = body;
        let parsed = (|| {
            let present = take(&mut rest)? & 0x00ff_ffff;
            let count = take(&mut rest)?;
            let data_offset = if present & DATA_OFFSET != 0 {
                Some(take(&mut rest)?.cast_signed())
            } else {
                None
            };
            let first_flags = if present & FIRST_FLAGS != 0 { Some(take(&mut rest)?) } else { None };
            Some(Self {
                present,
                count,
                data_offset,
                first_flags,
                entries: rest,
            })
        })();
        let run = parsed.ok_or_else(|| malformed("cut short"))?;
        let fields = (run.present & (DURATION | SIZE | FLAGS | COMPOSITION)).count_ones() as usize;
        let needed = usize::try_from(run.count).ok().and_then(|count| count.checked_mul(4 * fields));
        match needed {
            Some(needed) if needed <= run.entries.len() => Ok(run),
            _ => Err(malformed("fewer entries than it counts")),
        }
    }

    /// The samples in order. Their number is only bounded by a 32-bit count where the run has no fields for them.
    pub(super) fn samples(&self) -> impl Iterator<Item = RunSample> + use<'a> {
        let Self {
            present,
            count,
            first_flags,
            mut entries,
            ..
        } = *self;
        (0..count).map(move |number| {
            let mut field = |bit| if present & bit != 0 { take(&mut entries) } else { None };
            let duration = field(DURATION);
            let size = field(SIZE);
            let flags = field(FLAGS);
            let composition = field(COMPOSITION).map_or(0, u32::cast_signed);
            RunSample {
                duration,
                size,
                flags: flags.or(first_flags.filter(|_| number == 0)),
                composition,
            }
        })
    }
}

fn malformed(reason: &str) -> Error {
    Error::MalformedBox {
        kind: "trun",
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(fields: &[u32]) -> Vec<u8> {
        fields.iter().flat_map(|field| field.to_be_bytes()).collect()
    }

    #[test]
    fn fields_are_read_in_the_order_of_the_standard() {
        let bytes = body(&[0x0100_0f01, 2, 100, 10, 20, 30, 40, 11, 21, 31, u32::MAX]);
        let run = Run::parse(&bytes).unwrap();
        assert_eq!(run.data_offset, Some(100));
        let samples: Vec<_> = run.samples().collect();
        assert_eq!(
            samples[0],
            RunSample {
                duration: Some(10),
                size: Some(20),
                flags: Some(30),
                composition: 40
            }
        );
        assert_eq!(samples[1].composition, -1);
    }

    #[test]
    fn flags_of_the_first_sample_are_its_alone() {
        let bytes = body(&[0x0000_0004, 3, 7]);
        let flags: Vec<_> = Run::parse(&bytes).unwrap().samples().map(|sample| sample.flags).collect();
        assert_eq!(flags, [Some(7), None, None]);
    }

    #[test]
    fn a_run_with_fewer_entries_than_it_counts_is_refused() {
        for fields in [&[][..], &[0], &[1, 1], &[0x200, 2, 5], &[0x200, u32::MAX, 5], &[0xf00, 1, 1, 1, 1]] {
            assert!(Run::parse(&body(fields)).is_err(), "{fields:x?}");
        }
    }
}
