//! Windows that move, and Ctrl-C.

use super::*;

pub(super) fn scenarios() -> Vec<Scenario> {
    let film = || vec![Reference::all("high-ts")];
    let interrupted = |name| Scenario {
        interrupt: Some(Interrupt { path: "*.ts", answered: 6 }),
        exit: 130,
        ..to_ts(name, "/s/live-unended/index.m3u8")
    };
    vec![
        Scenario {
            asked: vec![Asked::exactly("/s/live/*.ts", 6), Asked::at_least("/s/live/index.m3u8", 4)],
            ..to_ts("live/window-moves-until-the-end", "/s/live/index.m3u8")
        },
        to_ts("live/encrypted", "/s/live-aes/index.m3u8"),
        played(to_mp4("live/to-mp4", "/s/live/index.m3u8", film())),
        interrupted("live/ctrl-c-leaves-a-playable-ts"),
        Scenario {
            output: "out.mp4",
            outcome: Outcome::Mp4(film()),
            ..interrupted("live/ctrl-c-leaves-a-playable-mp4")
        },
    ]
}
