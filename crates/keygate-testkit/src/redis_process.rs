//! From a configuration to a server that answers.

use std::time::Duration;

use crate::{
    TestkitError,
    guarded_process::GuardedProcess,
    redis_address::RedisAddress,
    redis_config::{Role, ServerFiles},
    waiting::{PATIENCE, Seen, wait_until},
};

/// How long one question to a starting server waits for its answer. Whoever else holds the port may
/// never give one.
const ONE_LOOK: Duration = Duration::from_millis(500);

/// Starts the program and waits until this very process answers on its port.
pub(crate) fn run(files: &ServerFiles, address: &RedisAddress) -> Result<GuardedProcess, TestkitError> {
    let config = files.config_path();
    let config = config.to_string_lossy();
    let arguments: &[&str] = match files.role {
        Role::Store => &[&config],
        Role::Sentinel => &[&config, "--sentinel"],
    };
    let log = files.new_log().map_err(TestkitError::io("write redis.log"))?;
    let mut process = GuardedProcess::spawn(&files.program, arguments, log, files.directory())
        .map_err(TestkitError::io("start redis-server"))?;
    let pid = process.pid().to_string();
    let address = &RedisAddress { answer_within: ONE_LOOK, ..address.clone() };
    wait_until("redis-server to answer", PATIENCE, || {
        if process.has_ended() {
            return Err(TestkitError::EndedEarly { port: address.port, log: files.log() });
        }
        Ok(match address.fields(&["INFO", "server"]) {
            // Someone else's server may hold the port while ours is about to find that out.
            Ok(fields) if fields.get("process_id") == Some(&pid) => answers(address),
            Ok(_) => Seen::NotYet("another process answers on the port".to_owned()),
            Err(error) => Seen::NotYet(error.to_string()),
        })
    })?;
    Ok(process)
}

/// INFO is answered while data is still being loaded; PING is not.
fn answers(address: &RedisAddress) -> Seen<()> {
    match address.ask::<String>(["PING"]) {
        Ok(_) => Seen::Ready(()),
        // A replica that has not caught up answers PING with MASTERDOWN where it serves no stale data.
        Err(TestkitError::Redis { source, .. }) if source.code() == Some("MASTERDOWN") => Seen::Ready(()),
        Err(error) => Seen::NotYet(error.to_string()),
    }
}

/// Whether a server that ended early did so because its port belongs to someone else.
pub(crate) fn is_port_taken(log: &str) -> bool {
    ["Address already in use", "Failed listening on port"].iter().any(|words| log.contains(words))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;
    use crate::{PortLease, RedisServerBuilder};

    #[test]
    fn a_port_that_was_taken_meanwhile_is_recognised() -> Result<(), TestkitError> {
        let lease = PortLease::take()?;
        let _squatter = TcpListener::bind((Ipv4Addr::LOCALHOST, lease.port())).map_err(TestkitError::io("squat"))?;
        let files = ServerFiles::write(&RedisServerBuilder::default(), lease.port())?;
        let outcome = run(&files, &RedisAddress::new(lease.port(), None));
        assert!(matches!(&outcome, Err(TestkitError::EndedEarly { log, .. }) if is_port_taken(log)), "{outcome:?}");
        Ok(())
    }
}
