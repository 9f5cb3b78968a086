//! Choosing the muxer: by the wanted container, and by what the media turns out to be.

use aqueduct_core::{Clear, Item, Mux, MuxError, Presentation, Summary, TrackId, TrackKind, Write};

use aqueduct_media::time::{MPEG_HZ, rescale};
use aqueduct_media::{Event, ts};

use crate::{Concat, Mp4Muxer, Origin};

/// What kind of file is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Container {
    /// One progressive MP4 (ISO 14496-12), index included: from MPEG-TS or fragmented MP4.
    Mp4,
    /// Fragmented MP4: the initialization section and the segments as they come.
    Fmp4,
    /// MPEG-TS: the segments as they come.
    Ts,
    /// The clear segments as they come, whatever they are.
    Raw,
}

impl Container {
    /// The container that a file extension (in lower case) stands for.
    pub fn from_extension(extension: &str) -> Option<Self> {
        Some(match extension {
            "mp4" | "m4v" | "m4a" | "mov" => Self::Mp4,
            "m4s" | "cmfv" | "cmfa" => Self::Fmp4,
            "ts" | "m2ts" | "mts" => Self::Ts,
            "aac" | "ac3" | "ec3" | "eac3" | "mp3" | "raw" | "vtt" => Self::Raw,
            _ => return None,
        })
    }

    /// A muxer that makes this container of whatever comes.
    pub fn muxer(self) -> Auto {
        Auto {
            container: self,
            begun: None,
            chosen: None,
            origin: Origin::default(),
        }
    }
}

/// The bundled muxer: it looks at the first bytes, and then leaves the work to [`Concat`] or [`Mp4Muxer`].
#[derive(Debug)]
pub struct Auto {
    container: Container,
    begun: Option<(Presentation, bool)>,
    chosen: Option<Chosen>,
    origin: Origin,
}

impl Drop for Auto {
    fn drop(&mut self) {
        // Nobody should wait for what will not be told any more.
        self.origin.tell(None);
    }
}

#[derive(Debug)]
enum Chosen {
    Concat(Concat),
    Mp4(Box<Mp4Muxer>),
}

/// What media is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Media {
    MpegTs,
    IsoBmff,
    Other,
}

impl Media {
    fn of(head: &[u8]) -> Self {
        const PACKET: usize = 188;
        const BOXES: [&[u8; 4]; 7] = [b"ftyp", b"styp", b"moov", b"moof", b"sidx", b"emsg", b"prft"];
        if head.get(4..8).is_some_and(|kind| BOXES.iter().any(|known| known[..] == *kind)) {
            return Self::IsoBmff;
        }
        // Segments may begin with junk, so the sync byte is looked for, three times at its distance.
        let synced =
            |at: &usize| (0..3).all(|n| head.get(at + n * PACKET).is_none_or(|byte| *byte == 0x47)) && head.get(*at) == Some(&0x47);
        if head.len() >= PACKET && (0..head.len().min(4096)).any(|at| synced(&at)) {
            Self::MpegTs
        } else {
            Self::Other
        }
    }
}

/// The earliest presentation time in the first segment, in ticks of the MPEG-TS clock.
fn first_time(segment: &[u8]) -> Option<i64> {
    let (mut demuxer, mut events, mut timescales, mut first) = (ts::Demuxer::default(), Vec::new(), Vec::new(), None);
    demuxer.push(segment, &mut events);
    demuxer.finish(&mut events);
    for event in events {
        match event {
            Event::Config { track, config } => timescales.push((track, config.timescale)),
            Event::Sample { track, sample } => {
                if let Some((_, timescale)) = timescales.iter().rev().find(|(known, _)| *known == track) {
                    let time = rescale(sample.pts, *timescale, MPEG_HZ);
                    first = Some(first.map_or(time, |first: i64| first.min(time)));
                }
            }
        }
    }
    first
}

impl Auto {
    /// The time that other muxers of the same presentation count from.
    pub fn origin(&self) -> Origin {
        self.origin.clone()
    }

    fn choose(&mut self, head: &[u8]) -> Result<&mut Chosen, MuxError> {
        let media = Media::of(head);
        let plain_file = self
            .begun
            .as_ref()
            .is_some_and(|(presentation, _)| presentation.tracks.iter().any(|track| track.kind == TrackKind::File));
        let unsupported = |what: &str| Err(MuxError::Unsupported { what: what.into() });
        let chosen = match (self.container, media) {
            (Container::Raw, _) | (Container::Ts, Media::MpegTs) | (Container::Fmp4, Media::IsoBmff) => Chosen::Concat(Concat::new()),
            (Container::Mp4, Media::MpegTs) => Chosen::Mp4(Box::default()),
            // A plain file has its container already.
            _ if plain_file => Chosen::Concat(Concat::new()),
            (Container::Mp4, Media::IsoBmff) => Chosen::Mp4(Box::default()),
            (Container::Mp4, Media::Other) => {
                return unsupported("the segments are neither MPEG-TS nor fragmented MP4; --format raw keeps them as they are");
            }
            (Container::Ts, _) => {
                return unsupported("the segments are not MPEG-TS; name the output .mp4, or keep them as they are with --format raw");
            }
            (Container::Fmp4, _) => {
                return unsupported(
                    "the segments are not fragmented MP4; name the output .mp4, or keep them as they are with --format raw",
                );
            }
        };
        self.origin.tell(if media == Media::MpegTs { first_time(head) } else { None });
        tracing::debug!(?media, container = ?self.container, "muxer chosen");
        let chosen = self.chosen.insert(chosen);
        if let Some((presentation, seekable)) = &self.begun {
            chosen.begin(presentation, *seekable)?;
        }
        Ok(chosen)
    }
}

impl Chosen {
    fn begin(&mut self, presentation: &Presentation, seekable: bool) -> Result<(), MuxError> {
        match self {
            Self::Concat(muxer) => muxer.begin(presentation, seekable),
            Self::Mp4(muxer) => muxer.begin(presentation, seekable),
        }
    }
}

impl Mux for Auto {
    fn begin(&mut self, presentation: &Presentation, seekable: bool) -> Result<(), MuxError> {
        self.begun = Some((presentation.clone(), seekable));
        Ok(())
    }

    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let chosen = match (&mut self.chosen, &item) {
            (Some(chosen), _) => chosen,
            // Nothing is lost: the driver names every gap, and there is no media yet that it would stand in.
            (None, Item::Gap { .. }) => return Ok(()),
            (None, Item::Init { payload, .. } | Item::Segment { payload, .. }) => self.choose(payload.as_slice())?,
        };
        match chosen {
            Chosen::Concat(muxer) => muxer.push(track, item, writes),
            Chosen::Mp4(muxer) => muxer.push(track, item, writes),
        }
    }

    fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError> {
        match &mut self.chosen {
            Some(Chosen::Concat(muxer)) => muxer.finish(writes),
            Some(Chosen::Mp4(muxer)) => muxer.finish(writes),
            None => Ok(Summary::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_is_known_by_its_first_bytes() {
        let mut packets = vec![0xff; 188 * 4];
        for at in (0..packets.len()).step_by(188) {
            packets[at] = 0x47;
        }
        let junk: Vec<u8> = b"\x89PNG junk".iter().copied().chain(packets.clone()).collect();
        let cases: [(&[u8], Media); 7] = [
            (&packets, Media::MpegTs),
            (&junk, Media::MpegTs),
            (b"\x00\x00\x00\x18ftypiso5", Media::IsoBmff),
            (b"\x00\x00\x00\x18stypmsdh", Media::IsoBmff),
            (b"ID3\x04\x00\x00\x00\x00\x00\x3f", Media::Other),
            (b"G", Media::Other),
            (b"", Media::Other),
        ];
        for (head, media) in cases {
            assert_eq!(Media::of(head), media, "{:?}", &head[..head.len().min(12)]);
        }
    }
}
