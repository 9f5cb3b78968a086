//! A disk that fails on demand, and forgets what was not made safe when its power is cut.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::disk::{Bytes, Disk, There};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// One operation fails.
    Error,
    /// From here on nothing can be written.
    Full,
    /// One write takes a part only, and the next fails.
    Short,
    /// From here on nothing works: the process is killed.
    Killed,
    /// The same, and what was not safe is lost, in any order and in the middle of blocks.
    PowerCut,
}

/// A write or a change of length that is not safe yet.
#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => {
                let start = usize::try_from(*offset).unwrap();
                bytes.resize(bytes.len().max(start + data.len()), 0);
                bytes[start..start + data.len()].copy_from_slice(data);
            }
            Self::Length(length) => bytes.resize(usize::try_from(*length).unwrap(), 0),
        }
    }
}

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    safe: Vec<u8>,
    pending: Vec<Change>,
    lock: Weak<()>,
}

type Inode = Arc<Mutex<Content>>;

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<PathBuf, Inode>,
    safe_names: BTreeMap<PathBuf, Inode>,
    folders: BTreeSet<PathBuf>,
    safe_folders: BTreeSet<PathBuf>,
    /// Folders that have another name now, which is not safe yet.
    renamed: Vec<(PathBuf, PathBuf)>,
    operations: u64,
    /// At which operation what goes wrong.
    fault: Option<(u64, Fault)>,
    /// Bytes that may still be written, where it is told.
    free: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct Handle {
    disk: FaultyDisk,
    inode: Inode,
    _lock: Option<Arc<()>>,
}

/// What an operation does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
}

fn failed(kind: io::ErrorKind) -> io::Error {
    kind.into()
}

impl FaultyDisk {
    /// Has the operation with this number, counted from now, go wrong.
    pub(crate) fn fail_at(&self, operation: u64, fault: Fault) {
        let mut state = self.0.lock().unwrap();
        state.operations = 0;
        state.fault = Some((operation, fault));
    }

    /// Operations since the last [`fail_at`](Self::fail_at).
    pub(crate) fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    /// Tells that so many bytes have room.
    pub(crate) fn has_room(&self, bytes: u64) {
        self.0.lock().unwrap().free = Some(bytes);
    }

    /// Somebody else writes a file, safely.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        let content = Content {
            now: bytes.to_vec(),
            safe: bytes.to_vec(),
            ..Content::default()
        };
        let inode = Arc::new(Mutex::new(content));
        let mut state = self.0.lock().unwrap();
        state.names.insert(path.into(), Arc::clone(&inode));
        state.safe_names.insert(path.into(), inode);
    }

    pub(crate) fn file(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.0.lock().unwrap();
        state.names.get(path).map(|inode| inode.lock().unwrap().now.clone())
    }

    pub(crate) fn names(&self) -> Vec<PathBuf> {
        self.0.lock().unwrap().names.keys().cloned().collect()
    }

    /// Another process comes, after the power was cut or not.
    pub(crate) fn next_process(&self, seed: u64) {
        let mut state = self.0.lock().unwrap();
        let cut = matches!(state.fault, Some((at, Fault::PowerCut)) if state.operations >= at);
        state.fault = None;
        if !cut {
            return;
        }
        let random = |what: &dyn Fn(&mut DefaultHasher)| {
            let mut hasher = DefaultHasher::new();
            seed.hash(&mut hasher);
            what(&mut hasher);
            hasher.finish()
        };
        // File systems keep names in order: all since they were made safe are there, or none.
        if random(&|hasher| "names".hash(hasher)).is_multiple_of(2) {
            // What is safe in a folder whose own name is not is nowhere.
            let folders = state.safe_folders.clone();
            let reachable = |path: &Path| {
                let above = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
                above.into_iter().all(|folder| folders.contains(folder))
            };
            state.names = state.safe_names.clone();
            state.names.retain(|path, _| reachable(path));
            state.folders = folders.iter().filter(|path| reachable(path)).cloned().collect();
        }
        for (path, inode) in &state.names {
            let mut content = inode.lock().unwrap();
            let mut bytes = content.safe.clone();
            for (number, change) in content.pending.iter().enumerate() {
                let chance = random(&|hasher| (path, number).hash(hasher));
                match change {
                    // Some are lost, some are torn.
                    _ if chance % 3 == 0 => {}
                    Change::Write(offset, data) if chance % 3 == 1 => {
                        let torn = usize::try_from(chance >> 8).unwrap() % (data.len() + 1);
                        Change::Write(*offset, data[..torn].to_vec()).apply(&mut bytes);
                    }
                    change => change.apply(&mut bytes),
                }
            }
            *content = Content {
                now: bytes.clone(),
                safe: bytes,
                ..Content::default()
            };
        }
        state.safe_names = state.names.clone();
        state.safe_folders = state.folders.clone();
        state.renamed.clear();
    }

    /// Opens a file, unless another process has it.
    fn locked(&self, inode: Inode) -> io::Result<Box<dyn Bytes>> {
        let lock = Arc::new(());
        {
            let mut content = inode.lock().unwrap();
            if content.lock.upgrade().is_some() {
                return Err(failed(io::ErrorKind::WouldBlock));
            }
            content.lock = Arc::downgrade(&lock);
        }
        Ok(Box::new(Handle {
            disk: self.clone(),
            inode,
            _lock: Some(lock),
        }))
    }

    /// Counts an operation. How many of `length` bytes it may write.
    fn operate(&self, kind: Kind, length: usize) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap();
        let number = state.operations;
        state.operations += 1;
        let Some((at, fault)) = state.fault.filter(|(at, _)| number >= *at) else {
            return Ok(length);
        };
        match fault {
            Fault::Error if number == at => Err(failed(io::ErrorKind::Other)),
            Fault::Full if kind == Kind::Write => Err(failed(io::ErrorKind::StorageFull)),
            Fault::Short if number == at && length > 0 => Ok(length / 2),
            Fault::Short if number == at + 1 && kind == Kind::Write => Err(failed(io::ErrorKind::StorageFull)),
            Fault::Killed | Fault::PowerCut => Err(failed(io::ErrorKind::BrokenPipe)),
            _ => Ok(length),
        }
    }
}

/// The name of what stands at `path` when the folder `from` is called `to`.
fn other_name(path: &Path, from: &Path, to: &Path) -> PathBuf {
    match path.strip_prefix(from) {
        Ok(rest) if rest.as_os_str().is_empty() => to.into(),
        Ok(rest) => to.join(rest),
        Err(_) => path.into(),
    }
}

/// All names when the folder `from` is called `to`.
fn moved(names: &BTreeMap<PathBuf, Inode>, from: &Path, to: &Path) -> BTreeMap<PathBuf, Inode> {
    let moved = |(path, inode): (&PathBuf, &Inode)| (other_name(path, from, to), Arc::clone(inode));
    names.iter().map(moved).collect()
}

impl Disk for FaultyDisk {
    fn there(&self, path: &Path) -> There {
        match self.file(path) {
            Some(bytes) => There::File(bytes.len() as u64),
            None if self.0.lock().unwrap().folders.contains(path) => There::Folder,
            None => There::Nothing,
        }
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Bytes>> {
        self.operate(Kind::Write, 0)?;
        let inode = Arc::clone(self.0.lock().unwrap().names.entry(path.into()).or_default());
        self.locked(inode)
    }

    fn change(&self, path: &Path) -> io::Result<Box<dyn Bytes>> {
        self.operate(Kind::Read, 0)?;
        let inode = self.0.lock().unwrap().names.get(path).cloned();
        self.locked(inode.ok_or_else(|| failed(io::ErrorKind::NotFound))?)
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Bytes>> {
        self.operate(Kind::Read, 0)?;
        let state = self.0.lock().unwrap();
        let inode = state.names.get(path).cloned().ok_or_else(|| failed(io::ErrorKind::NotFound))?;
        Ok(Box::new(Handle {
            disk: self.clone(),
            inode,
            _lock: None,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(Kind::Read, 0)?;
        let mut state = self.0.lock().unwrap();
        if state.folders.contains(from) {
            state.names = moved(&state.names, from, to);
            state.folders = state.folders.iter().map(|path| other_name(path, from, to)).collect();
            state.renamed.push((from.into(), to.into()));
            return Ok(());
        }
        let inode = state.names.remove(from).ok_or_else(|| failed(io::ErrorKind::NotFound))?;
        state.names.insert(to.into(), inode);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operate(Kind::Read, 0)?;
        let removed = self.0.lock().unwrap().names.remove(path);
        removed.map(drop).ok_or_else(|| failed(io::ErrorKind::NotFound))
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.operate(Kind::Write, 0)?;
        self.0.lock().unwrap().folders.insert(path.into());
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.operate(Kind::Read, 0)?;
        let mut state = self.0.lock().unwrap();
        let is_in = |other: &PathBuf| other != path && other.starts_with(path);
        if state.names.keys().any(is_in) || state.folders.iter().any(is_in) {
            return Err(failed(io::ErrorKind::DirectoryNotEmpty));
        }
        state
            .folders
            .remove(path)
            .then_some(())
            .ok_or_else(|| failed(io::ErrorKind::NotFound))
    }

    fn walk(&self, folder: &Path, each: &mut dyn FnMut(&Path, There) -> io::Result<()>) -> io::Result<()> {
        self.operate(Kind::Read, 0)?;
        let mut paths: Vec<PathBuf> = {
            let state = self.0.lock().unwrap();
            let all = state.names.keys().chain(&state.folders);
            all.filter(|path| path.starts_with(folder) && *path != folder).cloned().collect()
        };
        paths.sort();
        paths.iter().rev().try_for_each(|path| each(path, self.there(path)))
    }

    fn identity(&self, folder: &Path) -> Option<(u64, u64)> {
        self.0.lock().unwrap().folders.contains(folder).then_some((0, 0))
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.read(path)?.sync()
    }

    fn sync_names(&self, path: &Path) -> io::Result<()> {
        self.operate(Kind::Read, 0)?;
        let mut state = self.0.lock().unwrap();
        let state = &mut *state;
        let is_here = |other: &Path| other.parent() == path.parent();
        for (from, to) in state.renamed.extract_if(.., |(_, to)| is_here(to)) {
            state.safe_names = moved(&state.safe_names, &from, &to);
            state.safe_folders = state.safe_folders.iter().map(|path| other_name(path, &from, &to)).collect();
        }
        state.safe_names.retain(|path, _| !is_here(path));
        let names = state.names.iter().filter(|(path, _)| is_here(path));
        state
            .safe_names
            .extend(names.map(|(path, inode)| (path.clone(), Arc::clone(inode))));
        state.safe_folders.retain(|path| !is_here(path));
        state
            .safe_folders
            .extend(state.folders.iter().filter(|path| is_here(path)).cloned());
        Ok(())
    }

    fn free(&self, _: &Path) -> Option<u64> {
        self.0.lock().unwrap().free
    }

    fn pace(&self) -> (Duration, u64) {
        (Duration::from_secs(3600), 40)
    }
}

impl Bytes for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.inode.lock().unwrap().now.len() as u64)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.disk.operate(Kind::Read, 0)?;
        let content = self.inode.lock().unwrap();
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| content.now.get(offset..))
            .unwrap_or_default();
        let length = rest.len().min(bytes.len());
        bytes[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let length = self.disk.operate(Kind::Write, bytes.len())?;
        let change = Change::Write(offset, bytes[..length].to_vec());
        let mut content = self.inode.lock().unwrap();
        change.apply(&mut content.now);
        content.pending.push(change);
        Ok(length)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.operate(Kind::Write, 0)?;
        let change = Change::Length(length);
        let mut content = self.inode.lock().unwrap();
        change.apply(&mut content.now);
        content.pending.push(change);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.operate(Kind::Write, 0)?;
        let mut content = self.inode.lock().unwrap();
        content.safe = content.now.clone();
        content.pending.clear();
        Ok(())
    }

    fn share(&self) -> io::Result<Box<dyn Bytes>> {
        Ok(Box::new(Self {
            disk: self.disk.clone(),
            inode: Arc::clone(&self.inode),
            _lock: self._lock.clone(),
        }))
    }

    fn is_at(&self, path: &Path) -> bool {
        let state = self.disk.0.lock().unwrap();
        state.names.get(path).is_some_and(|inode| Arc::ptr_eq(inode, &self.inode))
    }
}
