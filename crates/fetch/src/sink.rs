//! Where a body goes while it arrives.

use aqueduct_core::{FetchError, Fetched, Grant, Lender, Resource, SafeUrl, Sealed, Sender, TrackId};

/// Size of the pieces of a streamed file, in bytes.
const PIECE: usize = 1 << 20;

/// Where the bytes of one resource go, over all the tries it takes to get them.
pub(crate) enum Sink<'a> {
    /// Into one payload.
    Whole(Box<Grant>),
    /// Into pieces that are handed on as they fill.
    Pieces {
        resource: &'a Resource,
        lender: &'a Lender,
        outlet: &'a Sender<Sealed>,
        current: Option<Box<Grant>>,
        handed_on: u64,
    },
}

impl Sink<'_> {
    /// Bytes taken in so far.
    pub(crate) fn received(&self) -> u64 {
        match self {
            Self::Whole(grant) => grant.len() as u64,
            Self::Pieces { current, handed_on, .. } => handed_on + current.as_ref().map_or(0, |grant| grant.len() as u64),
        }
    }

    /// Forgets everything, to begin again; `false` when something was handed on already.
    pub(crate) fn restart(&mut self) -> bool {
        match self {
            Self::Whole(grant) => grant.restart(),
            Self::Pieces { handed_on: 0, current, .. } => *current = None,
            Self::Pieces { .. } => return false,
        }
        true
    }

    /// The track that the bytes are for, if they are for one.
    pub(crate) fn track(&self) -> Option<TrackId> {
        match self {
            Self::Whole(grant) => grant.track(),
            Self::Pieces { lender, .. } => Some(lender.track),
        }
    }

    /// A try failed.
    pub(crate) fn failed(&mut self, error: &FetchError) {
        if let Self::Whole(grant) = self {
            grant.failed(error);
        }
    }

    /// Announces the length of the whole body.
    pub(crate) async fn expect(&mut self, total: u64) -> Result<(), FetchError> {
        match self {
            Self::Whole(grant) => grant.expect(total).await,
            Self::Pieces { .. } => Ok(()),
        }
    }

    /// Takes in the next bytes; `false` when nobody wants them any more.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<bool, FetchError> {
        match self {
            Self::Whole(grant) => grant.write(bytes).await.map(|()| true),
            Self::Pieces {
                resource,
                lender,
                outlet,
                current,
                handed_on,
            } => {
                while !bytes.is_empty() {
                    let mut grant = match current.take() {
                        Some(grant) => grant,
                        None => Box::new(lender.grant(resource, PIECE).await),
                    };
                    let (now, later) = bytes.split_at(bytes.len().min(PIECE - grant.len()));
                    grant.write(now).await?;
                    bytes = later;
                    if grant.len() < PIECE {
                        *current = Some(grant);
                    } else {
                        *handed_on += PIECE as u64;
                        if outlet.send(grant.seal()).await.is_err() {
                            return Ok(false);
                        }
                    }
                }
                Ok(true)
            }
        }
    }

    /// The first bytes, while they are still here.
    pub(crate) fn head(&self) -> &[u8] {
        match self {
            Self::Whole(grant) => grant.as_slice(),
            Self::Pieces { .. } => &[],
        }
    }

    /// The body is complete.
    pub(crate) async fn finish(self, url: SafeUrl) -> Fetched {
        match self {
            Self::Whole(grant) => Fetched::new(url, grant.seal()),
            Self::Pieces { outlet, current, .. } => {
                if let Some(grant) = current {
                    // A dropped receiver means stop quietly.
                    let _ = outlet.send(grant.seal()).await;
                }
                Fetched::new(url, Sealed::unbudgeted(&b""[..]))
            }
        }
    }
}
