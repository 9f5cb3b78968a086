//! SAMPLE-AES in MPEG-TS and packed audio (Apple, "MPEG-2 Stream Encryption Format for HTTP Live Streaming";
//! RFC 8216, 4.3.2.4).

mod audio;
mod nal;
mod psi;
mod ts;

pub(crate) use audio::decrypt_packed;
pub(crate) use ts::Ts;
