//! Playlist Delta Updates (rfc8216bis, 4.4.5.2 and 6.2.5.1).

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::PlaylistError;
use crate::key::KeyRing;
use crate::media::Skip;
use crate::segment::{Rare, Tag};

use super::MediaParser;

impl MediaParser<'_, '_> {
    /// `EXT-X-SKIP`: carries over what it leaves out, if the playlist before is at hand (6.2.5.1).
    pub(super) fn skip(&mut self, skip: Skip) -> Result<(), PlaylistError> {
        let (Some(previous), true) = (self.previous, skip.skipped_segments > 0) else {
            self.playlist.skip = Some(skip);
            return Ok(());
        };
        let first = self.media_sequence;
        let last = first.saturating_add(skip.skipped_segments - 1);
        let have = previous
            .segments
            .first()
            .zip(previous.segments.last())
            .map(|(f, l)| (f.number, l.number));
        let held = have.and_then(|(from, _)| {
            let start = usize::try_from(first.checked_sub(from)?).ok()?;
            let end = usize::try_from(last.checked_sub(from)?).ok()?.checked_add(1)?;
            previous.segments.get(start..end)
        });
        let Some((held, end)) = held.and_then(|held| Some((held, held.last()?))) else {
            return Err(PlaylistError::Delta { first, last, have });
        };
        if !self.playlist.segments.is_empty() || held.len() > self.context.limits.segments {
            return Err(PlaylistError::Delta { first, last, have });
        }
        self.shared = Arc::clone(&end.shared);
        self.keys = KeyRing::new(Arc::clone(&end.shared.keys));
        self.init = end.shared.init.clone();
        self.bitrate = end.shared.bitrate;
        self.discontinuities = end.shared.discontinuity_sequence;
        // The base may be another one now.
        self.stale = true;
        self.playlist.segments.extend(held.iter().map(|segment| {
            let mut segment = segment.clone();
            if segment.parts().next().is_some() {
                segment.rare_mut().tags.retain(|tag| !matches!(tag, Tag::Part(_)));
            }
            segment
        }));
        self.carried = held.len();
        self.playlist.skip = Some(skip);
        Ok(())
    }

    /// Takes date ranges off the carried segments that are gone, or that the update states anew.
    pub(super) fn settle_update(&mut self) {
        let Some(skip) = self.playlist.skip.take_if(|_| self.carried > 0) else {
            return;
        };
        let (carried, new) = self.playlist.segments.split_at_mut(self.carried);
        let tags = new.iter().chain(self.playlist.unfinished.as_deref()).flat_map(|s| s.tags());
        let stated = tags.filter_map(|tag| match tag {
            Tag::DateRange(range) => Some(range.id.as_str()),
            _ => None,
        });
        let gone: HashSet<&str> = stated.chain(skip.recently_removed_date_ranges.iter().map(String::as_str)).collect();
        for rare in carried.iter_mut().filter_map(|s| s.rare.as_deref_mut()) {
            rare.tags
                .retain(|tag| !matches!(tag, Tag::DateRange(range) if gone.contains(range.id.as_str())));
        }
        for segment in carried {
            segment.rare.take_if(|rare| **rare == Rare::default());
        }
    }
}
