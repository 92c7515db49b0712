"""The security checklist, line by line: which tests would fail if it were not kept. A line without a test, a test that is not
there (any more), and a test named test_checklist_... of no line are refused."""
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]

# What is promised, and the tests of tests/api and tests/browser (without "test_checklist_") or tests/unit (with its file).
LINES = {
    # Passwords
    "Argon2id m=19456 KiB, t=2, p=1; a salt of 16 bytes; a PHC string": ["passwords_are_argon2id_and_stored_nowhere_in_clear"],
    "a hash is renewed at sign-in when parameters have risen": ["passwords_a_weaker_hash_is_renewed_at_the_next_sign_in"],
    "hashed on worker threads behind a bounded queue, never on the event loop": [
        "passwords_are_hashed_beside_the_event_loop", "unit/base/test_thread_pool.c:work_runs_on_another_thread_and_the_fiber_goes_on_here",
        "unit/base/test_thread_pool.c:a_full_queue_is_refused_at_once"],
    "at least 15 characters without a second factor, 8 with": [
        "passwords_have_fifteen_characters_without_a_second_factor", "passwords_of_eight_characters_stand_beside_a_second_factor_only",
        "passwords_a_change_is_judged_by_the_same_rules"],
    "64 and more are accepted, up to 1024 bytes, whole; no rules of composition or rotation": [
        "passwords_of_any_characters_are_accepted_up_to_1024_bytes_and_never_cut"],
    "the common and the context-specific ones are refused": [
        "passwords_refuses_the_common_ones", "passwords_refuses_the_context_specific_ones", "passwords_the_trusts_name_makes_none"],
    "a change needs the current one": ["passwords_change_needs_the_current_one"],
    "a reset's token has 128 bits and more, is stored as a hash, works once, for 10 minutes": [
        "passwords_a_reset_link_is_single_use_and_lives_ten_minutes", "passwords_a_reset_link_is_stored_as_a_hash"],
    "a reset never bypasses the second factor": [
        "passwords_a_reset_never_bypasses_the_second_factor", "passwords_a_reset_leaves_the_second_factor_to_be_shown"],
    # Enumeration and throttling
    "same status, body and fields for unknown, wrong, delayed, disabled": [
        "enumeration_unknown_wrong_and_disabled_answer_alike", "throttling_of_an_unknown_account_is_the_same"],
    "same time, by a dummy hash": ["enumeration_takes_the_same_time_500_known_and_500_unknown"],
    "it holds for register and forgot, too": [
        "enumeration_register_and_forgot_answer_alike", "enumeration_register_and_forgot_do_the_same_work",
        "enumeration_register_and_forgot_take_the_same_time", "enumeration_only_the_mailbox_learns_who_has_an_account"],
    "an exponential delay, no lock": ["throttling_delays_exponentially_and_locks_nobody_out"],
    "buckets per account, address (/64) and tenant": [
        "throttling_counts_one_account_however_it_is_written", "throttling_counts_an_address_and_a_64_of_ipv6", "throttling_counts_a_tenant"],
    "counters survive a restart and are all nodes'": ["throttling_survives_a_restart_and_is_shared_by_all_nodes"],
    # Second factor
    "TOTP of 30 s; a code works once": [
        "second_factor_a_code_works_once", "unit/identity/test_totp.c:a_code_is_good_for_one_step_either_way_and_never_twice"],
    "the seed is encrypted at rest": ["second_factor_the_seed_is_encrypted_at_rest"],
    "codes cannot be guessed fast": ["second_factor_codes_cannot_be_guessed_fast"],
    "WebAuthn is a second choice": ["second_factor_webauthn_is_a_second_choice_beside_the_app"],
    "recovery codes are hashed and work once": ["second_factor_recovery_codes_are_single_use_and_stored_hashed"],
    "a tenant can require it": ["second_factor_a_tenant_can_require_it"],
    # Sessions
    "256 random bits, of which only the SHA-256 is stored": [
        "sessions_a_token_has_256_bits_and_every_sign_in_a_new_one", "sessions_tokens_and_passwords_are_never_stored_or_logged"],
    "a new one at sign-in and at a change of privilege": [
        "sessions_a_token_has_256_bits_and_every_sign_in_a_new_one", "sessions_end_at_a_change_of_privilege"],
    "idle and absolute limits, set by the tenant": [
        "sessions_end_when_idle", "sessions_in_use_end_at_their_absolute_limit", "sessions_tighter_limits_of_the_tenant_hold_for_open_sessions"],
    "sign-out, disabling and deprovisioning end them at once": [
        "sessions_sign_out_ends_one_at_once", "sessions_of_a_disabled_person_end_at_once", "sessions_of_who_is_deprovisioned_end_at_once",
        "sessions_deprovisioning_frees_the_seat_at_once", "sessions_one_that_has_ended_reaches_nothing"],
    "one lists one's sessions, and ends one or all": [
        "sessions_are_listed_and_revoked_one_by_one", "sessions_all_others_are_ended_at_once_in_every_tenant"],
    "__Host-, Secure, HttpOnly, SameSite=Lax cookies for the portal; bearer for clients": [
        "sessions_behind_tls_the_cookie_is_host_bound_and_secure",
        "sessions_the_portals_cookie_is_httponly_and_samesite_and_the_reply_shows_no_token"],
    # Browser
    "unsafe methods need our Origin, to the letter, and a field of ours": [
        "browser_an_unsafe_request_with_the_cookie_needs_our_origin_and_header"],
    "CORS: a list of exact origins": [
        "browser_cors_is_nobodys_by_default", "browser_cors_names_a_listed_origin_and_never_everybody",
        "browser_cors_gives_an_unlisted_origin_nothing", "browser_cors_preflight_is_answered_without_credentials"],
    "CSP without unsafe-inline": [
        "browser_csp_of_a_page_lets_load_what_is_our_own_and_no_inline_code", "browser_csp_of_data_lets_nothing_load"],
    "HSTS": ["browser_hsts_where_the_public_url_is_https"],
    "nosniff": ["browser_types_are_not_guessed"],
    "COOP": ["browser_other_sites_keep_no_handle_on_a_window"],
    "CORP": ["browser_other_sites_cannot_embed_a_reply"],
    "no-store on private replies": ["browser_private_replies_are_never_kept_unasked"],
    "no Referer": ["browser_no_address_is_told_to_other_sites"],
    # Single sign-on
    "code and PKCE S256": ["sso_a_code_is_no_use_without_the_verifier_of_the_one_who_began"],
    "state": ["sso_state_is_good_once_and_in_its_own_browser"],
    "nonce, aud and exp": ["sso_refuses_a_token_whose_claims_are_wrong"],
    "iss": ["sso_checks_the_issuer_of_the_answer", "sso_is_not_mixed_up_between_two_tenants"],
    "alg is on a list": ["sso_allows_only_listed_algorithms_by_the_kind_of_key"],
    "identity is (iss, sub), never the address": ["sso_identity_is_issuer_and_sub_never_the_address"],
    "it leads back to this site only": ["sso_returns_to_a_path_of_this_site_only"],
    # Row-level security
    "ENABLE and FORCE": [
        "row_level_security_is_enabled_and_forced_on_every_table", "row_level_security_lets_the_owner_in_by_a_policy_of_its_own"],
    "policies ask for the tenant, in USING and WITH CHECK, and stand a setting that reads empty": [
        "row_level_security_every_policy_of_the_application_asks_for_the_tenant",
        "row_level_security_reads_settings_of_the_transaction_that_may_be_empty",
        "row_level_security_select_shows_no_row_of_another_tenant_in_any_table"],
    "views are security_invoker": ["row_level_security_views_ask_as_who_looks"],
    "keys include the tenant": [
        "row_level_security_unique_keys_include_the_tenant", "row_level_security_every_tenants_table_has_the_tenant_first_in_its_key"],
    "settings are the transaction's": [
        "row_level_security_who_asks_is_set_for_the_transaction_only", "row_level_security_a_setting_ends_with_its_transaction"],
    "after an error in a pipeline the connection is looked at before it is used again": [
        "unit/db/test_statements.c:any_other_error_is_internal_and_leaves_the_connection_usable",
        "unit/db/test_statements.c:a_commit_that_fails_fails_the_statement"],
    "two tenants interleaved on one connection: no foreign row": [
        "row_level_security_two_tenants_interleaved_on_one_connection_see_no_foreign_row",
        "unit/db/test_statements.c:two_tenants_interleaved_on_one_connection_never_see_each_other"],
    # Audit
    "the application only adds; UPDATE, DELETE and TRUNCATE are refused to the owner, too": ["audit_the_application_can_only_add"],
    "a chain of hashes for each tenant": ["audit_the_verifier_catches_a_record_that_was"],
    "an offline verifier catches edit, delete, reorder and truncate": [
        "audit_the_offline_verifier_catches_an_export_that_was_changed", "audit_the_offline_verifier_catches_an_export_that_was_truncated",
        "audit_a_tail_cut_off_together_with_its_head_is_caught_by_what_was_kept"],
    # GDPR
    "an export is versioned JSON in a ZIP": [
        "gdpr_an_export_is_versioned_json_in_a_zip", "gdpr_an_export_holds_the_record_of_every_tenant",
        "gdpr_an_export_holds_no_secret_and_nobody_else"],
    "erasure puts a pseudonym in the person's place, and the chain still verifies": [
        "gdpr_erasure_puts_a_pseudonym_in_the_persons_place", "gdpr_erasure_ends_every_way_in",
        "gdpr_an_erasure_is_told_as_a_leaving_and_leaves_no_results", "gdpr_a_personal_tenants_webhooks_go_with_the_person",
        "gdpr_after_erasure_the_audit_chain_still_verifies"],
    "a ledger of erasures is replayed after a restore": ["gdpr_an_erasure_is_replayed_after_a_restore"],
    "consent before a line manager sees results": [
        "gdpr_a_manager_sees_results_only_with_consent", "gdpr_the_board_shows_a_manager_nobody_without_consent"],
    # Log
    "JSON lines that no value can forge": [
        "unit/base/test_log.c:a_line_is_one_json_object_with_its_fields", "unit/base/test_log.c:no_value_can_forge_a_line_or_a_field"],
    "no secret, no address, no token": ["sessions_tokens_and_passwords_are_never_stored_or_logged"],
}


def functions():
    """Of the tests in Python, by name."""
    return {name for folder in ("api", "browser") for file in (TESTS / folder).glob("test_*.py")
            for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)}


@pytest.mark.parametrize("line", LINES)
def test_a_line_has_tests_that_are_there(line):
    assert LINES[line]
    for name in LINES[line]:
        if name.startswith("unit/"):
            path, function = name.split(":")
            assert re.search(rf"(cmocka_unit_test|_TEST)\({function}\)", (TESTS / path).read_text()), name
        else:
            assert f"test_checklist_{name}" in functions(), name


def test_every_test_of_the_checklist_is_of_a_line():
    named = {f"test_checklist_{name}" for names in LINES.values() for name in names}
    assert {name for name in functions() if name.startswith("test_checklist_")} - named == set()
