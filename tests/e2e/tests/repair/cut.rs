//! Segments that came cut short and are in the file in part.

use super::*;

#[tokio::test]
async fn what_is_there_in_part_is_told_and_made_anew_once_it_is_whole() {
    const SHORT: &str = "cut short";
    const BLOCKS: &str = "no whole number of 16-byte blocks";
    for (output, path, segment, at, refusal) in [
        ("out.mp4", "/s/plain-ts/index.m3u8", "/s/plain-ts/2.ts", 30_000, SHORT),
        ("out.ts", "/s/plain-ts/index.m3u8", "/s/plain-ts/2.ts", 30_000, SHORT),
        ("out.mkv", "/s/fmp4/index.m3u8", "/s/fmp4/2.m4s", 20_000, SHORT),
        (
            "out.mp4",
            "/s/aes-explicit-iv/index.m3u8",
            "/s/aes-explicit-iv/2.ts",
            30_001,
            BLOCKS,
        ),
        // With the block goes all behind packet 160.
        (
            "out.ts",
            "/s/aes-explicit-iv/index.m3u8",
            "/s/aes-explicit-iv/2.ts",
            160 * 188 + 3,
            BLOCKS,
        ),
        // Between two blocks and two packets: the segment in front of it shows that padding belongs there.
        (
            "out.ts",
            "/s/aes-explicit-iv/index.m3u8",
            "/s/aes-explicit-iv/2.ts",
            160 * 188,
            SHORT,
        ),
        ("out.mkv", "/s/aes-fmp4-init/index.m3u8", "/s/aes-fmp4-init/2.m4s", 20_003, BLOCKS),
    ] {
        let name = format!("{path} to {output}");
        let undisturbed = Made::new(output, path, &[]).await;
        let rule = || vec![Rule::new(segment, Fault::Shorten { at })];
        let refused = Bench::new(rule()).fetch(&["-o", output], path).await;
        expect(&refused, 1, refusal);
        let made = Made::by(Bench::new(rule()), output, path, &["--on-missing", "gap"], 3).await;
        assert_eq!(made.report["outcome"], "gaps", "{name}");
        let fates: Vec<_> = made
            .units()
            .iter()
            .filter(|unit| unit.get("init").is_none())
            .map(|unit| &unit["fate"])
            .collect();
        assert_eq!(fates, ["written", "written", "cut", "written", "written", "written"], "{name}");
        let why = made.units().iter().find_map(|unit| unit["why"].as_str()).unwrap();
        assert!(why.contains("cut short") && why.contains("kept"), "{name}: {why}");
        let (offset, length) = made.piece(0, 2);
        assert!(length > 10_000, "{name}: {length} bytes are kept");
        if output == "out.ts" {
            let (of_whole, _) = undisturbed.piece(0, 2);
            assert!(made.whole[offset..][..length] == undisturbed.whole[of_whole..][..length], "{name}");
        }
        expect(&made.bench.run(&["verify", output]).await, 3, "segment 2 of track 0");
        // It still comes like that.
        let repaired = made.bench.run(&["repair", output]).await;
        assert_ne!(repaired.code, Some(0), "{name}: {}", repaired.stderr);
        made.is_whole(&name);
        made.bench.server.set_rules(Vec::new());
        anew::is_made_anew(&made, &undisturbed.whole, "there in part: 1", &name).await;
    }
}
