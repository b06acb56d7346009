//! Reads what scripts answer.

use keygate_core::coherence::Read;
use keygate_core::record::{KeyRecord, Revision};
use keygate_core::store::{StoreError, WriteRefusal};
use redis::{ErrorKind, FromRedisValue, RedisError, Value};

use keygate_core::key::KeyId;

/// A script's word for what it did, and the bytes that go with it.
pub(super) struct Reply {
    pub(super) word: String,
    pub(super) bytes: Vec<u8>,
}

/// Reads a value of the shape a command answers with. Anything else is a server that does not serve.
pub(super) fn read<T: FromRedisValue>(answer: Result<Value, RedisError>) -> Result<T, StoreError> {
    let value = answer.map_err(StoreError::unavailable)?;
    redis::from_redis_value(value).map_err(|error| StoreError::unavailable(RedisError::from(error)))
}

/// Reads what was loaded, to be kept as long as that.
pub(super) fn keep<T>(
    loaded: Read<Value>,
    read: impl FnOnce(Value) -> Result<T, StoreError>,
) -> Result<Read<T>, StoreError> {
    let Read { value, sent, decides_until, lease } = loaded;
    Ok(Read { value: read(value)?, sent, decides_until, lease })
}

/// A script answered with what it never says.
pub(super) fn unexpected() -> StoreError {
    StoreError::unavailable(RedisError::from((
        ErrorKind::UnexpectedReturnType,
        "a script answered with a word that this version does not know",
    )))
}

impl Reply {
    pub(super) fn read(answer: Result<Value, RedisError>) -> Result<Self, StoreError> {
        let (word, bytes) = read(answer)?;
        Ok(Self { word, bytes })
    }

    /// Why the script wrote nothing.
    pub(super) fn refusal(&self, id: KeyId) -> WriteRefusal {
        match self.word.as_str() {
            "absent" => WriteRefusal::Absent,
            "revoked" => WriteRefusal::Revoked,
            "conflict" => match <[u8; 8]>::try_from(self.bytes.as_slice()) {
                Ok(found) => WriteRefusal::Conflict { found: Revision(u64::from_be_bytes(found)) },
                Err(_) => unexpected().into(),
            },
            "late" => StoreError::unavailable("the change took longer than its reservation holds").into(),
            "unreadable" => match decode(id, &self.bytes) {
                Ok(_) => StoreError::damaged(name(id), "its header is not of the known schema version").into(),
                Err(error) => error.into(),
            },
            _ => unexpected().into(),
        }
    }
}

fn name(id: KeyId) -> String {
    format!("a record of key {id}")
}

/// The record of these bytes, which must be that of this id.
pub(super) fn decode(id: KeyId, bytes: &[u8]) -> Result<KeyRecord, StoreError> {
    let record = KeyRecord::decode(bytes).map_err(|error| StoreError::undecodable(name(id), error))?;
    if record.key.id != id {
        return Err(StoreError::damaged(name(id), format!("it says that it is of key {}", record.key.id)));
    }
    Ok(record)
}
