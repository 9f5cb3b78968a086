//! What can be wrong with media that a demuxer or muxer cannot work around.

/// Why media could not be read or written.
///
/// Damage that leaves something worth keeping is counted in the demuxers' statistics instead;
/// an error means that the piece at hand, or the file being written, is of no use.
/// Messages are fragments that read after "failed to ...".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A box claims more bytes than its parent holds, or fewer than its own header (ISO 14496-12 §4.2).
    #[error("box `{kind}` at byte {offset} does not fit into what holds it")]
    BoxSize {
        /// The four-character code as text.
        kind: String,
        /// Where the box begins, in bytes from the start of the piece that was pushed.
        offset: usize,
    },
    /// A box that the format requires is absent.
    #[error("no `{0}` box")]
    MissingBox(&'static str),
    /// A box is there but says something impossible.
    #[error("malformed `{kind}` box: {reason}")]
    MalformedBox {
        /// The four-character code.
        kind: &'static str,
        /// What was wrong, as the box parser put it.
        reason: String,
    },
    /// A media segment came before any Media Initialization Section.
    #[error("media segment without an initialization section before it")]
    NoInit,
    /// A sample's bytes would lie outside of the segment that describes it (ISO 14496-12 §8.8.8).
    #[error("sample data of track {track} lies outside of the segment")]
    SampleOutside {
        /// `track_ID` of the track.
        track: u32,
    },
    /// Runs describe more samples than the segment has bytes for.
    #[error("more samples than the segment can hold")]
    TooManySamples,
    /// A track number that the writer did not hand out.
    #[error("no track {0} in this file")]
    UnknownTrack(usize),
    /// A sample was added to a track before its first sample entry.
    #[error("track {0} has no sample entry yet")]
    NoSampleEntry(usize),
    /// Decode timestamps of one track must never go back (ISO 14496-12 §8.6.1.2: deltas are unsigned).
    #[error("decode time {dts} of track {track} is before its predecessor's {previous}")]
    TimeRunsBack {
        /// The writer's track number.
        track: usize,
        /// The offending decode time, in ticks of the track.
        dts: i64,
        /// Decode time of the sample before it.
        previous: i64,
    },
    /// A field of the output format is too narrow for a value.
    #[error("value too large for a `{0}` box")]
    TooLarge(&'static str),
    /// A timescale of zero ticks a second.
    #[error("timescale of zero")]
    ZeroTimescale,
    /// Other codec parameters in the middle of a file that told them all at its start.
    #[error("the codec parameters of track {0} change after the header was written")]
    LateChange(usize),
    /// A codec that the elementary stream, or the container of elementary streams, has no form for.
    #[error("{0} has no form as an elementary stream")]
    NoElementary(String),
    /// A codec that Matroska has no name for, or that is not known here.
    #[error("{0} has no form in Matroska")]
    NoMatroska(String),
    /// What should be of a writer of this crate is not.
    #[error("bytes of another program at {offset}: {reason}")]
    Foreign {
        /// Where, in bytes from the start of the piece at hand.
        offset: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A codec other than the one that Ogg is written with.
    #[error("the sound is {0}, not Opus")]
    NotOpus(String),
    /// Text that is no WebVTT file (the signature is missing, W3C WebVTT §4.1).
    #[error("text is not WebVTT")]
    NotWebVtt,
    /// Text that is no TTML document.
    #[error("text is not TTML: {0}")]
    NotTtml(String),
    /// Subtitles that are pictures instead of text (SMPTE ST 2052-1, IMSC 1 image profile).
    #[error("these subtitles are pictures, which no text can be made of")]
    PictureSubtitles,
}
