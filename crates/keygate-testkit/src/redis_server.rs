//! A real `redis-server` that lives as long as a test holds it.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use redis::{Cmd, FromRedisValue, ToRedisArgs};

use crate::{
    PortLease, RedisDump, RedisServerBuilder, TestkitError,
    guarded_process::GuardedProcess,
    redis_address::{RedisAddress, command_of},
    redis_config::{Role, ServerFiles},
    redis_dump,
    redis_process::{is_port_taken, run},
    waiting::on_blocking_thread,
};

/// How many ports are tried before a start is given up.
const PORT_ATTEMPTS: usize = 10;

/// How long a server may take to end when it is asked to.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// A `redis-server` process on a port and in a directory of its own.
///
/// It is stopped when this value is dropped, and killed if the test process is killed. The port stays
/// leased until then: a stopped server can be restarted where its clients look for it.
#[derive(Debug)]
pub struct RedisServer {
    process: Option<GuardedProcess>,
    address: RedisAddress,
    files: Arc<ServerFiles>,
    _lease: PortLease,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk, and waits until it answers.
    ///
    /// # Errors
    /// [`TestkitError::RedisNotInstalled`] among others.
    pub async fn start() -> Result<Self, TestkitError> {
        Self::builder().start().await
    }

    /// For a server with settings of its own.
    pub fn builder() -> RedisServerBuilder {
        RedisServerBuilder::default()
    }

    /// Starts a server on the calling thread, which blocks.
    pub(crate) fn launch(builder: &RedisServerBuilder) -> Result<Self, TestkitError> {
        for _ in 0..PORT_ATTEMPTS {
            let lease = PortLease::take()?;
            let address = RedisAddress::new(lease.port(), builder.configured_password());
            let files = Arc::new(ServerFiles::write(builder, lease.port())?);
            match run(&files, &address) {
                Ok(process) => {
                    return Ok(Self { process: Some(process), address, files, _lease: lease });
                }
                Err(TestkitError::EndedEarly { log, .. }) if is_port_taken(&log) => {}
                Err(error) => return Err(error),
            }
        }
        Err(TestkitError::NoFreePort { attempts: PORT_ATTEMPTS })
    }

    /// Stops the server as an operator would (SIGTERM) and waits until it has ended. Without persistence
    /// its data is gone.
    ///
    /// # Errors
    /// [`TestkitError::NotRunning`] if it is stopped already.
    pub async fn stop(&mut self) -> Result<(), TestkitError> {
        let process = self.process.take().ok_or(self.not_running())?;
        on_blocking_thread(move || {
            process.terminate(STOP_WITHIN).map_err(TestkitError::io("stop redis-server"))?;
            Ok(())
        })
        .await
    }

    /// Ends the server at once (SIGKILL), as a crash does. Does nothing if it is stopped already.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts the server again on the same port with its data. A running server is stopped first, its
    /// data saved; a stopped or killed one comes back with what its persistence settings kept.
    ///
    /// # Errors
    /// If it does not start, or cannot be stopped.
    pub async fn restart_keeping_data(&mut self) -> Result<(), TestkitError> {
        let running = self.process.take();
        let (address, files) = (self.address.clone(), Arc::clone(&self.files));
        let process = on_blocking_thread(move || {
            if let Some(running) = running {
                // A frozen server would never answer.
                running.signal("CONT").map_err(TestkitError::io("stop redis-server"))?;
                if files.role == Role::Store {
                    address.ask::<()>(["SAVE"])?;
                }
                running.terminate(STOP_WITHIN).map_err(TestkitError::io("stop redis-server"))?;
            }
            let process = run(&files, &address)?;
            files.remove_carried_snapshot();
            Ok(process)
        })
        .await?;
        self.process = Some(process);
        Ok(())
    }

    /// Starts the server again on the same port with nothing in it, whatever it kept. A cluster node
    /// keeps its identity and its slots.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart_empty(&mut self) -> Result<(), TestkitError> {
        let running = self.process.take();
        let (address, files) = (self.address.clone(), Arc::clone(&self.files));
        let process = on_blocking_thread(move || {
            drop(running);
            files.remove_data();
            run(&files, &address)
        })
        .await?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops the process from running (SIGSTOP) without closing anything: connections stay open, new
    /// ones are taken by the kernel, and nothing is answered.
    ///
    /// # Errors
    /// [`TestkitError::NotRunning`] if the server is stopped.
    pub fn freeze(&self) -> Result<(), TestkitError> {
        self.signal("STOP")
    }

    /// Lets a frozen process go on (SIGCONT); it then answers what arrived meanwhile.
    ///
    /// # Errors
    /// [`TestkitError::NotRunning`] if the server is stopped.
    pub fn thaw(&self) -> Result<(), TestkitError> {
        self.signal("CONT")
    }

    /// The port, the same for the life of this value.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port
    }

    /// The address: the loopback address and the port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address.socket()
    }

    /// The URL: `redis://127.0.0.1:PORT`, with the password in it if there is one.
    #[must_use]
    pub fn url(&self) -> String {
        self.address.url()
    }

    /// The process id, while the server runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(GuardedProcess::pid)
    }

    /// The last 20 lines of the server's log.
    #[must_use]
    pub fn log(&self) -> String {
        self.files.log()
    }

    /// Runs one command, given as its words, on a connection of its own:
    /// `server.command::<i64>(["INCR", "n"])`. It gives up after 30 s without an answer.
    ///
    /// # Errors
    /// What the server answered, or that it did not.
    pub async fn command<T: FromRedisValue + Send + 'static>(
        &self,
        words: impl IntoIterator<Item = impl ToRedisArgs>,
    ) -> Result<T, TestkitError> {
        self.query(command_of(words)).await
    }

    /// Runs one command built with the redis crate, for words of several types.
    ///
    /// # Errors
    /// What the server answered, or that it did not.
    pub async fn query<T: FromRedisValue + Send + 'static>(&self, command: Cmd) -> Result<T, TestkitError> {
        self.with_address(move |address| address.query(&command)).await
    }

    /// The fields of one section of INFO.
    ///
    /// # Errors
    /// If the server does not answer.
    pub async fn info(&self, section: &str) -> Result<BTreeMap<String, String>, TestkitError> {
        let section = section.to_owned();
        self.with_address(move |address| address.fields(&["INFO", &section])).await
    }

    /// How often each command was called since the server started or the statistics were reset, by its
    /// name in small letters (`evalsha`, `client|tracking`). This call itself counts as one `info`, as
    /// do those that watched the server start.
    ///
    /// # Errors
    /// If the server does not answer.
    pub async fn command_stats(&self) -> Result<BTreeMap<String, u64>, TestkitError> {
        let fields = self.info("commandstats").await?;
        let calls = fields.iter().filter_map(|(name, figures)| {
            let name = name.strip_prefix("cmdstat_")?;
            let calls = figures.split(',').find_map(|figure| figure.strip_prefix("calls="))?;
            Some((name.to_owned(), calls.parse().ok()?))
        });
        Ok(calls.collect())
    }

    /// Sets the figures of [`RedisServer::command_stats`] back to zero.
    ///
    /// # Errors
    /// If the server does not answer.
    pub async fn reset_command_stats(&self) -> Result<(), TestkitError> {
        self.command(["CONFIG", "RESETSTAT"]).await
    }

    /// Every key and everything stored under it, of every database.
    ///
    /// # Errors
    /// If the server does not answer.
    pub async fn dump_all(&self) -> Result<RedisDump, TestkitError> {
        self.with_address(redis_dump::read).await
    }

    /// The memory the server has in use, in bytes.
    ///
    /// # Errors
    /// If the server does not answer.
    pub async fn used_memory(&self) -> Result<u64, TestkitError> {
        let fields = self.info("memory").await?;
        let figure = fields.get("used_memory").and_then(|figure| figure.parse().ok());
        figure.ok_or_else(|| TestkitError::Unexpected("INFO gives no used_memory".to_owned()))
    }

    pub(crate) fn redis_address(&self) -> &RedisAddress {
        &self.address
    }

    async fn with_address<T: Send + 'static>(
        &self,
        work: impl FnOnce(&RedisAddress) -> Result<T, TestkitError> + Send + 'static,
    ) -> Result<T, TestkitError> {
        let address = self.address.clone();
        on_blocking_thread(move || work(&address)).await
    }

    fn signal(&self, name: &str) -> Result<(), TestkitError> {
        let process = self.process.as_ref().ok_or(self.not_running())?;
        process.signal(name).map_err(TestkitError::io("signal redis-server"))
    }

    fn not_running(&self) -> TestkitError {
        TestkitError::NotRunning { port: self.port() }
    }
}
