//! Files that are written beside the outputs when all is done: the report, the cookies.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, bail};
use tempfile::{Builder, NamedTempFile};

/// Who may read such a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// The user alone: it has secrets.
    User,
    /// Whoever may read what the user makes otherwise.
    Usual,
}

/// Refuses a place where nothing can be written, before hours are spent on what is to be told there. A pipe or a device is
/// written to as it is.
pub(crate) fn check(path: &Path) -> anyhow::Result<()> {
    if is_stream(path) {
        return Ok(());
    }
    if path.symlink_metadata().is_ok_and(|known| !known.is_file()) {
        bail!("{} is no regular file, and is not replaced: name another file", path.display());
    }
    if !folder(path).is_dir() {
        bail!("{}: its folder is not there: make it, or name another file", path.display());
    }
    begin(folder(path), Readers::User).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(())
}

/// Writes such a file. It has its name when it is whole, so that a power cut leaves the one before, or this one.
pub(crate) fn write(path: &Path, readers: Readers, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    if is_stream(path) {
        let mut out = BufWriter::new(File::options().write(true).open(path)?);
        write(&mut out)?;
        return Ok(out.flush()?);
    }
    check(path)?;
    let mut out = BufWriter::new(begin(folder(path), readers)?);
    write(&mut out)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.as_file().sync_data()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(unix)]
fn begin(folder: &Path, readers: Readers) -> io::Result<NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;

    let mode = match readers {
        Readers::User => 0o600,
        // Less what the umask takes.
        Readers::Usual => 0o666,
    };
    Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(folder)
}

#[cfg(not(unix))]
fn begin(folder: &Path, _: Readers) -> io::Result<NamedTempFile> {
    Builder::new().tempfile_in(folder)
}

/// Whether it is a pipe, a terminal or another device, which a file of that name must not replace.
pub(crate) fn is_stream(path: &Path) -> bool {
    path.metadata().is_ok_and(|known| !known.is_file() && !known.is_dir())
}

fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::process::{Command, Stdio};

    use super::*;

    fn hello(out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"hello")
    }

    #[test]
    fn a_place_that_takes_no_file_is_refused_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("folder")).unwrap();
        std::fs::write(at("theirs"), "theirs").unwrap();
        symlink(at("theirs"), at("link")).unwrap();
        symlink(at("nothing"), at("dangling")).unwrap();
        for (name, word) in [
            ("folder", "no regular file"),
            ("link", "no regular file"),
            ("dangling", "no regular file"),
            ("nowhere/file", "folder is not there"),
            ("theirs/file", "folder is not there"),
        ] {
            for refused in [check(&at(name)), write(&at(name), Readers::Usual, hello)] {
                assert!(refused.unwrap_err().to_string().contains(word), "{name}");
            }
        }
        assert_eq!(std::fs::read(at("theirs")).unwrap(), b"theirs");
        assert!(!at("nothing").exists());
        assert_eq!(folder.path().read_dir().unwrap().count(), 4, "nothing is left behind");
    }

    #[test]
    fn a_pipe_is_written_to_and_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = Command::new("cat").arg(&pipe).stdout(Stdio::piped()).spawn().unwrap();
        check(&pipe).unwrap();
        write(&pipe, Readers::Usual, hello).unwrap();
        assert_eq!(reader.wait_with_output().unwrap().stdout, b"hello");
        assert!(is_stream(&pipe));
    }

    #[test]
    fn secrets_are_for_the_user_and_the_rest_for_whom_the_umask_says() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("usual"), "").unwrap();
        let usual = at("usual").metadata().unwrap().mode() & 0o777;
        for (readers, mode) in [(Readers::User, 0o600), (Readers::Usual, usual)] {
            for _ in 0..2 {
                write(&at("file"), readers, hello).unwrap();
                assert_eq!(at("file").metadata().unwrap().mode() & 0o777, mode, "{readers:?}");
                assert_eq!(std::fs::read(at("file")).unwrap(), b"hello");
            }
        }
    }
}
