//! Whole-process scenarios: an operator's doings, and what must be seen afterwards.
//!
//! Each runs on any [`Stage`]: on fakes in `tests/it`, on the real parts in `tests/real`. Each ends with
//! [`rests`]: one more hook for every unit, which must do nothing. `for_each_scenario!` lists them all.

pub(crate) mod databases;
pub(crate) mod deployment;
pub(crate) mod host_info;
pub(crate) mod images;
pub(crate) mod ingress;
pub(crate) mod operation;
pub(crate) mod options;
pub(crate) mod orders;
pub(crate) mod stage;
pub(crate) mod turns;

/// Hands all scenarios, by module, to a macro.
macro_rules! for_each_scenario {
    ($each:ident) => {
        $each! {
            deployment {
                a_fresh_deployment_in_the_calm_order_becomes_active
                three_units_become_active_and_leadership_may_move_at_any_time
                a_worker_only_application_opens_only_its_ports
                removing_the_application_leaves_nothing
                a_worker_without_a_frontend_is_not_active
                split_applications_share_one_pair_of_databases
                the_rest_of_a_split_deployment_may_come_first
                both_parts_of_a_split_deployment_may_come_at_once
                an_old_server_is_run_as_well
            }
            orders {
                every_order_of_integrating_ends_in_the_same_state
                every_legal_order_of_events_ends_in_the_same_state
                update_status_alone_is_enough
                pebble_may_come_up_late
                the_address_of_the_service_may_come_late
            }
            databases {
                removing_db_stops_the_server_in_that_very_hook
                removing_visibility_stops_the_server_in_that_very_hook
                a_new_provider_leader_changes_the_password_and_nothing_restarts
                a_transient_mismatch_of_subnets_stops_nothing
                a_database_made_anew_is_not_trusted_to_the_stale_signal
                a_proven_schema_needs_no_admin
                removing_admin_after_the_set_up_stops_nothing
                a_database_that_is_down_at_the_start_is_waited_for
                a_database_that_goes_down_stops_nothing
                without_a_frontend_a_database_that_goes_down_is_seen_as_well
                a_wrong_password_is_waited_out
                a_silent_database_is_waited_for
                an_old_schema_is_waited_for
                hostile_passwords_arrive_unharmed
                a_password_with_a_line_break_is_refused_in_clear_words
                rights_that_a_second_application_lacks_are_named_with_the_statement
                a_restored_database_with_another_name_is_told_with_the_statement
                todays_provider_has_none_of_the_legacy_endpoints
            }
            options {
                another_number_of_shards_is_blocked_and_the_server_keeps_running
                every_bad_option_is_reported_at_once
                a_changed_log_level_restarts_once
                services_are_trimmed_and_split
            }
            operation {
                a_restarted_container_gets_everything_again
                a_replaced_pod_gets_everything_again
                a_drained_pod_stops_its_server_first
                a_unit_whose_history_owns_no_shard_is_active_and_says_so
                the_restart_action_restarts_and_says_so
                the_restart_action_fails_honestly_without_a_container
                a_full_disk_is_told_and_forgotten
                a_disk_that_is_full_from_the_start_starts_nothing
                a_server_that_stops_serving_and_begins_again_is_told_of_without_the_timer
                a_pass_file_that_others_may_read_is_closed_again
                units_come_and_go
            }
            images {
                nothing_that_an_image_brings_runs_beside_the_server
                a_variable_that_names_the_configuration_file_is_heeded
                variables_that_contradict_each_other_are_named
                nobody_in_the_image_and_no_home
            }
            turns {
                a_bad_change_rolls_into_one_unit_only
                a_bad_change_rolls_into_one_worker_only
                a_bad_change_rolls_into_one_old_worker_only
            }
            host_info {
                everybody_who_asks_is_told_where_the_frontend_is
                the_clusters_domain_is_that_of_the_pods
            }
            ingress {
                the_v2_protocol_is_spoken_by_default
                the_protocol_of_early_2023_is_spoken_when_asked_for
                switching_protocols_leaves_no_stale_key
                an_ingress_on_an_application_without_a_frontend_is_blocked
            }
        }
    };
}
pub(crate) use for_each_scenario;
