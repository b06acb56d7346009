//! The store contract: one suite of tests that every [`Store`] is held to.
//!
//! A store's crate asks for the suite in one of its integration tests, and gets one test for each promise:
//!
//! ```
//! // tests/it/contract.rs
//! use keygate_core::store::MemoryStore;
//! use keygate_testkit::contract::Fresh;
//!
//! async fn memory_store() -> Fresh {
//!     Fresh::new(MemoryStore::new())
//! }
//!
//! keygate_testkit::store_contract!(memory, memory_store);
//! # fn main() {}
//! ```
//!
//! Every promise uses organizations, memos and ring entries that no other has, and real time only (ends of keys are a
//! day ago or years ahead, and what is soon over is waited for), so a store may have a clock of its own, and
//! may be shared but for its notices, which whoever looks takes. The crate needs tokio with its macros
//! and its multi-threaded runtime among the dependencies of its tests.

// A broken promise ends its test, with the reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod anomaly;
mod audit;
mod coherence;
mod creation;
mod deletion;
mod due;
mod ear;
mod lease;
mod listing;
mod lookup;
mod memo;
mod model;
mod notice;
mod owners;
mod parents;
mod quota;
mod status;
mod succession;
mod tenancy;
mod update;
mod usage;
mod whole;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use keygate_core::key::KeyId;
use keygate_core::names::{OrganizationId, UserId};
use keygate_core::record::{KeyRecord, Quota};
use keygate_core::store::{CreateRefusal, Listing, Store, WriteRefusal};

pub use anomaly::*;
pub use audit::*;
pub use coherence::*;
pub use creation::*;
pub use deletion::*;
pub use due::*;
pub use lease::*;
pub use listing::*;
pub use lookup::*;
pub use memo::*;
pub use model::*;
pub(crate) use model::{Dice, SEED, seed};
pub use notice::*;
pub use owners::*;
pub use parents::*;
pub use quota::*;
pub use status::*;
pub use succession::*;
pub use tenancy::*;
pub use update::*;
pub use usage::*;
pub use whole::*;

/// A store to test, and what must outlive it: a server, a directory.
pub struct Fresh {
    store: Arc<dyn Store>,
    keep: Box<dyn Any + Send + Sync>,
}

impl Fresh {
    /// This store.
    pub fn new(store: impl Store) -> Self {
        Self { store: Arc::new(store), keep: Box::new(()) }
    }

    /// Keeps `guard` until the test is over.
    #[must_use]
    pub fn keeping(self, guard: impl Any + Send + Sync) -> Self {
        Self { keep: Box::new((self.keep, guard)), ..self }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, keep: _ } = self;
        f.debug_struct("Fresh").field("store", store).finish_non_exhaustive()
    }
}

/// Makes a module of tests, one for each promise of the contract. The second argument names an async function that
/// takes nothing and gives a [`Fresh`](crate::contract::Fresh) store. See the
/// [module docs](crate::contract) for an example.
#[macro_export]
macro_rules! store_contract {
    ($module:ident, $fresh:ident) => {
        mod $module {
            $crate::store_contract! {
                @promises $fresh:
                a_created_key_is_read_back_as_it_was,
                a_record_with_every_field_is_read_back_as_it_was,
                what_nobody_wrote_is_absent,
                creating_nothing_does_nothing,
                an_id_is_taken_once,
                an_id_is_taken_once_among_concurrent_creators,
                one_refusal_stops_none_of_the_others,
                a_large_batch_is_created_whole,
                the_user_quota_is_the_most_keys_of_a_user,
                the_organization_quota_is_the_most_keys_of_an_organization,
                the_user_quota_holds_under_concurrent_creation,
                the_organization_quota_holds_under_concurrent_creation,
                the_project_quota_is_the_most_keys_of_a_project,
                the_project_quota_holds_under_concurrent_creation,
                a_users_own_quota_stands_before_the_organizations,
                what_stopped_counting_takes_no_place_in_its_project,
                the_quota_holds_within_a_batch,
                a_refused_key_takes_no_place_in_the_quota,
                quotas_of_one_tenant_are_not_anothers,
                inactive_keys_count,
                revoked_keys_do_not_count,
                expired_keys_do_not_count,
                deleted_keys_do_not_count,
                extending_the_end_of_an_expired_key_makes_it_count_again,
                an_end_brought_into_the_past_frees_a_place,
                an_update_from_the_current_revision_is_read_back,
                an_update_from_an_old_revision_is_refused_and_changes_nothing,
                of_concurrent_updates_one_wins,
                an_absent_key_is_not_updated,
                a_status_change_counts_as_a_write,
                setting_the_same_status_twice_changes_nothing,
                a_stopped_key_can_be_started_again,
                a_revoked_record_accepts_no_update_and_no_other_status,
                revocation_wins_over_concurrent_updates,
                an_absent_key_gets_no_status,
                a_successor_stands_beside_its_predecessor,
                a_successor_takes_its_predecessors_place_in_the_quotas,
                of_concurrent_successors_one_is_made,
                a_succession_that_is_refused_changes_nothing,
                those_who_watch_are_told_of_a_succession,
                what_is_due_is_listed_by_its_day,
                what_is_not_due_any_more_is_taken_off_the_list,
                deleting_needs_the_current_revision,
                a_revoked_key_can_be_deleted,
                a_deleted_key_is_in_no_list,
                a_deleted_id_may_be_created_again,
                another_tenants_key_is_absent_to_every_write,
                another_tenants_id_cannot_be_created_over,
                a_batch_with_another_tenants_key_creates_nothing,
                lists_are_newest_first,
                a_list_is_paged_without_repeats_or_gaps,
                cursors_are_stable_under_writes,
                a_cursor_outlives_its_key,
                a_users_list_holds_that_users_keys_alone,
                an_organizations_list_holds_that_organizations_keys_alone,
                lists_show_records_as_they_are_now,
                parents_are_absent_until_configured,
                parents_are_read_back_as_written,
                parents_compare_revisions,
                projects_belong_to_one_organization,
                owners_are_read_back_as_written,
                owners_compare_revisions,
                owners_belong_to_one_organization,
                the_deployment_marker_is_compare_and_set,
                one_of_concurrent_set_ups_wins,
                the_first_to_remember_wins,
                concurrent_rememberers_agree_on_one,
                a_memo_is_over_when_its_time_has_passed,
                memos_of_other_names_are_apart,
                a_large_memo_is_refused,
                lookups_are_found_in_the_order_asked,
                a_lookup_is_taken_once,
                concurrent_takers_of_a_lookup_agree_on_one,
                a_lookup_is_freed_by_its_key_alone,
                too_many_lookups_at_once_are_refused,
                a_pool_is_granted_as_the_model_grants_it,
                concurrent_callers_are_granted_the_limit_and_no_more,
                pools_do_not_share,
                looking_at_a_pool_changes_nothing,
                a_batch_is_taken_in_once_and_in_order,
                a_batch_out_of_turn_changes_nothing,
                writers_do_not_share_their_marks,
                concurrent_writers_are_all_counted_once,
                the_mark_and_the_figures_change_together,
                a_batch_of_many_subjects_is_taken_in_whole,
                requests_are_counted_by_hour_day_and_month,
                what_is_ahead_of_the_time_is_counted_in_the_next_hour,
                no_count_is_too_great,
                what_became_of_requests_is_told_by_day,
                what_there_is_no_room_for_is_other,
                different_addresses_are_counted,
                the_last_use_and_the_last_error_are_the_latest,
                last_uses_are_in_the_order_of_the_keys,
                the_most_used_keys_come_first,
                deleting_a_key_erases_its_usage,
                nothing_is_counted_of_a_key_that_is_not_there,
                subjects_do_not_share,
                random_batches_are_counted_as_the_model_counts_them,
                habits_are_compare_and_set,
                deleting_a_key_erases_its_habits,
                a_finding_is_recorded_once,
                findings_are_listed_newest_first_and_by_tenant,
                the_newest_findings_are_kept,
                webhooks_compare_revisions,
                a_notice_is_kept_once,
                a_notice_is_taken_when_it_is_due,
                who_is_too_late_settles_no_notice,
                notices_that_were_given_up_are_kept,
                a_notice_that_waits_can_be_replaced,
                not_too_many_notices_of_an_organization_wait,
                random_notices_fare_as_in_the_memory_store,
                entries_of_the_audit_are_numbered_without_gaps,
                an_entry_of_the_audit_is_kept_once,
                an_outcome_closes_its_intent,
                what_is_reconciled_is_closed_once,
                entries_of_the_audit_are_read_in_either_order,
                audits_of_tenants_are_apart,
                of_concurrent_seals_one_is_kept,
                what_is_trimmed_leaves_a_checkpoint,
                organizations_are_listed_by_their_audits,
                seals_of_the_audit_need_their_ring_entries,
                random_audits_fare_as_in_the_memory_store,
                ring_usage_counts_usable_keys_per_entry,
                ring_usage_counts_sensitive_fields_until_they_are_erased,
                a_watcher_is_told_of_every_write_of_a_key,
                a_watcher_is_told_of_every_key_of_a_batch,
                a_revocation_alone_is_told_as_one,
                a_watcher_is_told_of_organizations_and_projects,
                a_watcher_is_told_of_users_and_roles,
                other_keys_are_told_of_under_their_own_names,
                other_parents_are_told_of_under_their_own_names,
                every_watcher_is_told,
                a_watcher_that_is_gone_is_let_go,
                a_load_reads_what_is_there,
                a_load_says_when_it_was_asked_for,
                what_is_loaded_beside_a_write_is_new_or_told_of,
                everywhere_is_told_of_what_was_written,
                random_operations_answer_as_the_memory_store_does,
            }
        }
    };
    (@promises $fresh:ident: $($promise:ident),+ $(,)?) => {
        $(
            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let fresh = super::$fresh().await;
                $crate::contract::$promise(fresh.store()).await;
            }
        )+
    };
}

/// A quota that nothing here reaches.
const AMPLE: Quota = Quota { per_organization: 1_000_000, per_user: 1_000_000 };

/// Creates one key and gives it back as the store has it.
pub(crate) async fn created(store: &dyn Store, record: KeyRecord) -> KeyRecord {
    assert_eq!(create_one(store, AMPLE, record.clone()).await, Ok(()));
    record
}

async fn create_one(store: &dyn Store, quota: Quota, record: KeyRecord) -> Result<(), CreateRefusal> {
    let organization = record.key.organization.clone();
    let outcomes = store.create(&organization, quota, vec![record]).await.unwrap();
    assert_eq!(outcomes.len(), 1, "one outcome for each record");
    outcomes[0]
}

async fn read(store: &dyn Store, id: KeyId) -> Option<KeyRecord> {
    store.record(id).await.unwrap()
}

/// The whole list, in pages of `limit`.
async fn listed(store: &dyn Store, listing: &Listing, limit: usize) -> Vec<KeyRecord> {
    let mut records = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(listing, after, limit).await.unwrap();
        assert!(page.records.len() <= limit, "a page of {} records, when {limit} were asked for", page.records.len());
        records.extend(page.records);
        match page.next {
            None => return records,
            next => {
                assert!(next < after || after.is_none(), "the cursor went from {after:?} to {next:?}");
                after = next;
            }
        }
    }
}

fn of_user(organization: &OrganizationId, user: &UserId) -> Listing {
    Listing::User(organization.clone(), user.clone())
}

fn ids(records: &[KeyRecord]) -> Vec<KeyId> {
    records.iter().map(|record| record.key.id).collect()
}

/// The counts of the organization and of the user in it.
async fn used(store: &dyn Store, organization: &OrganizationId, user: &UserId) -> (u64, u64) {
    let used = store.quota_use(organization, user).await.unwrap();
    (used.organization, used.user)
}

#[track_caller]
#[allow(clippy::needless_pass_by_value)] // every caller has an answer to give away
fn assert_absent<T: fmt::Debug>(answer: Result<T, WriteRefusal>) {
    assert!(matches!(answer, Err(WriteRefusal::Absent)), "absent was expected, not {answer:?}");
}
