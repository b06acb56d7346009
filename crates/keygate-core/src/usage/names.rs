//! The names of endpoints, which the meters that a thread begins share.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

/// How many names a thread remembers at most: services have fewer routes. Where there are more, it begins anew.
const REMEMBERED: usize = 1_024;

thread_local! {
    static NAMES: RefCell<HashSet<Arc<str>>> = RefCell::default();
}

/// The name, as other meters have it. With many keys in use a name is in memory once for each thread, and near: every request looks
/// at that of its endpoint.
pub(super) fn shared(name: &str) -> Arc<str> {
    let shared = |names: &RefCell<HashSet<Arc<str>>>| {
        let mut names = names.borrow_mut();
        if let Some(name) = names.get(name) {
            return Arc::clone(name);
        }
        if names.len() >= REMEMBERED {
            names.clear();
        }
        let name: Arc<str> = Arc::from(name);
        names.insert(Arc::clone(&name));
        name
    };
    // A thread that is ending remembers nothing any more.
    NAMES.try_with(shared).unwrap_or_else(|_| Arc::from(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_in_memory_once_and_however_many_there_are_each_is_itself() {
        assert!(Arc::ptr_eq(&shared("/reports"), &shared("/reports")));
        for number in 0..3 * REMEMBERED {
            assert_eq!(&*shared(&format!("/{number}")), format!("/{number}"));
            assert!(NAMES.with_borrow(HashSet::len) <= REMEMBERED);
        }
    }
}
