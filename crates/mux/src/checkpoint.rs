//! The state of a muxer as bytes: only the program that wrote them reads them.

use aqueduct_core::MuxError;
use serde::{Serialize, de::DeserializeOwned};

/// Appends `value`; `false`, and an empty state, when it cannot be serialised.
pub(crate) fn save<T: Serialize>(value: &T, state: &mut Vec<u8>) -> bool {
    match postcard::to_extend(value, std::mem::take(state)) {
        Ok(extended) => {
            *state = extended;
            true
        }
        Err(error) => {
            tracing::debug!(%error, "the state of the muxer cannot be kept");
            false
        }
    }
}

/// Reads what [`save`] wrote.
pub(crate) fn read<T: DeserializeOwned>(state: &[u8]) -> Result<T, MuxError> {
    match postcard::take_from_bytes(state) {
        Ok((value, [])) => Ok(value),
        _ => Err(MuxError::Unsupported {
            what: "what an earlier run left cannot be read: another version wrote it; --no-resume begins anew".into(),
        }),
    }
}
