//! What the server says unasked.

use std::convert::Infallible;
use std::sync::Arc;

use redis::{PushInfo, PushKind, Value};

use super::{Audience, Session};

/// What takes the server's messages of one connection, inline, in the order of the replies.
pub(crate) type Push = Box<dyn Fn(PushInfo) -> Result<(), Infallible> + Send + Sync>;

/// Ends the session when the connection's driver is gone, however it went.
struct Ending(Arc<Session>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Tells those who watch what the server says on a session's connection. It must not wait for anything.
pub(crate) fn pushes(audience: Arc<Audience>, session: &Arc<Session>) -> Push {
    let ending = Ending(Arc::clone(session));
    Box::new(move |message| {
        match message.kind {
            PushKind::Invalidate => invalidated(&audience, &ending.0, &message.data),
            PushKind::Disconnection => ending.0.end(),
            _ => {}
        }
        Ok(())
    })
}

fn invalidated(audience: &Audience, session: &Session, names: &[Value]) {
    let [Value::Array(names)] = names else {
        // Nothing in particular: everything is gone, or this is a message of another form.
        session.renew();
        return;
    };
    for name in names {
        let name = match name {
            Value::BulkString(name) => name.as_slice(),
            Value::SimpleString(name) => name.as_bytes(),
            _ => {
                session.renew();
                continue;
            }
        };
        audience.layout.changes(name).for_each(|change| audience.watchers.tell(&change));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, Weak};
    use std::time::Duration;

    use keygate_core::clock::Tick;
    use keygate_core::coherence::{Change, Watcher};
    use keygate_core::names::OrganizationId;

    use super::super::Telling;
    use super::*;
    use crate::layout::Layout;
    use crate::settings::Terms;

    #[derive(Debug, Default)]
    struct Heard(Mutex<Vec<Change>>);

    impl Watcher for Heard {
        fn changed(&self, change: &Change) {
            self.0.lock().unwrap().push(change.clone());
        }
    }

    fn scene() -> (Arc<Heard>, Arc<Session>, Push) {
        let audience = Arc::new(Audience::new(Layout::default(), Terms::default()));
        let heard = Arc::new(Heard::default());
        let watcher: Weak<dyn Watcher> = Arc::downgrade(&(Arc::clone(&heard) as Arc<dyn Watcher>));
        audience.add(watcher, Duration::ZERO);
        let session = Arc::new(Session::new(Telling::Told).unwrap());
        session.lease().extend(Tick::FOREVER);
        let push = pushes(audience, &session);
        (heard, session, push)
    }

    fn invalidate(data: Vec<Value>) -> PushInfo {
        PushInfo { kind: PushKind::Invalidate, data }
    }

    #[test]
    fn names_are_told_and_no_name_ends_the_lease() {
        let (heard, session, push) = scene();
        let acme = OrganizationId::new("acme").unwrap();
        let name = |name: String| Value::BulkString(name.into_bytes());
        let names = vec![name("kg:org:{b0001}:acme".into()), name("kg:org:nothing".into())];
        push(invalidate(vec![Value::Array(names)])).unwrap();
        assert_eq!(*heard.0.lock().unwrap(), [Change::Organization(acme)]);
        let first = session.lease();
        assert!(first.is_live(Tick::now()));
        push(invalidate(vec![Value::Nil])).unwrap();
        assert!(first.has_ended() && !session.lease().has_ended());
    }

    #[test]
    fn the_session_ends_with_the_connection_and_with_its_driver() {
        let (_, session, push) = scene();
        push(PushInfo { kind: PushKind::Disconnection, data: vec![] }).unwrap();
        assert!(session.is_over() && session.lease().has_ended());
        let (_, session, push) = scene();
        drop(push);
        assert!(session.is_over() && session.lease().has_ended());
    }
}
