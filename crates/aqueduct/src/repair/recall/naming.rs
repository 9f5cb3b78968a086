//! What a [`Recall`] names, unit by unit.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::{ByteRange, Encryption, GapCause, InitId, InitInfo, Item, Iv, Kind, Receiver, Resource, SegmentInfo, Sender, Stop};
use aqueduct_mux::{Entry, without_key_query};
use url::Url;

use super::{GONE, MOST_NAMED, MOST_SERIES, NO_ADDRESS, NO_KEY, Place, REUSED, Recall, Shown, folder_of, series, time};
use crate::counterparts::WRITTEN;
use crate::repair::matching::{behind, entry};
use crate::repair::proving::{ANOTHER, Evidence, Front};
use crate::resume::{ANOTHER_TIME, Beyond, counts_anew};
use crate::{Error, ListingDocument, UnitDocument, VerifyError};

/// How far a [`Recall`] is.
pub(super) struct Naming {
    recall: Recall,
    items: Receiver<Item<Resource>>,
    /// What the playlist names next.
    next: Option<Item<Resource>>,
    /// What it names behind that, as far as it was looked at.
    behind: VecDeque<Item<Resource>>,
    /// How many segments it named.
    came: u64,
    /// Which segment it names at each place, once that was looked at.
    places: Option<HashMap<Place, u64>>,
    has_ended: bool,
    /// The initialization section that it named last.
    section: Option<(Arc<InitInfo>, Resource)>,
    /// The key that it named last, with its address as a report tells it; `None` where that does not tell it from another.
    key: Option<(String, Option<Resource>)>,
    /// Something that it named.
    like: Option<Resource>,
    /// The initialization section in force.
    init: Option<InitId>,
    /// The same as it is named.
    in_force: Option<Arc<InitInfo>>,
    /// Segments that were recorded and show that nothing was written over behind them, of each series of names the last.
    lately: VecDeque<Arc<Front>>,
    /// The Media Sequence Number behind the segment before.
    behind_last: u64,
    /// The last unit that is a segment, if it can stand in front of one that shows that.
    last: Option<Option<Arc<SegmentInfo>>>,
    /// The unit behind the one at hand, where that was looked at.
    ahead: Option<(u64, UnitDocument)>,
    /// The number of the first segment of the report.
    begins: Option<u64>,
    /// Something that the report tells of is named, as it was.
    is_known: bool,
}

impl Naming {
    pub(super) fn new(recall: Recall, items: Receiver<Item<Resource>>) -> Self {
        Self {
            recall,
            items,
            next: None,
            behind: VecDeque::new(),
            came: 0,
            places: None,
            has_ended: false,
            section: None,
            key: None,
            like: None,
            init: None,
            in_force: None,
            lately: VecDeque::new(),
            behind_last: 0,
            last: None,
            ahead: None,
            begins: None,
            is_known: false,
        }
    }

    pub(super) async fn all(mut self, outlet: &Sender<Item<Resource>>, stop: &Stop) -> Result<Beyond, Error> {
        while let Some((number, unit)) = self.step().await? {
            self.begins.get_or_insert(unit.msn);
            if self.is_looked_for(number, &unit) {
                self.come_to(unit.msn).await?;
            }
            if !unit.init && unit.msn < std::mem::replace(&mut self.behind_last, behind(&unit)) {
                // What a server had before it counted anew, it need not write over.
                self.lately.clear();
            }
            let items = self.name(number, &unit).await?;
            self.keep_front(number, &unit)?;
            for item in items {
                if stop.is_draining() || outlet.send(item).await.is_err() {
                    return Ok(Beyond::default());
                }
            }
        }
        Ok(Beyond::default())
    }

    /// The next unit of the report.
    async fn step(&mut self) -> Result<Option<(u64, UnitDocument)>, Error> {
        match self.ahead.take() {
            Some(unit) => Ok(Some(unit)),
            None => match self.recall.units.recv().await {
                Ok(unit) => unit.map(Some).map_err(|error| Error::Report(VerifyError::Report(error))),
                Err(_) => Ok(None),
            },
        }
    }

    /// Whether it matters what the playlist says of a unit. Initialization sections are needed with segments that come later; what
    /// shows whether it is the same stream is all that it names at once.
    fn is_looked_for(&self, number: u64, unit: &UnitDocument) -> bool {
        let shows = matches!(self.recall.shown, Shown::ByPlaylist(_)) && !(self.recall.live && self.is_known);
        !self.recall.doubts.numbers && (unit.init || shows || (self.recall.is_wanted)(number))
    }

    /// Passes over what the playlist names in front of a segment.
    async fn come_to(&mut self, msn: u64) -> Result<(), Error> {
        loop {
            match self.next.take() {
                Some(Item::Init { info, payload }) => self.section = Some((info, payload)),
                Some(item) if last(&item) < msn => {}
                Some(item) => {
                    self.next = Some(item);
                    return Ok(());
                }
                None if self.has_ended => return Ok(()),
                None => {}
            }
            let is_first = self.like.is_none();
            self.next = match self.behind.pop_front() {
                Some(item) => Some(item),
                None => self.recv().await,
            };
            self.has_ended = self.next.is_none();
            if is_first
                && self.recall.live
                && let Some((was, is)) = self.next.as_ref().map(first).and_then(|now| self.moved_back(now))
            {
                if matches!(self.recall.shown, Shown::ByPlaylist(_)) {
                    return Err(counts_anew(self.recall.track, was, is));
                }
                self.has_ended = true;
                self.next = None;
            }
            self.note();
        }
    }

    /// A window moves on, and never back, but for an older copy of it from another cache: where a number was that is now elsewhere, if it
    /// did. What comes later would be waited for that the recording had long ago.
    fn moved_back(&self, first: u64) -> Option<(u64, u64)> {
        let begins = self.begins.filter(|begins| first < *begins).map(|begins| (begins, first));
        let (behind, ends) = (first.saturating_add(self.recall.window), self.recall.doubts.ends);
        let is_late = behind.saturating_add(self.recall.window.max(3)) >= ends;
        begins.or_else(|| (!is_late).then(|| (ends.saturating_sub(1), behind.saturating_sub(1))))
    }

    async fn recv(&mut self) -> Option<Item<Resource>> {
        let item = self.items.recv().await.ok()?;
        self.came = self.came.saturating_add(u64::from(!matches!(item, Item::Init { .. })));
        Some(item)
    }

    /// Which segment the playlist names at a place: it is looked through as it was when the track was found.
    async fn named_at(&mut self, place: &Place) -> Option<u64> {
        if self.places.is_none() {
            let window = self.recall.window.min(MOST_NAMED);
            while self.came < window
                && !self.has_ended
                && let Some(item) = self.recv().await
            {
                self.behind.push_back(item);
            }
            let items = self.next.iter().chain(&self.behind);
            let segments = items.filter(|item| !matches!(item, Item::Init { .. }));
            let named = segments.filter_map(|item| told(Some(item)).map(|told| ((told.address, told.range), told.msn)));
            self.places = Some(named.collect());
        }
        self.places.as_ref()?.get(place).copied()
    }

    /// Remembers a segment that was recorded, if its bytes can show that nothing was written over behind it.
    fn keep_front(&mut self, number: u64, unit: &UnitDocument) -> Result<(), Error> {
        let Shown::ByPlaylist(evidence) = self.recall.shown else {
            return Ok(());
        };
        if unit.init {
            return Ok(());
        }
        let before = self.last.replace(None);
        let Some(piece) = unit.piece.as_ref().filter(|piece| piece.length > 0 && unit.fate == "written") else {
            return Ok(());
        };
        let listing = unit.listing.clone().unwrap_or_default();
        let info = Arc::new(self.info(unit, &listing)?);
        let has_key = !listing.incomplete_key || info.encryption.key().is_none() || self.has_key(unit);
        let is_told = evidence == Evidence::Unit && !listing.incomplete && has_key;
        self.last = Some(is_told.then(|| Arc::clone(&info)));
        let is_alone = !self.recall.context || self.in_force.is_some() || before.is_none();
        let context = before.flatten().filter(|before| before.msn.checked_add(1) == Some(unit.msn));
        if evidence.is_of(number) && (is_told && (is_alone || context.is_some()) || evidence != Evidence::Unit) {
            let (own, beside) = (series(&info), folder_of(&info));
            self.lately.retain(|front| series(&front.info) != own);
            if self.lately.len() == MOST_SERIES {
                // Names that are no numbers push out none but each other.
                let oldest = self.lately.iter().position(|front| folder_of(&front.info) == beside);
                self.lately.remove(oldest.unwrap_or_default());
            }
            self.lately.push_back(Arc::new(Front {
                number,
                section: self.in_force.clone(),
                context: context.filter(|_| !is_alone),
                info,
                key: unit.key.clone(),
                piece: piece.clone(),
            }));
        }
        Ok(())
    }

    /// Why a segment that never came, and that no playlist names any more, is not asked for at the address in its report.
    async fn is_lost(&mut self, unit: &UnitDocument, info: &SegmentInfo, listing: &ListingDocument) -> Option<String> {
        let place = (unit.address.clone(), unit.range);
        if listing.incomplete {
            return Some(GONE.into());
        }
        if listing.incomplete_key && info.encryption.key().is_some() && !self.has_key(unit) {
            return Some(NO_KEY.into());
        }
        if self.recall.doubts.places.contains(&place) {
            return Some(REUSED.into());
        }
        let Shown::ByPlaylist(evidence) = self.recall.shown else {
            return None;
        };
        if let Some(msn) = self.named_at(&place).await {
            return Some(format!("{ANOTHER}: the playlist names it for segment {msn}"));
        }
        if info.encryption.key().is_some() && self.is_another_key(unit, info) {
            return Some(NO_KEY.into());
        }
        match self.front(info) {
            Some(front) => {
                self.recall.fronts.push(evidence, info, &front);
                None
            }
            None => Some(format!("{ANOTHER}: nothing that was recorded before it shows that it is not")),
        }
    }

    /// What was recorded in front of a segment, and is written over before it.
    fn front(&self, info: &SegmentInfo) -> Option<Arc<Front>> {
        let (own, beside) = (series(info), folder_of(info));
        let lately = || self.lately.iter().rev();
        let like = lately().find(|front| series(&front.info) == own);
        like.or_else(|| lately().find(|front| folder_of(&front.info) == beside)).cloned()
    }

    fn note(&mut self) {
        let (encryption, resource) = match &self.next {
            Some(Item::Init { info, .. }) => (&info.encryption, &info.resource),
            Some(Item::Segment { info, .. } | Item::Gap { info, .. }) => (&info.encryption, &info.resource),
            None => return,
        };
        self.like.get_or_insert_with(|| resource.clone());
        if let (Some(key), Some(told)) = (encryption.key(), told(self.next.as_ref()).and_then(|told| told.key)) {
            // Others that are told like this are other keys.
            let is_one = match &self.key {
                Some((before, known)) if *before == told => known.as_ref() == Some(key),
                _ => key.url.url().scheme() != "data",
            };
            self.key = Some((told, is_one.then(|| key.clone())));
        }
    }

    async fn name(&mut self, number: u64, unit: &UnitDocument) -> Result<Vec<Item<Resource>>, Error> {
        let listing = unit.listing.clone().unwrap_or_default();
        if unit.init {
            let (resource, encryption) = match self
                .section
                .as_ref()
                .filter(|(info, _)| is_same_place(unit, &Entry::init(info, WRITTEN)))
            {
                Some((info, resource)) => (Some(resource.clone()), info.encryption.clone()),
                None => (self.by_address(Kind::Init, unit), self.encryption(unit, &listing)),
            };
            let resource = resource.ok_or_else(|| self.other(unit, NO_ADDRESS))?;
            let info = InitInfo {
                track: self.recall.track,
                id: InitId::of(&resource),
                first_msn: unit.msn,
                encryption,
                resource: resource.clone(),
            };
            self.init = Some(info.id.clone());
            let info = Arc::new(info);
            self.in_force = Some(Arc::clone(&info));
            return Ok(vec![Item::Init { info, payload: resource }]);
        }
        let is_missing = unit.piece.is_none();
        if is_missing && (unit.segments > 1 || unit.fate == "expired") {
            return self.expired(unit, &listing).await;
        }
        let fresh = match self.next.take() {
            Some(Item::Segment { info, payload }) if info.msn == unit.msn => Some((info, payload)),
            other => {
                self.next = other;
                None
            }
        };
        if let Some((info, payload)) = &fresh {
            self.compare(unit, info, payload).await?;
        }
        let mut info = self.info(unit, &listing)?;
        if unit.fate == "tagged" {
            return Ok(vec![gap(info, 1, GapCause::Tagged)]);
        }
        let Some((now, payload)) = fresh else {
            let lost = match is_missing {
                true => self.is_lost(unit, &info, &listing).await,
                false => self.is_sealed(number, unit, &info).then(|| NO_KEY.to_owned()),
            };
            return Ok(vec![match lost {
                Some(why) => gap(info, 1, GapCause::Failed(why)),
                None => {
                    let payload = info.resource.clone();
                    Item::Segment {
                        info: Arc::new(info),
                        payload,
                    }
                }
            }]);
        };
        info.encryption = now.encryption.clone();
        info.resource = now.resource.clone();
        if info.tags.is_empty() {
            info.tags = Arc::clone(&now.tags);
        }
        Ok(vec![Item::Segment {
            info: Arc::new(info),
            payload,
        }])
    }

    /// Refuses what the playlist names under the number of a unit if it is another one.
    async fn compare(&mut self, unit: &UnitDocument, info: &Arc<SegmentInfo>, payload: &Resource) -> Result<(), Error> {
        let now = Entry {
            version: None,
            ..Entry::segment(info, WRITTEN)
        };
        let (counterparts, item) = (
            &self.recall.counterparts,
            Item::Segment {
                info: Arc::clone(info),
                payload: payload.clone(),
            },
        );
        let known = named(unit);
        if let Some(what) = counterparts.difference(&known, &now, &item).await {
            return Err(self.other(unit, &what));
        }
        if matches!(self.recall.shown, Shown::ByPlaylist(_)) && known.is_of_another_time(&now) {
            return Err(self.other(unit, ANOTHER_TIME));
        }
        self.is_known = true;
        Ok(())
    }

    /// Whether it is shown that the playlist is of the same stream, by what it names behind the unit at hand if not before.
    async fn is_shown(&mut self) -> Result<bool, Error> {
        if self.is_known || self.recall.shown == Shown::ByDigest {
            return Ok(true);
        }
        self.ahead = self.step().await?;
        let (Some((_, unit)), Some(Item::Segment { info, payload })) = (self.ahead.clone(), &self.next) else {
            return Ok(false);
        };
        if unit.init || unit.piece.is_none() || unit.msn != info.msn {
            return Ok(false);
        }
        let (info, payload) = (Arc::clone(info), payload.clone());
        self.compare(&unit, &info, &payload).await?;
        Ok(true)
    }

    /// What a window moved on without, as far as the playlist names it now.
    async fn expired(&mut self, unit: &UnitDocument, listing: &ListingDocument) -> Result<Vec<Item<Resource>>, Error> {
        let (mut at, end, before) = (unit.msn, behind(unit), (self.init.clone(), self.in_force.clone()));
        let mut items = Vec::new();
        let told = self.info(unit, listing)?;
        let lost = |msn: u64, segments: u64| gap(SegmentInfo { msn, ..told.clone() }, segments, GapCause::Expired);
        while at < end && self.next.is_some() {
            match self.next.take() {
                Some(item @ (Item::Segment { .. } | Item::Gap { .. })) if (at..end).contains(&first(&item)) && last(&item) < end => {
                    if first(&item) > at {
                        items.push(lost(at, first(&item) - at));
                    }
                    at = last(&item) + 1;
                    if let Item::Segment { info, .. } = &item {
                        items.extend(self.another_section(info.msn).await);
                    }
                    items.push(item);
                    self.come_to(at).await?;
                }
                other => {
                    self.next = other;
                    break;
                }
            }
        }
        if at > unit.msn && !self.is_shown().await? {
            (at, items, (self.init, self.in_force)) = (unit.msn, Vec::new(), before);
        }
        if at < end {
            items.push(lost(at, end - at));
        }
        Ok(items)
    }

    /// The initialization section that the playlist has in force at a segment, unless that is in force, from whatever pathway.
    async fn another_section(&mut self, msn: u64) -> Option<Item<Resource>> {
        let (info, payload) = self.section.as_ref().filter(|(info, _)| self.init.as_ref() != Some(&info.id))?;
        let (info, payload) = (Arc::clone(info), payload.clone());
        let named = Arc::clone(&info);
        let section = Item::Init { info, payload };
        if let Some(known) = &self.in_force
            && self
                .recall
                .counterparts
                .is_section(&Entry::init(known, WRITTEN), &section, msn)
                .await
        {
            return None;
        }
        self.init = Some(named.id.clone());
        self.in_force = Some(named);
        Some(section)
    }

    fn info(&self, unit: &UnitDocument, listing: &ListingDocument) -> Result<SegmentInfo, Error> {
        let resource = self.by_address(Kind::Segment, unit);
        let resource = resource.ok_or_else(|| self.other(unit, NO_ADDRESS))?;
        Ok(SegmentInfo {
            discontinuity_sequence: unit.discontinuity_sequence,
            discontinuity: listing.discontinuity,
            program_date_time: listing.program_date_time.and_then(time),
            init: self.init.clone(),
            encryption: self.encryption(unit, listing),
            tags: self.recall.tags.get(&unit.msn).cloned().unwrap_or_default(),
            ..SegmentInfo::new(
                self.recall.track,
                unit.msn,
                Duration::try_from_secs_f64(unit.seconds).unwrap_or_default(),
                resource,
            )
        })
    }

    /// What stands at the address that the report tells.
    fn by_address(&self, kind: Kind, unit: &UnitDocument) -> Option<Resource> {
        let range = unit.range.map(|(offset, length)| ByteRange { offset, length });
        self.at_address(kind, &unit.address).map(|resource| resource.with_range(range))
    }

    fn at_address(&self, kind: Kind, address: &str) -> Option<Resource> {
        let url = Url::parse(address).ok()?;
        match &self.like {
            Some(like) => Some(Resource {
                url: url.into(),
                range: None,
                kind,
                referrer: like.referrer.clone(),
                named_by: like.named_by.clone(),
                version: None,
                // The same may come from another pathway, which its bytes tell.
                redundant: kind == Kind::Init && like.redundant,
            }),
            None => {
                let named = self.recall.at.as_ref()?.names(kind, url);
                Some(Resource {
                    named_by: self.recall.named_by.clone().or(named.named_by),
                    ..named
                })
            }
        }
    }

    /// Whether the key of a unit can be asked for, or need not be.
    fn has_key(&self, unit: &UnitDocument) -> bool {
        self.recall.has_keys || self.fresh_key(unit).is_some()
    }

    /// Whether the key that a unit is taken to have is another, by what was left out of its address: one that opens the segment in front,
    /// which had the same when both were recorded, is not.
    fn is_another_key(&self, unit: &UnitDocument, info: &SegmentInfo) -> bool {
        let told = unit.key.as_ref().filter(|told| without_key_query(told).1.is_some());
        let Some(told) = told.filter(|_| !self.recall.has_keys) else {
            return false;
        };
        let is_named = self.key.as_ref().is_some_and(|(named, _)| named == told);
        let is_shown = |front: &Front| front.key.as_ref() == Some(told) && front.info.encryption.key() == info.encryption.key();
        !is_named && !self.front(info).as_deref().is_some_and(is_shown)
    }

    /// Whether a segment that the file has, and that is needed where no digest shows what comes, has another key than it is taken to have.
    fn is_sealed(&self, number: u64, unit: &UnitDocument, info: &SegmentInfo) -> bool {
        let is_asked = matches!(self.recall.shown, Shown::ByPlaylist(_)) && (self.recall.is_wanted)(number);
        is_asked && number > self.recall.first_lacking && info.encryption.key().is_some() && self.is_another_key(unit, info)
    }

    /// The key at the address of that of a unit, where its playlist names one still.
    fn fresh_key(&self, unit: &UnitDocument) -> Option<Resource> {
        let address = without_key_query(unit.key.as_deref()?).0;
        let (_, key) = self.key.as_ref().filter(|(told, _)| without_key_query(told).0 == address)?;
        key.clone()
    }

    fn encryption(&self, unit: &UnitDocument, listing: &ListingDocument) -> Encryption {
        let told = || self.at_address(Kind::Key, unit.key.as_deref()?);
        let key = self.fresh_key(unit).or_else(told);
        let iv = listing.iv.as_deref().and_then(|iv| u128::from_str_radix(iv, 16).ok());
        Encryption::of_keys(&listing.keys, key, iv.map(|iv| Iv(iv.to_be_bytes())))
    }

    fn other(&self, unit: &UnitDocument, what: &str) -> Error {
        Error::OtherStream {
            what: format!("segment {} of {}: {what}", unit.msn, self.recall.track),
        }
    }
}

/// A unit of a report with all that is known of it, also where it never came.
fn named(unit: &UnitDocument) -> Entry {
    Entry {
        fate: WRITTEN,
        ..entry(unit)
    }
}

fn is_same_place(unit: &UnitDocument, named: &Entry) -> bool {
    (&unit.address, unit.range) == (&named.address, named.range)
}

/// An item as a report tells of it.
fn told(item: Option<&Item<Resource>>) -> Option<Entry> {
    Some(match item? {
        Item::Init { info, .. } => Entry::init(info, WRITTEN),
        Item::Segment { info, .. } | Item::Gap { info, .. } => Entry::segment(info, WRITTEN),
    })
}

fn gap(info: SegmentInfo, segments: u64, cause: GapCause) -> Item<Resource> {
    let info = Arc::new(info);
    Item::Gap { info, segments, cause }
}

/// The Media Sequence Number of the first segment that an item stands for.
fn first(item: &Item<Resource>) -> u64 {
    match item {
        Item::Init { info, .. } => info.first_msn,
        Item::Segment { info, .. } | Item::Gap { info, .. } => info.msn,
    }
}

/// That of the last.
fn last(item: &Item<Resource>) -> u64 {
    match item {
        Item::Gap { info, segments, .. } => info.msn.saturating_add(segments.saturating_sub(1)),
        item => first(item),
    }
}
