//! Exit codes, and what they are told with.

use std::io::Write;
use std::process::ExitCode;

use aqueduct::mux::OutputError;
use aqueduct::{Error, FetchError, Located, ResolveError};

/// How a run ended, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// All that was on offer is there.
    Whole,
    /// Finished, but without segments that were on offer.
    Gaps,
    /// Nothing to fetch was found.
    NothingFound,
    /// Failed or incomplete.
    Failed,
    /// Refused by policy.
    Refused,
    /// The command line cannot be used.
    Usage,
    /// Interrupted; what was recorded is finalised.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Whole => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Gaps => 3,
            Exit::NothingFound => 4,
            Exit::Refused => 5,
            Exit::Interrupted => 130,
        })
    }
}

/// Tells an error, and gives its exit code.
pub(crate) fn of(error: &anyhow::Error) -> Exit {
    complain(error);
    Exit::of(error)
}

impl Exit {
    /// The exit code of an error.
    fn of(error: &anyhow::Error) -> Self {
        match error.downcast_ref::<Error>() {
            Some(Error::Resolve(ResolveError::NothingFound { .. } | ResolveError::TooDeep { .. }) | Error::Empty) => Self::NothingFound,
            Some(
                Error::Resolve(ResolveError::Input { .. })
                | Error::OtherStream { .. }
                | Error::Output(
                    OutputError::Exists { .. }
                    | OutputError::FolderExists { .. }
                    | OutputError::Foreign { .. }
                    | OutputError::Special { .. }
                    | OutputError::OtherStream { .. }
                    | OutputError::OtherVersion { .. },
                ),
            ) => Self::Usage,
            Some(Error::Stopped) => Self::Interrupted,
            Some(error) if error.is_refusal() => Self::Refused,
            Some(_) => Self::Failed,
            None => Self::Usage,
        }
    }
}

/// Text with what would steer a terminal made visible: names and messages come from servers.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() && character != '\n' {
                char::REPLACEMENT_CHARACTER
            } else {
                character
            }
        })
        .collect()
}

/// An error with all its sources.
pub(crate) fn chain(error: &Error) -> String {
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Tells a line, also to those who want to hear of errors only.
pub(crate) fn tell(line: &str) {
    // Without standard error there is nobody to tell.
    let _ = writeln!(crate::progress::log_writer(), "{}", printable(line));
}

/// Tells an error, with its chain, and what a person can do next.
pub(crate) fn complain(error: &anyhow::Error) {
    let mut stderr = crate::progress::log_writer();
    // Without standard error there is nobody to tell.
    let _ = writeln!(stderr, "error: {}", printable(&format!("{error:#}")));
    if let Some(hint) = error.downcast_ref::<Error>().and_then(hint) {
        let _ = writeln!(stderr, "hint: {hint}");
    }
}

fn hint(error: &Error) -> Option<&'static str> {
    let refused_by_server = |error: &FetchError| matches!(error.status(), Some(401 | 403));
    match error {
        Error::Resolve(ResolveError::NothingFound { .. }) => {
            Some("-vv tells each step; scripts of a page are not run here, but the address of its playlist works as INPUT")
        }
        Error::Resolve(ResolveError::Fetch(error)) if refused_by_server(error) => {
            Some("--referer, --cookies, --header and --user-agent send what a browser would; --netrc has passwords")
        }
        Error::Fetch(Located { source, .. }) if refused_by_server(source) => {
            Some("addresses expire: begin again from the page; --referer, --cookies and --header send what a browser would")
        }
        Error::Fetch(Located { source, .. }) if source.is_retryable() => {
            Some("--retries and --timeout give it more patience; --on-missing gap goes on without the segment, and names it")
        }
        Error::Fetch(Located { source, .. }) if source.status().is_some() => {
            Some("--on-missing gap goes on without the segment, and names it")
        }
        Error::Expired { .. } => Some("--on-missing gap goes on without them, and names them"),
        Error::OtherStream { .. } => Some("choose another --output; --no-resume begins anew and gives up what is there"),
        _ => None,
    }
}
