//! The text of playlists.

use std::fmt::Write as _;
use std::ops::Range;

use crate::encryption::Iv;
use crate::package::Track;
use crate::stream::{RenditionKind, Stream};

/// Which positions a Media Playlist names, and whether it says `EXT-X-ENDLIST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) positions: Range<usize>,
    pub(crate) ended: bool,
}

impl Window {
    /// All of it, or what a live stream shows after `moves` moves.
    pub(crate) fn after(track: &Track, moves: usize) -> Self {
        let count = track.count().unwrap_or(usize::MAX);
        let Some(live) = track.stream.live else {
            return Self {
                positions: 0..count,
                ended: true,
            };
        };
        let end = live.first.saturating_add(moves).min(count);
        Self {
            positions: end.saturating_sub(live.window)..end,
            ended: end == count && !live.unended,
        }
    }
}

/// `EXT-X-STREAM-INF` and `EXT-X-MEDIA`, in the order of the description.
pub(crate) fn multivariant(stream: &Stream) -> String {
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    for (index, rendition) in stream.renditions.iter().enumerate() {
        let kind = match rendition.kind {
            RenditionKind::Audio => "AUDIO",
            RenditionKind::Subtitles => "SUBTITLES",
        };
        let default = if rendition.default { "YES" } else { "NO" };
        let _ = write!(
            text,
            "#EXT-X-MEDIA:TYPE={kind},GROUP-ID=\"{}\",NAME=\"{}\",DEFAULT={default},AUTOSELECT={default}",
            rendition.group, rendition.name
        );
        if let Some(language) = &rendition.language {
            let _ = write!(text, ",LANGUAGE=\"{language}\"");
        }
        if rendition.media.is_some() {
            let _ = write!(text, ",URI=\"r{index}/index.m3u8\"");
        }
        text.push('\n');
    }
    for (index, variant) in stream.variants.iter().enumerate() {
        let bandwidth = if variant.bandwidth == 0 { 300_000 } else { variant.bandwidth };
        let _ = write!(text, "#EXT-X-STREAM-INF:BANDWIDTH={bandwidth}");
        for (name, value) in [("RESOLUTION", &variant.resolution)] {
            if let Some(value) = value {
                let _ = write!(text, ",{name}={value}");
            }
        }
        let quoted = [
            ("CODECS", &variant.codecs),
            ("AUDIO", &variant.audio),
            ("SUBTITLES", &variant.subtitles),
        ];
        for (name, value) in quoted {
            if let Some(value) = value {
                let _ = write!(text, ",{name}=\"{value}\"");
            }
        }
        let _ = write!(text, "\nv{index}/index.m3u8\n");
    }
    text
}

/// The Media Playlist of a track.
pub(crate) fn media(track: &Track, window: &Window) -> String {
    let mut writer = Writer {
        track,
        text: String::from("#EXTM3U\n"),
        key: Key::None,
        next_offset: None,
    };
    writer.head(window);
    for position in window.positions.clone() {
        writer.segment(position);
    }
    if window.ended {
        writer.text.push_str("#EXT-X-ENDLIST\n");
    }
    writer.text
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Key {
    None,
    Period(usize),
}

struct Writer<'a> {
    track: &'a Track,
    text: String,
    /// The key in force.
    key: Key,
    /// Where the last byte range ended, once there was one.
    next_offset: Option<u64>,
}

impl Writer<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn head(&mut self, window: &Window) {
        let track = self.track;
        let positions = window.positions.clone();
        // All of a synthetic track's durations are equal; a real one's repeat after a round.
        let longest = positions.clone().take(64).map(|at| track.duration(at)).fold(1.0, f64::max);
        self.line(&format!("#EXT-X-VERSION:{}", if track.init().is_some() { 7 } else { 4 }));
        self.line(&format!("#EXT-X-TARGETDURATION:{longest:.0}"));
        self.line(&format!(
            "#EXT-X-MEDIA-SEQUENCE:{}",
            track.stream.first_msn + positions.start as u64
        ));
        let gone = (0..=positions.start).filter(|at| track.is_discontinuous(*at)).count();
        let at_first = usize::from(positions.start < positions.end && track.is_discontinuous(positions.start));
        if gone > at_first {
            self.line(&format!("#EXT-X-DISCONTINUITY-SEQUENCE:{}", gone - at_first));
        }
        let Some(init) = track.sealed_init() else { return };
        if track.encryption().is_some_and(|encryption| encryption.init) {
            self.switch_key(Key::Period(0));
        }
        if track.stream.byte_ranges {
            self.line(&format!("#EXT-X-MAP:URI=\"{}\",BYTERANGE=\"{}@0\"", track.whole_name(), init.len()));
        } else {
            self.line("#EXT-X-MAP:URI=\"init.mp4\"");
        }
    }

    fn segment(&mut self, position: usize) {
        let track = self.track;
        if track.is_discontinuous(position) {
            self.line("#EXT-X-DISCONTINUITY");
        }
        if let Some(encryption) = track.encryption() {
            self.switch_key(encryption.period(position).map_or(Key::None, Key::Period));
        }
        if track.is_gap(position) {
            self.line("#EXT-X-GAP");
        }
        self.line(&format!("#EXTINF:{:.6},", track.duration(position)));
        if track.stream.byte_ranges {
            let length = track.sealed_length(position) as u64;
            match self.next_offset {
                Some(_) => self.line(&format!("#EXT-X-BYTERANGE:{length}")),
                None => {
                    let before: usize = (0..position).map(|at| track.sealed_length(at)).sum();
                    let init = track.sealed_init().map_or(0, |init| init.len());
                    self.line(&format!("#EXT-X-BYTERANGE:{length}@{}", before + init));
                }
            }
            self.next_offset = Some(length);
            let name = track.whole_name();
            self.line(&name);
        } else {
            let name = format!("{position}.{}", track.extension());
            self.line(&name);
        }
    }

    fn switch_key(&mut self, key: Key) {
        if key == self.key {
            return;
        }
        self.key = key;
        let Key::Period(period) = key else {
            return self.line("#EXT-X-KEY:METHOD=NONE");
        };
        let mut line = format!("#EXT-X-KEY:METHOD=AES-128,URI=\"key{period}.bin\"");
        if let Some(encryption) = self.track.encryption().filter(|encryption| encryption.iv == Iv::Explicit) {
            line.push_str(",IV=0x");
            for byte in encryption.iv(period, 0) {
                let _ = write!(line, "{byte:02x}");
            }
        }
        self.line(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::tracks;
    use crate::stream::Stream;

    fn text_of(name: &str, moves: usize) -> String {
        let stream = Stream::standard().unwrap().remove(name).unwrap();
        let track = &tracks(&stream).unwrap()[0];
        media(track, &Window::after(track, moves))
    }

    #[test]
    fn keys_rotate_and_stop() {
        let text = text_of("aes-rotation", 0);
        assert_eq!(text.matches("METHOD=AES-128").count(), 3);
        let text = text_of("aes-none-between", 0);
        let order: Vec<_> = text.lines().filter(|line| line.contains("KEY")).map(|line| &line[11..22]).collect();
        assert_eq!(order, ["METHOD=AES-", "METHOD=NONE", "METHOD=AES-"]);
    }

    #[test]
    fn only_the_first_byte_range_has_an_offset() {
        let text = text_of("byte-ranges", 0);
        let ranges: Vec<_> = text.lines().filter(|line| line.starts_with("#EXT-X-BYTERANGE")).collect();
        assert!(ranges[0].ends_with("@0"));
        assert!(ranges[1..].iter().all(|line| !line.contains('@')));
    }

    #[test]
    fn a_window_moves_and_ends() {
        assert!(text_of("live", 0).contains("SEQUENCE:0\n"));
        let moved = text_of("live", 2);
        assert!(moved.contains("SEQUENCE:2\n") && !moved.contains("ENDLIST"));
        assert!(text_of("live", 3).ends_with("5.ts\n#EXT-X-ENDLIST\n"));
    }

    #[test]
    fn a_discontinuity_that_left_the_window_is_counted() {
        assert!(text_of("discontinuity", 0).contains("2.ts\n#EXT-X-DISCONTINUITY\n"));
        let mut stream = Stream::standard().unwrap().remove("discontinuity").unwrap();
        stream.live = Stream::standard().unwrap()["live"].live;
        let track = &tracks(&stream).unwrap()[0];
        let last = media(
            track,
            &Window {
                positions: 4..6,
                ended: true,
            },
        );
        assert!(last.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"));
        let at = media(
            track,
            &Window {
                positions: 3..6,
                ended: true,
            },
        );
        assert!(!at.contains("DISCONTINUITY-SEQUENCE") && at.contains("#EXT-X-DISCONTINUITY\n"));
    }
}
