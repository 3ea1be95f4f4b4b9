"""What simulated clients call and what they get back. The position in a table is the code in a row."""

from typing import Final, NamedTuple

import numpy as np

ROW: Final = np.dtype(
    [
        ("arrival", "i8"),  # microseconds UTC: the order of the output
        ("time", "i8"),  # microseconds UTC, whole milliseconds
        ("user", "i4"),  # -1: nobody known
        ("ip", "i4"),
        ("device", "i4"),
        ("session", "i8"),
        ("request", "i8"),
        ("hole", "i4"),  # the identifier in the path
        ("target", "i4"),  # the account acted upon, -1: none
        ("attack", "i4"),  # -1: ordinary
        ("latency", "i4"),  # tenths of a millisecond
        ("operation", "i2"),
        ("agent", "i2"),
        ("tenant", "i1"),
        ("result", "i1"),
        ("wording", "i1"),
    ]
)
"""One simulated event."""

PLAIN, MISTYPED, CHANGING, ADMINISTRATIVE, KEYED, ANONYMOUS, READING, BROKEN = range(8)
"""How a row names its people (`wording`)."""


class Result(NamedTuple):
    """What a call came to."""

    outcome: str
    reason: str
    status: int
    error_code: str = ""
    error: str = ""


RESULTS: Final = (
    Result("success", "", 200),
    Result("failure", "bad_credentials", 401, "966", "Invalid credentials"),
    Result("failure", "unknown_user", 404, "938", "The account does not exist"),
    Result("failure", "mfa_failed", 401, "1071", "The one-time code is wrong"),
    Result("failure", "locked", 423, "1022", "The account is locked"),
    Result("failure", "expired", 401, "906", "The token has expired"),
    Result("challenge", "", 200),
    Result("failure", "server_error", 500, "5000", "Something went wrong"),
    Result("failure", "not_found", 404, "4040", "No such object"),
    Result("failure", "forbidden", 403, "4030", "Not allowed"),
    Result("blocked", "rate_limited", 429, "4290", "Too many requests"),
    Result("failure", "server_error", 503, "5030", "Try again later"),
    Result("failure", "other", 400, "4000", "The request is not valid"),
    Result("failure", "other", 405, "4050", "No such method"),
    Result("success", "", 204),
)
(
    SUCCESS, BAD_CREDENTIALS, UNKNOWN_USER, MFA_FAILED, LOCKED, EXPIRED, CHALLENGE, SERVER_ERROR, NOT_FOUND, FORBIDDEN,
    RATE_LIMITED, UNAVAILABLE, BAD_REQUEST, NO_METHOD, NO_CONTENT,
) = range(15)  # fmt: skip


class Operation(NamedTuple):
    """A call: `pause` is the mean wait before it in seconds, `latency` its median in milliseconds."""

    action: str
    method: str
    path: str
    pause: float
    latency: float


_AUTH = "/v2/auth"
_MANAGE = "/v2/manage"
_CORE = (
    Operation("login", "POST", f"{_AUTH}/login", 9, 85),
    Operation("token_refresh", "POST", f"{_AUTH}/token/refresh", 85, 14),
    Operation("token_issue", "POST", "/oauth/token", 0.4, 22),
    Operation("mfa_challenge", "POST", f"{_AUTH}/login/2fa/verify", 11, 40),
    Operation("logout", "DELETE", f"{_AUTH}/session", 20, 9),
    Operation("register", "POST", f"{_AUTH}/register", 30, 140),
    Operation("password_reset_request", "POST", f"{_AUTH}/password/forgot", 14, 60),
    Operation("password_reset", "PUT", f"{_AUTH}/password/reset", 75, 120),
    Operation("password_change", "PUT", f"{_AUTH}/password/change", 25, 120),
    Operation("email_change", "PUT", f"{_AUTH}/email", 25, 45),
    Operation("profile_update", "PUT", f"{_AUTH}/account", 25, 35),
    Operation("account_delete", "DELETE", f"{_AUTH}/account", 30, 160),
    Operation("account_delete", "DELETE", f"{_MANAGE}/account/{{id}}", 12, 150),
    Operation("role_change", "PUT", f"{_MANAGE}/account/{{id}}/role", 18, 40),
    Operation("account_lock", "PUT", f"{_MANAGE}/account/{{id}}/lock", 18, 35),
    Operation("account_unlock", "PUT", f"{_MANAGE}/account/{{id}}/unlock", 18, 35),
    Operation("policy_change", "PUT", f"{_MANAGE}/policy/password", 40, 50),
    Operation("api_call", "GET", f"{_AUTH}/account/availability", 3, 8),
    Operation("api_call", "POST", f"{_AUTH}/captcha/verify", 3, 12),
    Operation("api_call", "GET", "/v1/catalog/search", 6, 55),
    Operation("data_read", "GET", f"{_MANAGE}/account/{{id}}", 12, 30),
)
(
    LOGIN, TOKEN_REFRESH, TOKEN_ISSUE, MFA, LOGOUT, REGISTER, RESET_REQUEST, RESET, PASSWORD_CHANGE, EMAIL_CHANGE,
    PROFILE_UPDATE, SELF_DELETE, ADMIN_DELETE, ROLE_CHANGE, LOCK, UNLOCK, POLICY_CHANGE, AVAILABILITY, CAPTCHA, SEARCH,
    ACCOUNT_READ,
) = range(21)  # fmt: skip

_READ = (
    "/v1/orders", "/v1/orders/{id}", "/v1/orders/{id}/items", "/v1/basket", "/v1/invoices",
    "/v1/invoices/{id}", "/v1/subscriptions", "/v1/subscriptions/{id}", "/v1/addresses",
    "/v1/payment-methods", "/v1/loyalty/points", "/v1/notifications", "/v1/messages",
    "/v1/messages/{id}", "/v1/wishlist", "/v1/catalog/items/{id}", "/v1/stores",
    "/v1/shipments/{id}", "/v1/returns", "/v1/reviews/{id}", "/v1/coupons", "/v1/support/tickets",
    "/v1/support/tickets/{id}",
)  # fmt: skip
_WRITE = (
    "/v1/orders", "/v1/orders/{id}/cancel", "/v1/basket/items", "/v1/messages/{id}/reply",
    "/v1/reviews", "/v1/support/tickets", "/v1/events",
)  # fmt: skip
_OWN = ("account", "account/sessions", "account/devices", "account/consents", "account/preferences", "account/events")

API: Final = (
    *(Operation("data_read", "GET", f"{_AUTH}/{path}", 8, 12) for path in _OWN),
    *(Operation("api_call", "GET", path, 9, 24) for path in _READ),
    *(Operation("api_call", "POST", path, 14, 48) for path in _WRITE),
    Operation("data_export", "GET", "/v1/invoices/{id}/pdf", 15, 210),
)
"""The application's own calls, in the order of their popularity before `popularity` shuffles it."""

PROBED: Final = ("/v1/orders/{id}", "/v1/subscriptions/{id}", "/v1/messages/{id}", "/v1/addresses", "/v1/basket")
"""Paths that ordinary clients only read."""

_UNUSUAL = tuple(
    Operation("api_call", method, path, 10, 18) for path in PROBED for method in ("PUT", "PATCH", "DELETE", "OPTIONS")
)
OPERATIONS: Final = (*_CORE, *API, *_UNUSUAL)
FIRST_API: Final = len(_CORE)
FLOODED: Final = (AVAILABILITY, CAPTCHA, SEARCH)
"""What floods hit: calls that need no account."""


def calls(*paths: str, method: str = "GET") -> tuple[int, ...]:
    """The operations with these paths and a method, in the paths' order.

    >>> [OPERATIONS[number].latency for number in calls("/v1/basket", "/v1/orders")]
    [24, 24]
    """
    return tuple(
        next(n for n, one in enumerate(OPERATIONS) if one.path == path and one.method == method) for path in paths
    )


OWN_READS: Final = calls(*(f"{_AUTH}/{path}" for path in _OWN))
READS: Final = calls(*_READ)
EXPORTS: Final = calls("/v1/invoices/{id}/pdf")
UNUSUAL: Final = {
    path: tuple(n for n, one in enumerate(OPERATIONS) if one in _UNUSUAL and one.path == path) for path in PROBED
}
"""Calls of each probed path with methods that it never sees."""
