//! Chapters of the date ranges of a playlist (rfc8216bis, 4.4.5.1).

use std::time::{Duration, SystemTime};

use aqueduct_core::Chapter;
use aqueduct_playlist::{AttributeValue, DateRange, MediaPlaylist};

/// Chapters that are taken; more is no table of contents.
const MOST: usize = 1000;

/// When the first segment was recorded, where the playlist tells.
pub(crate) fn recorded(playlist: &MediaPlaylist) -> Option<SystemTime> {
    let micros = playlist.segments.first()?.program_date_time()?.unix_micros();
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(u64::try_from(micros).ok()?))
}

/// Each date range that begins within the playlist, as a chapter, in the order of time. A date counts from the last
/// `EXT-X-PROGRAM-DATE-TIME` before it.
pub(crate) fn chapters(playlist: &MediaPlaylist) -> Vec<Chapter> {
    let mut places = Vec::with_capacity(playlist.segments.len());
    let mut position = Duration::ZERO;
    for segment in &playlist.segments {
        let duration = segment.duration();
        if let Some(date) = segment.program_date_time() {
            places.push((date.unix_micros(), position, duration));
        }
        position = position.saturating_add(duration);
    }
    // Dates may start over at a discontinuity: the first segment that holds a date is the one.
    places.sort_by_key(|(date, ..)| *date);
    let mut chapters: Vec<Chapter> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for range in playlist.date_ranges() {
        let Some(start) = range.start_date.map(|date| date.unix_micros()) else {
            continue;
        };
        let after = places.partition_point(|(date, ..)| *date <= start);
        let Some((date, position, duration)) = after.checked_sub(1).and_then(|at| places.get(at)).copied() else {
            continue;
        };
        let into = Duration::from_micros(u64::try_from(start - date).unwrap_or(0));
        if into < duration && chapters.len() < MOST && seen.insert(range.id.clone()) {
            chapters.push(Chapter {
                start: position.saturating_add(into),
                title: title(range),
            });
        }
    }
    chapters.sort_by_key(|chapter| chapter.start);
    chapters
}

/// What a range calls itself: no attribute is standard, but there is a custom in names.
fn title(range: &DateRange) -> String {
    let named = range.other.iter().find_map(|attribute| match &attribute.value {
        AttributeValue::Quoted(text) if ["TITLE", "NAME", "CHAPTER"].iter().any(|end| attribute.name.ends_with(end)) => Some(text),
        _ => None,
    });
    named.map_or_else(|| range.id.clone(), |text| text.to_string())
}

#[cfg(test)]
mod tests {
    use aqueduct_playlist::{Context, Playlist};
    use url::Url;

    use super::*;

    fn media(text: &str) -> MediaPlaylist {
        let context = Context::new(Url::parse("http://host.example/").unwrap());
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n{text}#EXT-X-ENDLIST\n");
        match aqueduct_playlist::parse(text.as_bytes(), &context).unwrap().playlist {
            Playlist::Media(playlist) => playlist,
            _ => panic!("a Media Playlist"),
        }
    }

    #[test]
    fn date_ranges_are_chapters_where_their_dates_are_played() {
        let playlist = media(concat!(
            "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T12:00:00Z\n",
            "#EXT-X-DATERANGE:ID=\"two\",START-DATE=\"2026-01-01T12:00:12.500Z\",X-TITLE=\"Second part\"\n",
            "#EXT-X-DATERANGE:ID=\"one\",START-DATE=\"2026-01-01T12:00:00Z\"\n",
            "#EXT-X-DATERANGE:ID=\"one\",START-DATE=\"2026-01-01T12:00:01Z\"\n",
            "#EXT-X-DATERANGE:ID=\"before\",START-DATE=\"2026-01-01T11:00:00Z\"\n",
            "#EXT-X-DATERANGE:ID=\"between\",START-DATE=\"2026-01-01T13:00:00Z\"\n",
            "#EXT-X-DATERANGE:ID=\"three\",START-DATE=\"2026-01-02T00:00:03Z\"\n",
            "#EXTINF:10,\na\n#EXTINF:10,\nb\n#EXT-X-DISCONTINUITY\n",
            "#EXT-X-PROGRAM-DATE-TIME:2026-01-02T00:00:00Z\n#EXTINF:10,\nc\n",
        ));
        let found = chapters(&playlist);
        let found: Vec<_> = found
            .iter()
            .map(|chapter| (chapter.start.as_millis(), chapter.title.as_str()))
            .collect();
        assert_eq!(found, [(0, "one"), (12_500, "Second part"), (23_000, "three")]);
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_268_800);
        assert_eq!(recorded(&playlist), Some(noon));
    }

    #[test]
    fn without_a_date_there_is_no_chapter() {
        let playlist = media("#EXT-X-DATERANGE:ID=\"one\",START-DATE=\"2026-01-01T12:00:00Z\"\n#EXTINF:10,\na\n");
        assert!(chapters(&playlist).is_empty());
        assert_eq!(recorded(&playlist), None);
    }
}
