//! Writing the playlists of a recording: segments that lie beside them as files, in the clear.

use std::time::Duration;

use crate::DateTime;
use crate::number::{Billionths, nanos};
use crate::write::Output;

/// Dates that are nearer than this to where the one before leads are not repeated.
const SAME_DATE: i64 = 1_000;

/// A Media Playlist that grows segment by segment, in the order of Media Sequence Numbers.
///
/// It is kept as text: some 40 bytes a segment.
///
/// ```
/// use std::time::Duration;
/// use aqueduct_playlist::{RecordedSegment, Recording};
///
/// let mut recording = Recording::default();
/// recording.init("init-0.mp4");
/// recording.segment(&RecordedSegment::new(7, "00007.m4s", Duration::from_millis(4004)));
/// let text = recording.finish(true);
/// assert!(text.contains("#EXT-X-TARGETDURATION:5\n#EXT-X-MEDIA-SEQUENCE:7\n"));
/// assert!(text.ends_with("#EXT-X-MAP:URI=\"init-0.mp4\"\n#EXTINF:4.004,\n00007.m4s\n#EXT-X-ENDLIST\n"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Recording {
    body: String,
    longest: Duration,
    /// Media Sequence Number and Discontinuity Sequence Number of the first segment.
    first: Option<(u64, u64)>,
    discontinuity_sequence: u64,
    /// When the next segment begins, as far as that is told.
    next_date: Option<DateTime>,
    has_init: bool,
    has_gap: bool,
}

/// A segment of a [`Recording`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecordedSegment<'a> {
    /// Media Sequence Number.
    pub number: u64,
    /// A relative reference: a file name that needs no escapes.
    pub uri: &'a str,
    /// Playing time.
    pub duration: Duration,
    /// Discontinuity Sequence Number.
    pub discontinuity_sequence: u64,
    /// Whether it begins another one, which its number need not tell.
    pub discontinuity: bool,
    /// When it was recorded.
    pub program_date_time: Option<DateTime>,
    /// Whether it is not there.
    pub gap: bool,
    /// Lines that stand before it, as they are: date ranges.
    pub tags: &'a [String],
}

impl<'a> RecordedSegment<'a> {
    /// A segment of which nothing else is known.
    pub fn new(number: u64, uri: &'a str, duration: Duration) -> Self {
        Self {
            number,
            uri,
            duration,
            discontinuity_sequence: 0,
            discontinuity: false,
            program_date_time: None,
            gap: false,
            tags: &[],
        }
    }
}

impl Recording {
    /// The Media Initialization Section of the segments that follow.
    pub fn init(&mut self, uri: &str) {
        self.has_init = true;
        self.write(|out| out.attributes("EXT-X-MAP", |list| list.quoted("URI", uri)));
    }

    /// The next segment.
    pub fn segment(&mut self, segment: &RecordedSegment<'_>) {
        let RecordedSegment {
            number,
            discontinuity_sequence: sequence,
            ..
        } = *segment;
        let begun = self.first.is_some();
        let steps = if begun {
            // As many as a reader has to count, within reason.
            let steps = sequence.saturating_sub(self.discontinuity_sequence).min(1 << 16);
            steps.max(u64::from(segment.discontinuity))
        } else {
            self.first = Some((number, sequence));
            0
        };
        self.discontinuity_sequence = sequence;
        self.longest = self.longest.max(segment.duration);
        self.has_gap |= segment.gap;
        let date = segment.program_date_time;
        let told = match (date, self.next_date) {
            (Some(date), Some(next)) => steps > 0 || (date.unix_micros() - next.unix_micros()).abs() > SAME_DATE,
            (Some(_), None) => true,
            (None, _) => false,
        };
        self.next_date = date.and_then(|date| date.after(segment.duration));
        self.write(|out| {
            (0..steps).for_each(|_| out.line("#EXT-X-DISCONTINUITY"));
            out.option("EXT-X-PROGRAM-DATE-TIME", date.filter(|_| told));
            segment.tags.iter().for_each(|tag| out.line(tag));
            out.flag("EXT-X-GAP", segment.gap);
            out.value("EXTINF", format_args!("{},", Billionths(nanos(segment.duration))));
            out.line(segment.uri);
        });
    }

    /// The text of the playlist; `complete` says that nothing more will come (`EXT-X-ENDLIST`).
    pub fn finish(self, complete: bool) -> String {
        let mut out = Output::default();
        out.line("#EXTM3U");
        // rfc8216bis, 8: gaps, then initialization sections, then durations that are no whole seconds.
        let version = match (self.has_gap, self.has_init) {
            (true, _) => 8,
            (_, true) => 6,
            _ => 3,
        };
        out.value("EXT-X-VERSION", version);
        // Rounded to the nearest second no duration may be longer (4.4.3.1).
        let target = self.longest.as_secs() + u64::from(self.longest.subsec_nanos() > 0);
        out.value("EXT-X-TARGETDURATION", target.max(1));
        let (number, sequence) = self.first.unwrap_or_default();
        if number > 0 {
            out.value("EXT-X-MEDIA-SEQUENCE", number);
        }
        if sequence > 0 {
            out.value("EXT-X-DISCONTINUITY-SEQUENCE", sequence);
        }
        if complete {
            out.value("EXT-X-PLAYLIST-TYPE", "VOD");
        }
        out.0.push_str(&self.body);
        out.flag("EXT-X-ENDLIST", complete);
        out.0
    }

    fn write(&mut self, write: impl FnOnce(&mut Output)) {
        let mut out = Output(std::mem::take(&mut self.body));
        write(&mut out);
        self.body = out.0;
    }
}

/// A Variant Stream of a recording, or a Rendition.
#[derive(Clone, Debug, Default)]
pub struct RecordedTrack {
    /// The Media Playlist, as a relative reference that needs no escapes.
    pub uri: String,
    /// `AUDIO` or `SUBTITLES`; nothing for a Variant Stream.
    pub rendition: Option<&'static str>,
    /// NAME of a Rendition.
    pub name: String,
    /// LANGUAGE (BCP 47).
    pub language: Option<String>,
    /// CHANNELS.
    pub channels: Option<String>,
    /// CHARACTERISTICS.
    pub characteristics: Vec<String>,
    /// DEFAULT.
    pub default: bool,
    /// FORCED.
    pub forced: bool,
    /// Bits a second of its densest segment, and of all of them.
    pub bandwidth: (u64, u64),
    /// CODECS of a Variant Stream.
    pub codecs: Vec<String>,
    /// RESOLUTION.
    pub resolution: Option<(u32, u32)>,
    /// FRAME-RATE.
    pub frame_rate: Option<f64>,
}

/// The text of a Multivariant Playlist of these tracks.
pub fn recorded_multivariant(tracks: &[RecordedTrack]) -> String {
    let of = |kind: Option<&'static str>| tracks.iter().filter(move |track| track.rendition == kind);
    let mut out = Output::default();
    out.line("#EXTM3U");
    for track in tracks {
        let Some(kind) = track.rendition else { continue };
        let first = of(Some(kind)).next().is_some_and(|first| std::ptr::eq(first, track));
        let preferred = of(Some(kind)).any(|track| track.default);
        // Sound plays unless somebody chooses; text is for those who ask for it (rfc8216bis, 4.4.6.1).
        let default = if preferred { track.default } else { first && kind == "AUDIO" };
        out.attributes("EXT-X-MEDIA", |list| {
            list.plain("TYPE", kind);
            list.quoted("GROUP-ID", group(kind));
            list.maybe_quoted("LANGUAGE", track.language.as_deref());
            list.quoted("NAME", &track.name);
            list.yes("DEFAULT", default);
            list.yes("AUTOSELECT", default || track.forced || track.language.is_some());
            list.yes("FORCED", track.forced);
            list.joined("CHARACTERISTICS", &track.characteristics, ",");
            list.maybe_quoted("CHANNELS", track.channels.as_deref());
            list.quoted("URI", &track.uri);
        });
    }
    let most = |of: fn(&RecordedTrack) -> u64| {
        let most = |kind| {
            tracks
                .iter()
                .filter(|track| track.rendition == Some(kind))
                .map(of)
                .max()
                .unwrap_or(0)
        };
        most("AUDIO") + most("SUBTITLES")
    };
    for track in of(None) {
        out.attributes("EXT-X-STREAM-INF", |list| {
            list.plain("BANDWIDTH", (track.bandwidth.0 + most(|track| track.bandwidth.0)).max(1));
            list.plain("AVERAGE-BANDWIDTH", (track.bandwidth.1 + most(|track| track.bandwidth.1)).max(1));
            list.joined("CODECS", &track.codecs, ",");
            list.maybe_plain("RESOLUTION", track.resolution.map(|(width, height)| format!("{width}x{height}")));
            list.maybe_plain("FRAME-RATE", track.frame_rate);
            for (kind, name) in [("AUDIO", "AUDIO"), ("SUBTITLES", "SUBTITLES")] {
                if of(Some(kind)).next().is_some() {
                    list.quoted(name, group(kind));
                }
            }
        });
        out.line(&track.uri);
    }
    out.0
}

fn group(kind: &str) -> &'static str {
    if kind == "AUDIO" { "audio" } else { "subtitles" }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::{Context, Playlist, Severity, parse};

    fn read(text: &str) -> Playlist {
        let base = Url::parse("http://host.example/index.m3u8").unwrap();
        let parsed = parse(text.as_bytes(), &Context::new(base)).unwrap();
        let findings: Vec<_> = parsed
            .playlist
            .validate()
            .into_iter()
            .filter(|finding| finding.severity == Severity::Error)
            .collect();
        assert_eq!(findings.len(), 0, "{findings:?}\n{text}");
        parsed.playlist
    }

    #[test]
    fn what_is_written_is_read_again() {
        let date = |micros: i64| DateTime::from_unix_micros(1_700_000_000_000_000 + micros);
        let mut recording = Recording::default();
        let tags = ["#EXT-X-DATERANGE:ID=\"ad\",START-DATE=\"2023-11-14T22:13:20Z\"".to_owned()];
        let segment = |number, uri| RecordedSegment::new(number, uri, Duration::from_millis(4004));
        recording.init("init-0.mp4");
        recording.segment(&RecordedSegment {
            discontinuity_sequence: 3,
            program_date_time: date(0),
            tags: &tags,
            ..segment(7, "7.m4s")
        });
        recording.segment(&RecordedSegment {
            discontinuity_sequence: 3,
            program_date_time: date(4_004_000),
            gap: true,
            ..segment(8, "8.m4s")
        });
        recording.init("init-1.mp4");
        recording.segment(&RecordedSegment {
            discontinuity_sequence: 5,
            discontinuity: true,
            program_date_time: date(90_000_000),
            ..segment(9, "9.m4s")
        });
        let text = recording.finish(true);
        let Playlist::Media(playlist) = read(&text) else { panic!("{text}") };
        let brief: Vec<_> = playlist
            .segments
            .iter()
            .map(|segment| {
                let init = segment.init().map(|init| init.uri.as_written().to_owned()).unwrap_or_default();
                let numbers = (segment.media_sequence_number(), segment.discontinuity_sequence_number());
                (numbers, segment.uri_as_written(), segment.gap(), init)
            })
            .collect();
        assert_eq!(
            brief,
            [
                ((7, 3), "7.m4s", false, "init-0.mp4".into()),
                ((8, 3), "8.m4s", true, "init-0.mp4".into()),
                ((9, 5), "9.m4s", false, "init-1.mp4".into()),
            ]
        );
        let dates: Vec<_> = playlist.segments.iter().map(crate::Segment::program_date_time).collect();
        assert_eq!(dates, [date(0), date(4_004_000), date(90_000_000)]);
        assert_eq!(
            text.matches("PROGRAM-DATE-TIME").count(),
            2,
            "where it follows from the one before it is left out"
        );
        assert_eq!(playlist.date_ranges().count(), 1);
        assert_eq!(playlist.version, Some(8));
        assert!(playlist.is_complete());
    }

    #[test]
    fn a_multivariant_playlist_has_its_renditions() {
        let track = |uri: &str| RecordedTrack {
            uri: uri.into(),
            ..RecordedTrack::default()
        };
        let tracks = [
            RecordedTrack {
                bandwidth: (5_000, 4_000),
                codecs: vec!["avc1.64001f".into(), "mp4a.40.2".into()],
                resolution: Some((1280, 720)),
                ..track("video/index.m3u8")
            },
            RecordedTrack {
                rendition: Some("AUDIO"),
                name: "A \"quoted\" name".into(),
                language: Some("en".into()),
                bandwidth: (200, 100),
                ..track("audio-en/index.m3u8")
            },
            RecordedTrack {
                rendition: Some("SUBTITLES"),
                name: "Deutsch".into(),
                forced: true,
                ..track("subtitles-de/index.m3u8")
            },
        ];
        let text = recorded_multivariant(&tracks);
        let Playlist::Multivariant(playlist) = read(&text) else {
            panic!("{text}")
        };
        let variant = &playlist.variants[0];
        assert_eq!((variant.bandwidth, variant.average_bandwidth), (5_200, Some(4_100)));
        assert_eq!(
            (variant.audio.as_deref(), variant.subtitles.as_deref()),
            (Some("audio"), Some("subtitles"))
        );
        assert_eq!(variant.codecs.len(), 2);
        let renditions: Vec<_> = playlist.renditions.iter().map(|media| (media.default, media.forced)).collect();
        assert_eq!(renditions, [(true, false), (false, true)]);
        assert_eq!(playlist.renditions[0].name, "A 'quoted' name");
    }
}
