//! The PAT and the PMT of one program (ISO 13818-1 §2.4.4).

use crate::{elementary::Codec, track::Language, ts::psi::crc32};

/// Number of the one program.
const PROGRAM: u16 = 1;

/// One elementary stream in the PMT.
pub(super) struct Component {
    pub(super) pid: u16,
    pub(super) codec: Codec,
    pub(super) language: Language,
}

/// The PAT (§2.4.4.3).
pub(super) fn pat(pmt_pid: u16) -> Vec<u8> {
    let [high, low] = pmt_pid.to_be_bytes();
    let [program_high, program_low] = PROGRAM.to_be_bytes();
    section(0x00, 1, 0, &[program_high, program_low, 0xe0 | high, low])
}

/// metadata_pointer_descriptor (§2.6.58): `metadata_application_format` and `metadata_format` say that their identifiers do,
/// which are those of ID3; service 0 is in the program that follows.
const POINTER: &[u8; 14] = b"\x25\x0f\xff\xffID3 \xffID3 \0";
/// metadata_descriptor (§2.6.60): the same; there is no configuration of a decoder.
pub(super) const METADATA: &[u8; 15] = b"\x26\x0d\xff\xffID3 \xffID3 \0\x0f";

/// The PMT (§2.4.4.8), with the PID of timed metadata.
pub(super) fn pmt(version: u8, pcr_pid: u16, components: impl Iterator<Item = Component>, metadata: Option<u16>) -> Vec<u8> {
    let [high, low] = pcr_pid.to_be_bytes();
    let mut body = vec![0xe0 | high, low, 0xf0, 0];
    if metadata.is_some() {
        let [high, low] = PROGRAM.to_be_bytes();
        let program = [&POINTER[..], &[0x1f, high, low]].concat();
        body[3] = u8::try_from(program.len()).unwrap_or(0);
        body.extend_from_slice(&program);
    }
    for component in components {
        let [high, low] = component.pid.to_be_bytes();
        let descriptors = descriptors(&component);
        let length = u8::try_from(descriptors.len()).unwrap_or(u8::MAX);
        body.extend_from_slice(&[stream_type(component.codec), 0xe0 | high, low, 0xf0, length]);
        body.extend_from_slice(&descriptors);
    }
    if let Some(pid) = metadata {
        let [high, low] = pid.to_be_bytes();
        // Metadata in PES packets.
        body.extend_from_slice(&[0x15, 0xe0 | high, low, 0xf0, 15]);
        body.extend_from_slice(METADATA);
    }
    section(0x02, PROGRAM, version, &body)
}

/// Table 2-34; AC-3 and E-AC-3 as ATSC A/53 part 3 §5.7.1 and A/52 annex G number them.
fn stream_type(codec: Codec) -> u8 {
    match codec {
        Codec::Avc => 0x1b,
        Codec::Hevc => 0x24,
        Codec::Aac => 0x0f,
        Codec::Mpeg1Audio => 0x03,
        Codec::Mpeg2Audio => 0x04,
        Codec::Ac3 => 0x81,
        Codec::Eac3 => 0x87,
        // PES packets with private data; the descriptors tell.
        Codec::Opus(_) | Codec::Flac => 0x06,
    }
}

fn descriptors(component: &Component) -> Vec<u8> {
    let mut bytes = Vec::new();
    let registration: Option<&[u8; 4]> = match component.codec {
        Codec::Ac3 => Some(b"AC-3"),
        Codec::Eac3 => Some(b"EAC3"),
        Codec::Hevc => Some(b"HEVC"),
        Codec::Opus(_) => Some(b"Opus"),
        _ => None,
    };
    if let Some(identifier) = registration {
        // registration_descriptor (§2.6.8).
        bytes.extend_from_slice(&[0x05, 4]);
        bytes.extend_from_slice(identifier);
    }
    if let Codec::Opus(channels) = component.codec {
        // An extension descriptor (ETSI EN 300 468 §6.2.18.1) with `channel_config_code`.
        bytes.extend_from_slice(&[0x7f, 2, 0x80, channels]);
    }
    if component.language != Language::UNDETERMINED {
        // ISO_639_language_descriptor (§2.6.18).
        bytes.extend_from_slice(&[0x0a, 4]);
        bytes.extend_from_slice(component.language.as_str().as_bytes());
        bytes.push(0);
    }
    bytes
}

/// A section with its header and CRC, the only one of its table.
fn section(table: u8, extension: u16, version: u8, body: &[u8]) -> Vec<u8> {
    // From behind the length on: five bytes of header, the body, four of CRC.
    let [high, low] = u16::try_from(5 + body.len() + 4).unwrap_or(1021).to_be_bytes();
    let [id_high, id_low] = extension.to_be_bytes();
    let mut section = vec![table, 0xb0 | high, low, id_high, id_low, 0xc1 | version << 1, 0, 0];
    section.extend_from_slice(body);
    let crc = crc32(&section);
    section.extend_from_slice(&crc.to_be_bytes());
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pat_is_the_one_that_ffmpeg_writes() {
        assert_eq!(
            pat(0x1000),
            [
                0x00, 0xb0, 0x0d, 0x00, 0x01, 0xc1, 0x00, 0x00, 0x00, 0x01, 0xf0, 0x00, 0x2a, 0xb1, 0x04, 0xb2
            ]
        );
    }
}
