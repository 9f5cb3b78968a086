//! Plain media files: parallel ranges where the server has them, one stream where it has none.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::{ByteRange, Item, Kind, Resource, SegmentInfo, Sender, Stop, Track, TrackId, TrackKind};

use crate::follow::send;
use crate::hls::extension;
use crate::resolver::Options;

/// What it takes to fetch a plain file.
#[derive(Debug)]
pub(crate) struct Plan {
    at: Resource,
    /// Length of the file and of a range, in bytes; `None` where the file comes as one stream.
    ranges: Option<(u64, u64)>,
}

/// The track of a plain file.
pub(crate) fn track(options: &Options, at: Resource, total: Option<u64>, ranges: bool) -> Track {
    let step = options.file_range_bytes.max(1);
    // A file of one range is fetched as a whole: some servers offer ranges and then fail at them.
    let ranges = total.filter(|total| ranges && *total > step).map(|total| (total, step));
    let name = at
        .url
        .url()
        .path_segments()
        .and_then(|mut segments| segments.next_back())
        .unwrap_or_default()
        .to_owned();
    let mut track = Track::new(TrackId::new(0), TrackKind::File, name);
    track.url = Some(at.url.clone());
    track.bytes = total;
    track.segments = ranges.map(|(total, step)| total.div_ceil(step));
    track.extension = extension(at.url.url());
    track.with_plan(Plan { at, ranges })
}

/// Emits the ranges in order, or the one stream.
pub(crate) async fn follow(track: TrackId, plan: &Plan, outlet: &Sender<Item<Resource>>, stop: &Stop) {
    let item = |msn: u64, resource: Resource| {
        let info = SegmentInfo::new(track, msn, Duration::ZERO, resource.clone());
        Item::Segment {
            info: Arc::new(info),
            payload: resource,
        }
    };
    let Some((total, step)) = plan.ranges else {
        send(
            outlet,
            stop,
            item(
                0,
                Resource {
                    kind: Kind::File,
                    ..plan.at.clone()
                },
            ),
        )
        .await;
        return;
    };
    for msn in 0..total.div_ceil(step) {
        let offset = msn * step;
        let range = ByteRange {
            offset,
            length: step.min(total - offset),
        };
        let resource = Resource {
            kind: Kind::Segment,
            ..plan.at.clone()
        }
        .with_range(Some(range));
        if !send(outlet, stop, item(msn, resource)).await {
            return;
        }
    }
}
