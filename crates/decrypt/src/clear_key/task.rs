//! What a METHOD asks to be done.

use aqueduct_core::Encryption;

use crate::cenc::Scheme;
use crate::whole;

/// Bytes of an AES key (FIPS 197, 5).
pub(super) const KEY_128: usize = 16;
pub(super) const KEY_256: usize = 32;

/// How the whole of a segment is encrypted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Cbc128,
    Cbc256,
    Ctr256,
    Gcm256,
}

impl Mode {
    /// Bytes that only come together.
    pub(super) fn block(self) -> usize {
        match self {
            Self::Cbc128 | Self::Cbc256 => whole::BLOCK,
            Self::Ctr256 | Self::Gcm256 => 1,
        }
    }

    pub(super) fn key_length(self) -> usize {
        match self {
            Self::Cbc128 => KEY_128,
            Self::Cbc256 | Self::Ctr256 | Self::Gcm256 => KEY_256,
        }
    }
}

/// What is to be done, whoever holds the key.
pub(super) enum Task {
    /// The whole is encrypted.
    Whole(Mode),
    /// Single samples; in fragmented MP4 by this scheme where it names none itself.
    Samples(Scheme),
}

pub(super) fn task(encryption: &Encryption) -> Option<Task> {
    match encryption {
        Encryption::Aes128 { .. } => Some(Task::Whole(Mode::Cbc128)),
        Encryption::Aes256 { .. } => Some(Task::Whole(Mode::Cbc256)),
        Encryption::Aes256Ctr { .. } => Some(Task::Whole(Mode::Ctr256)),
        Encryption::Aes256Gcm { .. } => Some(Task::Whole(Mode::Gcm256)),
        Encryption::SampleAes { .. } => Some(Task::Samples(Scheme::Cbcs)),
        Encryption::SampleAesCtr { .. } => Some(Task::Samples(Scheme::Cenc)),
        Encryption::Other { keys, .. } => keys.iter().find_map(|(method, _)| match method.as_str() {
            "AES-128" => Some(Task::Whole(Mode::Cbc128)),
            "AES-256" => Some(Task::Whole(Mode::Cbc256)),
            "AES-256-CTR" => Some(Task::Whole(Mode::Ctr256)),
            "AES-256-GCM" => Some(Task::Whole(Mode::Gcm256)),
            "SAMPLE-AES" => Some(Task::Samples(Scheme::Cbcs)),
            "SAMPLE-AES-CTR" => Some(Task::Samples(Scheme::Cenc)),
            _ => None,
        }),
        _ => None,
    }
}
