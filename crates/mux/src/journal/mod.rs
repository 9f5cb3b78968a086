//! The journal of an output: what is in it and by which bytes, so that it can be taken up again, proved and mended.
//!
//! It stands beside the part file (`film.mp4.part.journal`) and only grows. Each unit that went through the muxer gets an
//! entry, with the SHA-256 of the bytes that it brought, and behind it what the muxer needs to go on from there. A killed
//! process loses nothing of that. Against a power cut, every few seconds the part file is made safe on the disk, and a mark
//! in the journal says how far; what stands behind the last mark has to prove itself by its digest.
//!
//! An output of several files is one output all the same: the files stand one behind the other, offsets count from the
//! beginning of the first, and a record says where each begins. Safe are then the files up to a mark, and their names.

pub(crate) mod address;
pub(crate) mod disk;
#[cfg(test)]
pub(crate) mod faulty;
pub(crate) mod job;
pub(crate) mod record;
pub(crate) mod survey;
pub(crate) mod sync;
