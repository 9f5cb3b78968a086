//! What came of a run: the first real error, or how whole its outputs are.

use aqueduct_core::{Presentation, Progress, Stop, Track, TrackKind};
use aqueduct_mux::Finished;

use crate::resume::Beyond;
use crate::{Error, Outcome, Report};

/// What the stages said.
#[derive(Default)]
pub(crate) struct Verdict {
    pub(crate) failed: Option<Error>,
    pub(crate) ended: Option<Error>,
    beyond: Beyond,
}

impl Verdict {
    /// The first error counts; what follows from the abort does not.
    pub(crate) fn fail(&mut self, error: Error, stop: &Stop) {
        tracing::debug!(%error, "stage failed");
        self.failed.get_or_insert(error);
        stop.abort();
    }

    /// What an earlier run recorded is not all that the playlist has now.
    pub(crate) fn is_beyond(&mut self, Beyond { gone, ahead }: Beyond) {
        self.beyond.gone = self.beyond.gone.saturating_add(gone);
        self.beyond.ahead = self.beyond.ahead.saturating_add(ahead);
    }

    pub(crate) fn conclude(
        self,
        presentation: &Presentation,
        finished: Vec<Finished>,
        progress: &Progress,
        stop: &Stop,
    ) -> Result<Report, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if stop.is_aborted() {
            return Err(Error::Stopped);
        }
        let segments = finished.iter().map(|done| done.tally.segments).sum();
        let all = |sum: u64, count: u64| sum.saturating_add(count);
        let missing = finished.iter().map(|done| done.tally.missing).fold(0, all);
        let mut report = Report {
            outcome: Outcome::Whole,
            segments,
            missing,
            gaps: Vec::new(),
            bytes: 0,
            summaries: Vec::new(),
            accounts: Vec::new(),
        };
        if segments == 0 {
            return Err(match self.ended {
                Some(error) => error,
                None if stop.is_draining() => Error::Stopped,
                None if missing > 0 => Error::AllMissing { missing },
                None => Error::Empty,
            });
        }
        // Every segment of a complete playlist is in the output or named as missing.
        let expected: Option<u64> = presentation.tracks.iter().map(|track| track.segments).sum();
        let expected = expected.map(|expected| expected.saturating_add(self.beyond.gone).saturating_sub(self.beyond.ahead));
        let came = finished.iter().map(|done| done.tally.absent).fold(segments, all);
        let all_came = expected.is_some_and(|expected| came >= expected);
        report.outcome = match self.ended {
            Some(error) => Outcome::Ended(error),
            None if stop.is_draining() && !all_came => Outcome::Interrupted,
            None => match expected {
                Some(expected) if came != expected => return Err(Error::Lost { came, expected }),
                _ if missing > 0 => Outcome::Gaps,
                _ => Outcome::Whole,
            },
        };
        // Half a plain file is rarely of use, and looks like a whole one. One without a known end has no other half.
        let half = |track: &Track| track.kind == TrackKind::File && track.bytes.is_some();
        if matches!(report.outcome, Outcome::Interrupted) && presentation.tracks.iter().any(half) {
            return Err(Error::Stopped);
        }
        // Of a recording, an interruption is the end; of anything else the rest can still be had.
        let to_be_continued = matches!(report.outcome, Outcome::Interrupted) && presentation.tracks.iter().all(|track| !track.live);
        for done in finished {
            let committed = if to_be_continued {
                done.output.commit_interrupted()
            } else {
                done.output.commit()
            };
            report.accounts.push(committed.map_err(Error::Output)?);
            report.gaps.extend(done.tally.gaps);
            report.summaries.push(done.summary);
        }
        report.bytes = progress.counters().bytes_written();
        Ok(report)
    }
}
