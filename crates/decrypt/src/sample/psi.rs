//! The tables of MPEG-TS (ISO 13818-1 §2.4.4): what is encrypted, and the same without a word of it.

/// How an elementary stream is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    H264,
    /// AAC in ADTS, AC-3 or E-AC-3.
    Audio,
}

/// The stream types of encrypted streams and those without encryption ("Stream types").
fn plain_type(stream_type: u8) -> Option<(u8, Codec)> {
    match stream_type {
        0xdb => Some((0x1b, Codec::H264)),
        0xcf => Some((0x0f, Codec::Audio)),
        0xc1 => Some((0x81, Codec::Audio)),
        0xc2 => Some((0x87, Codec::Audio)),
        _ => None,
    }
}

/// Whether a descriptor tells of encryption: `private_data_indicator` with `zavc`, `aacd`, `ac3d` or `ec3d`, or the
/// `registration_descriptor` `apad` with the audio's set-up ("Program map table").
fn tells_of_encryption(tag: u8, content: &[u8]) -> bool {
    match (tag, content.get(..4)) {
        (0x0f, Some(format)) => [b"zavc", b"aacd", b"ac3d", b"ec3d"].iter().any(|known| *known == format),
        (0x05, Some(format)) => format == b"apad",
        _ => false,
    }
}

/// The `program_map_PID` of each program in a PAT section (§2.4.4.3); `None` where it is no PAT in force.
pub(super) fn program_maps(section: &[u8]) -> Option<impl Iterator<Item = u16>> {
    let entries = body(section, 0)?.chunks_exact(4).filter(|entry| entry[..2] != [0, 0]);
    Some(entries.map(|entry| u16::from(entry[2] & 0x1f) << 8 | u16::from(entry[3])))
}

/// What stands between the header and the CRC of a section in force.
fn body(section: &[u8], table: u8) -> Option<&[u8]> {
    let current = section.get(5)? & 1 == 1;
    (section.first() == Some(&table) && current).then_some(())?;
    section.get(8..section.len().checked_sub(4)?)
}

/// A section, and the encrypted streams by PID.
type Program = (Vec<u8>, Vec<(u16, Codec)>);

/// A PMT section (§2.4.4.8) with plain stream types, and the encrypted streams; `None` where it is no PMT in force.
pub(super) fn plain_program(section: &[u8]) -> Option<Program> {
    let body = body(section, 2)?;
    let mut streams = Vec::new();
    let info = 4 + twelve_bits(body.get(2..4)?);
    let mut plain = section.get(..8)?.to_vec();
    plain.extend_from_slice(body.get(..info)?);
    let mut rest = body.get(info..)?;
    while let [stream_type, pid_high, pid_low, high, low, after @ ..] = rest {
        let (descriptors, next) = after.split_at_checked(twelve_bits(&[*high, *low]))?;
        let kind = plain_type(*stream_type);
        if let Some((_, codec)) = kind {
            streams.push((u16::from(pid_high & 0x1f) << 8 | u16::from(*pid_low), codec));
        }
        plain.extend_from_slice(&[kind.map_or(*stream_type, |(plain, _)| plain), *pid_high, *pid_low]);
        let at = plain.len();
        plain.extend_from_slice(&[*high, *low]);
        let mut descriptors = descriptors;
        while let [tag, length, content @ ..] = descriptors {
            let (content, next) = content.split_at_checked((*length).into())?;
            if kind.is_none() || !tells_of_encryption(*tag, content) {
                plain.extend_from_slice(&[*tag, *length]);
                plain.extend_from_slice(content);
            }
            descriptors = next;
        }
        plain.extend_from_slice(descriptors);
        set_twelve_bits(&mut plain, at, 2)?;
        rest = next;
    }
    plain.extend_from_slice(rest);
    // The section's length counts its CRC.
    plain.extend_from_slice(&[0; 4]);
    set_twelve_bits(&mut plain, 1, 2)?;
    plain.truncate(plain.len() - 4);
    let crc = crc32(&plain);
    plain.extend_from_slice(&crc.to_be_bytes());
    Some((plain, streams))
}

/// A 12-bit length behind reserved bits.
fn twelve_bits(bytes: &[u8]) -> usize {
    match bytes {
        [high, low] => usize::from(high & 0xf) << 8 | usize::from(*low),
        _ => 0,
    }
}

/// Sets the 12-bit length at `at` to what stands behind its field of `size` bytes.
fn set_twelve_bits(bytes: &mut [u8], at: usize, size: usize) -> Option<()> {
    let length = u16::try_from(bytes.len() - at - size).ok().filter(|length| *length < 0x1000)?;
    let [high, low] = length.to_be_bytes();
    let field = bytes.get_mut(at..at + 2)?;
    field.copy_from_slice(&[field.first()? & 0xf0 | high, low]);
    Some(())
}

/// Takes the sections of a run of payload bytes, which begins with one, through `each`, which may make them shorter:
/// what is free is stuffed (§2.4.4.1).
pub(super) fn sections(run: &mut [u8], mut each: impl FnMut(&[u8]) -> Option<Vec<u8>>) {
    let (mut read, mut plain) = (0, Vec::new());
    while let Some([table, high, low]) = run.get(read..).and_then(<[u8]>::first_chunk::<3>) {
        if *table == 0xff {
            break;
        }
        let Some(section) = run.get(read..read + 3 + twelve_bits(&[*high, *low])) else {
            break;
        };
        match each(section) {
            Some(changed) if changed.len() <= section.len() => plain.extend_from_slice(&changed),
            _ => plain.extend_from_slice(section),
        }
        read += section.len();
    }
    plain.extend_from_slice(run.get(read..).unwrap_or(&[]));
    plain.resize(run.len(), 0xff);
    run.copy_from_slice(&plain);
}

/// The CRC of annex A.
fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| {
            let shifted = crc << 1;
            if crc >> 31 == 1 { shifted ^ 0x04c1_1db7 } else { shifted }
        })
    })
}
