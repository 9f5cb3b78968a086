//! The index of a file that was written, read again.

use super::{
    cues::Cue,
    ebml::{Element, Elements, id},
};

/// The places to jump to, as `Cues` tell them (RFC 9559 §5.1.5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index(Vec<Cue>);

impl Index {
    /// Looks for the index in bytes that consist of whole elements, such as those behind the last segment of a file; an empty one where
    /// there is none that the [`Writer`](super::Writer) wrote.
    #[must_use]
    pub fn find(bytes: &[u8]) -> Self {
        let cues = Elements::new(bytes, 0).map_while(Result::ok).find(|element| element.id == id::CUES);
        cues.and_then(|cues| Self::read(&cues)).unwrap_or_default()
    }

    fn read(cues: &Element<'_>) -> Option<Self> {
        let mut entries: Vec<Cue> = Vec::new();
        for point in Elements::new(cues.content, 0) {
            let point = point.ok().filter(|point| point.id == id::CUE_POINT)?;
            let cue = Cue {
                time: child(&point, id::CUE_TIME)?.uint()?,
                position: child(&child(&point, id::CUE_TRACK_POSITIONS)?, id::CUE_CLUSTER_POSITION)?.uint()?,
            };
            if entries.last().is_some_and(|last| last.position >= cue.position) {
                return None;
            }
            entries.push(cue);
        }
        Some(Self(entries))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that stand before a place in the segment.
    pub(super) fn before(&self, position: u64) -> &[Cue] {
        let end = self.0.partition_point(|cue| cue.position < position);
        self.0.get(..end).unwrap_or(&[])
    }
}

fn child<'a>(element: &Element<'a>, wanted: u32) -> Option<Element<'a>> {
    let mut children = Elements::new(element.content, 0).map_while(Result::ok);
    children.find(|child| child.id == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mkv::head;

    #[test]
    fn the_index_is_found_behind_the_last_clusters() {
        let cues: Vec<Cue> = (0..500)
            .map(|number| Cue {
                time: number * 700,
                position: number * 90_000,
            })
            .collect();
        // A cluster that holds the name of the index.
        let mut bytes = b"\x1f\x43\xb6\x75\x87\x1c\x53\xbb\x6b\x82\xbb\x80".to_vec();
        head::cues(&mut bytes, 1, &cues);
        bytes.extend_from_slice(b"\x12\x54\xc3\x67\x80");
        let index = Index::find(&bytes);
        assert_eq!(index, Index(cues.clone()));
        for (position, before) in [(0, 0), (1, 1), (90_000, 1), (90_001, 2), (u64::MAX, 500)] {
            assert_eq!(index.before(position), &cues[..before], "{position}");
        }
        assert_eq!(Index::find(&bytes[..bytes.len() - 100]), Index::default());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let index = Index::find(&[&b"\x1c\x53\xbb\x6b"[..], &bytes].concat());
            prop_assert!(index.0.windows(2).all(|pair| pair[0].position < pair[1].position));
        }
    }
}
