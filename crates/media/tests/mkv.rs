//! The Matroska writer: its files as another crate reads them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "mkv/refill.rs"]
mod refill;

use std::{io::Cursor, time::Duration};

use aqueduct_media::{
    Error, Language, Roles, Sample, TrackConfig, TrackKind,
    mkv::{Chapter, Metadata, Options, TextForm, Writer},
    time::rescale,
    webvtt::Cue,
    wvtt,
};
use bytes::Bytes;
use matroska_demuxer::{Frame, MatroskaFile};
use proptest::prelude::*;

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len() + 8).unwrap().to_be_bytes()[..], kind, body].concat()
}

/// A visual sample entry (ISO 14496-12 §12.1.3) of 640 by 360 with these boxes.
fn visual(kind: &[u8; 4], boxes: &[u8]) -> Bytes {
    let mut fields = vec![0; 78];
    fields[24..28].copy_from_slice(&[2, 128, 1, 104]);
    boxed(kind, &[&fields, boxes].concat()).into()
}

/// An audio sample entry (§12.2.3) of two channels at 48 kHz with these boxes.
fn audio(kind: &[u8; 4], boxes: &[u8]) -> Bytes {
    let mut fields = vec![0; 28];
    fields[17] = 2;
    fields[24..26].copy_from_slice(&48_000_u16.to_be_bytes());
    boxed(kind, &[&fields, boxes].concat()).into()
}

fn config(kind: TrackKind, timescale: u32, sample_entry: Bytes) -> TrackConfig {
    TrackConfig {
        kind,
        handler: *b"vide",
        timescale,
        sample_entry,
        display_size: (640, 360),
        matrix: None,
        language: Language::new(b"eng"),
        language_tag: None,
        name: None,
        roles: Roles::default(),
        presentation_offset: None,
    }
}

fn vp8(timescale: u32) -> TrackConfig {
    config(TrackKind::Video, timescale, visual(b"vp08", &[]))
}

fn ac3() -> TrackConfig {
    config(TrackKind::Audio, 48_000, audio(b"ac-3", &[]))
}

/// The identification of Opus in ISO BMFF: two channels, 312 samples of pre-skip.
fn opus() -> TrackConfig {
    let dops = boxed(b"dOps", &[0, 2, 1, 56, 0, 0, 0xbb, 0x80, 0, 0, 0]);
    config(TrackKind::Audio, 48_000, audio(b"Opus", &dops))
}

fn sample(pts: i64, duration: u32, sync: bool, data: Vec<u8>) -> Sample {
    Sample {
        dts: pts,
        pts,
        duration: Some(duration),
        sync,
        data: data.into(),
    }
}

fn options(seekable: bool) -> Options {
    let mut options = Options::default();
    options.seekable = seekable;
    options
}

fn seekable() -> Options {
    options(true)
}

/// The file of these tracks and samples.
fn file(options: &Options, tracks: &[TrackConfig], samples: &[(usize, Sample)]) -> Vec<u8> {
    file_with_breaks(options, tracks, samples, &[])
}

/// The same, with the writer put aside and taken up again before some samples.
fn file_with_breaks(options: &Options, tracks: &[TrackConfig], samples: &[(usize, Sample)], breaks: &[usize]) -> Vec<u8> {
    let (mut writer, mut file, mut parts) = (Writer::new(options), Vec::new(), Vec::new());
    for track in tracks {
        writer.add_track(track).unwrap();
    }
    for (number, (track, sample)) in samples.iter().enumerate() {
        if breaks.contains(&number) {
            parts.push(postcard::to_stdvec(&writer).unwrap());
            writer = Writer::new(options);
            for part in &parts {
                let mut part: Writer = postcard::from_bytes(part).unwrap();
                part.put_behind(writer);
                writer = part;
            }
            writer.mark_saved();
        }
        writer.add(*track, &sample.as_slice(&[]), &mut file).unwrap();
        if number % 40 == 39 {
            writer.flush(&mut file);
        }
    }
    let finish = writer.finish().unwrap();
    assert_eq!((finish.moved_samples, finish.broken_samples), (0, 0));
    file.extend_from_slice(&finish.append);
    for patch in finish.patches {
        let at = usize::try_from(patch.offset).unwrap();
        file[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    file
}

fn read(file: &[u8]) -> (MatroskaFile<Cursor<Vec<u8>>>, Vec<Frame>) {
    let mut reader = MatroskaFile::open(Cursor::new(file.to_vec())).unwrap();
    let (mut frames, mut frame) = (Vec::new(), Frame::default());
    while reader.next_frame(&mut frame).unwrap() {
        frames.push(frame.clone());
    }
    (reader, frames)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_again(
        timescale in prop::sample::select(vec![1000_u32, 12_800, 24_000, 90_000, 10_000_000]),
        start in -5_i64..100_000,
        pictures in prop::collection::vec((1_i64..200, 0_usize..9000, any::<bool>(), 0_i64..3), 1..200),
        seekable: bool,
        breaks in prop::collection::vec(0_usize..300, 0..4),
    ) {
        let tick = i64::from(timescale / 500);
        let mut samples = Vec::new();
        let mut dts = start * tick;
        for (number, (step, size, sync, reorder)) in pictures.iter().enumerate() {
            dts += step * tick;
            let mut picture = sample(dts, u32::try_from(tick).unwrap(), *sync || number == 0, vec![number.to_le_bytes()[0]; *size]);
            picture.pts += reorder * tick;
            samples.push((0, picture));
            let time = rescale(dts, timescale, 48_000);
            samples.push((1, sample(time, 1536, true, vec![number.to_le_bytes()[0]; 7])));
        }
        let (tracks, options) = ([vp8(timescale), ac3()], options(seekable));
        let bytes = file(&options, &tracks, &samples);
        prop_assert!(bytes == file_with_breaks(&options, &tracks, &samples, &breaks), "put aside and taken up, it is another file");
        let (reader, frames) = read(&bytes);
        prop_assert_eq!(frames.len(), samples.len());
        let scale = i128::from(reader.info().timestamp_scale().get());
        let nanoseconds = |(track, sample): &(usize, Sample)| {
            let timescale = if *track == 0 { timescale } else { 48_000 };
            i128::from(sample.pts) * 1_000_000_000 / i128::from(timescale)
        };
        let zero = samples.iter().map(nanoseconds).min().unwrap();
        for (frame, expected) in frames.iter().zip(&samples) {
            prop_assert_eq!(frame.track, expected.0 as u64 + 1);
            prop_assert_eq!(&frame.data, &expected.1.data);
            prop_assert_eq!(frame.is_keyframe, Some(expected.1.sync));
            let apart = i128::from(frame.timestamp) * scale - (nanoseconds(expected) - zero);
            prop_assert!(apart.abs() <= scale / 2 + 20, "{apart} ns apart, with ticks of {scale}");
        }
        prop_assert_eq!(reader.info().duration().is_some(), seekable);
    }

    #[test]
    fn no_sample_entry_and_no_sample_panics(entry: Vec<u8>, kind in prop::sample::select(vec![
        *b"avc1", *b"hvc1", *b"av01", *b"vp09", *b"mp4v", *b"mp4a", *b"Opus", *b"fLaC", *b"alac", *b"wvtt", *b"ac-3",
    ]), data: Vec<u8>, times: [i64; 3]) {
        for track in [TrackKind::Video, TrackKind::Audio, TrackKind::Subtitle, TrackKind::Other] {
            let mut writer = Writer::new(&seekable());
            let Ok(Some(number)) = writer.add_track(&config(track, 1, boxed(&kind, &entry).into())) else { continue };
            let mut out = Vec::new();
            for pts in times {
                let _ = writer.add(number, &sample(pts, 1, true, data.clone()).as_slice(&[]), &mut out);
            }
            let _ = writer.finish();
        }
    }
}

#[test]
fn every_time_a_picture_can_be_jumped_to_is_in_the_index() {
    // A key frame every second at 25 frames a second, and one that is too close to be of use.
    let mut samples: Vec<_> = (0..250)
        .map(|number| (0, sample(number * 3600, 3600, number % 25 == 0 || number == 3, vec![7; 100])))
        .collect();
    samples[60].1.pts += 1;
    let bytes = file(&seekable(), &[vp8(90_000)], &samples);
    let (mut reader, _) = read(&bytes);
    let tick = reader.info().timestamp_scale().get();
    assert_eq!(tick, 11_111, "1/90,000 s");
    for second in 0..10 {
        reader.seek(second * 1_000_000_000 / tick).unwrap();
        let mut frame = Frame::default();
        assert!(reader.next_frame(&mut frame).unwrap());
        assert_eq!((frame.timestamp * tick + 500_000) / 1_000_000, second * 1000);
        assert_eq!(frame.is_keyframe, Some(true));
    }
    let duration = reader.info().duration().unwrap() * 11_111.0;
    assert!((duration - 10e9).abs() < 11_111.0, "{duration}");
    assert_eq!(reader.tracks()[0].default_duration().map(Into::into), Some(40_000_000_u64));
}

#[test]
fn frames_of_a_rate_that_no_clock_tells_exactly_last_what_they_should() {
    // 24,000/1001 frames a second on a clock of 90 kHz.
    let samples: Vec<_> = (0..100)
        .map(|number| (0, sample(number * 15_015 / 4, 3753, true, vec![1])))
        .collect();
    let (reader, _) = read(&file(&seekable(), &[vp8(90_000)], &samples));
    assert_eq!(reader.tracks()[0].default_duration().map(Into::into), Some(41_708_333_u64));
}

#[test]
fn a_rate_that_the_clock_cannot_tell_from_another_is_not_told() {
    // 30 frames a second on a clock of 1 kHz are 34, 33 and 33 ticks apart, as 29.97 are for a second.
    let samples: Vec<_> = (0..100)
        .map(|number| (0, sample((number * 100 + 2) / 3, 33, true, vec![1])))
        .collect();
    let (reader, _) = read(&file(&seekable(), &[vp8(1000)], &samples));
    assert_eq!(reader.tracks()[0].default_duration(), None);
}

#[test]
fn frames_tell_their_channels_whatever_the_sample_entry_says() {
    // ETSI TS 102 366 §4.4.2: 48 kHz, 192 kbit/s, acmod 7 with lfeon; and one of layer III in mono (ISO 11172-3 §2.4.2.3).
    let mut dolby = [0x0b, 0x77, 0, 0, 0x14, 0x40, 0xe1].to_vec();
    dolby.resize(768, 0);
    let mpeg = [0xff, 0xfb, 0x90, 0xc4].to_vec();
    let mp3 = config(TrackKind::Audio, 44_100, audio(b".mp3", &[]));
    let samples = [(0, sample(0, 1536, true, dolby)), (1, sample(0, 1152, true, mpeg))];
    let (reader, _) = read(&file(&seekable(), &[ac3(), mp3], &samples));
    let told = |at: usize| {
        let audio = reader.tracks()[at].audio().unwrap();
        (audio.sampling_frequency(), audio.channels().get())
    };
    assert_eq!((told(0), told(1)), ((48_000.0, 6), (44_100.0, 1)));
}

#[test]
fn the_head_says_what_the_tracks_are() {
    let colr = boxed(b"colr", b"nclx\0\x09\0\x10\0\x09\x80");
    let pasp = boxed(b"pasp", &[0, 0, 0, 16, 0, 0, 0, 11]);
    let clli = boxed(b"clli", &[3, 232, 1, 144]);
    let mut video = config(TrackKind::Video, 90_000, visual(b"vp08", &[colr, pasp, clli].concat()));
    video.language = Language::new(b"deu");
    video.language_tag = Some("de-AT".into());
    video.name = Some("Bild".into());
    let mut second = ac3();
    second.roles.default = true;
    second.roles.visual_impaired = true;
    let mut text = config(TrackKind::Subtitle, 1000, wvtt::sample_entry(&[]));
    text.roles.forced = true;
    text.roles.hearing_impaired = true;
    let mut options = seekable();
    options.metadata = Metadata {
        title: Some("A film".into()),
        recorded: Some(978_307_201),
        chapters: vec![Chapter {
            start: Duration::from_millis(1500),
            title: "Second".into(),
        }],
        ..Metadata::default()
    };
    let cue = Cue {
        end_ms: 20,
        text: "Text".into(),
        ..Cue::default()
    };
    let samples = [
        (0, sample(0, 3600, true, vec![1])),
        (1, sample(0, 960, true, vec![2])),
        (3, sample(0, 20, true, wvtt::encode(&[&cue], 0))),
    ];
    let bytes = file(&options, &[video, opus(), second, text], &samples);
    let (reader, _) = read(&bytes);
    let tracks = reader.tracks();
    let codecs: Vec<_> = tracks.iter().map(|track| track.codec_id()).collect();
    assert_eq!(codecs, ["V_VP8", "A_OPUS", "A_AC3", "S_TEXT/UTF8"]);
    assert_eq!(tracks[0].language(), Some("ger"));
    assert_eq!(tracks[0].language_bcp47(), Some("de-AT"));
    assert_eq!(tracks[0].name(), Some("Bild"));
    let flags = |at: usize| (tracks[at].flag_default(), tracks[at].flag_forced());
    assert_eq!(
        [0, 1, 2, 3].map(flags),
        [(true, false), (false, false), (true, false), (false, true)]
    );
    assert_eq!((tracks[2].flag_visual_impaired(), tracks[3].flag_hearing_impaired()), (true, true));
    let picture = tracks[0].video().unwrap();
    assert_eq!((picture.pixel_width().get(), picture.pixel_height().get()), (640, 360));
    // 640 · 16 to 360 · 11.
    assert_eq!(
        (picture.display_width().map(u64::from), picture.display_height().map(u64::from)),
        (Some(256), Some(99))
    );
    let colour = picture.colour().unwrap();
    // MaxCLL and MaxFALL, of which the reader tells something else.
    let light = [&b"\x55\xbc\x82\x03\xe8"[..], b"\x55\xbd\x82\x01\x90"].concat();
    assert!(bytes.windows(light.len()).any(|found| found == light));
    assert_eq!(colour.primaries(), Some(matroska_demuxer::Primaries::Bt2020));
    assert_eq!(colour.range(), Some(matroska_demuxer::Range::Full));
    // RFC 7845 §5.1: version 1, two channels, 312 samples, 48 kHz, no gain, family 0.
    assert_eq!(tracks[1].codec_private(), Some(&b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0"[..]));
    assert_eq!(
        (tracks[1].codec_delay(), tracks[1].seek_pre_roll()),
        (Some(6_500_000), Some(80_000_000))
    );
    assert_eq!(
        (reader.info().title(), reader.info().date_utc()),
        (Some("A film"), Some(1_000_000_000))
    );
    let chapter = &reader.chapters().unwrap()[0].chapter_atoms()[0];
    assert_eq!((chapter.time_start(), chapter.displays()[0].string()), (1_500_000_000, "Second"));
    let tags: Vec<_> = reader.tags().unwrap().iter().flat_map(|tag| tag.simple_tags()).collect();
    let tag = |name: &str| tags.iter().find(|tag| tag.name() == name).and_then(|tag| tag.string());
    assert_eq!(tag("DATE_RECORDED"), Some("2001-01-01 00:00:01"));
    assert_eq!(tag("DURATION"), Some("00:00:00.040000000"));
}

#[test]
fn what_an_edit_list_hides_is_the_delay_of_the_codec() {
    let mut sound = ac3();
    sound.presentation_offset = Some(-1024);
    let samples = [
        (1, sample(0, 1024, true, vec![1])),
        (0, sample(0, 3600, true, vec![2])),
        (1, sample(1024, 1024, true, vec![3])),
    ];
    let (reader, frames) = read(&file(&seekable(), &[vp8(90_000), sound], &samples));
    assert_eq!(reader.tracks()[1].codec_delay(), Some(21_333_333));
    let times: Vec<_> = frames.iter().map(|frame| frame.timestamp * 11_111 / 1_000_000).collect();
    // The sound at 21 ms is heard with the picture at 0.
    assert_eq!(times, [0, 0, 21]);
}

#[test]
fn text_has_times_of_its_own() {
    let cue = |settings: &str, text: &str| Cue {
        id: Some("7".into()),
        settings: settings.into(),
        text: text.into(),
        ..Cue::default()
    };
    let first = cue("", "one &amp; <b>two</b>");
    let second = cue("line:0", "up");
    let cues = [
        (1, sample(500, 2500, true, wvtt::encode(&[&first], 500))),
        (1, sample(1000, 100, true, wvtt::encode(&[&second], 1000))),
        (1, sample(1200, 100, true, wvtt::encode(&[], 1200))),
    ];
    let pictures = (0..40).map(|number| (0, sample(number * 9000, 9000, true, vec![1])));
    let mut samples: Vec<_> = pictures.collect();
    samples.splice(6..6, cues);
    for (form, id, texts) in [
        (TextForm::SubRip, "S_TEXT/UTF8", ["one & <b>two</b>", "{\\an8}up"]),
        (TextForm::WebVtt, "S_TEXT/WEBVTT", ["one &amp; <b>two</b>", "up"]),
    ] {
        let mut options = seekable();
        options.text = form;
        let style = ["STYLE\n::cue { color: lime }".to_owned()];
        let text = config(TrackKind::Subtitle, 1000, wvtt::sample_entry(&style));
        let bytes = file(&options, &[vp8(90_000), text], &samples);
        let (reader, frames) = read(&bytes);
        assert_eq!(reader.tracks()[1].codec_id(), id);
        let frames: Vec<_> = frames.iter().filter(|frame| frame.track == 2).collect();
        let milliseconds = |ticks: u64| (ticks * 11_111 + 500_000) / 1_000_000;
        let times: Vec<_> = frames
            .iter()
            .map(|frame| (milliseconds(frame.timestamp), frame.duration.map(milliseconds)))
            .collect();
        assert_eq!(times, [(500, Some(2500)), (1000, Some(100))]);
        let found: Vec<_> = frames
            .iter()
            .map(|frame| String::from_utf8_lossy(&frame.data).into_owned())
            .collect();
        assert_eq!(found, texts);
        if form == TextForm::WebVtt {
            assert_eq!(
                reader.tracks()[1].codec_private(),
                Some(&b"WEBVTT\n\nSTYLE\n::cue { color: lime }"[..])
            );
            // Settings, then the identifier, as an addition to the block.
            assert!(bytes.windows(8).any(|bytes| bytes == b"line:0\n7"));
        }
    }
}

#[test]
fn pictures_come_first_and_what_is_kept_does_not_grow_with_the_file() {
    let text = config(TrackKind::Subtitle, 1000, wvtt::sample_entry(&[]));
    let (mut writer, mut file) = (Writer::new(&seekable()), Vec::new());
    for track in [&text, &ac3(), &vp8(90_000)] {
        writer.add_track(track).unwrap();
    }
    // A day and a half, with a key frame every other second.
    let mut most = 0;
    for number in 0..64_800_i64 {
        let sound = sample(number * 96_000, 96_000, true, vec![1]);
        writer.add(1, &sound.as_slice(&[]), &mut file).unwrap();
        let picture = sample(number * 180_000, 180_000, true, vec![2]);
        writer.add(2, &picture.as_slice(&[]), &mut file).unwrap();
        writer.flush(&mut file);
        if number % 100 == 99 {
            most = most.max(postcard::to_stdvec(&writer).unwrap().len());
            writer.mark_saved();
        }
    }
    assert!(most < 4 << 10, "{most} bytes of state for 200 s");
    file.extend(writer.finish().unwrap().append);
    let (reader, frames) = read(&file);
    let kinds: Vec<_> = reader.tracks().iter().map(|track| track.codec_id()).collect();
    assert_eq!(kinds, ["V_VP8", "A_AC3", "S_TEXT/UTF8"]);
    assert_eq!(frames.len(), 2 * 64_800);
    assert!(frames.iter().all(|frame| frame.data == [if frame.track == 1 { 2 } else { 1 }]));
    // CueTrack 1, and CueClusterPosition behind it: no more than the bound, and not thinned further than it has to be.
    let cues = file.windows(4).filter(|bytes| bytes == b"\xf7\x81\x01\xf1").count();
    assert!((16_384..32_768).contains(&cues), "{cues} cues");
}

#[test]
fn what_the_head_did_not_tell_is_refused() {
    let mut writer = Writer::new(&options(false));
    let mut out = Vec::new();
    let unknown = writer.add_track(&config(TrackKind::Video, 90_000, visual(b"encv", &[])));
    assert!(matches!(unknown, Err(Error::NoMatroska(what)) if what == "encrypted media"));
    let track = writer.add_track(&opus()).unwrap().unwrap();
    for number in 0..100 {
        writer
            .add(track, &sample(number * 960, 960, true, vec![1]).as_slice(&[]), &mut out)
            .unwrap();
    }
    assert_eq!(writer.add_track(&ac3()).unwrap(), None, "the head is written");
    assert!(writer.configure(track, &opus(), &mut out).is_ok());
    assert!(matches!(writer.configure(track, &ac3(), &mut out), Err(Error::LateChange(0))));
    assert!(matches!(writer.configure(9, &ac3(), &mut out), Err(Error::UnknownTrack(9))));
}

#[test]
fn a_head_that_can_be_written_over_tells_of_tracks_that_come_later_as_far_as_it_has_room() {
    // One, one that never brings a sample, and more than there is room for.
    for (late, told) in [(1, 1), (40, 15)] {
        let (mut writer, mut file) = (Writer::new(&seekable()), Vec::new());
        let mut tracks = vec![writer.add_track(&vp8(90_000)).unwrap().unwrap()];
        for number in 0..200 {
            if number == 100 {
                tracks.extend((0..=late).map(|_| writer.add_track(&opus()).unwrap().unwrap()));
            }
            let bringing = &tracks[..tracks.len().min(1 + late)];
            for &track in bringing {
                let time = number * if track == 0 { 1800 } else { 960 };
                let sample = sample(
                    time,
                    if track == 0 { 1800 } else { 960 },
                    true,
                    vec![1 + u8::try_from(track).unwrap()],
                );
                writer.add(track, &sample.as_slice(&[]), &mut file).unwrap();
            }
        }
        let finish = writer.finish().unwrap();
        file.extend(finish.append);
        for patch in finish.patches {
            let at = usize::try_from(patch.offset).unwrap();
            file[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
        }
        let (reader, frames) = read(&file);
        let sound = reader.tracks().iter().filter(|track| track.codec_id() == "A_OPUS").count();
        assert!(
            if late == 1 { sound == told } else { (5..told).contains(&sound) },
            "{sound} of {late}"
        );
        assert_eq!(finish.late_tracks, late as u64 + 1 - sound as u64);
        let of = |track: u64| frames.iter().filter(|frame| frame.track == track).collect::<Vec<_>>();
        assert_eq!(of(1).len(), 200);
        for track in 2..2 + sound as u64 {
            let frames = of(track);
            assert_eq!(frames.len(), 100);
            assert!(frames.iter().all(|frame| u64::from(frame.data[0]) == track));
            // Two seconds, and what the decoder throws away at the beginning (312 samples).
            let first = frames[0].timestamp / 90;
            assert!((2000..2010).contains(&first), "{first} ms");
        }
    }
}

#[test]
fn aac_goes_on_whatever_way_it_is_described_and_nothing_else_does() {
    // ISO 14496-3 §1.6.2.1: AAC LC, 48 kHz, stereo; with the extension behind it that says that there is none; 44.1 kHz; mono.
    let aac = |specific: &[u8]| {
        let length = u8::try_from(specific.len()).unwrap();
        let specific = [&[5, length][..], specific].concat();
        let decoder = [&[4, length + 15, 0x40, 0x15][..], &[0; 11], &specific].concat();
        let body = [&[0, 0, 0, 0, 3, length + 23, 0, 0, 0][..], &decoder, &[6, 1, 2]].concat();
        config(TrackKind::Audio, 48_000, audio(b"mp4a", &boxed(b"esds", &body)))
    };
    let (mut writer, mut out) = (Writer::new(&seekable()), Vec::new());
    let track = writer.add_track(&aac(&[0x11, 0x90])).unwrap().unwrap();
    for number in 0..100 {
        let frame = sample(number * 1024, 1024, true, vec![1]);
        writer.add(track, &frame.as_slice(&[]), &mut out).unwrap();
    }
    assert!(!out.is_empty(), "the head is written");
    for (specific, goes_on) in [
        (&[0x11, 0x90, 0x56, 0xe5, 0x00][..], true),
        (&[0x11, 0x90], true),
        (&[0x12, 0x10], false),
        (&[0x11, 0x88], false),
        (&[0x09, 0x90], false),
    ] {
        assert_eq!(
            writer.configure(track, &aac(specific), &mut out).is_ok(),
            goes_on,
            "{specific:02x?}"
        );
    }
}

#[test]
fn a_track_of_text_without_text_is_left_out_where_the_head_can_be_written_over() {
    let text = || config(TrackKind::Subtitle, 1000, wvtt::sample_entry(&[]));
    let cue = Cue {
        end_ms: 20,
        text: "Text".into(),
        ..Cue::default()
    };
    let tracks = [text(), ac3(), text(), text()];
    let empty = wvtt::encode(&[], 0);
    let samples = [
        (1, sample(0, 960, true, vec![1])),
        (2, sample(0, 20, true, wvtt::encode(&[&cue], 0))),
        (3, sample(0, 20, true, empty)),
    ];
    for (options, expected) in [
        (seekable(), &[("A_AC3", 1), ("S_TEXT/UTF8", 3)][..]),
        (
            Options::default(),
            &[("A_AC3", 1), ("S_TEXT/UTF8", 2), ("S_TEXT/UTF8", 3), ("S_TEXT/UTF8", 4)],
        ),
    ] {
        for breaks in [&[][..], &[1, 2]] {
            let bytes = file_with_breaks(&options, &tracks, &samples, breaks);
            let (reader, frames) = read(&bytes);
            let told: Vec<_> = reader
                .tracks()
                .iter()
                .map(|track| (track.codec_id(), track.track_number().get()))
                .collect();
            assert_eq!(told, expected);
            assert_eq!(frames.len(), 2);
            let tags = reader.tags().unwrap().iter().flat_map(|tag| tag.simple_tags());
            assert_eq!(tags.filter(|tag| tag.name() == "NUMBER_OF_FRAMES").count(), expected.len());
        }
    }
}

#[test]
fn samples_without_bytes_or_time_do_not_hold_back_the_head() {
    let (mut writer, mut out) = (Writer::new(&seekable()), Vec::new());
    let track = writer.add_track(&vp8(90_000)).unwrap().unwrap();
    for _ in 0..200_000 {
        writer.add(track, &sample(0, 0, true, Vec::new()).as_slice(&[]), &mut out).unwrap();
    }
    assert!(!out.is_empty());
}
