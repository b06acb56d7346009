//! Everything a Redis server holds, for a test that looks for what must not be there.

use redis::{Cmd, Connection, Value};

use crate::{
    TestkitError,
    redis_address::{RedisAddress, command_of},
};

/// Every key of a server and everything stored under it; see [`RedisServer::dump_all`].
///
/// Values are read by their type rather than with `DUMP`, whose compression would hide what is looked for.
///
/// [`RedisServer::dump_all`]: crate::RedisServer::dump_all
#[derive(Clone, Debug, Default)]
pub struct RedisDump {
    entries: Vec<DumpEntry>,
}

/// One key and everything stored under it.
#[derive(Clone, Debug)]
pub struct DumpEntry {
    /// The number of the database.
    pub database: i64,
    /// The key.
    pub key: Vec<u8>,
    /// The value's bytes; of a collection, its parts one after another, a line feed after each.
    pub value: Vec<u8>,
}

impl RedisDump {
    /// The keys, in no order.
    #[must_use]
    pub fn entries(&self) -> &[DumpEntry] {
        &self.entries
    }

    /// The names of the keys that hold `needle`, in the name or in the value: empty if it is nowhere.
    #[must_use]
    pub fn holding(&self, needle: &[u8]) -> Vec<String> {
        let holders =
            self.entries.iter().filter(|entry| contains(&entry.key, needle) || contains(&entry.value, needle));
        holders.map(|entry| String::from_utf8_lossy(&entry.key).into_owned()).collect()
    }

    /// Every byte of every key and value, in one piece.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let parts = self.entries.iter().flat_map(|entry| [&entry.key, &entry.value]);
        parts.flat_map(|part| part.iter().copied().chain([b'\n'])).collect()
    }
}

/// Reads everything from the server, on the calling thread.
pub(crate) fn read(address: &RedisAddress) -> Result<RedisDump, TestkitError> {
    let mut connection = address.connect()?;
    let mut dump = RedisDump::default();
    for name in address.fields(&["INFO", "keyspace"])?.keys() {
        let Some(database) = name.strip_prefix("db").and_then(|number| number.parse().ok()) else {
            continue;
        };
        // A cluster has one database and no SELECT.
        if database != 0 {
            run::<()>(address, &mut connection, &command_of(["SELECT", &name[2..]]))?;
        }
        read_database(address, &mut connection, database, &mut dump)?;
    }
    Ok(dump)
}

fn read_database(
    address: &RedisAddress,
    connection: &mut Connection,
    database: i64,
    dump: &mut RedisDump,
) -> Result<(), TestkitError> {
    let mut cursor = String::from("0");
    loop {
        let scan = command_of(["SCAN", &cursor, "COUNT", "1000"]);
        let (next, keys): (String, Vec<Vec<u8>>) = run(address, connection, &scan)?;
        for key in keys {
            let value = read_value(address, connection, &key)?;
            dump.entries.push(DumpEntry { database, key, value });
        }
        if next == "0" {
            return Ok(());
        }
        cursor = next;
    }
}

fn read_value(address: &RedisAddress, connection: &mut Connection, key: &[u8]) -> Result<Vec<u8>, TestkitError> {
    let kind: String = run(address, connection, redis::cmd("TYPE").arg(key))?;
    let (command, rest): (&str, &[&str]) = match kind.as_str() {
        "string" => ("GET", &[]),
        "hash" => ("HGETALL", &[]),
        "list" => ("LRANGE", &["0", "-1"]),
        "set" => ("SMEMBERS", &[]),
        "zset" => ("ZRANGE", &["0", "-1", "WITHSCORES"]),
        "stream" => ("XRANGE", &["-", "+"]),
        _ => ("DUMP", &[]),
    };
    let value: Value = run(address, connection, redis::cmd(command).arg(key).arg(rest))?;
    let mut bytes = Vec::new();
    flatten(&value, &mut bytes);
    Ok(bytes)
}

fn run<T: redis::FromRedisValue>(
    address: &RedisAddress,
    connection: &mut Connection,
    command: &Cmd,
) -> Result<T, TestkitError> {
    command.query(connection).map_err(address.failed())
}

fn flatten(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::BulkString(part) => bytes.extend_from_slice(part),
        Value::SimpleString(part) => bytes.extend_from_slice(part.as_bytes()),
        Value::Int(number) => bytes.extend_from_slice(number.to_string().as_bytes()),
        Value::Array(parts) | Value::Set(parts) => {
            for part in parts {
                flatten(part, bytes);
                bytes.push(b'\n');
            }
        }
        // RESP2, which these connections speak, has no other kind; a key that expired meanwhile is nil.
        _ => {}
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || bytes.windows(needle.len()).any(|window| window == needle)
}
