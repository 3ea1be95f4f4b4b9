"""The vocabulary of the arithmetic: dimensions, codes, features, flags. Order is identity: append, never insert."""

from typing import Final

SNAPSHOT: Final = 7
"""The version of a shard's snapshot, and of the log that it may lie in."""
OLDEST_SNAPSHOT: Final = 3
"""The oldest version that is read."""
NONE_TIME: Final = -(2**62)
"""No time is known (microseconds UTC)."""
END_OF_TIME: Final = 2**62
"""The watermark after a finite input's end: everything closes."""

DIMENSIONS: Final = ("tenant", "ip", "endpoint", "user")
TENANT, IP, ENDPOINT, USER = range(4)
JOINTS: Final = ((IP, ENDPOINT), (IP, USER), (ENDPOINT, USER))
"""Dimensions that a detection may watch together; a tenant is part of every entity as it is."""
WATCHED: Final = (*DIMENSIONS, *(f"{DIMENSIONS[a]}_{DIMENSIONS[b]}" for a, b in JOINTS))
"""All that state can be kept for: an entity of one dimension, or of two."""

ACTIONS: Final = (
    "other", "login", "logout", "register", "token_issue", "token_refresh", "mfa_challenge", "password_reset_request",
    "password_reset", "password_change", "email_change", "profile_update", "account_lock", "account_unlock",
    "account_delete", "role_change", "policy_change", "api_key_change", "data_read", "data_export", "api_call",
)  # fmt: skip
METHODS: Final = ("", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other")
"""Codes of the member `method`: HEAD stands for OPTIONS and TRACE too."""
OUTCOMES: Final = ("unknown", "success", "failure", "challenge", "blocked")
REASONS: Final = (
    "", "bad_credentials", "unknown_user", "locked", "expired", "mfa_failed", "mfa_denied", "rate_limited",
    "forbidden", "not_found", "server_error", "other",
)  # fmt: skip

# Row flags (EventBatch.flags)
LATE: Final = 1  # behind its own partition's watermark
SKIP: Final = 2  # scored and counted, never added to a pane
JUMPED: Final = 4  # beyond max_jump and refuted by the next row (implies SKIP)
HAS_ID: Final = 8  # the source gave the event an id

# What a row counts as (EventBatch.counts)
FAILURE: Final = 1  # outcome failure or blocked of login, mfa_challenge, token_issue, token_refresh
ERROR: Final = 2  # status 400 and above, or outcome failure
DELETION: Final = 4  # account_delete that was not refused (outcome success or unknown)
RESET: Final = 8  # password_reset_request, whatever its outcome
SUCCESS: Final = 16  # outcome success of login, mfa_challenge, token_issue, token_refresh

FEATURES: Final = (
    "events_1m", "failures_1m", "error_share_1m", "events_10m", "failures_10m", "error_share_10m",
    "deletions_10m", "resets_10m", "distinct_users_15m", "distinct_failed_users_15m", "distinct_ips_15m",
    "distinct_targets_10m", "behaviour",
)  # fmt: skip
"""The closed list of feature names, the window in the name."""
NO_FEATURE: Final = 255

SEVERITIES: Final = ("unknown", "informational", "low", "medium", "high", "critical")
"""Index is OCSF severity_id."""
RISK_FLOOR: Final = (0, 0, 40, 60, 80, 95)
"""Least risk of an event under a crossed rule, by severity_id."""
