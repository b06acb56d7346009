//! The HTTP vocabulary of keygate, with no framework type in it.
