//! A finished file that is mended in place.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::OutputError;
use crate::journal::disk::{Bytes, Disk, RealDisk, Span, write_all};
use crate::journal::record::hex;

/// Writes over the damaged parts of a finished file, and over nothing else: what is written has proved itself by the digest that
/// the part had. So wherever it ends, by a failure, a kill or a power cut, no byte that was right is another one, and what is
/// damaged still shows itself by the same digest.
#[derive(Debug)]
pub struct Mending {
    file: Box<dyn Bytes>,
    path: PathBuf,
    /// The length of the whole file.
    length: u64,
    written: bool,
}

/// Which end of a part is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What stands behind it in the part stays as it is.
    Start,
    /// What stands in front of it in the part stays as it is.
    End,
}

/// What became of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is as it was.
    Mended,
    /// What was made does not make it what it was.
    Other,
    /// The same, and what was made is not all of it: the rest may be what is damaged.
    Partial,
    /// What was made is there already: the rest is what is damaged.
    Beside,
    /// It is no part of the file.
    Outside,
}

impl Mending {
    /// Opens the file at `path`, which is to be `length` bytes long, and locks it against other processes.
    ///
    /// # Errors
    ///
    /// [`OutputError::Busy`] when another process has it; [`OutputError::Io`].
    pub fn open(path: &Path, length: u64) -> Result<Self, OutputError> {
        Self::on(&RealDisk, path, length)
    }

    fn on(disk: &dyn Disk, path: &Path, length: u64) -> Result<Self, OutputError> {
        let file = disk.change(path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OutputError::Busy { path: path.into() },
            _ => OutputError::io(path, "cannot be opened for writing", error),
        })?;
        Ok(Self {
            file,
            path: path.into(),
            length,
            written: false,
        })
    }

    /// Writes `made` at one side of the part of `length` bytes at `offset`, if the whole of that has the SHA-256 `sha256` (in
    /// hexadecimal) then. It blocks.
    ///
    /// # Errors
    ///
    /// [`OutputError::Io`].
    pub fn put(&mut self, offset: u64, length: u64, sha256: &str, made: &[u8], side: Side) -> Result<Put, OutputError> {
        let Some(end) = offset.checked_add(length).filter(|end| *end <= self.length) else {
            return Ok(Put::Outside);
        };
        let new = made.len() as u64;
        if new > length {
            return Ok(Put::Other);
        }
        let (at, kept) = match side {
            Side::Start => (offset, offset + new..end),
            Side::End => (end - new, offset..end - new),
        };
        let mut hasher = Sha256::new();
        if side == Side::Start {
            hasher.update(made);
        }
        let has_rest = self.hash(kept.start, kept.end, &mut hasher)?;
        if side == Side::End {
            hasher.update(made);
        }
        if !has_rest || hex(&hasher.finalize()) != sha256 {
            return Ok(match new {
                0 => Put::Partial,
                _ if new == length => Put::Other,
                _ if self.holds(at, made)? => Put::Beside,
                _ => Put::Partial,
            });
        }
        self.written = true;
        write_all(&*self.file, at, made).map_err(|source| self.failed("cannot be written", source))?;
        Ok(Put::Mended)
    }

    /// The bytes in front of `offset`, as many as there are up to `most`. It blocks.
    ///
    /// # Errors
    ///
    /// [`OutputError::Io`].
    pub fn front(&self, offset: u64, most: u64) -> Result<Vec<u8>, OutputError> {
        let read = |source| self.failed("cannot be read", source);
        let mut bytes = Vec::new();
        let mut span = Span::new(
            self.file.share().map_err(read)?,
            offset.saturating_sub(most),
            offset.min(self.length),
        );
        span.read_to_end(&mut bytes).map_err(read)?;
        Ok(bytes)
    }

    /// Cuts off what was appended to the file. `true` if there was something.
    ///
    /// # Errors
    ///
    /// [`OutputError::Io`].
    pub fn cut_off(&mut self) -> Result<bool, OutputError> {
        let length = self.file.len().map_err(|source| self.failed("cannot be read", source))?;
        if length <= self.length {
            return Ok(false);
        }
        self.written = true;
        let cut = self.file.set_len(self.length);
        cut.map(|()| true).map_err(|source| self.failed("cannot be cut off", source))
    }

    /// Returns when all that was written is on the disk.
    ///
    /// # Errors
    ///
    /// [`OutputError::Io`].
    pub fn finish(self) -> Result<(), OutputError> {
        if self.written {
            self.file
                .sync()
                .map_err(|source| self.failed("cannot be made safe on the disk", source))?;
        }
        Ok(())
    }

    /// Whether the file has these bytes there.
    fn holds(&self, at: u64, bytes: &[u8]) -> Result<bool, OutputError> {
        let mut there = Sha256::new();
        Ok(self.hash(at, at + bytes.len() as u64, &mut there)? && there.finalize() == Sha256::digest(bytes))
    }

    /// Hashes a part of the file; `false` where not all of it is there.
    fn hash(&self, from: u64, to: u64, hasher: &mut Sha256) -> Result<bool, OutputError> {
        let read = |source| self.failed("cannot be read", source);
        let mut span = Span::new(self.file.share().map_err(read)?, from, to);
        let (mut left, mut bytes) = (to.saturating_sub(from), vec![0; 1 << 16]);
        loop {
            match span.read(&mut bytes) {
                Ok(0) => return Ok(left == 0),
                Ok(more) => {
                    hasher.update(bytes.get(..more).unwrap_or_default());
                    left = left.saturating_sub(more as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(read(error)),
            }
        }
    }

    fn failed(&self, action: &'static str, source: io::Error) -> OutputError {
        OutputError::io(&self.path, action, source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::faulty::{Fault, FaultyDisk};

    const FILE: &str = "film.ts";
    const PART: usize = 40;
    const PARTS: usize = 8;

    fn whole() -> Vec<u8> {
        (0..PARTS).flat_map(|part| vec![b'a' + u8::try_from(part).unwrap(); PART]).collect()
    }

    /// The parts of the file that are not as they were.
    fn damaged(file: &[u8]) -> Vec<usize> {
        let whole = whole();
        let range = |part: usize| part * PART..(part + 1) * PART;
        (0..PARTS)
            .filter(|part| file.get(range(*part)) != Some(&whole[range(*part)]))
            .collect()
    }

    /// One process: looks for damage, mends it, and returns when that is safe.
    fn process(disk: &FaultyDisk) -> Result<(), OutputError> {
        let (whole, there) = (whole(), disk.file(Path::new(FILE)).unwrap());
        let mut mending = Mending::on(disk, Path::new(FILE), whole.len() as u64)?;
        for part in damaged(&there) {
            let bytes = &whole[part * PART..(part + 1) * PART];
            // Of every other one, what stands beside its media is right.
            let sound = there.get(part * PART..).is_some_and(|there| there.starts_with(&bytes[..10]));
            let made = if sound { &bytes[10..] } else { bytes };
            let put = mending.put((part * PART) as u64, PART as u64, &hex(&Sha256::digest(bytes)), made, Side::End)?;
            assert_eq!(put, Put::Mended, "part {part}");
        }
        mending.cut_off()?;
        mending.finish()
    }

    /// What a file may have become, by name.
    fn damages() -> Vec<(&'static str, Vec<u8>)> {
        let damage = |act: &dyn Fn(&mut Vec<u8>)| {
            let mut file = whole();
            act(&mut file);
            file
        };
        vec![
            ("a bit that flipped", damage(&|file| file[2 * PART + 13] ^= 4)),
            ("blocks of zeros", damage(&|file| file[PART + 20..5 * PART + 7].fill(0))),
            ("cut off in the middle", damage(&|file| file.truncate(3 * PART + 17))),
            ("cut off at its last byte", damage(&|file| file.truncate(PARTS * PART - 1))),
            ("emptied", Vec::new()),
            ("grown", damage(&|file| file.extend_from_slice(b"and more"))),
            (
                "all of that",
                damage(&|file| {
                    file[3] = 0;
                    file[4 * PART..5 * PART].fill(0);
                    file.truncate(7 * PART + 1);
                }),
            ),
        ]
    }

    /// What a fault leaves is no worse than what it met, and the next process mends it.
    #[track_caller]
    fn check(place: &str, disk: &FaultyDisk, before: &[u8]) {
        let now = disk.file(Path::new(FILE)).unwrap();
        for part in damaged(&now) {
            assert!(damaged(before).contains(&part), "{place}: part {part} was right");
        }
        process(disk).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert!(disk.file(Path::new(FILE)).unwrap() == whole(), "{place}: it is not whole");
    }

    #[test]
    fn a_fault_at_any_operation_leaves_nothing_worse_and_the_next_repair_completes() {
        for (damage, before) in damages() {
            for fault in [Fault::Error, Fault::Full, Fault::Short, Fault::Killed] {
                let mut failed = 0;
                for operation in 0.. {
                    let disk = FaultyDisk::default();
                    disk.put(Path::new(FILE), &before);
                    disk.fail_at(operation, fault);
                    let ended = process(&disk);
                    if disk.operations() <= operation {
                        break;
                    }
                    let place = format!("{damage}, {fault:?} at operation {operation}");
                    failed += u32::from(ended.is_err());
                    disk.next_process(0);
                    check(&place, &disk, &before);
                }
                assert!(failed > 1, "{damage}: {fault:?}");
            }
        }
    }

    #[test]
    fn a_power_cut_tears_no_byte_that_was_right() {
        for (damage, before) in damages() {
            for operation in 0.. {
                let mut ended = false;
                for seed in 0..24 {
                    let disk = FaultyDisk::default();
                    disk.put(Path::new(FILE), &before);
                    disk.fail_at(operation, Fault::PowerCut);
                    ended = process(&disk).is_ok();
                    disk.next_process(seed);
                    check(
                        &format!("{damage}, power cut at operation {operation}, seed {seed}"),
                        &disk,
                        &before,
                    );
                }
                if ended {
                    break;
                }
            }
        }
    }

    // Whoever is told that it is mended may cut the power the moment after.
    #[test]
    fn what_is_said_to_be_mended_is_safe() {
        for (damage, before) in damages() {
            for fault in [Fault::Error, Fault::Full, Fault::Short] {
                for operation in 0..40 {
                    let disk = FaultyDisk::default();
                    disk.put(Path::new(FILE), &before);
                    disk.fail_at(operation, fault);
                    if process(&disk).is_err() {
                        continue;
                    }
                    disk.fail_at(0, Fault::PowerCut);
                    disk.next_process(operation);
                    let now = disk.file(Path::new(FILE)).unwrap();
                    assert!(now == whole(), "{damage}, {fault:?} at operation {operation}: it was not safe");
                }
            }
        }
    }

    #[test]
    fn nothing_is_written_that_does_not_prove_itself() {
        let sha256 = hex(&Sha256::digest(&whole()[PART..2 * PART]));
        let part = &whole()[PART..2 * PART];
        let mut other = part.to_vec();
        other[5] ^= 1;
        let longer = [part, b"x"].concat();
        let (at, length) = (PART as u64, PART as u64);
        for (name, offset, length, made, side, expected) in [
            ("other bytes", at, length, &other[..], Side::End, Put::Other),
            ("too many", at, length, &longer[..], Side::End, Put::Other),
            ("a part that is there", at, length, &part[10..], Side::End, Put::Beside),
            ("another beginning", at, length, &other[..10], Side::Start, Put::Partial),
            ("nothing", at, length, &[][..], Side::End, Put::Partial),
            ("behind the end", 8 * at, length, part, Side::End, Put::Outside),
            ("far behind", u64::MAX, u64::MAX, part, Side::End, Put::Outside),
        ] {
            let disk = FaultyDisk::default();
            let mut file = whole();
            file[PART + 3] ^= 1;
            disk.put(Path::new(FILE), &file);
            let mut mending = Mending::on(&disk, Path::new(FILE), whole().len() as u64).unwrap();
            assert_eq!(mending.put(offset, length, &sha256, made, side).unwrap(), expected, "{name}");
            assert!(disk.file(Path::new(FILE)).unwrap() == file, "{name}");
        }
    }

    #[test]
    fn a_file_is_mended_by_one_process_at_a_time_and_not_made_where_there_is_none() {
        let disk = FaultyDisk::default();
        assert!(matches!(Mending::on(&disk, Path::new(FILE), 0), Err(OutputError::Io { .. })));
        assert!(disk.names().is_empty());
        disk.put(Path::new(FILE), b"");
        let first = Mending::on(&disk, Path::new(FILE), 0).unwrap();
        assert!(matches!(Mending::on(&disk, Path::new(FILE), 0), Err(OutputError::Busy { .. })));
        drop(first);
        assert!(Mending::on(&disk, Path::new(FILE), 0).is_ok());
    }
}
