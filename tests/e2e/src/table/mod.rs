//! The table of scenarios, by subject.

mod command_line;
mod encryption;
mod every_fault;
mod faults;
mod live;
mod pages;
mod policy;
mod refusals;
mod sealed;
mod streams;
mod subtitles;

use crate::reference::Reference;
use crate::scenario::{Asked, Input, Interrupt, Outcome, Scenario};

/// Every scenario. Names are unique.
pub fn all() -> Vec<Scenario> {
    [
        pages::scenarios(),
        streams::scenarios(),
        subtitles::scenarios(),
        encryption::scenarios(),
        sealed::scenarios(),
        faults::scenarios(),
        every_fault::scenarios(),
        refusals::scenarios(),
        live::scenarios(),
        policy::scenarios(),
        command_line::scenarios(),
    ]
    .concat()
}

/// All segments of `high-ts`, concatenated: what most streams hold.
fn high() -> Outcome {
    Outcome::Concatenation(Reference::all("high-ts"))
}

/// The stream at `path` to an MPEG-TS file, whole.
fn to_ts(name: &'static str, path: &'static str) -> Scenario {
    Scenario {
        name,
        input: Input::Served(path),
        outcome: high(),
        ..Scenario::default()
    }
}

/// The stream at `path` to an MP4 file with the packets of `references`.
fn to_mp4(name: &'static str, path: &'static str, references: Vec<Reference>) -> Scenario {
    let outcome = Outcome::Mp4(references);
    Scenario {
        name,
        input: Input::Served(path),
        output: "out.mp4",
        outcome,
        ..Scenario::default()
    }
}

/// The same, and a browser plays the output.
fn played(scenario: Scenario) -> Scenario {
    Scenario { plays: true, ..scenario }
}

/// The stream at `path` cannot be had: exit code 1 and no file.
fn fails(name: &'static str, path: &'static str) -> Scenario {
    Scenario {
        name,
        input: Input::Served(path),
        exit: 1,
        ..Scenario::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_tell_their_subject() {
        let all = super::all();
        let names: BTreeSet<_> = all.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), all.len());
        assert!(names.iter().all(|name| name.contains('/')));
    }
}
