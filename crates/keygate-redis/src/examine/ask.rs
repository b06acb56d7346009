//! Asking a server, and what it means when it does not say.

use std::collections::HashMap;
use std::time::Duration;

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, Value};

use super::SelfDescription;
use super::info::Info;
use crate::link::{Bare, in_time, is_refusal};

/// How long the answers to what is asked at once may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// What was asked for, or why it is not known.
pub(super) type Answer<T> = Result<T, Silence>;

/// Why something is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Silence {
    /// The user may not ask.
    #[error("this user may not {0}")]
    Forbidden(&'static str),
    /// There is no such command here.
    #[error("the server has no {0}")]
    Absent(&'static str),
    /// The answer leaves it out.
    #[error("the server does not say {0}")]
    Unsaid(&'static str),
    /// It failed.
    #[error("{0} failed: {1}")]
    Failed(&'static str, String),
}

impl Silence {
    /// What this error of a command means.
    pub(super) fn of(command: &'static str, error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoPerm) => Self::Forbidden(command),
            _ if is_refusal(error) => Self::Absent(command),
            _ => Self::Failed(command, one_line(error)),
        }
    }

    /// What to do to know it.
    pub(super) fn advice(&self) -> String {
        match self {
            Self::Forbidden(command) => {
                let rule = command.to_ascii_lowercase().replace(' ', "|");
                format!("let the user of KEYGATE_STORE do so (ACL +{rule}), or ask whoever runs the server")
            }
            Self::Absent(_) | Self::Unsaid(_) => "ask whoever runs the server".into(),
            Self::Failed(..) => "see the server's log".into(),
        }
    }
}

/// An error as a part of a sentence.
pub(super) fn one_line(error: &RedisError) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What one server says of itself and of its settings.
pub(super) struct Asked {
    pub(super) info: SelfDescription,
    pub(super) save: Answer<String>,
    pub(super) appendfsync: Answer<String>,
    pub(super) policy: Answer<String>,
    pub(super) min_replicas: Answer<String>,
}

impl Asked {
    pub(super) async fn of(bare: &Bare<'_>) -> Self {
        let mut cmds = vec![redis::cmd("INFO")];
        // One each, as servers before 7.0 take no more at once.
        for setting in ["save", "appendfsync", "maxmemory-policy", "min-replicas-to-write"] {
            cmds.push(config_get(setting));
        }
        let mut answers = match in_time(PATIENCE, bare.query_all(&cmds)).await {
            Ok(answers) => answers.into_iter().map(Some).collect::<Vec<_>>(),
            Err(error) => cmds.iter().map(|_| Some(Err(error.clone()))).collect(),
        }
        .into_iter();
        let mut next = || answers.next().flatten();
        let info = read::<String>("INFO", next()).map(|text| Info::parse(&text));
        let mut setting = |name| read_setting(name, next());
        Self {
            info,
            save: setting("save"),
            appendfsync: setting("appendfsync"),
            policy: setting("maxmemory-policy"),
            min_replicas: setting("min-replicas-to-write"),
        }
    }
}

fn config_get(setting: &str) -> Cmd {
    let mut cmd = redis::cmd("CONFIG");
    cmd.arg("GET").arg(setting);
    cmd
}

/// Reads an answer; none is one that did not come.
pub(super) fn read<T: FromRedisValue>(command: &'static str, answer: Option<Result<Value, RedisError>>) -> Answer<T> {
    let value = match answer {
        Some(Ok(value)) => value,
        Some(Err(error)) => return Err(Silence::of(command, &error)),
        None => return Err(Silence::Failed(command, "it was not answered".into())),
    };
    redis::from_redis_value(value).map_err(|_| Silence::Failed(command, "the answer cannot be read".into()))
}

fn read_setting(name: &'static str, answer: Option<Result<Value, RedisError>>) -> Answer<String> {
    let mut settings: HashMap<String, String> = read("CONFIG GET", answer)?;
    settings.remove(name).ok_or(Silence::Unsaid(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> RedisError {
        redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap().extract_error().unwrap_err()
    }

    #[test]
    fn what_is_forbidden_absent_or_failed_is_told_apart() {
        let of = |text: &str| Silence::of("CONFIG GET", &refusal(text));
        let forbidden = of("NOPERM User bob has no permissions to run the 'config|get' command");
        assert_eq!(forbidden, Silence::Forbidden("CONFIG GET"));
        assert!(forbidden.advice().contains("+config|get"));
        assert_eq!(of("ERR unknown command 'CONFIG'"), Silence::Absent("CONFIG GET"));
        assert!(matches!(of("LOADING Redis is loading the dataset in memory"), Silence::Failed("CONFIG GET", _)));
    }

    #[test]
    fn a_setting_is_read_out_of_either_form_of_the_answer() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let array = Value::Array(vec![text("save"), text("3600 1")]);
        assert_eq!(read_setting("save", Some(Ok(array))), Ok("3600 1".into()));
        let map = Value::Map(vec![(text("save"), text(""))]);
        assert_eq!(read_setting("save", Some(Ok(map))), Ok(String::new()));
        assert_eq!(read_setting("save", Some(Ok(Value::Array(vec![])))), Err(Silence::Unsaid("save")));
        assert!(matches!(read_setting("save", Some(Ok(Value::Int(1)))), Err(Silence::Failed(..))));
        assert!(matches!(read_setting("save", None), Err(Silence::Failed(..))));
    }
}
