//! The contract fails a store that breaks it: one bent store for each promise that would be easy to break.

mod bent;
mod crier;
mod miscounter;
mod misfinder;
mod misposter;

use bent::{Bend, bent};
use keygate_testkit::contract;

/// How often a broken store may be lucky: whether a race is lost, or a random run comes across what is broken, is chance
/// at each try. What is found by chance is found in most tries, so thirty in a row that find nothing are no chance.
const TRIES: usize = 30;

macro_rules! bites {
    (on $runtime:tt: $($promise:ident: $($bend:ident)|+),+ $(,)?) => {
        $(
            #[tokio::test $runtime]
            async fn $promise() {
                contract::$promise(bent(Bend::Nothing)).await;
                'bends: for bend in [$(Bend::$bend),+] {
                    for _ in 0..TRIES {
                        if tokio::spawn(contract::$promise(bent(bend))).await.is_err() {
                            continue 'bends;
                        }
                    }
                    panic!("a store that is bent by {bend:?} passes");
                }
            }
        )+
    };
}

bites! {
    on (flavor = "multi_thread", worker_threads = 2):
    the_user_quota_is_the_most_keys_of_a_user: CreatesBeyondQuotas,
    the_quota_holds_within_a_batch: CreatesBeyondQuotas,
    the_user_quota_holds_under_concurrent_creation: CountsBeforeItCreates,
    the_project_quota_is_the_most_keys_of_a_project: CreatesBeyondQuotas | KnowsNoProjectQuotas,
    the_project_quota_holds_under_concurrent_creation: CountsBeforeItCreates | KnowsNoProjectQuotas,
    a_users_own_quota_stands_before_the_organizations: CreatesBeyondQuotas | KnowsNoQuotasOfUsers,
    what_stopped_counting_takes_no_place_in_its_project: CountsTheSuperseded,
    one_refusal_stops_none_of_the_others: ReversesOutcomes,
    another_tenants_key_is_absent_to_every_write: IgnoresTheTenant,
    an_update_from_an_old_revision_is_refused_and_changes_nothing: IgnoresRevisions,
    of_concurrent_updates_one_wins: IgnoresRevisions,
    deleting_needs_the_current_revision: IgnoresRevisions,
    setting_the_same_status_twice_changes_nothing: StampsRepeatedStatus,
    a_revoked_record_accepts_no_update_and_no_other_status: RevivesRevoked,
    random_operations_answer_as_the_memory_store_does: RevivesRevoked,
    a_successor_takes_its_predecessors_place_in_the_quotas: CountsTheSuperseded,
    of_concurrent_successors_one_is_made: SucceedsInTwoSteps | IgnoresRevisions,
    a_succession_that_is_refused_changes_nothing: SucceedsInTwoSteps | IgnoresRevisions | IgnoresTheTenant,
    those_who_watch_are_told_of_a_succession: TellsNothing,
    what_is_due_is_listed_by_its_day: ForgetsTheCursor | ListsAllAsDue,
    a_cursor_outlives_its_key: ForgetsTheCursor,
    cursors_are_stable_under_writes: ForgetsTheCursor,
    lists_are_newest_first: ListsOldestFirst,
    a_users_list_holds_that_users_keys_alone: ListsTheWholeOrganization,
    the_deployment_marker_is_compare_and_set: SetsUpTwice,
    one_of_concurrent_set_ups_wins: SetsUpTwice,
    the_first_to_remember_wins: RemembersTheLast,
    concurrent_rememberers_agree_on_one: RemembersTheLast | LooksBeforeItRemembers,
    owners_are_read_back_as_written: LeavesOutUnknownUsers | ForgetsRoles,
    owners_compare_revisions: WritesUsersOver | WritesRolesOver,
    a_memo_is_over_when_its_time_has_passed: RemembersForEver | GivesMemosMoreTime,
    memos_of_other_names_are_apart: RemembersByHalfTheName,
    a_large_memo_is_refused: RemembersWhatIsLarge,
    lookups_are_found_in_the_order_asked: LooksUpInAnotherOrder,
    a_lookup_is_taken_once: TakesLookupsFromOthers,
    concurrent_takers_of_a_lookup_agree_on_one: TakesLookupsFromOthers | LooksBeforeItTakesLookups,
    a_lookup_is_freed_by_its_key_alone: FreesWhoseverLookup | SaysEveryLookupIsFreed,
    a_pool_is_granted_as_the_model_grants_it: GrantsAgainWhatComesAgain,
    concurrent_callers_are_granted_the_limit_and_no_more: GrantsBeforeItCounts,
    pools_do_not_share: GrantsOneUserAsAnother,
    looking_at_a_pool_changes_nothing: WritesWhatIsLookedAt,
    a_batch_is_taken_in_once_and_in_order: CountsWhateverComes | PassesOverGaps,
    a_batch_out_of_turn_changes_nothing: CountsWhateverComes | PassesOverGaps,
    writers_do_not_share_their_marks: SharesMarks,
    concurrent_writers_are_all_counted_once: SharesMarks | LooksAtTheMarkBeforeItCounts,
    the_mark_and_the_figures_change_together: CountsBeforeItMarks | MarksBeforeItCounts,
    a_batch_of_many_subjects_is_taken_in_whole: TakesInTheFirstOfMany,
    requests_are_counted_by_hour_day_and_month: CountsByTheDay | KnowsNoGoingBack,
    what_is_ahead_of_the_time_is_counted_in_the_next_hour: BelievesEveryClock | DropsWhatIsAhead,
    no_count_is_too_great: CountsIn32Bits,
    what_became_of_requests_is_told_by_day: TellsAllDays | FoldsWhatItCounts | KnowsNoGoingBack,
    what_there_is_no_room_for_is_other: FoldsWhatItCounts | DropsWhatThereIsNoRoomFor,
    different_addresses_are_counted: TakesNeighboursForOne | TakesAllMonthsForOne,
    the_last_use_and_the_last_error_are_the_latest: BelievesTheLastTold,
    last_uses_are_in_the_order_of_the_keys: SortsTheKeys | LeavesOutWhatWasNeverUsed,
    the_most_used_keys_come_first: RanksTheOldestOfEqualsFirst | RanksAsManyAsThereAre | TakesAllMonthsForOne,
    deleting_a_key_erases_its_usage: DeletesTheRecordAlone | ErasesBeforeItCompares,
    nothing_is_counted_of_a_key_that_is_not_there: CountsKeysThatAreGone | DropsBatchesOfKeysThatAreGone,
    subjects_do_not_share: CountsOneUserAsAnother,
    random_batches_are_counted_as_the_model_counts_them: KnowsNoGoingBack | BelievesTheLastTold | FoldsWhatItCounts,
    habits_are_compare_and_set: PutsHabitsOverOthers | LooksBeforeItPutsHabits | TakesEmptyHabitsForNone,
    deleting_a_key_erases_its_habits: KeepsHabitsOfDeletedKeys | PutsHabitsOfDeletedKeys,
    a_finding_is_recorded_once: RecordsFindingsAgain | RecordsFindingsByTheirTime | LooksBeforeItRecords,
    findings_are_listed_newest_first_and_by_tenant: ListsFindingsOldestFirst | ListsFindingsOfEveryKey
        | ListsFindingsOfEveryTenant | TurnsPagesByTheTimeAlone,
    the_newest_findings_are_kept: KeepsAllFindings,
    webhooks_compare_revisions: PutsWebhooksOverOthers,
    a_notice_is_kept_once: SaysEveryNoticeIsNew | ForgetsWhatWasSent | RemembersWhatWasForgotten | ReplacesEveryNotice,
    a_notice_that_waits_can_be_replaced: ReplacesNoNotice,
    a_notice_is_taken_when_it_is_due: TakesNoticesEarly | LooksBeforeItTakes,
    who_is_too_late_settles_no_notice: SettlesNoticesTooLate,
    notices_that_were_given_up_are_kept: ListsGivenUpOldestFirst | RedrivesWhatIsNotGivenUp,
    not_too_many_notices_of_an_organization_wait: KeepsAnyNumberOfNotices | RedrivesAnyNumber,
    random_notices_fare_as_in_the_memory_store: SettlesNoticesTooLate | TakesNoticesEarly | ForgetsWhatWasSent,
}

// What never comes is waited for in no time.
bites! {
    on (start_paused = true):
    a_watcher_is_told_of_every_write_of_a_key: TellsNothing | NeverVouches,
    a_watcher_is_told_of_every_key_of_a_batch: TellsNothing | TellsOfTheFirstOfABatch,
    a_revocation_alone_is_told_as_one: CallsEveryChangeARevocation | NeverCallsARevocationOne,
    a_watcher_is_told_of_users_and_roles: TellsOfKeysAlone | TellsNothing,
    a_watcher_is_told_of_organizations_and_projects: TellsOfKeysAlone | ForgetsWhoseTheProjectIs,
    other_keys_are_told_of_under_their_own_names: TellsOfNeighbours,
    other_parents_are_told_of_under_their_own_names: TellsOfProjectsAsTheirOrganizations,
    every_watcher_is_told: TellsOneWatcher,
    a_watcher_that_is_gone_is_let_go: HoldsItsWatchers,
    a_load_reads_what_is_there: LoadsWhatItLoadedBefore | LoadsWithoutTheProject,
    a_load_says_when_it_was_asked_for: SaysItAskedLater,
    what_is_loaded_beside_a_write_is_new_or_told_of: TellsBeforeItWrites,
    everywhere_is_told_of_what_was_written: NeverKnowsWhoWasTold | TellsNothing,
}

/// A promise that stands in the suite's source and not in its macro would be tested nowhere.
#[test]
fn every_promise_is_in_the_suite() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/contract");
    let suite = std::fs::read_to_string(source.join("mod.rs")).unwrap();
    let mut promises = 0;
    for file in std::fs::read_dir(source).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for rest in text.split("\npub async fn ").skip(1) {
            let (promise, _) = rest.split_once('(').unwrap();
            assert!(suite.contains(&format!(" {promise},\n")), "{promise} is not in store_contract!");
            promises += 1;
        }
    }
    assert!(promises > 60, "{promises} promises were found");
}
