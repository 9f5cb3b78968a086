//! What an output is made of, and from what: an output that was begun as one is not taken up as another.

use aqueduct_core::{Changes, Given, Presentation, Track, TrackId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::address::address;
use super::record::hex;

/// What an output is made of, without any secret: addresses have no query, user name or fragment, and keys are only told apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Version of the program: state is only understood by the version that wrote it.
    pub(crate) program: String,
    /// What the user gave, where it is an address.
    pub input: Option<String>,
    /// What tells it from others, its query included: the beginning of a SHA-256, behind its salt and a colon.
    pub(crate) asked: Option<String>,
    /// The wanted container.
    pub container: String,
    /// What fingerprints of keys are salted with.
    pub(crate) salt: [u8; 16],
    /// What the user gave to decrypt with.
    pub given: Vec<Given>,
    /// Whether it is a repair's own: what a repair leaves of it no user began.
    pub(crate) repair: bool,
    /// The tracks, in the order of their numbers.
    pub tracks: Vec<JobTrack>,
}

/// A track of a [`Job`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobTrack {
    /// Its number.
    pub number: u32,
    /// What it carries.
    pub kind: String,
    /// A resolution, a Rendition's NAME.
    pub name: String,
    /// Its language (BCP 47).
    pub language: Option<String>,
    /// Its Media Playlist, or the file.
    pub address: Option<String>,
    /// Its length in bytes, where it is known ahead.
    pub bytes: Option<u64>,
    /// Whether its playlist may still grow.
    pub live: bool,
}

impl Job {
    /// The job of these tracks of a presentation.
    pub fn new(presentation: &Presentation, tracks: &[TrackId], container: impl Into<String>) -> Self {
        let tracks = presentation.tracks.iter().filter(|track| tracks.contains(&track.id));
        Self {
            program: env!("CARGO_PKG_VERSION").into(),
            input: input(presentation),
            asked: asked(presentation, &hex(&salt())),
            container: container.into(),
            salt: salt(),
            given: Vec::new(),
            repair: false,
            tracks: tracks.map(JobTrack::of).collect(),
        }
    }

    /// Whether it was begun with the input that led to this presentation.
    pub(crate) fn is_asked_by(&self, presentation: &Presentation) -> bool {
        let known = self.asked.as_ref().and_then(|asked| Some((asked, asked.split_once(':')?.0)));
        known.is_some_and(|(known, salt)| asked(presentation, salt).as_ref() == Some(known))
    }

    /// The same with what the user gave to decrypt with ([`Decrypt::given`](aqueduct_core::Decrypt::given)), told in the way
    /// of `left`, so that the two can be compared.
    #[must_use]
    pub fn with_given(mut self, left: Option<&Self>, given: impl FnOnce(&[u8; 16]) -> Vec<Given>) -> Self {
        self.salt = left.map_or(self.salt, |left| left.salt);
        self.given = given(&self.salt);
        self
    }

    /// The same as a repair's own, which another repair may throw away.
    #[must_use]
    pub fn by_repair(mut self) -> Self {
        self.repair = true;
        self
    }

    /// How `other` differs, so that what belongs to one cannot go on with the other. Addresses of playlists may change from
    /// one day to the next: the segments decide.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        if self.container != other.container {
            return Some(format!("it is {}, not {}", self.container, other.container));
        }
        if self.tracks.len() != other.tracks.len() {
            return Some(format!("it has {} tracks, not {}", self.tracks.len(), other.tracks.len()));
        }
        self.tracks.iter().zip(&other.tracks).find_map(|(ours, theirs)| {
            // Entries name their track by its number.
            if ours.number != theirs.number {
                return Some(format!("its track {} is track {} now", ours.number, theirs.number));
            }
            let of = |track: &JobTrack| {
                let language = track
                    .language
                    .as_deref()
                    .map(|language| format!(" in {language}"))
                    .unwrap_or_default();
                let length = track.bytes.map(|bytes| format!(" of {bytes} bytes")).unwrap_or_default();
                format!("{} {:?}{language}{length}", track.kind, track.name)
            };
            (of(ours) != of(theirs)).then(|| format!("track {} is {}, not {}", ours.number, of(ours), of(theirs)))
        })
    }

    /// What was given to decrypt with, and is another one in `other`, or none.
    pub(crate) fn changed(&self, other: &Self) -> Option<String> {
        self.given.iter().find_map(|ours| match find(&other.given, &ours.name) {
            Some(theirs) if theirs.value == ours.value => None,
            Some(_) => Some(format!("it was begun with {}, and now it is another one", ours.name)),
            None => Some(format!("it was begun with {}, which is not given now", ours.name)),
        })
    }

    /// What is given in `other` only, and has a part in what there is already.
    pub(crate) fn added(&self, other: &Self, there: impl Fn(Changes) -> bool) -> Option<String> {
        let added = |theirs: &&Given| there(theirs.changes) && find(&self.given, &theirs.name).is_none();
        let theirs = other.given.iter().find(added)?;
        Some(format!("it was begun without {}", theirs.name))
    }
}

fn find<'a>(given: &'a [Given], name: &str) -> Option<&'a Given> {
    given.iter().find(|given| given.name == name)
}

impl JobTrack {
    pub(crate) fn of(track: &Track) -> Self {
        Self {
            number: track.id.number(),
            kind: track.kind.to_string(),
            name: track.name.clone(),
            language: track.language.clone(),
            address: track.url.as_ref().map(address),
            bytes: track.bytes,
            live: track.live,
        }
    }
}

/// Where the presentation was found, if that can be asked for again as it may be told.
fn input(presentation: &Presentation) -> Option<String> {
    let url = &presentation.account.documents.first()?.url;
    let told = url.path().all(|(_, secret)| secret.is_none());
    told.then(|| address(url))
}

/// What tells the input of a presentation from others. Unlike an [`address`] it has the query, which is often all that tells
/// two films of one site apart, and therefore only as a salted digest.
fn asked(presentation: &Presentation, salt: &str) -> Option<String> {
    let mut url = presentation.account.documents.first()?.url.url().clone();
    url.set_fragment(None);
    // A URL that cannot have a user name has none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let digest = Sha256::new().chain_update(salt).chain_update(url.as_str()).finalize();
    Some(format!("{salt}:{}", hex(&digest[..16])))
}

/// Other bytes each time.
fn salt() -> [u8; 16] {
    let random = || std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
    (u128::from(random()) << 64 | u128::from(random())).to_be_bytes()
}
