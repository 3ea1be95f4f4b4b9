"""From spans to columns: what each member means, in one place for the fast path and the slow one."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.base import ACTIONS, DELETION, ERROR, FAILURE, HAS_ID, METHODS, NONE_TIME, OUTCOMES, REASONS, RESET, SUCCESS
from models.kernels.address import write_address
from models.kernels.instant import epoch, stamp
from models.kernels.kernel import inlined, kernel
from models.kernels.load import HIGHS, ONES, copied, load8, store8
from models.kernels.path import write_path
from models.kernels.scan import (
    ABSENT,
    ACTION,
    ACTOR,
    ADDRESS,
    ENDPOINT,
    ID,
    MAX_STRING,
    METHOD,
    NORMAL,
    OUTCOME,
    REASON,
    RECEIVED,
    STATUS,
    TARGET,
    TENANT,
    TEXT,
    TIME,
    USER_ID,
    USERNAME,
)
from models.kernels.siphash import entity_hash
from models.kernels.text import Words, find, words_of

MAX_NAME = 128
"""Bytes of an entity's name; a longer value is cut and ends in `~` and 16 digits of its hash."""
MAX_TENANT = 64
"""Bytes of a tenant's name, by the same rule."""
MAX_USERNAME = 1_024
"""Bytes of a username; a longer one is a bad value, because normalising it may cost its length squared."""

MISSING_TIME, FUTURE_TIME, NO_ENTITY = 1 << 20, 1 << 21, 1 << 22
"""Faults of a row beside the bad members, which are 1 << member."""

UNKNOWN, SUCCEEDED, FAILED, CHALLENGED, BLOCKED = range(5)

_LOGIN = ACTIONS.index("login")
_TOKEN_ISSUE = ACTIONS.index("token_issue")
_TOKEN_REFRESH = ACTIONS.index("token_refresh")
_MFA_CHALLENGE = ACTIONS.index("mfa_challenge")
_RESET_REQUEST = ACTIONS.index("password_reset_request")
_DELETE = ACTIONS.index("account_delete")
_OTHER_REASON = REASONS.index("other")
_HEAD, _OTHER_METHOD = METHODS.index("HEAD"), METHODS.index("other")
BY_ACTOR = (
    "account_delete", "account_lock", "account_unlock", "role_change", "policy_change", "api_key_change", "data_read",
    "data_export",
)  # fmt: skip
"""The actions whose user entity is the actor, if there is one."""


_DEFAULT = np.frombuffer(b"default", np.uint8)
_FROM_A, _AFTER_Z = np.uint64(0x80 - 0x41) * ONES, np.uint64(0x80 - 0x5B) * ONES
"""What makes the top bit of each byte of ASCII say whether it is `A` or more, and more than `Z`."""


class Codes(NamedTuple):
    """The closed lists as the kernel takes them."""

    action: Words
    outcome: Words
    reason: Words
    method: Words  # those of METHODS, and after them what counts as HEAD
    by_actor: NDArray[np.uint8]  # of each action


class Columns(NamedTuple):
    """What `fill` writes, n rows each; names go to `names` from 0 on, in the order of the filled rows."""

    time: NDArray[np.int64]
    record_time: NDArray[np.int64]
    flags: NDArray[np.uint8]
    counts: NDArray[np.uint8]
    action: NDArray[np.uint8]
    outcome: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    status: NDArray[np.int16]
    method: NDArray[np.uint8]
    entity: NDArray[np.uint64]  # (4, n)
    names: NDArray[np.uint8]
    name_start: NDArray[np.int64]  # (4, n)
    name_length: NDArray[np.int32]  # (4, n)
    target: NDArray[np.uint64]
    fault: NDArray[np.int32]


def codes() -> Codes:
    """The closed lists of `models.base` for the kernel."""
    by_actor = np.array([name in BY_ACTOR for name in ACTIONS], np.uint8)
    # The empty reason stands for an absent one and cannot be written; a NUL keeps its place in the list.
    reason, method = ("\0", *REASONS[1:]), ("\0", *METHODS[1:], "OPTIONS", "TRACE")
    return Codes(words_of(ACTIONS), words_of(OUTCOMES), words_of(reason), words_of(method), by_actor)


@inlined
def write_name(
    buffer: NDArray[np.uint8], at: int, size: int, limit: int, found: np.uint64, out: NDArray[np.uint8], i: int
) -> int:
    """Write a name of at most `limit` bytes at out[i :]; the place after it. A cut falls between characters."""
    kept = size
    if size > limit:
        kept = limit - 17
        while kept > 0 and (buffer[at + kept] & 0xC0) == 0x80:
            kept -= 1
    i = copied(out, i, buffer, at, kept)
    if size > limit:
        out[i] = 0x7E
        for k in range(16):
            digit = np.int64((found >> np.uint64(60 - 4 * k)) & np.uint64(15))
            out[i + 1 + k] = 0x30 + digit if digit < 10 else 0x57 + digit
        i += 17
    return i


@inlined
def _lower(buffer: NDArray[np.uint8], at: int, size: int, out: NDArray[np.uint8], i: int) -> bool:
    """Write ASCII in lower case at out[i :]; False at the first byte that is not ASCII."""
    for k in range(0, size - 7, 8):
        word = load8(buffer, at + k)
        if word & HIGHS:
            return False
        store8(out, i + k, word | (((word + _FROM_A) & ~(word + _AFTER_Z) & HIGHS) >> np.uint64(2)))
    for k in range(size & ~7, size):
        c = buffer[at + k]
        if c >= 0x80:
            return False
        out[i + k] = c | 0x20 if 0x41 <= c <= 0x5A else c
    return True


@inlined
def _copy(buffer: NDArray[np.uint8], at: int, size: int, out: NDArray[np.uint8], i: int) -> int:
    """Copy bytes to out[i :]; their number."""
    copied(out, i, buffer, at, size)
    return size


@kernel
def _write_default(out: NDArray[np.uint8]) -> int:
    """Write the tenant of events that name none; its length."""
    for k in range(len(_DEFAULT)):
        out[k] = _DEFAULT[k]
    return len(_DEFAULT)


@inlined
def _equal(buffer: NDArray[np.uint8], at: int, size: int, other: NDArray[np.uint8], other_size: int) -> bool:
    """Whether a span holds the first `other_size` bytes of another buffer."""
    if size != other_size:
        return False
    for k in range(size):
        if buffer[at + k] != other[k]:
            return False
    return True


@kernel
def _status(buffer: NDArray[np.uint8], at: int, size: int) -> int:
    """Three digits from 100 on as a number, or -1."""
    if size != 3 or buffer[at] == 0x30:
        return -1
    status = 0
    for k in range(at, at + 3):
        if buffer[k] < 0x30 or buffer[k] > 0x39:
            return -1
        status = status * 10 + np.int64(buffer[k]) - 0x30
    return status


@kernel
def _when(buffer: NDArray[np.uint8], at: int, size: int, tag: int) -> int:
    """A time of either form in microseconds, or NONE_TIME."""
    return stamp(buffer, at, size) if tag == TEXT else epoch(buffer, at, size)


@kernel
def _counts(action: int, outcome: int, status: int) -> int:
    """What a row counts as."""
    counts = ERROR if status >= 400 or outcome == FAILED else 0
    if action in (_LOGIN, _MFA_CHALLENGE, _TOKEN_ISSUE, _TOKEN_REFRESH):
        if outcome == FAILED or outcome == BLOCKED:
            counts |= FAILURE
        elif outcome == SUCCEEDED:
            counts |= SUCCESS
    elif action == _DELETE:
        if outcome == SUCCEEDED or outcome == UNKNOWN:
            counts |= DELETION
    elif action == _RESET_REQUEST:
        counts |= RESET
    return counts


@njit(cache=True, nogil=True)
def fill(
    buffer: NDArray[np.uint8],
    rows: NDArray[np.int64],
    at: NDArray[np.int64],
    size: NDArray[np.int64],
    tag: NDArray[np.uint8],
    recorded: NDArray[np.int64],
    max_future: int,
    prefix: int,
    lists: Codes,
    used: int,
    to: Columns,
) -> int:
    """Fill the columns of some rows and their faults (0: none); names from `used` on; how much of them is used."""
    # Five values in their own places: tenant, address, path, user, object of a deletion.
    scratch = np.empty(8 * MAX_STRING, np.uint8)
    spot = np.array([0, MAX_STRING, 2 * MAX_STRING, 6 * MAX_STRING, 7 * MAX_STRING])
    span = np.zeros(5, np.int64)
    work = np.empty(12, np.int64)
    none = np.uint64(0)
    tenant = none
    names, entity, name_start, name_length = to.names, to.entity, to.name_start, to.name_length
    for row in rows:
        fault = 0
        time = NONE_TIME
        if tag[row, TIME] == ABSENT:
            fault |= MISSING_TIME
        else:
            time = _when(buffer, at[row, TIME], size[row, TIME], tag[row, TIME])
            if time == NONE_TIME:
                fault |= 1 << TIME
        record = recorded[row]
        if tag[row, RECEIVED] != ABSENT:
            received = _when(buffer, at[row, RECEIVED], size[row, RECEIVED], tag[row, RECEIVED])
            if received == NONE_TIME:
                fault |= 1 << RECEIVED
            elif record == NONE_TIME:
                record = received
        if time != NONE_TIME and record != NONE_TIME and time > record + max_future:
            fault |= FUTURE_TIME

        action = 0
        if tag[row, ACTION] != ABSENT:
            action = max(0, find(lists.action, buffer, at[row, ACTION], size[row, ACTION]))
        status = 0
        if tag[row, STATUS] != ABSENT:
            status = _status(buffer, at[row, STATUS], size[row, STATUS])
            if status < 0:
                fault |= 1 << STATUS
        if tag[row, OUTCOME] != ABSENT:
            outcome = find(lists.outcome, buffer, at[row, OUTCOME], size[row, OUTCOME])
            if outcome < 0:
                fault |= 1 << OUTCOME
        elif status <= 0:
            outcome = UNKNOWN
        elif status < 400:
            outcome = SUCCEEDED
        else:
            outcome = BLOCKED if status == 429 else FAILED
        reason = 0
        if tag[row, REASON] != ABSENT:
            reason = find(lists.reason, buffer, at[row, REASON], size[row, REASON])
            if reason < 0:
                reason = _OTHER_REASON
        method = 0
        if tag[row, METHOD] != ABSENT:
            method = find(lists.method, buffer, at[row, METHOD], size[row, METHOD])
            if method < 0:
                method = _OTHER_METHOD
            elif method > _OTHER_METHOD:
                method = _HEAD

        # Most often the tenant is the row's before: then its hash stands.
        same_tenant = False
        if tag[row, TENANT] == ABSENT:
            span[0] = _write_default(scratch)
        elif _equal(buffer, at[row, TENANT], size[row, TENANT], scratch, span[0]):
            same_tenant = tenant != none
        else:
            span[0] = _copy(buffer, at[row, TENANT], size[row, TENANT], scratch, 0)
        span[1:] = 0
        if tag[row, ADDRESS] != ABSENT:
            after = write_address(buffer, at[row, ADDRESS], size[row, ADDRESS], prefix, work, scratch, spot[1])
            if after < 0:
                fault |= 1 << ADDRESS
            else:
                span[1] = after - spot[1]
        if tag[row, ENDPOINT] != ABSENT:
            span[2] = write_path(buffer, at[row, ENDPOINT], size[row, ENDPOINT], scratch, spot[2]) - spot[2]
            if span[2] == 0:
                fault |= 1 << ENDPOINT
        if tag[row, USERNAME] == TEXT and size[row, USERNAME] > MAX_USERNAME:
            fault |= 1 << USERNAME
        counts = _counts(action, outcome, status)
        by_actor = tag[row, ACTOR] != ABSENT and lists.by_actor[action]
        for k in range(3, 5):
            # The user: actor of some actions, else username, user, actor. The deleted object: target, user, username.
            member = USERNAME if k == 3 else TARGET
            if k == 3 and by_actor:
                member = ACTOR
            elif k == 4 and not counts & DELETION:
                break
            if tag[row, member] == ABSENT:
                member = USER_ID
            if tag[row, member] == ABSENT:
                member = ACTOR if k == 3 else USERNAME
            if tag[row, member] == ABSENT:
                continue
            if member == USERNAME and tag[row, member] != NORMAL:
                if fault & 1 << USERNAME or not _lower(buffer, at[row, member], size[row, member], scratch, spot[k]):
                    fault |= 1 << USERNAME
                    continue
                span[k] = size[row, member]
            else:
                span[k] = _copy(buffer, at[row, member], size[row, member], scratch, spot[k])
        if span[1] == 0 and span[2] == 0 and span[3] == 0:
            fault |= NO_ENTITY

        i = used
        target = none
        for k in range(5):
            found = none
            after = i
            if k == 0 and same_tenant:
                found = tenant
            elif span[k] > 0:
                found = entity_hash(scratch, spot[k], span[k], none if k == 0 else tenant)
            if k == 0:
                tenant = found
            if k == 4:
                target = found
                break
            if span[k] > 0:
                after = write_name(scratch, spot[k], span[k], MAX_TENANT if k == 0 else MAX_NAME, found, names, i)
            entity[k, row] = found
            name_start[k, row] = i
            name_length[k, row] = after - i
            i = after

        to.fault[row] = fault
        to.time[row] = time
        to.record_time[row] = record
        if fault:
            continue
        used = i
        to.flags[row] = HAS_ID if tag[row, ID] != ABSENT else 0
        to.counts[row] = counts
        to.action[row] = action
        to.outcome[row] = outcome
        to.reason[row] = reason
        to.status[row] = status
        to.method[row] = method
        to.target[row] = target
    return used
