//! What stands around the clusters: the head of the file, and what its end tells of it (RFC 9559 §5).

use super::{
    Metadata,
    cues::Cue,
    ebml::{Elements, UNKNOWN_SIZE, binary, date, float, id, master, number, text, uint, void, wide},
};

/// Room for the list of what stands where: six entries of 21 bytes at most, and what they stand in.
pub(super) const SEEK_HEAD_ROOM: usize = 128;

/// What tags call the duration of a track.
const DURATION: &str = "DURATION";

/// From the epoch of Unix to that of EBML, the beginning of 2001, in seconds (RFC 8794 §7.6).
const EPOCH: i64 = 978_307_200;

/// The beginning of the file, up to the content of the segment, whose size is not known yet.
pub(super) fn begin(out: &mut Vec<u8>) {
    master(out, id::EBML, |out| {
        uint(out, id::EBML_VERSION, 1);
        uint(out, id::EBML_READ_VERSION, 1);
        uint(out, id::EBML_MAX_ID_LENGTH, 4);
        uint(out, id::EBML_MAX_SIZE_LENGTH, 8);
        text(out, id::DOC_TYPE, "matroska");
        // FlagHearingImpaired and LanguageBCP47 are of version 4; SimpleBlock is read since version 2.
        uint(out, id::DOC_TYPE_VERSION, 4);
        uint(out, id::DOC_TYPE_READ_VERSION, 2);
    });
    number(out, id::SEGMENT);
    out.extend_from_slice(&UNKNOWN_SIZE);
}

/// `Info`. Returns where in it the value of the duration stands, if there is one: it may be filled in at the end.
pub(super) fn info(out: &mut Vec<u8>, scale: u32, metadata: &Metadata, duration: Option<f64>) -> Option<usize> {
    let mut inner = Vec::new();
    uint(&mut inner, id::TIMESTAMP_SCALE, scale.into());
    if let Some(duration) = duration {
        float(&mut inner, id::DURATION, duration);
    }
    let behind = inner.len();
    let recorded = metadata.recorded.and_then(|seconds| i64::try_from(seconds).ok());
    if let Some(nanoseconds) = recorded.and_then(|seconds| (seconds - EPOCH).checked_mul(1_000_000_000)) {
        date(&mut inner, id::DATE_UTC, nanoseconds);
    }
    if let Some(title) = &metadata.title {
        text(&mut inner, id::TITLE, title);
    }
    text(&mut inner, id::MUXING_APP, "aqueduct");
    text(&mut inner, id::WRITING_APP, "aqueduct");
    binary(out, id::INFO, &inner);
    duration.map(|_| out.len() - inner.len() + behind - 8)
}

/// Nanoseconds as the value of `Duration`, where ticks last `scale` of them.
#[expect(clippy::cast_precision_loss, reason = "exact for three months")]
pub(super) fn duration(nanoseconds: u64, scale: u32) -> f64 {
    nanoseconds as f64 / f64::from(scale)
}

/// `Chapters`, where there are any.
pub(super) fn chapters(out: &mut Vec<u8>, metadata: &Metadata) {
    if metadata.chapters.is_empty() {
        return;
    }
    master(out, id::CHAPTERS, |out| {
        master(out, id::EDITION_ENTRY, |out| {
            for (uid, chapter) in (1..).zip(&metadata.chapters) {
                master(out, id::CHAPTER_ATOM, |out| {
                    uint(out, id::CHAPTER_UID, uid);
                    uint(
                        out,
                        id::CHAPTER_TIME_START,
                        u64::try_from(chapter.start.as_nanos()).unwrap_or(u64::MAX),
                    );
                    master(out, id::CHAPTER_DISPLAY, |out| {
                        text(out, id::CHAP_STRING, &chapter.title);
                        text(out, id::CHAP_LANGUAGE, "und");
                    });
                });
            }
        });
    });
}

/// What a track turned out to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Statistics {
    pub(super) uid: u64,
    pub(super) frames: u64,
    pub(super) bytes: u64,
    /// In nanoseconds, from time 0 of the file to its end.
    pub(super) duration: u64,
}

/// `Tags`: what is told [of the film](film_tag), and of each track, under the names that others use for them.
pub(super) fn tags(out: &mut Vec<u8>, film: &[u8], tracks: impl Iterator<Item = Statistics>) {
    master(out, id::TAGS, |out| {
        out.extend_from_slice(film);
        for track in tracks {
            master(out, id::TAG, |out| {
                master(out, id::TARGETS, |out| uint(out, id::TAG_TRACK_UID, track.uid));
                let seconds = track.duration / 1_000_000_000;
                let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
                let duration = format!("{hours:02}:{minutes:02}:{rest:02}.{:09}", track.duration % 1_000_000_000);
                simple_tag(out, DURATION, &duration);
                simple_tag(out, "NUMBER_OF_FRAMES", &track.frames.to_string());
                simple_tag(out, "NUMBER_OF_BYTES", &track.bytes.to_string());
            });
        }
    });
}

/// `Tag` of the film as a whole, where there is something to tell.
pub(super) fn film_tag(metadata: &Metadata) -> Vec<u8> {
    let mut out = Vec::new();
    let recorded = metadata.recorded.map(calendar);
    let told = [
        ("TITLE", &metadata.title),
        ("ARTIST", &metadata.artist),
        ("ALBUM", &metadata.album),
        ("DATE_RECORDED", &recorded),
    ];
    if told.iter().any(|(_, value)| value.is_some()) {
        master(&mut out, id::TAG, |out| {
            master(out, id::TARGETS, |_| {});
            for (name, value) in told {
                if let Some(value) = value {
                    simple_tag(out, name, value);
                }
            }
        });
    }
    out
}

fn simple_tag(out: &mut Vec<u8>, name: &str, value: &str) {
    master(out, id::SIMPLE_TAG, |out| {
        text(out, id::TAG_NAME, name);
        text(out, id::TAG_LANGUAGE, "und");
        text(out, id::TAG_STRING, value);
    });
}

/// Of a `Tag`: the track that it is of, and the duration that it tells, in nanoseconds; `None` where it is not as [`tags`] has it.
pub(super) fn track_tag(tag: &[u8]) -> Option<(u64, u64)> {
    let (mut uid, mut duration) = (None, None);
    for element in Elements::new(tag, 0) {
        let element = element.ok()?;
        let children = Elements::new(element.content, 0).map_while(Result::ok);
        match element.id {
            id::TARGETS => {
                uid = children
                    .filter(|child| child.id == id::TAG_TRACK_UID)
                    .find_map(|child| child.uint());
            }
            id::SIMPLE_TAG => {
                let value = |id| children.clone().find(|child| child.id == id).map(|child| child.content);
                if value(id::TAG_NAME) == Some(DURATION.as_bytes()) {
                    duration = Some(nanoseconds(value(id::TAG_STRING)?)?);
                }
            }
            _ => {}
        }
    }
    Some((uid?, duration?))
}

/// A duration as [`tags`] tells it.
fn nanoseconds(told: &[u8]) -> Option<u64> {
    let told = std::str::from_utf8(told).ok()?;
    let (hours, rest) = told.split_once(':')?;
    let (minutes, rest) = rest.split_once(':')?;
    let (seconds, fraction) = rest.split_once('.').filter(|(_, fraction)| fraction.len() == 9)?;
    let number = |digits: &str| {
        digits
            .parse::<u64>()
            .ok()
            .filter(|_| digits.bytes().all(|digit| digit.is_ascii_digit()))
    };
    let minutes = number(hours)?.checked_mul(60)?.checked_add(number(minutes)?)?;
    let seconds = minutes.checked_mul(60)?.checked_add(number(seconds)?)?;
    seconds.checked_mul(1_000_000_000)?.checked_add(number(fraction)?)
}

/// Seconds since 1970 as date and time, in the form that tags have.
fn calendar(seconds: u64) -> String {
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    // Counted in eras of 400 years that begin in March, so that leap days come last.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + carry;
    let (hours, minutes, seconds) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}")
}

/// `Cues`, all of one track.
pub(super) fn cues(out: &mut Vec<u8>, track: u64, cues: &[Cue]) {
    master(out, id::CUES, |out| {
        for cue in cues {
            master(out, id::CUE_POINT, |out| {
                uint(out, id::CUE_TIME, cue.time);
                master(out, id::CUE_TRACK_POSITIONS, |out| {
                    uint(out, id::CUE_TRACK, track);
                    uint(out, id::CUE_CLUSTER_POSITION, cue.position);
                });
            });
        }
    });
}

/// `SeekHead`: where the parts stand, from the beginning of the segment's content. It fills [`SEEK_HEAD_ROOM`].
pub(super) fn seek_head(parts: &[(u32, u64)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(SEEK_HEAD_ROOM);
    master(&mut out, id::SEEK_HEAD, |out| {
        for (part, position) in parts {
            master(out, id::SEEK, |out| {
                binary(out, id::SEEK_ID, &part.to_be_bytes());
                uint(out, id::SEEK_POSITION, *position);
            });
        }
    });
    let rest = SEEK_HEAD_ROOM.saturating_sub(out.len());
    if rest >= 2 {
        void(&mut out, rest);
    }
    out
}

/// The size of the segment's content, in the form that [`begin`] left room for.
pub(super) fn segment_size(bytes: u64) -> [u8; 8] {
    wide(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_parts_fits_whatever_the_positions() {
        for count in 0..=5 {
            for position in [0, 0x7f, 0xffff, u64::MAX] {
                let parts = vec![(id::CUES, position); count];
                assert_eq!(seek_head(&parts).len(), SEEK_HEAD_ROOM, "{count} at {position}");
            }
        }
    }

    #[test]
    fn the_duration_of_a_track_is_read_again_to_the_nanosecond() {
        for duration in [0, 1, 999_999_999, 40_000_000, 3_599_999_999_999, 360_000_000_000_000, u64::MAX] {
            let statistics = Statistics {
                uid: 3,
                frames: 7,
                bytes: 9,
                duration,
            };
            let mut out = Vec::new();
            tags(&mut out, &[], std::iter::once(statistics));
            let tags = Elements::new(&out, 0).next().unwrap().unwrap();
            let tag = Elements::new(tags.content, 0).next().unwrap().unwrap();
            assert_eq!(track_tag(tag.content), Some((3, duration)));
        }
        for told in [
            "",
            "1:2:3",
            "00:00:00.04",
            "00:00:-1.000000000",
            "00:00:+1.000000000",
            "x:0:0.000000000",
            "99999999999999999:00:00.000000000",
        ] {
            assert_eq!(nanoseconds(told.as_bytes()), None, "{told}");
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        // From `date -u -d @SECONDS '+%F %T'`.
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (978_307_200, "2001-01-01 00:00:00"),
            (1_709_251_199, "2024-02-29 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(calendar(seconds), expected);
        }
    }
}
