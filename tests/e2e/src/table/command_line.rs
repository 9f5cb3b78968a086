//! The manners of the binary: streams, words and exit codes.

use super::*;

pub(super) fn scenarios() -> Vec<Scenario> {
    let plain = |name| to_ts(name, "/s/plain-ts/index.m3u8");
    vec![
        Scenario {
            output: "-",
            args: vec!["--format", "ts"],
            ..plain("command-line/standard-output")
        },
        Scenario {
            output: "-",
            args: vec!["--format", "raw"],
            exit: 1,
            outcome: Outcome::Beginning(Reference::some("high-ts", &[0, 1])),
            rules: vec![fixture_server::Rule::new("*/2.ts", fixture_server::Fault::status(404))],
            ..plain("command-line/standard-output-ends-before-what-is-missing")
        },
        Scenario {
            rules: vec![fixture_server::Rule::new(
                "*/5.ts",
                fixture_server::Fault::Trickle { bytes_per_second: 8_000 },
            )],
            says: vec!["segments"],
            hides: vec!["\r", "\u{1b}"],
            ..plain("command-line/plain-lines-where-there-is-no-terminal")
        },
        Scenario {
            unnamed: true,
            output: "Evening news.mp4",
            probe: vec!["TAG:title=Evening news"],
            ..to_mp4(
                "command-line/named-by-the-title",
                "/p/nested/watch.html",
                vec![Reference::all("high-ts")],
            )
        },
        Scenario {
            local: vec![("out.ts", "low-ts/0.ts")],
            exit: 2,
            outcome: Outcome::Bytes("low-ts/0.ts"),
            says: vec!["out.ts"],
            asked: vec![Asked::exactly("*.ts", 0)],
            ..plain("command-line/an-output-that-is-there-stays")
        },
        Scenario {
            local: vec![("out.ts", "low-ts/0.ts")],
            args: vec!["--overwrite"],
            ..plain("command-line/an-output-that-is-there-is-replaced-on-demand")
        },
        Scenario {
            args: vec!["-q"],
            hides: vec!["segment"],
            ..plain("command-line/quiet")
        },
        Scenario {
            args: vec!["--no-such-option"],
            exit: 2,
            outcome: Outcome::Nothing,
            says: vec!["--no-such-option"],
            asked: vec![Asked::exactly("*", 0)],
            ..plain("command-line/unknown-option")
        },
        Scenario {
            args: vec!["--report", "nowhere/report.json"],
            exit: 2,
            outcome: Outcome::Nothing,
            says: vec!["--report", "nowhere/report.json", "folder"],
            asked: vec![Asked::exactly("*", 0)],
            ..plain("command-line/a-report-that-could-not-be-written")
        },
        Scenario {
            args: vec!["--cookie-jar", "nowhere/cookies.txt"],
            exit: 2,
            outcome: Outcome::Nothing,
            says: vec!["--cookie-jar", "nowhere/cookies.txt", "folder"],
            asked: vec![Asked::exactly("*", 0)],
            ..plain("command-line/cookies-that-could-not-be-written")
        },
        Scenario {
            args: vec!["--on-missing", "perhaps"],
            exit: 2,
            outcome: Outcome::Nothing,
            asked: vec![Asked::exactly("*", 0)],
            ..plain("command-line/unknown-value")
        },
        Scenario {
            args: vec!["-v"],
            hides: vec!["hunter2"],
            input: Input::Served("/s/plain-ts/index.m3u8?password=hunter2"),
            ..plain("command-line/secrets-stay-out-of-the-log")
        },
    ]
}
