//! An answer that is being read, and may go on behind what was wanted of it.

use std::fmt;
use std::sync::Arc;

use aqueduct_core::{FetchError, SafeUrl, TimeoutPhase, TrackId};
use bytes::Bytes;
use reqwest::Response;
use tokio::time::timeout;

use crate::attempt::{Memory, classify};
use crate::clients::Pool;
use crate::fetcher::HttpFetcher;
use crate::request::Answer;

/// What an answer says of its resource.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) url: SafeUrl,
    pub(crate) content_type: Option<String>,
    pub(crate) total_length: Option<u64>,
    pub(crate) accepts_ranges: bool,
    pub(crate) version: Option<Arc<str>>,
    pub(crate) whole: bool,
}

/// An open answer.
pub(crate) struct Reader {
    pub(crate) head: Head,
    /// What continues it, should it break.
    pub(crate) memory: Memory,
    response: Response,
    pool: Pool,
    /// What came and was not taken yet.
    rest: Bytes,
    /// Offset in the resource of its first byte.
    start: u64,
    taken: u64,
    claimed: Option<u64>,
    partial: bool,
}

impl Reader {
    /// The body of `answer`, which begins at the offset `start` of its resource and claims to be so long; `partial` says
    /// whether it is a range by its own word.
    pub(crate) fn new(head: Head, memory: Memory, answer: Answer, start: u64, claimed: Option<u64>, partial: bool) -> Self {
        Self {
            head,
            memory,
            response: answer.response,
            pool: answer.pool,
            rest: Bytes::new(),
            start,
            taken: 0,
            claimed,
            partial,
        }
    }

    /// Whether the answer is the whole resource.
    pub(crate) fn is_whole(&self) -> bool {
        !self.partial
    }

    /// Offset in the resource of the next byte.
    pub(crate) fn at(&self) -> u64 {
        self.start.saturating_add(self.taken)
    }

    /// How many bytes are still to come, by what the answer claims.
    pub(crate) fn left(&self) -> Option<u64> {
        self.claimed.map(|claimed| claimed.saturating_sub(self.taken))
    }

    /// The next bytes, `most` of them at most; `None` at the end. What comes beyond the length that the answer claims
    /// is none of it.
    pub(crate) async fn next(&mut self, fetcher: &HttpFetcher, track: Option<TrackId>, most: u64) -> Result<Option<Bytes>, FetchError> {
        let most = most.min(self.left().unwrap_or(u64::MAX));
        if most == 0 {
            return Ok(None);
        }
        if self.rest.is_empty() {
            let Some(chunk) = self.chunk(fetcher, track).await? else {
                return Ok(None);
            };
            self.rest = chunk;
        }
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(self.rest.len());
        self.taken += length as u64;
        Ok(Some(self.rest.split_to(length)))
    }

    /// The next bytes without taking them: `least`, or fewer where the answer ends before, or more.
    pub(crate) async fn peek(&mut self, fetcher: &HttpFetcher, track: Option<TrackId>, least: usize) -> Result<&[u8], FetchError> {
        while self.rest.len() < least {
            let Some(chunk) = self.chunk(fetcher, track).await? else { break };
            self.rest = [std::mem::take(&mut self.rest), chunk].concat().into();
        }
        Ok(&self.rest)
    }

    /// What comes next from the network; `None` at the end.
    async fn chunk(&mut self, fetcher: &HttpFetcher, track: Option<TrackId>) -> Result<Option<Bytes>, FetchError> {
        let patience = fetcher.options.timeout;
        let received = self.taken.saturating_add(self.rest.len() as u64);
        let chunk = match timeout(patience, self.response.chunk()).await {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(error)) => return Err(classify(&self.head.url, error, received, self.claimed, patience)),
            Err(_) => {
                fetcher.clients.retire(self.pool, self.head.url.url());
                return Err(FetchError::Timeout {
                    url: self.head.url.clone(),
                    phase: TimeoutPhase::Stall,
                    after: patience,
                });
            }
        };
        if let (Some(rate), Some(chunk)) = (&fetcher.rate, &chunk) {
            rate.pass(track, chunk.len()).await;
        }
        Ok(chunk)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("url", &self.head.url)
            .field("at", &self.at())
            .field("left", &self.left())
            .finish_non_exhaustive()
    }
}
