//! Units that came from another pathway than they are named by now: the same under another address.

use std::pin::Pin;
use std::sync::Arc;

use aqueduct_core::{Counterpart, Fetch, InitInfo, Item, Resolve, Resource, Track};
use aqueduct_mux::{Entry, Fate};

type Ask = dyn Fn(Item<Resource>) -> Pin<Box<dyn Future<Output = Vec<Counterpart>> + Send>> + Send + Sync;

/// Asks the resolver what other pathways have as a unit of one track.
#[derive(Clone)]
pub(crate) struct Counterparts(Arc<Ask>);

impl Counterparts {
    pub(crate) fn of<R: Resolve, F: Fetch>(resolver: &Arc<R>, fetcher: &Arc<F>, track: &Track) -> Self {
        let (resolver, fetcher, track) = (Arc::clone(resolver), Arc::clone(fetcher), track.clone());
        Self(Arc::new(move |unit| {
            let (resolver, fetcher, track) = (Arc::clone(&resolver), Arc::clone(&fetcher), track.clone());
            Box::pin(async move { resolver.counterparts(&track, &unit, &*fetcher).await })
        }))
    }

    /// Asks somebody who never answers.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self(Arc::new(|_| Box::pin(std::future::pending())))
    }

    /// How `known` differs from `named`, the entry of `unit`, wherever the presentation says that the same is: in the number, or in
    /// what all pathways that it names as redundant have under that number.
    pub(crate) async fn difference(&self, known: &Entry, named: &Entry, unit: &Item<Resource>) -> Option<String> {
        let difference = known.difference(named)?;
        if known.msn != named.msn || known.init != named.init || !resource(unit).redundant {
            return Some(difference);
        }
        let mut ways = vec![named.clone()];
        ways.extend((self.0)(unit.clone()).await.iter().map(|counterpart| named.moved(counterpart)));
        // One that was lost where it was named, and had elsewhere, has the times of the one and the address of the other.
        let is_known = |place: &Entry, time: &Entry| {
            let (duration, discontinuity_sequence) = (time.duration, time.discontinuity_sequence);
            let unit = Entry {
                duration,
                discontinuity_sequence,
                ..place.clone()
            };
            known.difference(&unit).is_none()
        };
        let found = ways.iter().any(|place| ways.iter().any(|time| is_known(place, time)));
        (!found).then_some(difference)
    }

    /// Whether `known` is the initialization section `section`, from wherever it came, as it is in force at a segment.
    pub(crate) async fn is_section(&self, known: &Entry, section: &Item<Resource>, msn: u64) -> bool {
        let Item::Init { info, payload } = section else { return false };
        let info = Arc::new(InitInfo {
            first_msn: msn,
            ..InitInfo::clone(info)
        });
        let known = Entry { msn, ..known.clone() };
        let named = Entry::init(&info, WRITTEN);
        let payload = payload.clone();
        self.difference(&known, &named, &Item::Init { info, payload }).await.is_none()
    }
}

/// What is named as an entry, to compare it with what is there.
pub(crate) fn entry(unit: &Item<Resource>) -> Entry {
    match unit {
        Item::Init { info, .. } => Entry::init(info, WRITTEN),
        Item::Segment { info, .. } => Entry::segment(info, WRITTEN),
        Item::Gap { info, segments, cause } => Entry::gap(info, *segments, cause),
    }
}

fn resource(unit: &Item<Resource>) -> &Resource {
    match unit {
        Item::Init { info, .. } => &info.resource,
        Item::Segment { info, .. } | Item::Gap { info, .. } => &info.resource,
    }
}

/// A fate to compare with: that of a unit which is there.
pub(crate) const WRITTEN: Fate = Fate::Written {
    offset: 0,
    length: 0,
    sha256: [0; 32],
};
