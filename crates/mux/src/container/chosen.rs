//! The muxers that a container may need, as one.

use std::sync::Arc;

use aqueduct_core::{Mux, MuxError, SegmentInfo, TrackId, Write};
use serde::{Deserialize, Serialize};

use crate::{AudioStream, Concat, Fmp4, Hls, Mkv, Mp4Muxer, Ogg, Remux, SampleWriter, Subtitles, Ts};

/// The muxer that makes what is wanted of what came.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Chosen {
    Concat(Concat),
    Mp4(Box<Mp4Muxer>),
    Fmp4(Box<Remux<Fmp4>>),
    Mkv(Box<Remux<Mkv>>),
    Ts(Box<Remux<Ts>>),
    Audio(Box<Remux<AudioStream>>),
    Ogg(Box<Remux<Ogg>>),
    Subtitles(Box<Subtitles>),
    Hls(Box<Hls>),
}

impl Chosen {
    pub(super) fn muxer(&mut self) -> &mut dyn Mux {
        match self {
            Self::Concat(muxer) => muxer,
            Self::Mp4(muxer) => &mut **muxer,
            Self::Fmp4(muxer) => &mut **muxer,
            Self::Mkv(muxer) => &mut **muxer,
            Self::Ts(muxer) => &mut **muxer,
            Self::Audio(muxer) => &mut **muxer,
            Self::Ogg(muxer) => &mut **muxer,
            Self::Subtitles(muxer) => &mut **muxer,
            Self::Hls(muxer) => &mut **muxer,
        }
    }

    /// Whether segments stay as they are, and no samples are taken out.
    pub(super) fn keeps_segments(&self) -> bool {
        matches!(self, Self::Concat(_) | Self::Hls(_))
    }

    /// What is added to the times of a track, in ticks of 90 kHz.
    pub(super) fn added(&self, track: TrackId) -> Option<i64> {
        match self {
            Self::Concat(muxer) => muxer.added(),
            Self::Mp4(muxer) => muxer.added(track),
            Self::Fmp4(muxer) => muxer.added(track),
            Self::Mkv(muxer) => muxer.added(track),
            Self::Ts(muxer) => muxer.added(track),
            Self::Audio(muxer) => muxer.added(track),
            Self::Ogg(muxer) => muxer.added(track),
            Self::Subtitles(_) | Self::Hls(_) => None,
        }
    }

    /// Has subtitles read that waited for the pictures.
    pub(super) fn read_on(&mut self, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        match self {
            Self::Mp4(muxer) => muxer.read_on(writes),
            Self::Mkv(muxer) => muxer.read_on(writes),
            _ => Ok(()),
        }
    }

    /// The segment that was pushed last ends in the middle.
    pub(super) fn cut(&mut self, track: TrackId) {
        match self {
            Self::Concat(_) | Self::Subtitles(_) | Self::Hls(_) => {}
            Self::Mp4(muxer) => muxer.cut(track),
            Self::Fmp4(muxer) => muxer.cut(track),
            Self::Mkv(muxer) => muxer.cut(track),
            Self::Ts(muxer) => muxer.cut(track),
            Self::Audio(muxer) => muxer.cut(track),
            Self::Ogg(muxer) => muxer.cut(track),
        }
    }

    /// So much of a track is passed over, as `info` says.
    pub(super) fn skip(&mut self, track: TrackId, info: &Arc<SegmentInfo>, dropped: &mut Vec<Write>) -> Result<(), MuxError> {
        match self {
            Self::Mp4(muxer) => muxer.skip(track, info, dropped),
            Self::Fmp4(muxer) => muxer.skip(track, info, dropped),
            Self::Mkv(muxer) => muxer.skip(track, info, dropped),
            Self::Ts(muxer) => muxer.skip(track, info, dropped),
            Self::Concat(_) | Self::Audio(_) | Self::Ogg(_) | Self::Subtitles(_) | Self::Hls(_) => Ok(()),
        }
    }

    /// Learns what stands behind the last sample of a finished file, single samples of which are written again.
    pub(crate) fn see_tail(&mut self, tail: &[u8]) {
        if let Self::Mkv(muxer) = self {
            muxer.writer_mut().see_tail(tail);
        }
    }

    /// What is written next stands at `offset` of that file.
    pub(crate) fn stand_at(&mut self, offset: u64) {
        if let Self::Mkv(muxer) = self {
            muxer.writer_mut().stand_at(offset);
        }
    }

    /// What is written next stands behind these bytes of that file.
    pub(crate) fn go_on_behind(&mut self, front: &[u8]) {
        match self {
            Self::Fmp4(muxer) => muxer.writer_mut().go_on_behind(front),
            Self::Ts(muxer) => muxer.writer_mut().go_on_behind(front),
            _ => {}
        }
    }

    /// How many bytes in front tell of the film as a whole.
    pub(crate) fn head(&self) -> u64 {
        match self {
            Self::Mp4(muxer) => muxer.writer().head(),
            Self::Mkv(muxer) => muxer.writer().head(),
            Self::Fmp4(muxer) => muxer.writer().head(),
            _ => 0,
        }
    }

    pub(super) fn mark_saved(&mut self) {
        match self {
            Self::Concat(_) => {}
            Self::Hls(muxer) => muxer.mark_saved(),
            Self::Mp4(muxer) => muxer.mark_saved(),
            Self::Fmp4(muxer) => muxer.mark_saved(),
            Self::Mkv(muxer) => muxer.mark_saved(),
            Self::Ts(muxer) => muxer.mark_saved(),
            Self::Audio(muxer) => muxer.mark_saved(),
            Self::Ogg(muxer) => muxer.mark_saved(),
            Self::Subtitles(muxer) => muxer.mark_saved(),
        }
    }

    /// Makes this, which was serialised after `earlier` was marked as saved, the whole.
    pub(super) fn put_behind(&mut self, earlier: Self) {
        match (self, earlier) {
            (Self::Mp4(muxer), Self::Mp4(earlier)) => muxer.put_behind(*earlier),
            (Self::Fmp4(muxer), Self::Fmp4(earlier)) => muxer.put_behind(*earlier),
            (Self::Mkv(muxer), Self::Mkv(earlier)) => muxer.put_behind(*earlier),
            (Self::Ts(muxer), Self::Ts(earlier)) => muxer.put_behind(*earlier),
            (Self::Audio(muxer), Self::Audio(earlier)) => muxer.put_behind(*earlier),
            (Self::Ogg(muxer), Self::Ogg(earlier)) => muxer.put_behind(*earlier),
            (Self::Subtitles(muxer), Self::Subtitles(earlier)) => muxer.put_behind(*earlier),
            (Self::Hls(muxer), Self::Hls(earlier)) => muxer.put_behind(*earlier),
            // Nothing grows in a concatenation, and none of them is followed by another.
            _ => {}
        }
    }
}
