//! What becomes of a unit that cannot be had: another place, an error or a gap.

use std::pin::Pin;
use std::sync::Arc;

use aqueduct_core::{Fetch, FetchError, InitInfo, Item, Lender, Lost, Place, Resource, Sealed, SegmentInfo};

/// How many places of one unit are tried.
const MOST_PLACES: usize = 8;

/// What to do about a segment that cannot be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMissing {
    /// Stop with the error.
    #[default]
    Abort,
    /// Go on, and name it as missing.
    Gap,
}

/// Finds another place of a unit that could not be had.
pub type Elsewhere = Arc<dyn Fn(Lost) -> Pin<Box<dyn Future<Output = Option<Place>> + Send>> + Send + Sync>;

/// What becomes of a unit that cannot be had.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Missing {
    /// Where else it may be, before it counts as missing: [`Resolve::elsewhere`](aqueduct_core::Resolve::elsewhere).
    pub elsewhere: Option<Elsewhere>,
    /// What to do then.
    pub then: OnMissing,
}

impl From<OnMissing> for Missing {
    fn from(then: OnMissing) -> Self {
        Self { elsewhere: None, then }
    }
}

impl Missing {
    /// The same with somebody who may know another place.
    #[must_use]
    pub fn with_elsewhere(mut self, elsewhere: Elsewhere) -> Self {
        self.elsewhere = Some(elsewhere);
        self
    }
}

/// Where units are had that could not be had where they should be.
pub(crate) struct OtherPlaces<'a, F> {
    pub(crate) fetch: Arc<F>,
    pub(crate) lender: &'a Lender,
    pub(crate) missing: Missing,
}

impl<F: Fetch> OtherPlaces<'_, F> {
    /// The unit from another place, or `error` where there is none. It is the oldest of its track, which all others wait
    /// behind, so that it needs no place among the requests and is never refused memory.
    pub(crate) async fn instead(&self, item: Item<Resource>, error: FetchError) -> (Item<Resource>, Result<Sealed, FetchError>) {
        let Some(elsewhere) = self.missing.elsewhere.as_ref().filter(|_| may_be_skipped(&error)) else {
            return (item, Err(error));
        };
        let (mut at, mut status, mut tried) = (item.clone(), error.status(), Vec::new());
        while let Some(failed) = resource(&at).filter(|_| tried.len() < MOST_PLACES) {
            tried.push(failed.clone());
            let lost = Lost {
                item: at.clone(),
                status,
                tried: tried.clone(),
            };
            let Some(place) = elsewhere(lost).await else { break };
            at = moved(at, place);
            let Some(resource) = resource(&at) else { break };
            tracing::info!(from = %tried[0].url, to = %resource.url, "asked at another place");
            match self.fetch.fetch(resource, self.lender.grant_first(resource)).await {
                Ok(fetched) => return (at, Ok(fetched.body)),
                Err(error) => {
                    tracing::warn!(url = %resource.url, %error, "not to be had there either");
                    status = error.status();
                }
            }
        }
        // Nobody has it. A server that was left soon may be back, or it is the network that is gone, and comes again.
        match resource(&item).filter(|resource| resource.redundant && error.is_silence()) {
            Some(resource) => {
                let alone = resource.clone().redundant(false);
                let fetched = self.fetch.fetch(&alone, self.lender.grant_first(&alone)).await;
                (item, fetched.map(|fetched| fetched.body))
            }
            None => (item, Err(error)),
        }
    }
}

/// The unit as it is at another place. Its identity stays: others name it by that.
fn moved(item: Item<Resource>, place: Place) -> Item<Resource> {
    let Place { resource, encryption } = place;
    match item {
        Item::Init { info, .. } => {
            let mut info = InitInfo::clone(&info);
            (info.resource, info.encryption) = (resource.clone(), encryption);
            Item::Init {
                info: Arc::new(info),
                payload: resource,
            }
        }
        Item::Segment { info, .. } => {
            let mut info = SegmentInfo::clone(&info);
            (info.resource, info.encryption) = (resource.clone(), encryption);
            Item::Segment {
                info: Arc::new(info),
                payload: resource,
            }
        }
        gap @ Item::Gap { .. } => gap,
    }
}

/// A failed transfer leaves a gap; a refused one is a decision that stands.
pub(crate) fn may_be_skipped(error: &FetchError) -> bool {
    !matches!(error, FetchError::Refused { .. })
}

pub(crate) fn resource(item: &Item<Resource>) -> Option<&Resource> {
    match item {
        Item::Init { payload, .. } | Item::Segment { payload, .. } => Some(payload),
        Item::Gap { .. } => None,
    }
}
