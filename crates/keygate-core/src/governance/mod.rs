//! What may the owner of a key do, and so the key?
//!
//! A key's *effective* permissions are those that it was given **and** that its owner's roles cover now. They are no list
//! that is kept anywhere: both sides are looked at for each request, so that to take a role from a user, or a permission
//! from a role, weakens every key of everybody concerned, and nothing of any key has to be rewritten. An owner whose roles
//! nobody has said caps nothing.
//!
//! An organization in which a user or a role was ever configured has a record of its [roles](crate::record::RolesRecord),
//! which is read with the organization's own. Where there is none, no owner is looked for, and a hit costs what it costs
//! without roles. Where there is one, a key's owner is a cell in the cache like its organization, shared by all keys of the
//! user, and told of changes alike: a demotion reaches all instances within the bound of a revocation.
//! A key that is not kept costs a round trip more there, for its owner, unless another of the owner's is.
//!
//! A user's record also says [how much may be asked](crate::record::UserRecord::limits) of all its keys together, how many of
//! them there may be, what they have to be, and what new ones are where nobody says: each in the place of, or beside, what its
//! organization says of each user. They are found with the owner, and so where owners are looked for alone; other limits reach
//! all instances as a demotion does.
//!
//! To hold and to grant are two things here as everywhere: roles cap what an administrator's key may *do*, and its `grantable`
//! what it may hand out. Whoever may make keys (`keys:write`) makes them for any user, also for one that nothing caps.
//!
//! Whoever keeps roles elsewhere gives the manager a [`PermissionAuthority`], which is asked in the place of the roles kept
//! here. Nobody tells of changes there: its answers are believed as long as they say themselves.

mod authority;
mod owner;

pub(crate) use authority::ask;
pub use authority::{AuthorityAnswer, AuthorityError, MAX_AUTHORITY_AGE, PermissionAuthority};
pub use owner::Owner;
