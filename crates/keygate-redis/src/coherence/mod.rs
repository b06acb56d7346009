//! How those who keep what they read are told of changes, and how long they may believe without being told.
//!
//! Every connection of a store that is watched has a [`Session`]: its [`Lease`](keygate_core::coherence::Lease), and
//! what the last heartbeat came to. On a connection with tracking the server says the name of every entry that changes,
//! and [what it says](pushes) is acted on inline, in the order of the replies. A heartbeat ([`Beat`]) is a script that
//! writes, every H/4; its answer extends the lease to H after it was sent. Why nobody then believes for longer than H
//! what has changed is said in [`keygate_core::coherence`]. It rests on the server staying the authority for as long:
//! behind Sentinels every heartbeat also asks who the primary is, and a primary that nobody can reach but we must be kept
//! from taking writes by `min-replicas-to-write`; and on clocks whose rates agree.
//!
//! Where nobody tells (a pool, a server without tracking), what is read is believed for H after it was asked for.
//!
//! # Why nobody believes any longer once `told_everywhere` has answered
//!
//! A heartbeat also registers its session, under a random id, with its number and with the time until which the session
//! may have to be waited for, *before* its answer lets anybody believe anything. So whoever may believe what was so before
//! a write is in the registry as it is read after that write, with the number s of the last heartbeat that had run. The
//! heartbeats of a session go over one connection, one after the other. When number s + 2 is seen there, number s + 1 was
//! answered, and it ran after the write: the word of the write came before that answer on the same stream, and was acted
//! on before s + 2 was sent. A session that does not get so far, because it is frozen or cut off, or is not told at all,
//! believes nothing once its time is over, which is counted here from the moment at which the registry was read, so that
//! neither the server's clock nor a failover meanwhile matters. What a failover forgot of the registry *before* it was
//! read is not known here: that much `min-replicas-to-write` bounds.
//!
//! # In a Cluster
//!
//! Each primary has a connection, a session and a lease of its own, so that what happens to one ends nothing that was read
//! of the others. Two things are added. A primary's word is good only while the slot is its own, and an *absent* entry whose
//! slot moves is told of by nobody: so after each heartbeat, and before the next, the primary is asked on the same connection
//! which slots it has and which are on the way, and any change ends what was believed (`link::cluster::node`). What is
//! written where a slot is going is written after its primary has begun to say so; that holds for the reasoning above, and
//! for the one on waiting, because the question runs after the heartbeat that is waited for.
//!
//! And instances need not agree about who has what. A session is registered under the lowest bucket that the primary says it
//! has, on that primary itself: Redis refuses it elsewhere. Whoever waits reads the registries of all buckets, wherever they
//! are now. Every primary that keeps anything has a bucket, so none is left out.
//!
//! It rests on a slot having one primary. One that is cut off from the others serves for about `cluster-node-timeout` more,
//! and so does one that stood still meanwhile, for a moment; it is known by what the others say of their slots, where those
//! are reached. And until when a session may have to be waited for is a time of the primary that registered it: if the
//! registry has moved to another since, or a replica took over, their clocks must agree, else one that is frozen is waited
//! for that much too short.

mod audience;
mod beat;
mod everywhere;
mod push;
mod session;

pub(crate) use audience::Audience;
pub(crate) use beat::Beat;
pub(crate) use everywhere::told_everywhere;
pub(crate) use push::{Push, pushes};
pub(crate) use session::{Session, Telling};
