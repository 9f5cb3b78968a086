//! The ways to a track: its Media Playlist, and those that hold the same from elsewhere, of redundant Variant Streams
//! (RFC 8216, 6.2.4) and pathways (rfc8216bis, 7). A dead one is left for the next.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aqueduct_core::{Counterpart, Fetch, Item, Kind, Lost, Place, Resource};
use aqueduct_playlist::{MediaPlaylist, Segment};
use tokio::time::Instant;

use crate::follow::{encryption, media, range};
use crate::hls::{self, Plan};
use crate::resolver::Options;

/// What was read so recently need not be read again for the next segment that is lost.
const FRESH: Duration = Duration::from_secs(5);

/// A way that is dead is left alone for so long.
const DEAD: Duration = Duration::from_secs(30);

/// A way whose playlist lives, but not what that names, is not gone back to for so long, whatever the steering server prefers.
const PENALTY: Duration = Duration::from_secs(300);

/// Segments that stand for each other are as long as each other, but for rounding.
const ROUNDING: Duration = Duration::from_millis(500);

/// Ways that are looked at to know a unit again.
const MOST_COUNTERPARTS: usize = 16;

/// The addresses of the Media Playlists, best first, and what is known of them.
#[derive(Debug)]
pub(crate) struct Ways {
    all: Vec<Resource>,
    /// The pathway that each belongs to, where that is known.
    pathways: Vec<Option<Box<str>>>,
    current: AtomicUsize,
    /// How often another way was taken, or the same under fresh addresses.
    turns: AtomicUsize,
    wanted: Box<Mutex<Wanted>>,
    seen: Mutex<HashMap<usize, (Instant, Option<Loaded>)>>,
    /// When a way was left since something was lost there.
    left: Box<Mutex<HashMap<usize, Instant>>>,
}

/// What is followed.
#[derive(Debug, Default)]
struct Wanted {
    /// The Media Sequence Number that is wanted next, once one is.
    next: Option<u64>,
    playlist: Option<Arc<MediaPlaylist>>,
}

/// What is at the end of a way.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) way: usize,
    /// Where it is, after redirects.
    pub(crate) at: Resource,
    pub(crate) playlist: Arc<MediaPlaylist>,
}

impl Ways {
    /// `first` is the one in use.
    pub(crate) fn new<'a>(first: Resource, others: impl IntoIterator<Item = (Resource, &'a str)>) -> Self {
        let (mut all, mut pathways) = (vec![first], vec![None]);
        for (other, pathway) in others {
            let at = all.iter().position(|known| *known == other).unwrap_or_else(|| {
                all.push(other);
                pathways.push(None);
                all.len() - 1
            });
            pathways[at].get_or_insert_with(|| pathway.into());
        }
        let redundant = all.len() > 1;
        for way in &mut all {
            way.redundant = redundant;
        }
        Self {
            all,
            pathways,
            current: AtomicUsize::new(0),
            turns: AtomicUsize::new(0),
            wanted: Box::default(),
            seen: Mutex::default(),
            left: Box::default(),
        }
    }

    /// The address of a way.
    pub(crate) fn address(&self, way: usize) -> &Resource {
        &self.all[way]
    }

    /// The playlist that is followed.
    fn followed(&self) -> Option<Arc<MediaPlaylist>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).playlist.clone()
    }

    fn known(&self, way: usize) -> Option<Loaded> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&way).and_then(|(_, loaded)| loaded.clone())
    }

    /// The pathway in use.
    pub(crate) fn pathway(&self) -> Option<&str> {
        self.pathways[self.current.load(Ordering::Relaxed)].as_deref()
    }

    /// What is to be followed now, where `next` of `playlist` is wanted, if that changed since so many turns.
    pub(crate) fn turned(&self, turns: &mut usize, next: Option<u64>, playlist: &Arc<MediaPlaylist>) -> Option<Loaded> {
        let playlist = Some(Arc::clone(playlist));
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Wanted { next, playlist };
        let now = self.turns.load(Ordering::Acquire);
        if std::mem::replace(turns, now) == now {
            return None;
        }
        self.known(self.current.load(Ordering::Relaxed))
    }

    /// Has what follows come from there. Gives the way before, where that is another.
    fn turn(&self, way: usize) -> Option<usize> {
        let before = self.current.swap(way, Ordering::Relaxed);
        self.turns.fetch_add(1, Ordering::Release);
        (before != way).then_some(before)
    }

    /// Takes what is lost from there, and what follows.
    fn take(&self, way: usize) {
        if let Some(before) = self.turn(way) {
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            left.insert(before, Instant::now());
            tracing::warn!(url = %self.all[way].url, "went over to another place that has the same");
        }
    }

    fn is_penalized(&self, way: usize) -> bool {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.get(&way).is_some_and(|when| when.elapsed() < PENALTY)
    }

    /// Has what follows come from the first of these pathways that has it, if that is another than the one in use
    /// (rfc8216bis, 7.1).
    pub(crate) async fn steer<F: Fetch>(&self, options: &Options, plan: &Plan, fetch: &F, pathways: &[String]) {
        let rank = |way: &usize| {
            let own = self.pathways[*way].as_deref();
            pathways
                .iter()
                .position(|pathway| Some(&**pathway) == own)
                .unwrap_or(pathways.len())
        };
        let current = rank(&self.current.load(Ordering::Relaxed));
        let mut better: Vec<usize> = (0..self.all.len())
            .filter(|way| rank(way) < current && !self.is_penalized(*way))
            .collect();
        better.sort_by_key(rank);
        for way in better {
            let Some(loaded) = self.load(options, plan, fetch, way).await else {
                continue;
            };
            if self.go_on(&loaded) {
                if self.turn(way).is_some() {
                    tracing::info!(url = %self.all[way].url, "goes on where the server prefers");
                }
                return;
            }
        }
    }

    /// Reads a way's Media Playlist, unless that was done just now, or the way is dead.
    async fn load<F: Fetch>(&self, options: &Options, plan: &Plan, fetch: &F, way: usize) -> Option<Loaded> {
        let known = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.get(&way).cloned()
        };
        match known {
            Some((when, Some(loaded))) if when.elapsed() < FRESH => return Some(loaded),
            Some((when, None)) if when.elapsed() < DEAD => return None,
            _ => {}
        }
        let address = &self.all[way];
        let loaded = match hls::read(options, fetch, address, &plan.imports).await.and_then(media) {
            Ok((url, playlist)) => Some(Loaded {
                way,
                at: Resource { url, ..address.clone() },
                playlist: Arc::new(playlist),
            }),
            Err(error) => {
                tracing::warn!(url = %address.url, error = &error as &dyn std::error::Error, "nothing is to be had here");
                None
            }
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(way, (Instant::now(), loaded.clone()));
        loaded
    }

    /// Whether a way goes on where the next segment is wanted, with the same segments. RFC 8216, 6.2.4, wants that of redundant
    /// ones; where it is not so, a change would leave segments out, or bring them twice.
    fn go_on(&self, other: &Loaded) -> bool {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let same = wanted.playlist.as_deref().is_none_or(|playlist| is_same(playlist, &other.playlist));
        if !same {
            tracing::warn!(url = %other.at.url, "is left: it does not have the same segments");
        }
        same && other.goes_on(wanted.next)
    }

    /// Another way than `way`, whose playlist goes on where the next segment is wanted.
    pub(crate) async fn another<F: Fetch>(&self, options: &Options, plan: &Plan, fetch: &F, way: usize) -> Option<Loaded> {
        for step in 1..self.all.len() {
            let Some(loaded) = self.load(options, plan, fetch, (way + step) % self.all.len()).await else {
                continue;
            };
            if self.go_on(&loaded) {
                self.take(loaded.way);
                return Some(loaded);
            }
        }
        None
    }
}

/// What the ways to its track have as a unit, by its Media Sequence Number. A way is believed whose playlist has the same segments as
/// the one that is followed. Where that cannot be read any more, or does not number the unit, the unit is taken to stand beside it as
/// it stands beside the playlist that names it now.
pub(crate) async fn counterparts<F: Fetch>(options: &Options, plan: &Plan, unit: &Item<Resource>, fetch: &F) -> Vec<Counterpart> {
    let (ways, followed) = (&plan.ways, plan.ways.followed().unwrap_or_else(|| Arc::clone(&plan.first)));
    let mut counterparts = Vec::new();
    for way in 0..ways.all.len().min(MOST_COUNTERPARTS) {
        // What is complete stays as it is.
        let loaded = match ways.known(way).filter(|known| known.playlist.is_complete()) {
            Some(known) => Some(known),
            None => ways.load(options, plan, fetch, way).await,
        };
        counterparts.extend(match &loaded {
            Some(loaded) if !agree(&followed, &loaded.playlist) => None,
            Some(loaded) if loaded.segment(msn(unit)).is_some() => loaded.counterpart(unit),
            _ => beside(&ways.all[way], unit),
        });
    }
    counterparts
}

fn msn(unit: &Item<Resource>) -> u64 {
    match unit {
        Item::Init { info, .. } => info.first_msn,
        Item::Segment { info, .. } | Item::Gap { info, .. } => info.msn,
    }
}

/// The unit at the same place relative to this playlist as it is to the one that names it.
fn beside(playlist: &Resource, unit: &Item<Resource>) -> Option<Counterpart> {
    let (resource, duration, discontinuity_sequence) = match unit {
        Item::Init { info, .. } => (&info.resource, Duration::ZERO, 0),
        Item::Segment { info, .. } | Item::Gap { info, .. } => (&info.resource, info.duration, info.discontinuity_sequence),
    };
    let relative = resource.named_by.as_ref()?.url().make_relative(resource.url.url())?;
    let url = playlist.url.url().join(&relative).ok()?;
    Some(Counterpart {
        resource: playlist.names(resource.kind, url).with_range(resource.range),
        duration,
        discontinuity_sequence,
    })
}

/// Another place of a unit: under a fresh address, where the old one is no longer good, or at the end of another way.
pub(crate) async fn elsewhere<F: Fetch>(options: &Options, plan: &Plan, lost: &Lost, fetch: &F) -> Option<Place> {
    let ways = &plan.ways;
    let current = ways.current.load(Ordering::Relaxed);
    let stale = matches!(lost.status, Some(401 | 403 | 404 | 410));
    for step in 0..ways.all.len() {
        let way = (current + step) % ways.all.len();
        let loaded = match ways.known(way) {
            // The way in use may have been taken after this unit was named by another.
            Some(known) if step == 0 && !stale => Some(known),
            _ if step == 0 && !stale => None,
            _ => ways.load(options, plan, fetch, way).await,
        };
        let Some(loaded) = loaded else { continue };
        if let Some(place) = loaded.place(&lost.item)
            && !lost.tried.contains(&place.resource)
        {
            if ways.go_on(&loaded) {
                ways.take(way);
            }
            return Some(place);
        }
    }
    None
}

impl Loaded {
    /// Whether this goes on where `next` is wanted. A window that lies elsewhere counts its segments in another way.
    fn goes_on(&self, next: Option<u64>) -> bool {
        let (first, behind) = (self.playlist.media_sequence, self.playlist.next_media_sequence_number());
        next.is_none_or(|next| first <= next && next <= behind.saturating_add(behind - first))
    }

    /// Where a unit is by this playlist, by its Media Sequence Number.
    fn place(&self, lost: &Item<Resource>) -> Option<Place> {
        match lost {
            Item::Segment { info, .. } => {
                let segment = self.segment(info.msn)?;
                if segment.gap() || segment.duration().abs_diff(info.duration) > ROUNDING {
                    return None;
                }
                Some(Place {
                    resource: self.media(segment),
                    encryption: encryption(&self.at, segment.keys()),
                })
            }
            Item::Init { info, .. } => {
                let segment = self.segment(info.first_msn)?;
                Some(Place {
                    resource: self.section(segment)?,
                    encryption: encryption(&self.at, &segment.init()?.keys),
                })
            }
            Item::Gap { .. } => None,
        }
    }

    /// What stands for a unit by this playlist.
    fn counterpart(&self, unit: &Item<Resource>) -> Option<Counterpart> {
        let segment = self.segment(msn(unit))?;
        let is_init = matches!(unit, Item::Init { .. });
        let resource = if is_init { self.section(segment)? } else { self.media(segment) };
        Some(Counterpart {
            resource,
            duration: if is_init { Duration::ZERO } else { segment.duration() },
            discontinuity_sequence: if is_init { 0 } else { segment.discontinuity_sequence_number() },
        })
    }

    fn media(&self, segment: &Segment) -> Resource {
        self.at.names(Kind::Segment, segment.uri()).with_range(range(segment.byte_range()))
    }

    fn section(&self, segment: &Segment) -> Option<Resource> {
        let section = segment.init()?;
        Some(self.at.names(Kind::Init, section.uri.url()).with_range(range(section.byte_range)))
    }

    fn segment(&self, msn: u64) -> Option<&Segment> {
        let segments = &self.playlist.segments;
        let at = segments.partition_point(|segment| segment.media_sequence_number() < msn);
        segments.get(at).filter(|segment| segment.media_sequence_number() == msn)
    }
}

/// Whether `other` may be followed in place of `one`: the segments that both number are the same, by their durations and
/// dates, and so is the end where that is known.
fn is_same(one: &MediaPlaylist, other: &MediaPlaylist) -> bool {
    let (end, other_end) = (one.next_media_sequence_number(), other.next_media_sequence_number());
    if one.is_complete() && !(other.is_complete() && other_end == end) || other.is_complete() && other_end < end {
        return false;
    }
    agree(one, other)
}

/// Whether the segments that both number are the same, by their durations and dates, and the ends of both if they have one.
fn agree(one: &MediaPlaylist, other: &MediaPlaylist) -> bool {
    if one.is_complete() && other.is_complete() && one.next_media_sequence_number() != other.next_media_sequence_number() {
        return false;
    }
    let first = one.media_sequence.max(other.media_sequence);
    let at = |playlist: &MediaPlaylist| playlist.segments.partition_point(|segment| segment.media_sequence_number() < first);
    let mut both = one.segments[at(one)..].iter().zip(&other.segments[at(other)..]);
    both.all(|(one, other)| {
        let dates = one.program_date_time().zip(other.program_date_time());
        let apart = dates.map_or(0, |(one, other)| one.unix_micros().abs_diff(other.unix_micros()));
        one.duration().abs_diff(other.duration()) <= ROUNDING && Duration::from_micros(apart) <= ROUNDING.max(one.duration() / 2)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aqueduct_core::{Encryption, FetchError, Fetched, Grant, InitId, InitInfo, SegmentInfo, Stop, TrackId, channel};
    use aqueduct_playlist::{Context, Playlist, Variables};
    use url::Url;

    use super::*;
    use crate::follow::follow;

    /// Playlists by path, and how often each was asked for.
    struct Site {
        files: Mutex<BTreeMap<&'static str, String>>,
        asked: Mutex<BTreeMap<String, usize>>,
    }

    impl Site {
        fn new(files: impl IntoIterator<Item = (&'static str, String)>) -> Self {
            Self {
                files: Mutex::new(files.into_iter().collect()),
                asked: Mutex::default(),
            }
        }

        fn asked(&self, path: &str) -> usize {
            self.asked.lock().unwrap().get(path).copied().unwrap_or(0)
        }
    }

    impl Fetch for Site {
        async fn fetch(&self, resource: &Resource, mut grant: Grant) -> Result<Fetched, FetchError> {
            let path = resource.url.url().path().to_owned();
            *self.asked.lock().unwrap().entry(path.clone()).or_default() += 1;
            let text = self.files.lock().unwrap().get(path.as_str()).cloned();
            let text = text.ok_or_else(|| FetchError::Status {
                url: resource.url.clone(),
                status: 404,
                retry_after: None,
            })?;
            grant.write(text.as_bytes()).await?;
            Ok(Fetched::new(resource.url.clone(), grant.seal()))
        }
    }

    fn url(path: &str) -> Url {
        Url::parse("http://host.example/").unwrap().join(path).unwrap()
    }

    fn list(seconds: u32, key: &str, segments: &[&str]) -> String {
        let names: String = segments.iter().map(|name| format!("#EXTINF:{seconds},\n{name}\n")).collect();
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-KEY:METHOD=AES-128,URI=\"{key}\"\n#EXT-X-MAP:URI=\"init\"\n{names}#EXT-X-ENDLIST\n"
        )
    }

    fn plan(first: &str, others: &[&str]) -> Plan {
        let at = Resource::new(Kind::Playlist, url("/a/list"));
        let context = Context::new(at.url.url().clone());
        let Playlist::Media(playlist) = aqueduct_playlist::parse(first.as_bytes(), &context).unwrap().playlist else {
            panic!("a Media Playlist")
        };
        Plan {
            ways: Ways::new(
                at.clone(),
                others
                    .iter()
                    .map(|path| (Resource::new(Kind::Playlist, url(path)), "."))
                    .collect::<Vec<_>>(),
            ),
            at,
            first: Arc::new(playlist),
            imports: Variables::default(),
            steering: None,
        }
    }

    fn lost(path: &str, status: Option<u16>) -> Lost {
        let at = Resource::new(Kind::Playlist, url("/a/list"));
        let resource = at.names(Kind::Segment, url(path));
        let info = SegmentInfo::new(TrackId::new(0), 1, Duration::from_secs(2), resource.clone());
        Lost {
            item: Item::Segment {
                info: Arc::new(info),
                payload: resource.clone(),
            },
            status,
            tried: vec![resource],
        }
    }

    async fn found(plan: &Plan, site: &Site, lost: &Lost) -> Option<Place> {
        elsewhere(&Options::default(), plan, lost, site).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_segment_is_found_by_its_number_with_the_key_that_it_has_there() {
        let first = list(2, "key-a", &["0", "1", "2"]);
        let second = list(2, "key-b", &["x0", "x1", "x2"]);
        let site = Site::new([("/a/list", first.clone()), ("/b/list", second)]);
        let plan = plan(&first, &["/dead/list", "/b/list"]);
        let place = found(&plan, &site, &lost("/a/1", Some(500))).await.unwrap();
        assert_eq!(place.resource.url.url(), &url("/b/x1"));
        let Encryption::Aes128 { key, .. } = place.encryption else {
            panic!("encrypted")
        };
        assert_eq!(key.url.url(), &url("/b/key-b"));
        assert_eq!(site.asked("/a/list"), 0, "a server in trouble is left in peace");

        let resource = plan.at.names(Kind::Init, url("/a/init"));
        let info = InitInfo {
            track: TrackId::new(0),
            id: InitId::of(&resource),
            first_msn: 0,
            encryption: Encryption::None,
            resource: resource.clone(),
        };
        let init = Lost {
            item: Item::Init {
                info: Arc::new(info),
                payload: resource.clone(),
            },
            status: None,
            tried: vec![resource],
        };
        let place = found(&plan, &site, &init).await.unwrap();
        assert_eq!(place.resource.url.url(), &url("/b/init"), "the way that was taken comes first");
        assert_eq!((site.asked("/b/list"), site.asked("/dead/list")), (1, 1), "nothing is read twice");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_no_longer_good_is_read_afresh() {
        let site = Site::new([("/a/list", list(2, "k", &["0?t=2", "1?t=2", "2?t=2"]))]);
        let plan = plan(&list(2, "k", &["0?t=1", "1?t=1", "2?t=1"]), &[]);
        assert!(found(&plan, &site, &lost("/a/1?t=1", Some(500))).await.is_none());
        assert_eq!(site.asked("/a/list"), 0);
        let place = found(&plan, &site, &lost("/a/1?t=1", Some(403))).await.unwrap();
        assert_eq!(place.resource.url.url(), &url("/a/1?t=2"));
        assert!(found(&plan, &site, &lost("/a/1?t=2", Some(403))).await.is_none(), "it was tried");
        assert_eq!(site.asked("/a/list"), 1, "not for each segment");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_as_long_is_not_the_same() {
        let first = list(2, "k", &["0", "1"]);
        for other in [list(4, "k", &["0", "1"]), list(2, "k", &["0"]), "<html>".into()] {
            let site = Site::new([("/b/list", other)]);
            let plan = plan(&first, &["/b/list", "/dead/list"]);
            for after in [1, 10, 40] {
                assert!(found(&plan, &site, &lost("/a/1", None)).await.is_none());
                tokio::time::advance(Duration::from_secs(after)).await;
            }
            assert_eq!(site.asked("/dead/list"), 1, "the dead are left alone for a while");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_stands_for_a_unit_elsewhere_is_what_a_playlist_says_or_what_stands_beside_one_that_is_dead() {
        let first = list(2, "k", &["0", "1", "2"]);
        let cases = [
            ("what it says", list(2, "k", &["x0", "x1", "x2"]), Some("/b/x1")),
            ("other segments", list(4, "k", &["x0", "x1", "x2"]), None),
            ("another end", list(2, "k", &["x0", "x1"]), None),
            ("no playlist", "<html>".into(), Some("/b/1")),
        ];
        for (name, other, expected) in cases {
            let site = Site::new([("/a/list", first.clone()), ("/b/list", other)]);
            let plan = plan(&first, &["/b/list", "/dead/list"]);
            let unit = lost("/a/1", None).item;
            let expected: Vec<_> = [Some("/a/1"), expected, Some("/dead/1")].into_iter().flatten().map(url).collect();
            for _ in 0..3 {
                let found = counterparts(&Options::default(), &plan, &unit, &site).await;
                let found: Vec<_> = found.iter().map(|counterpart| counterpart.resource.url.url().clone()).collect();
                assert_eq!(found, expected, "{name}");
            }
            let asked = ["/a/list", "/b/list", "/dead/list"].map(|path| site.asked(path));
            assert_eq!(asked, [1, 1, 1], "{name}: not for each unit");
            assert_eq!(plan.ways.current.load(Ordering::Relaxed), 0, "{name}: nothing is lost");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_lost_something_is_not_gone_back_to_for_a_while() {
        let first = list(2, "k", &["0", "1"]);
        let site = Site::new([("/a/list", first.clone()), ("/b/list", first.clone())]);
        let mut plan = plan(&first, &[]);
        let pathways = ["a", "b"].map(|name| (Resource::new(Kind::Playlist, url(&format!("/{name}/list"))), name));
        plan.ways = Ways::new(plan.at.clone(), pathways);
        let prefers = ["a", "b"].map(str::to_owned);
        let mut steered = Vec::new();
        assert!(found(&plan, &site, &lost("/a/1", None)).await.is_some());
        for seconds in [0, 10, 280, 20] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            plan.ways.steer(&Options::default(), &plan, &site, &prefers).await;
            steered.extend(plan.ways.pathway().map(str::to_owned));
        }
        assert_eq!(steered, ["b", "b", "b", "a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_follows_comes_from_where_the_lost_was_found() {
        let first = list(2, "k", &["0", "1", "2", "3", "4", "5"]);
        let second = list(2, "k", &["x0", "x1", "x2", "x3", "x4", "x5"]);
        let site = Site::new([("/b/list", second)]);
        let plan = plan(&first, &["/b/list"]);
        let (outlet, items) = channel(1);
        let (options, stop) = (Options::default(), Stop::new());
        let mut emitted = Vec::new();
        let follow = async {
            follow(&options, TrackId::new(0), &plan, &site, &outlet, &stop).await.unwrap();
            outlet.close();
        };
        let take = async {
            while let Ok(item) = items.recv().await {
                if let Item::Segment { info, payload } = item {
                    emitted.push((info.msn, payload.url.url().path().to_owned()));
                    if info.msn == 1 {
                        assert!(found(&plan, &site, &lost("/a/1", None)).await.is_some());
                    }
                }
            }
        };
        tokio::join!(follow, take);
        let numbers: Vec<u64> = emitted.iter().map(|(msn, _)| *msn).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5], "{emitted:?}");
        assert_eq!(emitted[1].1, "/a/1");
        assert_eq!(emitted[5].1, "/b/x5", "{emitted:?}");
    }
}
