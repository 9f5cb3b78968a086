//! Exit codes, and what they are told with.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use aqueduct::mux::{OutputError, StageError};
use aqueduct::{Error, FetchError, Located, MuxError, RepairError, ReportError, ResolveError, Unit, VerifyError};

use crate::events;

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

impl Exit {
    /// What the process ends with.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Gaps => 3,
            Self::NothingFound => 4,
            Self::Refused => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Tells an error, and gives its exit code.
pub(crate) fn of(error: &anyhow::Error) -> Exit {
    let exit = Exit::of(error);
    complain(error, exit);
    exit
}

impl Exit {
    /// The exit code of an error.
    fn of(error: &anyhow::Error) -> Self {
        if let Some(failed) = Self::of_proof(error) {
            return failed;
        }
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
                    | OutputError::NoFolder { .. }
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

impl Exit {
    /// The exit code of a failure to prove or to mend: a file or a report that is not there, or not of this program, is the
    /// user's to name.
    fn of_proof(error: &anyhow::Error) -> Option<Self> {
        // Nothing is there, or no regular file.
        let is_of_name = |source: &std::io::Error| matches!(source.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput);
        let of_report = |error: &ReportError| match error {
            ReportError::Io { source, .. } if !is_of_name(source) => Self::Failed,
            _ => Self::Usage,
        };
        let of_verify = |error: &VerifyError| match error {
            VerifyError::Io { source, .. } if is_of_name(source) => Self::Usage,
            VerifyError::Report(error) => of_report(error),
            _ => Self::Failed,
        };
        if let Some(error) = error.downcast_ref::<VerifyError>() {
            return Some(of_verify(error));
        }
        if let Some(error) = error.downcast_ref::<ReportError>() {
            return Some(of_report(error));
        }
        match error.downcast_ref::<RepairError>()? {
            RepairError::Verify(error) => Some(of_verify(error)),
            _ => Some(Self::Failed),
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
    if events::are_on() {
        return events::note(line);
    }
    // Without standard error there is nobody to tell.
    let _ = writeln!(crate::words::told(), "{}", printable(line));
}

/// Tells an error, with its chain, and what a person can do next.
pub(crate) fn complain(error: &anyhow::Error, exit: Exit) {
    let hint = hint_of(error);
    if events::are_on() {
        events::error(&format!("{error:#}"), hint, exit.code());
        return;
    }
    let mut stderr = crate::words::told();
    // Without standard error there is nobody to tell.
    let _ = writeln!(stderr, "error: {}", printable(&format!("{error:#}")));
    if let Some(hint) = hint {
        let _ = writeln!(stderr, "hint: {hint}");
    }
}

/// What a failed repair says in front of the reason.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfRepair;

impl fmt::Display for OfRepair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("failed to repair")
    }
}

fn hint_of(error: &anyhow::Error) -> Option<&'static str> {
    let cause = error.downcast_ref::<Error>()?;
    if !error.is::<OfRepair>() {
        return hint(cause);
    }
    match cause {
        Error::OtherStream { .. } => Some("the file stays as it is; what is on offer now can be fetched under another name"),
        // It goes on without segments by itself, as far as that helps.
        cause => hint(cause).filter(|hint| !hint.contains("--on-missing")),
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
        // Without it nothing that follows can be read.
        Error::Fetch(Located {
            unit: Unit::Init(_),
            source,
            ..
        }) if source.is_retryable() => Some("--retries and --timeout give it more patience"),
        Error::Fetch(Located { unit: Unit::Init(_), .. }) => None,
        Error::Fetch(Located { source, .. }) if source.is_retryable() => {
            Some("--retries and --timeout give it more patience; --on-missing gap goes on without the segment, and names it")
        }
        Error::Fetch(Located { source, .. }) if source.status().is_some() => {
            Some("--on-missing gap goes on without the segment, and names it")
        }
        Error::Mux(StageError::Mux(Located {
            source: MuxError::NotWhole { .. },
            ..
        })) => Some("--on-missing gap goes on with what is whole of it, and names it"),
        Error::Expired { .. } => Some("--on-missing gap goes on without them, and names them"),
        Error::OtherStream { .. } => Some("choose another --output; --no-resume begins anew and gives up what is there"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use aqueduct::SafeUrl;
    use url::Url;

    use super::*;

    fn url() -> SafeUrl {
        SafeUrl::from(Url::parse("http://host.example/index.m3u8").unwrap())
    }

    fn not_there() -> io::Error {
        ErrorKind::NotFound.into()
    }

    #[test]
    fn the_table_in_the_readme_has_every_code_and_no_other() {
        let readme = include_str!("../../../README.md");
        let table = readme.split("| code | meaning |").nth(1).unwrap();
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let told: Vec<u8> = rows.map(|row| row.split('|').nth(1).unwrap().trim().parse().unwrap()).collect();
        let mut codes = [
            Exit::Whole,
            Exit::Gaps,
            Exit::NothingFound,
            Exit::Failed,
            Exit::Refused,
            Exit::Usage,
            Exit::Interrupted,
        ]
        .map(Exit::code);
        codes.sort_unstable();
        assert_eq!(told, codes);
    }

    #[test]
    fn each_failure_ends_with_the_code_of_the_table() {
        let refused = || FetchError::Refused {
            url: url(),
            reason: "it is forbidden".into(),
        };
        let path = || "film.mp4".into();
        let (file, report) = (
            VerifyError::Io {
                path: path(),
                source: not_there(),
            },
            ReportError::Io {
                path: path(),
                source: not_there(),
            },
        );
        let broken = || io::Error::other("the disk is broken");
        for (name, error, code) in [
            ("an empty playlist", anyhow::Error::new(Error::Empty), 4),
            ("all segments are missing", Error::AllMissing { missing: 3 }.into(), 1),
            ("another stream", Error::OtherStream { what: String::new() }.into(), 2),
            ("stopped before there was anything", Error::Stopped.into(), 130),
            ("refused while resolving", Error::Resolve(ResolveError::Fetch(refused())).into(), 5),
            (
                "refused while fetching",
                Error::Fetch(Located::new(aqueduct::TrackId::new(0), Unit::Segment(3), refused())).into(),
                5,
            ),
            (
                "an output that is there",
                Error::Output(OutputError::Exists { path: path() }).into(),
                2,
            ),
            (
                "an output in a folder that is not there",
                Error::Output(OutputError::NoFolder { path: path() }).into(),
                2,
            ),
            (
                "an output that another process writes",
                Error::Output(OutputError::Busy { path: path() }).into(),
                1,
            ),
            ("an option that cannot be used", anyhow::anyhow!("no such stream"), 2),
            ("no file to verify", anyhow::Error::new(file).context("failed to verify"), 2),
            ("no report", anyhow::Error::new(report).context("failed to verify"), 2),
            (
                "a file that cannot be read to its end",
                VerifyError::Io {
                    path: path(),
                    source: broken(),
                }
                .into(),
                1,
            ),
            (
                "a report that cannot be read to its end",
                VerifyError::Report(ReportError::Io {
                    path: path(),
                    source: broken(),
                })
                .into(),
                1,
            ),
            (
                "a report of another version",
                VerifyError::Report(ReportError::Version { path: path(), version: 7 }).into(),
                2,
            ),
            ("a file that another process repairs", RepairError::Busy { path: path() }.into(), 1),
            (
                "a file that cannot be written",
                RepairError::Io {
                    path: path(),
                    action: "cannot be written",
                    source: broken(),
                }
                .into(),
                1,
            ),
        ] {
            assert_eq!(Exit::of(&error).code(), code, "{name}");
        }
    }

    #[test]
    fn a_repair_is_told_of_no_option_that_it_does_not_have() {
        let segment = || {
            let source = FetchError::Status {
                url: url(),
                status: 404,
                retry_after: None,
            };
            Error::Fetch(Located::new(aqueduct::TrackId::new(0), Unit::Segment(3), source))
        };
        let other = || Error::OtherStream { what: String::new() };
        for (error, says) in [(segment(), None), (other(), Some("under another name"))] {
            let hint = hint_of(&anyhow::Error::new(error).context(OfRepair));
            assert!(hint.is_some() == says.is_some() && hint.unwrap_or_default().contains(says.unwrap_or_default()));
        }
        for (error, option) in [(segment(), "--on-missing"), (other(), "--no-resume")] {
            assert!(hint_of(&error.into()).is_some_and(|hint| hint.contains(option)), "{option}");
        }
        let error = anyhow::Error::new(other()).context(OfRepair);
        assert_eq!(Exit::of(&error).code(), 2);
    }

    #[test]
    fn an_initialization_section_is_not_said_to_be_one_to_go_on_without() {
        for status in [404, 503] {
            let hint = |unit| {
                let source = FetchError::Status {
                    url: url(),
                    status,
                    retry_after: None,
                };
                hint(&Error::Fetch(Located::new(aqueduct::TrackId::new(0), unit, source)))
            };
            let goes_on = |hint: Option<&str>| hint.is_some_and(|hint| hint.contains("--on-missing gap"));
            assert!(goes_on(hint(Unit::Segment(3))), "{status}");
            assert!(!goes_on(hint(Unit::Init(3))), "{status}");
        }
    }
}
