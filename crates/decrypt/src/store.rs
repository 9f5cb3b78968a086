//! Keys, fetched once each.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aqueduct_core::{Fetch, FetchError, Grant, Limits, Resource};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

/// Keys that are kept, those that were asked for last: a stream that rotates its keys for ever must not grow the process.
/// Between the place where keys are fetched ahead and the one where they are needed lie about a hundred segments of each
/// track, and each may have its own.
const KEPT: usize = 1024;

/// The bytes at a key's address. They are wiped from memory when the last holder lets go, and never printed.
#[derive(Clone)]
pub struct KeyBytes(Arc<Zeroizing<Vec<u8>>>);

impl KeyBytes {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyBytes({} bytes)", self.0.len())
    }
}

type Entry = (Resource, Arc<OnceCell<KeyBytes>>);

/// Fetches keys through the pipeline's fetcher: each once, however many segments and tracks ask at a time.
pub struct KeyStore<F> {
    fetch: Arc<F>,
    limits: Limits,
    keys: Mutex<VecDeque<Entry>>,
}

impl<F: Fetch> KeyStore<F> {
    /// An empty store that fetches through `fetch`.
    pub fn new(fetch: Arc<F>, limits: Limits) -> Self {
        Self {
            fetch,
            limits,
            keys: Mutex::default(),
        }
    }

    /// The key at `resource`: from memory, or fetched now. A key that could not be had is tried again when it is
    /// next asked for.
    ///
    /// # Errors
    ///
    /// Those of the fetcher.
    pub async fn get(&self, resource: &Resource) -> Result<KeyBytes, FetchError> {
        let cell = self.cell(resource);
        let key = cell
            .get_or_try_init(|| async {
                tracing::debug!(url = %resource.url, "fetching key");
                let fetched = self.fetch.fetch(resource, Grant::unbudgeted(resource, &self.limits)).await?;
                Ok(KeyBytes(Arc::new(Zeroizing::new(fetched.body.as_slice().to_vec()))))
            })
            .await?;
        Ok(key.clone())
    }

    fn cell(&self, resource: &Resource) -> Arc<OnceCell<KeyBytes>> {
        // Nothing in here can panic half-way.
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        // The last ones are asked for most.
        let known = keys
            .iter()
            .rposition(|(known, _)| known.url == resource.url && known.range == resource.range);
        if let Some(entry) = known.and_then(|at| keys.remove(at)) {
            let cell = Arc::clone(&entry.1);
            keys.push_back(entry);
            return cell;
        }
        if keys.len() == KEPT {
            keys.pop_front();
        }
        let cell = Arc::default();
        keys.push_back((resource.clone(), Arc::clone(&cell)));
        cell
    }
}

impl<F> fmt::Debug for KeyStore<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use aqueduct_core::{Fetched, Kind, SafeUrl};
    use url::Url;

    use super::*;

    #[derive(Default)]
    struct Slow {
        requests: AtomicUsize,
    }

    impl Fetch for Slow {
        async fn fetch(&self, resource: &Resource, mut grant: Grant) -> Result<Fetched, FetchError> {
            let request = self.requests.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(1)).await;
            if request == 0 && resource.url.url().path() == "/flaky" {
                return Err(FetchError::Status {
                    url: resource.url.clone(),
                    status: 503,
                    retry_after: None,
                });
            }
            grant.write(resource.url.url().path().as_bytes()).await?;
            Ok(Fetched::new(resource.url.clone(), grant.seal()))
        }
    }

    fn key(path: &str) -> Resource {
        Resource::new(
            Kind::Key,
            SafeUrl::from(Url::parse("http://host.example").unwrap().join(path).unwrap()),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_fetched_once_however_many_ask_at_a_time() {
        let fetch = Arc::new(Slow::default());
        let store = KeyStore::new(Arc::clone(&fetch), Limits::default());
        let (a, b) = (key("/a"), key("/b"));
        let (first, again, other) = tokio::join!(store.get(&a), store.get(&a), store.get(&b));
        assert_eq!(
            (first.unwrap().as_slice(), again.unwrap().as_slice(), other.unwrap().as_slice()),
            (&b"/a"[..], &b"/a"[..], &b"/b"[..])
        );
        store.get(&a).await.unwrap();
        assert_eq!(fetch.requests.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_failed_is_tried_again_when_it_is_next_asked_for() {
        let store = KeyStore::new(Arc::new(Slow::default()), Limits::default());
        assert_eq!(store.get(&key("/flaky")).await.unwrap_err().status(), Some(503));
        assert!(store.get(&key("/flaky")).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_rotate_for_ever_do_not_pile_up_and_are_never_printed() {
        let fetch = Arc::new(Slow::default());
        let store = KeyStore::new(Arc::clone(&fetch), Limits::default());
        for number in 0..2 * KEPT {
            store.get(&key(&format!("/{number}"))).await.unwrap();
            store.get(&key("/constant")).await.unwrap();
        }
        assert_eq!(store.keys.lock().unwrap().len(), KEPT);
        let requests = fetch.requests.load(Ordering::SeqCst);
        assert_eq!(requests, 2 * KEPT + 1, "a key in use is kept, whatever comes and goes beside it");
        assert_eq!(format!("{:?}", store.get(&key("/secret")).await.unwrap()), "KeyBytes(7 bytes)");
    }
}
