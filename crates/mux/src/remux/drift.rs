//! Whether sound and pictures of separate Renditions end together.

use aqueduct_media::{
    TrackKind,
    time::FLICKS,
    timeline::{Span, Timeline},
};

use super::lane::Lane;

/// Tells of each track of sound that ends more than a frame before or after the pictures. What comes in the same segments
/// as the pictures is left out: it was cut with them, a little before or after.
pub(super) fn notes(timeline: &Timeline, lanes: &[Lane], notes: &mut Vec<String>) {
    let spans = |kind| {
        lanes
            .iter()
            .flat_map(|lane| lane.outputs.iter().map(move |output| (lane.id, output)))
            .filter(move |(_, output)| output.kind == kind)
            .filter_map(|(id, output)| Some((id, timeline.span(output.number?)?)))
    };
    let Some((lane, pictures)) = spans(TrackKind::Video).next() else {
        return;
    };
    for (id, sound) in spans(TrackKind::Audio).filter(|(id, _)| *id != lane) {
        if let Some(late) = lateness(pictures, sound) {
            // Flicks to milliseconds, which is as fine as a person cares for.
            let milliseconds = late.unsigned_abs() / u64::from(FLICKS / 1000);
            let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
            let side = if late > 0 { "after" } else { "before" };
            notes.push(format!("{id}: sound ends {seconds}.{rest:03} s {side} the pictures"));
        }
    }
}

/// How much later than the pictures sound ends, if that is more than a frame of either, and no more than its start would
/// make it.
fn lateness(pictures: Span, sound: Span) -> Option<i64> {
    let frame = pictures.step.max(sound.step);
    let late = sound.end.saturating_sub(pictures.end);
    let drift = late.saturating_sub(sound.start.saturating_sub(pictures.start));
    (late.saturating_abs() > frame && drift.saturating_abs() > frame).then_some(late)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_is_late_or_early_by_more_than_a_frame() {
        let span = |start, end| Span { start, end, step: 40 };
        for (pictures, sound, late) in [
            (span(0, 1000), span(0, 1000), None),
            (span(0, 1000), span(0, 1040), None),
            (span(0, 1000), span(0, 1041), Some(41)),
            (span(0, 1000), span(0, 900), Some(-100)),
            // As late at the end as at the start is no drift, and neither is a late start alone.
            (span(0, 1000), span(100, 1100), None),
            (span(0, 1000), span(100, 1000), None),
        ] {
            assert_eq!(lateness(pictures, sound), late, "{pictures:?} {sound:?}");
        }
    }
}
