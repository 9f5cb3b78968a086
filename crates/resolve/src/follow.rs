//! From a Media Playlist to items, once or for as long as it is live (RFC 8216, 6.3.4).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aqueduct_core::{
    ByteRange, Encryption, Fetch, FetchError, GapCause, InitId, InitInfo, Item, Iv, Kind, ResolveError, Resource, SafeUrl, SegmentInfo,
    Sender, Stop, TrackId,
};
use aqueduct_playlist::{Key, MediaPlaylist, Method, Parsed, Playlist, Segment, Tag};
use tokio::time::Instant;

use crate::hls::{self, Plan};
use crate::resolver::Options;
use crate::ways::Loaded;

/// The reload interval of a playlist without a target duration.
const DEFAULT_TARGET: Duration = Duration::from_secs(6);

/// Segments that are remembered, to notice that a number stands for another one.
const RECENT: usize = 32;
/// Date ranges that are remembered, and that wait for the next segment.
const MAX_RANGES: usize = 4096;

/// Hands one item on. `false` when nobody wants it any more.
pub(crate) async fn send(outlet: &Sender<Item<Resource>>, stop: &Stop, item: Item<Resource>) -> bool {
    tokio::select! {
        biased;
        () = stop.draining() => false,
        sent = outlet.send(item) => sent.is_ok(),
    }
}

/// Emits what the playlist names, and goes on with what it names later while it is live, by the way that its server prefers.
pub(crate) async fn follow<F: Fetch>(
    options: &Options,
    track: TrackId,
    plan: &Plan,
    fetch: &F,
    outlet: &Sender<Item<Resource>>,
    stop: &Stop,
) -> Result<(), ResolveError> {
    tokio::select! {
        followed = follow_ways(options, track, plan, fetch, outlet, stop) => followed,
        never = steer(options, plan, fetch) => match never {},
    }
}

/// Goes over to the way that the server prefers whenever it says so, as long as somebody waits for that.
async fn steer<F: Fetch>(options: &Options, plan: &Plan, fetch: &F) -> Infallible {
    let Some(steering) = &plan.steering else {
        return std::future::pending().await;
    };
    loop {
        let pathways = steering.renewed(options, fetch, plan.ways.pathway()).await;
        plan.ways.steer(options, plan, fetch, &pathways).await;
    }
}

async fn follow_ways<F: Fetch>(
    options: &Options,
    track: TrackId,
    plan: &Plan,
    fetch: &F,
    outlet: &Sender<Item<Resource>>,
    stop: &Stop,
) -> Result<(), ResolveError> {
    let mut emitter = Emitter::new(track, outlet, stop);
    let mut playlist = Arc::clone(&plan.first);
    let mut at = plan.at.clone();
    let (mut loaded, mut changed) = (Instant::now(), Instant::now());
    let mut fresh = true;
    let (mut way, mut turns) = (0, 0);
    loop {
        match emitter
            .emit(&at, &playlist, |next| plan.ways.turned(&mut turns, next, &playlist))
            .await
        {
            Emitted::Unwanted => return Ok(()),
            Emitted::Turned(other) => {
                Loaded { way, at, playlist } = other;
                emitter.forget();
                continue;
            }
            Emitted::All if playlist.is_complete() => return Ok(()),
            Emitted::All => {}
        }
        // RFC 8216, 6.3.4: a target duration after a change, half of it after a reload without one.
        let target = playlist
            .target_duration
            .unwrap_or(DEFAULT_TARGET)
            .clamp(Duration::from_millis(500), Duration::from_secs(60));
        let pause = if fresh { target } else { target / 2 };
        tokio::select! {
            () = stop.draining() => return Ok(()),
            () = tokio::time::sleep_until(loaded + pause) => {}
        }
        loaded = Instant::now();
        let read = tokio::select! {
            () = stop.draining() => return Ok(()),
            read = hls::read(options, fetch, plan.ways.address(way), &plan.imports) => read,
        };
        let patience = options.stale_after + 3 * target;
        match read.and_then(media) {
            Ok((url, reloaded)) => {
                fresh = edge(&reloaded) != edge(&playlist);
                if fresh {
                    changed = loaded;
                } else if changed.elapsed() > patience {
                    return Err(ResolveError::Stale {
                        url,
                        after: changed.elapsed(),
                    });
                }
                at = Resource {
                    url,
                    ..plan.ways.address(way).clone()
                };
                playlist = Arc::new(reloaded);
            }
            Err(error @ ResolveError::Fetch(FetchError::Refused { .. })) => return Err(error),
            Err(error) => {
                tracing::warn!(%track, %error, "the live playlist could not be read again");
                let another = tokio::select! {
                    () = stop.draining() => return Ok(()),
                    another = plan.ways.another(options, plan, fetch, way) => another,
                };
                fresh = another.is_some();
                // It is taken up above. Without one: one bad answer does not end a recording.
                if another.is_none() && changed.elapsed() > patience {
                    return Err(error);
                }
            }
        }
    }
}

pub(crate) fn media((url, parsed): (SafeUrl, Parsed)) -> Result<(SafeUrl, MediaPlaylist), ResolveError> {
    match parsed.playlist {
        Playlist::Media(playlist) => Ok((url, playlist)),
        _ => Err(ResolveError::Unusable {
            url,
            what: "the live Media Playlist became something else".into(),
        }),
    }
}

/// What a change of a live playlist changes.
fn edge(playlist: &MediaPlaylist) -> (u64, u64, bool) {
    (playlist.media_sequence, playlist.next_media_sequence_number(), playlist.end_list)
}

/// How an emission ended.
enum Emitted {
    /// All that is new was emitted.
    All,
    /// Nobody wants more.
    Unwanted,
    /// The rest is to be had elsewhere.
    Turned(Loaded),
}

/// Turns segments into items, each once, by Media Sequence Number.
struct Emitter<'a> {
    track: TrackId,
    outlet: &'a Sender<Item<Resource>>,
    stop: &'a Stop,
    /// The Media Sequence Number that comes next.
    next: Option<u64>,
    /// The initialization section that was emitted last.
    init: Option<InitId>,
    /// Added to Discontinuity Sequence Numbers, which start over with a new epoch.
    epoch: u64,
    last_sequence: u64,
    restarted: bool,
    /// The last segments that were emitted: number and name.
    recent: VecDeque<(u64, u64)>,
    ranges: DateRanges,
}

/// Date ranges that a reload has before segments which were emitted already: a server may add them there, or have all of
/// them before its first segment. The next segment brings them.
#[derive(Default)]
struct DateRanges {
    /// Digests of those that were emitted.
    known: VecDeque<u64>,
    late: Vec<String>,
}

impl DateRanges {
    /// Takes note of a date range. Whether it is new.
    fn is_new(&mut self, range: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        range.hash(&mut hasher);
        let digest = hasher.finish();
        if self.known.contains(&digest) {
            return false;
        }
        if self.known.len() == MAX_RANGES {
            self.known.pop_front();
        }
        self.known.push_back(digest);
        true
    }

    /// Takes what stands before a segment that was emitted already.
    fn passed(&mut self, segment: &Segment) {
        for range in date_ranges(segment) {
            if self.is_new(&range) && self.late.len() < MAX_RANGES {
                self.late.push(range);
            }
        }
    }

    /// What the next segment brings, of which these ranges are its own.
    fn due(&mut self, own: impl Iterator<Item = String>) -> Arc<[String]> {
        let late = std::mem::take(&mut self.late);
        let own = own.inspect(|range| {
            self.is_new(range);
        });
        late.into_iter().chain(own).collect()
    }
}

impl<'a> Emitter<'a> {
    fn new(track: TrackId, outlet: &'a Sender<Item<Resource>>, stop: &'a Stop) -> Self {
        Self {
            track,
            outlet,
            stop,
            next: None,
            init: None,
            epoch: 0,
            last_sequence: 0,
            restarted: false,
            recent: VecDeque::new(),
            ranges: DateRanges::default(),
        }
    }

    /// Emits what of `playlist` is new, unless `turned`, which is told the next Media Sequence Number, knows of another place
    /// in the middle.
    async fn emit(&mut self, at: &Resource, playlist: &MediaPlaylist, mut turned: impl FnMut(Option<u64>) -> Option<Loaded>) -> Emitted {
        if let Some(next) = self.next
            && let Some(first) = playlist.segments.first()
        {
            let behind = playlist.next_media_sequence_number();
            if self.renamed(playlist) || began_again(next, first.media_sequence_number(), behind) {
                tracing::warn!(track = %self.track, next, behind, "the media sequence began again");
                self.next = None;
                self.recent.clear();
                self.restarted = true;
                self.epoch = self.last_sequence + 1;
            } else if !self.expired(at, first, next).await {
                return Emitted::Unwanted;
            }
        }
        for segment in &playlist.segments {
            if self.next.is_some_and(|next| segment.media_sequence_number() < next) {
                self.ranges.passed(segment);
                continue;
            }
            if let Some(other) = turned(self.next) {
                return Emitted::Turned(other);
            }
            if !self.segment(at, segment).await {
                return Emitted::Unwanted;
            }
            self.next = Some(segment.media_sequence_number().saturating_add(1));
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back((segment.media_sequence_number(), name(segment)));
        }
        turned(self.next).map_or(Emitted::All, Emitted::Turned)
    }

    /// What follows has other names for the same.
    fn forget(&mut self) {
        self.recent.clear();
    }

    /// Whether the numbers that were emitted all stand for other segments now: the server began to count again.
    fn renamed(&self, playlist: &MediaPlaylist) -> bool {
        let known = |segment: &Segment| {
            self.recent
                .iter()
                .find(|(number, _)| *number == segment.media_sequence_number())
                .copied()
        };
        let mut both = playlist
            .segments
            .iter()
            .filter_map(|segment| Some((known(segment)?.1, name(segment))))
            .peekable();
        both.peek().is_some() && both.all(|(before, now)| before != now)
    }

    /// Names the segments that left the window before they could be asked for.
    async fn expired(&mut self, at: &Resource, first: &Segment, next: u64) -> bool {
        let lost = first.media_sequence_number().saturating_sub(next);
        if lost == 0 {
            return true;
        }
        tracing::warn!(track = %self.track, next, lost, "segments left the window before they were asked for");
        let first = self.info(at, first);
        // The discontinuity of the first one that is there is behind these.
        let info = SegmentInfo {
            msn: next,
            discontinuity: false,
            discontinuity_sequence: first.discontinuity_sequence.saturating_sub(first.discontinuity.into()),
            program_date_time: None,
            ..first
        };
        let gap = Item::Gap {
            info: Arc::new(info),
            segments: lost,
            cause: GapCause::Expired,
        };
        send(self.outlet, self.stop, gap).await
    }

    async fn segment(&mut self, at: &Resource, segment: &Segment) -> bool {
        let mut info = self.info(at, segment);
        info.tags = self.ranges.due(date_ranges(segment));
        info.discontinuity |= std::mem::take(&mut self.restarted);
        self.last_sequence = info.discontinuity_sequence;
        if segment.gap() {
            return send(
                self.outlet,
                self.stop,
                Item::Gap {
                    info: Arc::new(info),
                    segments: 1,
                    cause: GapCause::Tagged,
                },
            )
            .await;
        }
        if let Some(section) = segment.init() {
            let resource = at.names(Kind::Init, section.uri.url()).with_range(range(section.byte_range));
            let id = InitId::of(&resource);
            info.init = Some(id.clone());
            if self.init.as_ref() != Some(&id) {
                let init = InitInfo {
                    track: self.track,
                    id: id.clone(),
                    first_msn: info.msn,
                    encryption: encryption(at, &section.keys),
                    resource: resource.clone(),
                };
                if !send(
                    self.outlet,
                    self.stop,
                    Item::Init {
                        info: Arc::new(init),
                        payload: resource,
                    },
                )
                .await
                {
                    return false;
                }
                self.init = Some(id);
            }
        }
        let payload = info.resource.clone();
        send(
            self.outlet,
            self.stop,
            Item::Segment {
                info: Arc::new(info),
                payload,
            },
        )
        .await
    }

    fn info(&self, at: &Resource, segment: &Segment) -> SegmentInfo {
        SegmentInfo {
            track: self.track,
            msn: segment.media_sequence_number(),
            discontinuity_sequence: segment.discontinuity_sequence_number().saturating_add(self.epoch),
            discontinuity: segment.discontinuity(),
            duration: segment.duration(),
            program_date_time: segment.program_date_time().and_then(|date| system_time(date.unix_micros())),
            init: None,
            encryption: encryption(at, segment.keys()),
            resource: at.names(Kind::Segment, segment.uri()).with_range(range(segment.byte_range())),
            tags: Arc::default(),
        }
    }
}

/// The date ranges that stand before a segment.
fn date_ranges(segment: &Segment) -> impl Iterator<Item = String> {
    segment.tags().iter().filter_map(|tag| match tag {
        Tag::DateRange(range) => Some(range.to_string()),
        _ => None,
    })
}

/// What names a segment from one reload to the next: the last part of its address and its byte range. Hosts and queries
/// change from one edge server or token to the next.
fn name(segment: &Segment) -> u64 {
    let path = segment.uri_as_written().split(['?', '#']).next().unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    path.rsplit('/').next().hash(&mut hasher);
    segment.byte_range().hash(&mut hasher);
    hasher.finish()
}

/// Whether a server numbers its segments from the beginning again: the whole window lies behind what was emitted,
/// further than an older copy of the same window from another cache would.
fn began_again(next: u64, first: u64, behind: u64) -> bool {
    let window = behind.saturating_sub(first).max(3);
    behind.saturating_add(window) < next
}

pub(crate) fn range(range: Option<aqueduct_playlist::ByteRange>) -> Option<ByteRange> {
    range.map(|range| ByteRange {
        offset: range.offset,
        length: range.length,
    })
}

/// How the keys in force encrypt what they are in force for: by the first key that lies open at its URI, KEYFORMAT
/// `identity` (RFC 8216, 4.3.2.4).
pub(crate) fn encryption(at: &Resource, keys: &[Key]) -> Encryption {
    if keys.is_empty() {
        return Encryption::None;
    }
    for key in keys.iter().filter(|key| key.is_identity()) {
        let Some(uri) = &key.uri else { continue };
        let (address, iv) = (at.names(Kind::Key, uri.url()), key.iv.map(Iv));
        return match key.method {
            Method::Aes128 => Encryption::Aes128 { key: address, iv },
            Method::Aes256 => Encryption::Aes256 { key: address, iv },
            Method::Aes256Ctr => Encryption::Aes256Ctr { key: address, iv },
            Method::Aes256Gcm => Encryption::Aes256Gcm { key: address },
            Method::SampleAes => Encryption::SampleAes { key: address, iv },
            Method::SampleAesCtr => Encryption::SampleAesCtr { key: address, iv },
            _ => continue,
        };
    }
    Encryption::Other {
        keys: keys
            .iter()
            .map(|key| (key.method.as_str().to_owned(), key.key_format.to_string()))
            .collect(),
        iv: keys.iter().find_map(|key| key.iv).map(Iv),
    }
}

fn system_time(unix_micros: i64) -> Option<SystemTime> {
    let distance = Duration::from_micros(unix_micros.unsigned_abs());
    if unix_micros < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(first: u64, names: &[&str]) -> MediaPlaylist {
        let names: String = names.iter().map(|name| format!("#EXTINF:1,\n{name}\n")).collect();
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n{names}");
        parsed(&text)
    }

    fn emitter<'a>(outlet: &'a Sender<Item<Resource>>, stop: &'a Stop) -> Emitter<'a> {
        Emitter::new(TrackId::new(0), outlet, stop)
    }

    fn parsed(text: &str) -> MediaPlaylist {
        let context = aqueduct_playlist::Context::new(url::Url::parse("http://host.example/").unwrap());
        match aqueduct_playlist::parse(text.as_bytes(), &context).unwrap().playlist {
            Playlist::Media(playlist) => playlist,
            _ => panic!("a Media Playlist"),
        }
    }

    #[tokio::test]
    async fn a_server_that_counts_again_soon_is_noticed_by_the_names() {
        let (outlet, items) = aqueduct_core::channel(64);
        let stop = Stop::new();
        let at = Resource::new(Kind::Playlist, url::Url::parse("http://host.example/live").unwrap());
        let mut emitter = emitter(&outlet, &stop);
        for playlist in [
            window(0, &["a0", "a1", "a2"]),
            // Another edge server and another token: the same segments, and one more.
            window(
                1,
                &[
                    "http://edge.example/a1?t=1",
                    "http://edge.example/a2?t=1",
                    "http://edge.example/a3?t=1",
                ],
            ),
            window(0, &["b0", "b1"]),
            window(1, &["b1", "b2"]),
        ] {
            assert!(matches!(emitter.emit(&at, &playlist, |_| None).await, Emitted::All));
        }
        let mut emitted = Vec::new();
        while let Ok(item) = items.try_recv() {
            if let Item::Segment { info, payload } = item {
                let name = payload.url.url().path().trim_start_matches('/').to_owned();
                emitted.push((name, info.discontinuity));
            }
        }
        let expected = [
            ("a0", false),
            ("a1", false),
            ("a2", false),
            ("a3", false),
            ("b0", true),
            ("b1", false),
            ("b2", false),
        ];
        assert_eq!(emitted, expected.map(|(name, discontinuity)| (name.to_owned(), discontinuity)));
    }

    #[tokio::test]
    async fn a_date_range_that_is_added_before_an_emitted_segment_comes_with_the_next_one() {
        let range = |id: &str| format!("#EXT-X-DATERANGE:ID=\"{id}\",START-DATE=\"2026-01-01T12:00:00Z\"\n");
        let playlist = |first: u64, ranges: &[&str]| {
            let segments: String = (first..)
                .zip(ranges)
                .map(|(number, ids)| {
                    let tags: String = ids.split(' ').filter(|id| !id.is_empty()).map(range).collect();
                    format!("{tags}#EXTINF:1,\n{number}\n")
                })
                .collect();
            parsed(&format!(
                "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n{segments}"
            ))
        };
        let (outlet, items) = aqueduct_core::channel(64);
        let stop = Stop::new();
        let at = Resource::new(Kind::Playlist, url::Url::parse("http://host.example/live").unwrap());
        let mut emitter = emitter(&outlet, &stop);
        for playlist in [
            playlist(0, &["a", ""]),
            // One is added before what was emitted, and the next reload has it still.
            playlist(0, &["a b", "", "c"]),
            playlist(0, &["a b", "", "c", ""]),
            // All of them stand before the first segment of the window.
            playlist(3, &["a b c d", "", ""]),
        ] {
            assert!(matches!(emitter.emit(&at, &playlist, |_| None).await, Emitted::All));
        }
        let mut emitted = Vec::new();
        while let Ok(Item::Segment { info, .. }) = items.try_recv() {
            let ids = info.tags.iter().map(|tag| tag.split('"').nth(1).unwrap());
            emitted.push((info.msn, ids.collect::<Vec<_>>().join(" ")));
        }
        let expected = [(0, "a"), (1, ""), (2, "b c"), (3, ""), (4, "d"), (5, "")];
        assert_eq!(emitted, expected.map(|(msn, ids)| (msn, ids.to_owned())));
    }

    #[test]
    fn an_older_copy_of_the_window_is_not_a_new_beginning() {
        let cases = [
            ("unchanged", 110, 100, 110, false),
            ("moved on", 110, 105, 115, false),
            ("an older copy", 110, 98, 108, false),
            ("a cache far behind", 110, 90, 100, false),
            ("numbered from zero again", 110, 0, 5, true),
            ("numbered from zero again early", 12, 0, 3, true),
        ];
        for (name, next, first, behind, expected) in cases {
            assert_eq!(began_again(next, first, behind), expected, "{name}");
        }
    }
}
