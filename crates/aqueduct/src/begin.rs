//! How an output begins: empty, or with what an earlier run left of the same.

use aqueduct_core::{Decrypt, Presentation, Progress, Track, TrackId, TrackKind};
use aqueduct_fetch::OnMissing;
use aqueduct_mux::{Job, Output};

use crate::pipeline::panicked;
use crate::{Error, resume};

/// What an output is made of: these tracks, as the user wants them.
pub(crate) fn job<D: Decrypt>(presentation: &Presentation, tracks: &[TrackId], container: String, decrypter: &D, output: &Output) -> Job {
    Job::new(presentation, tracks, container).with_given(output.left().as_ref(), |salt| decrypter.given(salt))
}

/// Whether the user gave something to decrypt with.
pub(crate) fn has_keys<D: Decrypt>(decrypter: &D) -> bool {
    !decrypter.given(&[0; 16]).is_empty()
}

/// Begins an output, or takes up what an earlier run left of the same. Gives what there is to match of each track.
pub(crate) async fn begin(
    presentation: &Presentation,
    job: Job,
    has_keys: bool,
    mut output: Output,
    on_missing: OnMissing,
    progress: &Progress,
) -> Result<(Output, Vec<resume::Job>), Error> {
    // A file that comes as one stream cannot be had from its middle, and one that a key of the user opens is held back in part.
    let whole = |track: &Track| track.kind == TrackKind::File && (track.segments.is_none() || has_keys);
    if presentation.tracks.iter().any(whole) {
        output = output.anew();
    }
    let begun = tokio::task::spawn_blocking(move || output.begin(&job).map(|resumed| (output, resumed)));
    let (output, resumed) = begun.await.map_err(panicked)?.map_err(Error::Output)?;
    let resumed = resumed.unwrap_or_default();
    let expected: Option<u64> = presentation.tracks.iter().map(|track| track.bytes).sum();
    let to_come = expected.unwrap_or(0).saturating_sub(resumed.bytes);
    output.check_space(to_come).map_err(Error::Output)?;
    let mut jobs = Vec::new();
    progress.counters().wrote(usize::try_from(resumed.bytes).unwrap_or(usize::MAX));
    progress.counters().missed(resumed.tally.missing);
    for lane in resumed.lanes {
        progress.counters().had_segments(lane.segments, lane.written);
        if let Some(entries) = output.entries(lane.track).map_err(Error::Output)? {
            let track = presentation.tracks.iter().find(|track| track.id == lane.track);
            jobs.push(resume::Job {
                track: lane.track,
                live: track.is_some_and(|track| track.live),
                was_live: lane.was_live,
                segments: track.and_then(|track| track.segments),
                gaps: on_missing == OnMissing::Gap,
                padded: lane.padded.into_iter().collect(),
                entries: Some(entries),
            });
        }
    }
    if resumed.bytes > 0 {
        tracing::info!(
            segments = resumed.tally.segments,
            bytes = resumed.bytes,
            "taken up where an earlier run ended"
        );
    }
    Ok((output, jobs))
}
