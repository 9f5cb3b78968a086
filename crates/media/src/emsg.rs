//! Messages beside the tracks of fragmented MP4: the `emsg` box (ISO 23009-1 §5.10.3.3), and ID3 tags in it ("Carriage of ID3
//! Timed Metadata in CMAF", AOM).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    boxes::BoxRef,
    error::Error,
    mp4::{full, put},
    time::to_flicks,
};

/// `scheme_id_uri` of ID3 tags.
pub const ID3: &str = "https://aomedia.org/emsg/ID3";
/// `event_duration` where it is not known.
pub(crate) const UNKNOWN_DURATION: u32 = u32::MAX;

/// One message, or event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `scheme_id_uri`: what kind of message it is.
    pub scheme: String,
    /// `value`, of which the scheme says what it means.
    pub value: String,
    /// Ticks a second of its times. Never zero.
    pub timescale: u32,
    /// When it is due, in ticks, on the clock on which samples are presented.
    pub time: i64,
    /// How long it holds, in ticks; `0xffff_ffff` where that is not known.
    pub duration: u32,
    /// `id`: messages of one scheme and value with the same are the same. `None` for one that a writer is to number.
    pub id: Option<u32>,
    /// What it says.
    pub data: Bytes,
}

/// Messages that one push may bring, and bytes that they may say: a second of film has a handful.
pub(crate) const MOST_AT_ONCE: usize = 1024;
const MOST_BYTES_AT_ONCE: usize = 4 << 20;

/// Whether there is room for another one beside `others`.
pub(crate) fn has_room(others: &[&[Message]], bytes: &mut usize, message: &Message) -> bool {
    let count: usize = others.iter().map(|messages| messages.len()).sum();
    *bytes = bytes.saturating_add(message.data.len());
    count < MOST_AT_ONCE && *bytes <= MOST_BYTES_AT_ONCE
}

impl Message {
    /// An ID3 tag that is due at `time`, in ticks of 90 kHz.
    pub(crate) fn id3(time: i64, data: Bytes) -> Self {
        Self {
            scheme: ID3.into(),
            value: String::new(),
            timescale: crate::time::MPEG_HZ,
            time,
            duration: UNKNOWN_DURATION,
            id: None,
            data,
        }
    }

    /// When it is due, in [flicks](crate::time::FLICKS).
    #[must_use]
    pub fn flicks(&self) -> i64 {
        to_flicks(self.time, self.timescale)
    }

    /// What it takes to hold it, in bytes.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.scheme.len() + self.value.len() + self.data.len()
    }

    /// Reads an `emsg` box. Of version 0 the time counts from the earliest presentation time of the segment, which the
    /// second value tells.
    pub(crate) fn parse(found: BoxRef<'_>) -> Option<(Self, bool)> {
        let (&[version, ..], body) = found.body.split_first_chunk::<4>()?;
        let number = |bytes: &[u8], at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let ([scheme, value], timescale, time, duration, id, data) = match version {
            0 => {
                let (names, fields) = texts(body)?;
                let delta = number(fields, 4)?.into();
                (
                    names,
                    number(fields, 0)?,
                    delta,
                    number(fields, 8)?,
                    number(fields, 12)?,
                    fields.get(16..)?,
                )
            }
            1 => {
                let time = i64::try_from(u64::from_be_bytes(*body.get(4..)?.first_chunk()?)).ok()?;
                let (names, data) = texts(body.get(20..)?)?;
                (names, number(body, 0)?, time, number(body, 12)?, number(body, 16)?, data)
            }
            _ => return None,
        };
        let message = Self {
            scheme,
            value,
            timescale: Some(timescale).filter(|timescale| *timescale > 0)?,
            time,
            duration,
            id: Some(id),
            data: Bytes::copy_from_slice(data),
        };
        Some((message, version == 0))
    }

    /// Appends an `emsg` box of version 1 that is due at `time`, in ticks of its own, from the beginning of the file.
    pub(crate) fn encode(&self, time: u64, id: u32, out: &mut Vec<u8>) -> Result<(), Error> {
        full(out, b"emsg", 1, |out| {
            put(out, self.timescale.into(), "emsg")?;
            out.extend_from_slice(&time.to_be_bytes());
            put(out, self.duration.into(), "emsg")?;
            put(out, id.into(), "emsg")?;
            for text in [&self.scheme, &self.value] {
                out.extend_from_slice(text.as_bytes());
                out.push(0);
            }
            out.extend_from_slice(&self.data);
            Ok(())
        })
    }
}

/// Two texts that each end at a zero byte, and what follows them.
fn texts(bytes: &[u8]) -> Option<([String; 2], &[u8])> {
    let text = |bytes: &[u8]| Some(std::str::from_utf8(bytes).ok()?.to_owned());
    let end = memchr::memchr(0, bytes)?;
    let (scheme, rest) = (text(bytes.get(..end)?)?, bytes.get(end + 1..)?);
    let end = memchr::memchr(0, rest)?;
    Some(([scheme, text(rest.get(..end)?)?], rest.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::boxes::Boxes;

    fn parse(bytes: &[u8]) -> Option<(Message, bool)> {
        Message::parse(Boxes::new(bytes).next()?.ok()?)
    }

    #[test]
    fn both_versions_of_the_box_are_read() {
        // ISO 23009-1 §5.10.3.3.3, by hand.
        let first = [
            &[0, 0, 0, 40][..],
            b"emsg",
            &[0; 4],
            b"urn:a\0",
            b"7\0",
            &[0, 0, 3, 0xe8],
            &[0, 0, 0, 5],
            &[0, 0, 0, 9],
            &[0, 0, 0, 2],
        ];
        let second = [
            &[0, 0, 0, 44][..],
            b"emsg",
            &[1, 0, 0, 0],
            &[0, 0, 3, 0xe8],
            &[0, 0, 0, 0, 0, 0, 0, 5],
            &[0, 0, 0, 9],
            &[0, 0, 0, 2],
            b"urn:a\0",
            b"7\0",
        ];
        for (mut bytes, relative) in [(first.concat(), true), (second.concat(), false)] {
            bytes.extend(b"data");
            bytes[3] = u8::try_from(bytes.len()).unwrap();
            let (message, counts_from_the_segment) = parse(&bytes).unwrap();
            assert_eq!(counts_from_the_segment, relative);
            let expected = Message {
                scheme: "urn:a".into(),
                value: "7".into(),
                timescale: 1000,
                time: 5,
                duration: 9,
                id: Some(2),
                data: Bytes::from_static(b"data"),
            };
            assert_eq!(message, expected);
            if !relative {
                let mut written = Vec::new();
                message.encode(5, 2, &mut written).unwrap();
                assert_eq!(written, bytes);
            }
            // Without ticks it has no time; texts that do not end are none.
            let at = if relative { 20 } else { 12 };
            bytes[at..at + 4].fill(0);
            assert_eq!(parse(&bytes), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(version in 0..3_u8, body: Vec<u8>) {
            let mut bytes = Vec::new();
            full(&mut bytes, b"emsg", version, |out| {
                out.extend_from_slice(&body);
                Ok(())
            }).unwrap();
            if let Some((message, _)) = parse(&bytes) {
                prop_assert!(message.data.len() + message.scheme.len() + message.value.len() < body.len());
            }
        }

        #[test]
        fn what_is_written_is_read(time in 0..i64::MAX, duration: u32, id: u32, data: Vec<u8>, scheme in "[a-z:/]*", value in "[a-z0-9]*") {
            let message = Message { scheme, value, timescale: 48_000, time, duration, id: Some(id), data: data.into() };
            let mut bytes = Vec::new();
            message.encode(time.cast_unsigned(), id, &mut bytes).unwrap();
            prop_assert_eq!(parse(&bytes), Some((message, false)));
        }
    }
}
