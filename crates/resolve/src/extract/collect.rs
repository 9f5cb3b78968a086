//! What has been found so far, and the order it is told in.

use std::collections::HashMap;

use url::Url;

use super::account::{Cut, Hint, Reason, Step, Via};
use super::address::{self, Class};
use super::environment::Environment;
use super::escapes;
use super::rank::{frame_score, is_fetchable, is_library, is_same_site, is_telling, score};
use super::words;
use super::{Candidate, Extraction, Frame, FrameSource, Limits};

/// Decoded text that is little.
const SMALL: usize = 64 << 10;

/// How sure it is that an address in this place is a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    /// Only if it looks like one.
    Weak,
    /// If it looks like an address at all.
    Likely,
    /// The place has no other use.
    Certain,
}

/// Where a text stands and what is known about the place.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) via: Via,
    pub(super) steps: Vec<Step>,
    pub(super) reasons: Vec<Reason>,
    pub(super) strength: Strength,
    /// Told by a type or a key beside it.
    pub(super) hint: Hint,
    pub(super) height: Option<u32>,
    /// Candidates of one group are versions of one thing.
    pub(super) group: usize,
    /// The place is for documents, not for streams.
    pub(super) frame: bool,
    /// How many layers of decoding led here.
    pub(super) depth: usize,
}

impl Context {
    pub(super) fn new(via: Via, strength: Strength) -> Self {
        Self {
            via,
            steps: Vec::new(),
            reasons: Vec::new(),
            strength,
            hint: Hint::Unknown,
            height: None,
            group: 0,
            frame: false,
            depth: 0,
        }
    }

    /// The same place, one layer of decoding further in.
    pub(super) fn deeper(&self, step: Step) -> Self {
        let mut inner = self.clone();
        escapes::note(&mut inner.steps, step);
        inner.depth += 1;
        inner
    }
}

/// A candidate before it is resolved.
struct Found {
    raw: String,
    candidate: Context,
    score: i32,
}

/// A frame before it is resolved.
struct FoundFrame {
    text: String,
    srcdoc: bool,
    place: Context,
    score: i32,
}

/// Gathers what the rules find in one document.
pub(super) struct Collector<'l> {
    pub(super) limits: &'l Limits,
    pub(super) environment: Environment,
    pub(super) title: Option<String>,
    pub(super) social_title: Option<String>,
    /// Signs that the page needs its scripts to run.
    pub(super) needs_script: bool,
    url: &'l Url,
    base: Option<String>,
    found: Vec<Found>,
    by_address: HashMap<String, usize>,
    frames: Vec<FoundFrame>,
    scripts: Vec<String>,
    cuts: Vec<Cut>,
    decoded: usize,
    groups: usize,
    /// Tries at unpacking that came to nothing.
    pub(super) unpack_failures: usize,
}

impl<'l> Collector<'l> {
    pub(super) fn new(url: &'l Url, limits: &'l Limits) -> Self {
        Self {
            limits,
            environment: Environment::new(url),
            title: None,
            social_title: None,
            needs_script: false,
            url,
            base: None,
            found: Vec::new(),
            by_address: HashMap::new(),
            frames: Vec::new(),
            scripts: Vec::new(),
            cuts: Vec::new(),
            decoded: 0,
            groups: 0,
            unpack_failures: 0,
        }
    }

    /// Notes that a limit kept something out.
    pub(super) fn cut(&mut self, cut: Cut) {
        if !self.cuts.contains(&cut) {
            self.cuts.push(cut);
        }
    }

    /// Whether so much more text may be decoded; if so it is charged.
    pub(super) fn charge(&mut self, bytes: usize, depth: usize) -> bool {
        if depth > self.limits.decode_depth || self.decoded.saturating_add(bytes) > self.limits.decoded_bytes {
            self.cut(Cut::Decoding);
            // Once there is no room for little, nothing more is tried.
            if bytes < SMALL && depth <= self.limits.decode_depth {
                self.decoded = self.limits.decoded_bytes;
            }
            return false;
        }
        self.decoded += bytes;
        true
    }

    /// Takes note of what folding an expression cost.
    pub(super) fn spend(&mut self, bytes: usize, exhausted: bool) {
        self.decoded = self.decoded.saturating_add(bytes);
        if exhausted {
            self.cut(Cut::Decoding);
            // What was refused would be asked for again at every turn.
            self.decoded = self.limits.decoded_bytes;
        }
    }

    /// Whether folding has used up what may be decoded.
    pub(super) fn is_spent(&self) -> bool {
        self.decoded >= self.limits.decoded_bytes
    }

    /// Bytes that may still be decoded.
    pub(super) fn allowance(&self) -> usize {
        self.limits.decoded_bytes.saturating_sub(self.decoded)
    }

    /// A number for a new group of candidates.
    pub(super) fn new_group(&mut self) -> usize {
        self.groups += 1;
        self.groups
    }

    /// How many candidates there are; with [`amend`](Self::amend), names those that come later.
    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// Tells what stood beside the candidates found since `from`.
    pub(super) fn amend(&mut self, from: usize, hint: &Hint, height: Option<u32>, reason: Option<&Reason>) {
        for found in self.found.iter_mut().skip(from) {
            let place = &mut found.candidate;
            if place.hint == Hint::Unknown {
                place.hint = hint.clone();
            }
            place.height = place.height.or(height);
            if let Some(reason) = reason {
                place.reasons.push(reason.clone());
            }
            found.score = score(place);
        }
    }

    /// Takes `<base href>`; the first one counts.
    pub(super) fn set_base(&mut self, href: &str) {
        self.base.get_or_insert_with(|| href.trim().to_owned());
    }

    /// Takes the address of a linked script.
    pub(super) fn script(&mut self, src: &str) {
        if src.len() > self.limits.address_bytes {
            self.cut(Cut::Address);
        } else if self.scripts.len() < 4 * self.limits.scripts {
            self.scripts.push(src.trim().to_owned());
        } else {
            self.cut(Cut::Scripts);
        }
    }

    /// Takes what stands where an address may stand. Tells whether it was one.
    pub(super) fn offer(&mut self, raw: &str, place: &Context) -> bool {
        if self.is_full(place) {
            return true;
        }
        let mut steps = place.steps.clone();
        let text = escapes::undo(raw.trim(), &mut steps);
        let is_data = address::strip_prefix_ignore_case(&text, "data:").is_some();
        let limit = if is_data {
            self.limits.data_bytes
        } else {
            self.limits.address_bytes
        };
        if text.len() > limit {
            self.cut(Cut::Address);
            return false;
        }
        if address::strip_prefix_ignore_case(&text, "blob:").is_some() {
            self.needs_script = true;
            return false;
        }
        let class = address::classify(&text);
        if is_data {
            match class {
                Class::Stream(hint) => self.candidate(text.into_owned(), hint, Context { steps, ..place.clone() }),
                Class::Page if place.frame => self.add_frame(text.into_owned(), false, Context { steps, ..place.clone() }),
                _ => {}
            }
            return true;
        }
        if !address::is_address(&text) {
            return false;
        }
        let rooted = address::is_rooted(&text);
        let typed = place.hint != Hint::Unknown;
        match class {
            Class::Never => {}
            Class::Stream(Hint::Media(extension)) if extension == "ts" && place.strength == Strength::Weak => {}
            Class::Stream(hint) => self.candidate(
                text.clone().into_owned(),
                hint,
                Context {
                    steps: steps.clone(),
                    ..place.clone()
                },
            ),
            Class::Page | Class::Unknown if place.frame => {
                self.add_frame(
                    text.clone().into_owned(),
                    false,
                    Context {
                        steps: steps.clone(),
                        ..place.clone()
                    },
                );
            }
            Class::Page if place.strength >= Strength::Likely => {
                self.add_frame(
                    text.clone().into_owned(),
                    false,
                    Context {
                        steps: steps.clone(),
                        ..place.clone()
                    },
                );
            }
            Class::Unknown
                if place.strength == Strength::Certain
                    || (place.strength == Strength::Likely
                        && (rooted || typed || text.contains('/') || address::is_served_file(&text))) =>
            {
                self.candidate(
                    text.clone().into_owned(),
                    Hint::Unknown,
                    Context {
                        steps: steps.clone(),
                        ..place.clone()
                    },
                );
            }
            Class::Page | Class::Unknown => {}
        }
        self.offer_query(&text, &steps, place);
        true
    }

    /// Whether nothing more can be taken of this place.
    fn is_full(&mut self, place: &Context) -> bool {
        let frames = self.frames.len() >= self.limits.frames.saturating_mul(4);
        let candidates = self.found.len() >= self.limits.candidates.saturating_mul(4);
        if frames && place.frame {
            self.cut(Cut::Frames);
        }
        if candidates && !place.frame {
            self.cut(Cut::Candidates);
        }
        candidates && (frames || !place.frame)
    }

    /// Looks for a stream in the query of an address that leads elsewhere.
    fn offer_query(&mut self, text: &str, steps: &[Step], place: &Context) {
        if !text.contains('=') {
            return;
        }
        for (name, value) in address::in_query(text) {
            let mut steps = steps.to_vec();
            let plain = escapes::undo(&value, &mut steps);
            if let Class::Stream(hint) = address::classify(&plain)
                && address::is_address(&plain)
                && (address::is_rooted(&plain) || plain.contains('/'))
                && plain.len() <= self.limits.address_bytes
                && !matches!(&hint, Hint::Media(extension) if extension == "ts")
            {
                let plain = plain.into_owned();
                escapes::note(&mut steps, Step::Query(name.to_owned()));
                let mut inner = Context {
                    steps,
                    strength: Strength::Weak,
                    ..place.clone()
                };
                words::judge(name, words::Place::Key, &mut inner.reasons);
                self.candidate(plain, hint, inner);
            }
        }
    }

    /// Takes a candidate.
    fn candidate(&mut self, raw: String, hint: Hint, mut place: Context) {
        if hint != Hint::Unknown {
            place.hint = hint;
        }
        words::judge_address(&raw, &mut place.reasons);
        place.reasons.retain(|reason| !matches!(reason, Reason::Service(_)));
        let score = score(&place);
        if let Some(known) = self.by_address.get(&raw).and_then(|&index| self.found.get_mut(index)) {
            // The plain text of a document repeats what its parts told better.
            if score > known.score && place.via != Via::Text {
                place.height = place.height.or(known.candidate.height);
                place.group = known.candidate.group;
                known.candidate = place;
                known.score = score;
            }
            return;
        }
        if self.found.len() >= self.limits.candidates.saturating_mul(4) {
            self.cut(Cut::Candidates);
            return;
        }
        self.by_address.insert(raw.clone(), self.found.len());
        self.found.push(Found {
            raw,
            candidate: place,
            score,
        });
    }

    /// Whether this very text was taken as a candidate.
    pub(super) fn has(&self, raw: &str) -> bool {
        self.by_address.contains_key(raw)
    }

    /// Takes the address of a document to read next.
    pub(super) fn frame(&mut self, raw: &str, place: &Context) {
        self.offer(
            raw,
            &Context {
                frame: true,
                ..place.clone()
            },
        );
    }

    /// Takes the text of a document to read next.
    pub(super) fn srcdoc(&mut self, text: String, place: Context) {
        if text.len() > self.limits.data_bytes {
            self.cut(Cut::Address);
            return;
        }
        self.add_frame(text, true, place);
    }

    fn add_frame(&mut self, text: String, srcdoc: bool, mut place: Context) {
        if !srcdoc {
            words::judge_address(&text, &mut place.reasons);
        }
        if self.frames.len() >= self.limits.frames.saturating_mul(4) {
            self.cut(Cut::Frames);
            return;
        }
        let score = frame_score(&text, srcdoc, &place);
        self.frames.push(FoundFrame {
            text,
            srcdoc,
            place,
            score,
        });
    }

    /// Resolves everything and puts it in order.
    pub(super) fn finish(mut self) -> Extraction {
        let base = self
            .base
            .take()
            .and_then(|href| self.url.join(&href).ok())
            .filter(is_fetchable)
            .unwrap_or_else(|| self.url.clone());
        let candidates = self.candidates(&base);
        let frames = self.take_frames(&base);
        let scripts = self.take_scripts(&base);
        let plain = candidates.iter().any(|candidate| candidate.demerits.is_empty());
        let likely_frame = frames.iter().any(|frame| frame.demerits.is_empty());
        Extraction {
            title: self.title.take().or(self.social_title.take()),
            needs_script: self.needs_script && !plain && !likely_frame,
            base,
            frames,
            candidates,
            scripts,
            truncated: self.cuts,
        }
    }

    fn candidates(&mut self, base: &Url) -> Vec<Candidate> {
        let mut found: Vec<_> = std::mem::take(&mut self.found).into_iter().enumerate().collect();
        // Groups are as good as their best, and within one the largest picture comes first.
        let mut best: HashMap<usize, (i32, usize)> = HashMap::new();
        for (order, entry) in &found {
            let group = best.entry(entry.candidate.group).or_insert((entry.score, *order));
            *group = (group.0.max(entry.score), group.1.min(*order));
        }
        found.sort_by_key(|(order, entry)| {
            let first = match entry.candidate.group {
                0 => *order,
                group => best.get(&group).map_or(*order, |known| known.1),
            };
            (-entry.score, first, u32::MAX - entry.candidate.height.unwrap_or(0), *order)
        });
        let mut seen = std::collections::HashSet::new();
        let mut out = Vec::new();
        for (_, entry) in found {
            let Ok(mut url) = base.join(&entry.raw) else { continue };
            url.set_fragment(None);
            if !is_fetchable(&url) || url == *self.url || !seen.insert(url.as_str().to_owned()) {
                continue;
            }
            if out.len() >= self.limits.candidates {
                self.cut(Cut::Candidates);
                break;
            }
            let place = entry.candidate;
            let (via, steps, hint, height, demerits) = (place.via, place.steps, place.hint, place.height, place.reasons);
            out.push(Candidate {
                url,
                via,
                steps,
                hint,
                height,
                demerits,
            });
        }
        out
    }

    fn take_frames(&mut self, base: &Url) -> Vec<Frame> {
        let mut found = std::mem::take(&mut self.frames);
        found.sort_by_key(|frame| -frame.score);
        let mut out: Vec<Frame> = Vec::new();
        for frame in found {
            let source = if frame.srcdoc {
                FrameSource::Srcdoc(frame.text)
            } else {
                let Ok(mut url) = base.join(&frame.text) else { continue };
                url.set_fragment(None);
                if !is_fetchable(&url) || url == *self.url {
                    continue;
                }
                FrameSource::Url(url)
            };
            if out.iter().any(|known| known.source == source) {
                continue;
            }
            if out.len() >= self.limits.frames {
                self.cut(Cut::Frames);
                break;
            }
            out.push(Frame {
                source,
                via: frame.place.via,
                steps: frame.place.steps,
                demerits: frame.place.reasons,
            });
        }
        out
    }

    fn take_scripts(&mut self, base: &Url) -> Vec<Url> {
        let mut out: Vec<(bool, Url)> = Vec::new();
        for src in std::mem::take(&mut self.scripts) {
            let Ok(mut url) = base.join(&src) else { continue };
            url.set_fragment(None);
            if !is_fetchable(&url)
                || url.scheme() == "data"
                || !is_same_site(self.url, &url)
                || is_library(&url)
                || out.iter().any(|(_, known)| *known == url)
            {
                continue;
            }
            out.push((!is_telling(url.path()), url));
        }
        out.sort_by_key(|(dull, _)| *dull);
        if out.len() > self.limits.scripts {
            self.cut(Cut::Scripts);
            out.truncate(self.limits.scripts);
        }
        out.into_iter().map(|(_, url)| url).collect()
    }
}
