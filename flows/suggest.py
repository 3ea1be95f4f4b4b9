"""A first mapping of a layout that nobody has described, guessed from names and the shapes of values."""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC
from functools import partial
from typing import Any, Final

import msgspec

from flows.coverage import leaves
from flows.formats.dead_letter import is_secret_name, is_secret_value
from flows.formats.mapping import text_of
from flows.formats.paths import LONGEST, MOST_ANY, MOST_STEPS, Steps, spell
from flows.formats.proxied import address_of
from flows.formats.timestamps import RFC_3339, Reader, reader

MOST_CANDIDATES: Final = 3
MOST_WORDS: Final = 60
_MOST_PATHS: Final = 2_000
_MOST_VALUES: Final = 200

FORMS: Final = (
    "%d/%b/%Y:%H:%M:%S %z", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f",
    "%Y/%m/%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%d/%m/%Y %H:%M:%S",
    "%a, %d %b %Y %H:%M:%S %z", "%Y%m%d%H%M%S",
)  # fmt: skip
"""The formats of time that are tried; those without %z as of UTC, which the suggestion says."""

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_AGENT: Final = re.compile(r"(?!HTTP/)[A-Za-z][\w.-]*/\d[\w.]*(?: .*)?")
_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}")
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

Values = list[Any]

_ACTION_WORDS: Final = (
    ("password_reset_request", r"(forgot|reset.*(request|start|sent|init)|recovery)"),
    ("password_reset", r"pass.*reset|reset.*pass"),
    ("password_change", r"pass.*(chang|updat|set)|chang.*pass"),
    ("email_change", r"e?mail.*(chang|updat)|chang.*e?mail"),
    ("mfa_challenge", r"mfa|otp|2fa|factor|second|challenge"),
    ("token_refresh", r"refresh"),
    ("token_issue", r"token|grant|issue"),
    ("logout", r"log_?out|log_?off|sign_?out|session_?end"),
    ("login", r"log_?in|log_?on|sign_?in|auth"),
    ("register", r"regist|sign_?up|user_?creat|creat.*(user|account)"),
    ("account_delete", r"(delet|remov).*(user|account)|(user|account).*(delet|remov)"),
    ("account_unlock", r"unlock"),
    ("account_lock", r"lock|disabl|suspend"),
    ("role_change", r"role|group|permission|grant"),
    ("policy_change", r"polic"),
    ("api_key_change", r"api_?key|client_?secret"),
    ("data_export", r"export|download"),
    ("data_read", r"read|view|list|get"),
    ("profile_update", r"updat|profile|chang"),
)
_OUTCOME_WORDS: Final = (
    ("blocked", r"block|lock|limit|throttl|reject"),
    ("challenge", r"challeng|pending|requir|step"),
    ("failure", r"fail|den|err|invalid|wrong|bad|false|unauth|forbid|no\b"),
    ("success", r"succ|ok|allow|pass|grant|true|complet|yes"),
)
_REASON_WORDS: Final = (
    ("unknown_user", r"(unknown|no|invalid|not).*(user|account)"),
    ("mfa_denied", r"(mfa|otp|push).*den"),
    ("mfa_failed", r"mfa|otp|factor|code"),
    ("locked", r"lock|disabl|suspend"),
    ("expired", r"expir"),
    ("rate_limited", r"rate|limit|throttl|too_?many"),
    ("bad_credentials", r"pass|cred|pwd"),
    ("forbidden", r"forbid|den|permission|unauth"),
    ("not_found", r"not_?found"),
    ("server_error", r"server|internal|timeout"),
)
_TABLES: Final = {"action": _ACTION_WORDS, "outcome": _OUTCOME_WORDS, "reason": _REASON_WORDS}
_USUAL: Final = {"action": "other", "outcome": "unknown", "reason": "other"}
"""What a word means that says nothing."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 512


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 64 and address_of(value.strip()) is not None


def _is_chain(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 1024 and "," in value and all(map(_is_address, value.split(",")))


def _is_path(value: Any) -> bool:
    return _is_text(value) and re.fullmatch(r"/[\w./{}%~:@-]*(\?.*)?", value) is not None


def _is_url(value: Any) -> bool:
    return _is_text(value) and re.fullmatch(r"https?://[^/\s]+/\S*", value) is not None


def _is_status(value: Any) -> bool:
    return (type(value) is int and 100 <= value <= 599) or (
        type(value) is str and re.fullmatch(r"[1-5]\d\d", value) is not None
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_id(value: Any) -> bool:
    return type(value) is int or _is_text(value)


def time_format(values: Values) -> str | None:
    """The format in which most values are times, None if there is none.

    >>> time_format(["23/Nov/2026:07:00:00 +0200"]), time_format([1795410000123]), time_format(["sam"])
    ('%d/%b/%Y:%H:%M:%S %z', 'epoch_ms', None)
    """
    for form, low in (("epoch_s", 1e9), ("epoch_ms", 1e12), ("epoch_us", 1e15)):
        if _most(partial(_is_count, low=low), values):
            return form
    for form in (RFC_3339, *FORMS):
        read = reader(form, None if form == RFC_3339 or "%z" in form else UTC)
        whole = re.compile(r"[Zz]$|[+-]\d\d:?\d\d$" if form == RFC_3339 else "")
        if _most(partial(_is_time, read=read, whole=whole), values):
            return form
    return None


def _is_count(value: Any, low: float) -> bool:
    number = type(value) in (int, float) or (isinstance(value, str) and value.isascii() and value.isdecimal())
    return number and low <= float(value) < 4.2 * low


def _is_time(value: Any, read: Reader, whole: re.Pattern[str]) -> bool:
    return read(value) is not None and whole.search(value) is not None


def _most(shape: Callable[[Any], Any], values: Values) -> bool:
    """Whether three of four values have a shape: samples have their odd ones."""
    return 4 * sum(1 for value in values if shape(value)) >= 3 * len(values)


_GUESSES: Final[tuple[tuple[str, Callable[[Any], bool], str], ...]] = (
    # member, the shape of every value, what the path's words must say (parted by spaces, the best first)
    ("ip", _is_chain, r"forwarded xff client "),
    ("ip", _is_address, r"client src source remote peer "),
    ("user_agent", _is_text, r"user_agent useragent agent browser \bua\b"),
    ("user_agent", lambda v: isinstance(v, str) and _AGENT.fullmatch(v) is not None, ""),
    ("username", _is_text, r"user_?name \bupn\b principal e_?mail \bmail\b \blogin\b account_name \bwho\b"),
    ("username", lambda v: isinstance(v, str) and _EMAIL.fullmatch(v) is not None, ""),
    ("actor", _is_id, r"actor_id admin_id performed_by initiat operator_id changed_by \bactor\b"),
    ("target", _is_id, r"target_id target object_id subject_id resource_id"),
    ("user", _is_id, r"user_id \buid\b user_uuid \bsub\b account_id customer_id identity subject \buser\b"),
    ("action", _is_text, r"event_type event_name (\b|_)action operation activity \bevent\b \bevt\b \btype\b \bop\b"),
    ("outcome", lambda v: _is_text(v) or isinstance(v, bool), r"outcome result \bres\b success \bok\b status decision"),
    ("reason", _is_text, r"reason failure cause why deny"),
    ("status", _is_status, r"http_status status_code status response code"),
    ("method", lambda v: isinstance(v, str) and v in _METHODS, r"method verb "),
    ("endpoint", _is_path, r"endpoint path route uri url resource "),
    ("endpoint", _is_url, r"endpoint \bpath\b route \buri\b \burl\b"),
    ("tenant", _is_id, r"tenant org_id organi[sz]ation realm workspace \borg\b customer\b"),
    ("id", _is_id, r"event_id log_id \buuid\b ^id$ record_id \beid\b"),
    ("session", _is_text, r"session_id session \bsid\b"),
    ("request_id", _is_text, r"request_id correlation trace \breq\b"),
    ("device", _is_text, r"device_id device fingerprint"),
    ("app", _is_text, r"client_name application app_name client_id \bapp\b service"),
    ("country", lambda v: isinstance(v, str) and len(v) == 2 and v.isupper(), r"country \bcc\b geo"),
    ("city", _is_text, r"\bcity\b"),
    ("lat", _is_number, r"\blat(itude)?\b"),
    ("lon", _is_number, r"\blon(g|gitude)?\b \blng\b"),
    ("asn", lambda v: type(v) is int, r"\basn\b as_number"),
    ("latency_ms", _is_number, r"latency duration elapsed took"),
    ("factor", _is_text, r"factor mfa_type auth_method amr"),
    ("error_code", _is_id, r"error_code err_code \bcode\b"),
    ("error", _is_text, r"error message \bmsg\b"),
)  # fmt: skip


def words(path: Steps) -> str:
    """The words of a path in lower case, with `_` within a name and a space between names.

    >>> words(("clientInfo", "IPAddress"))
    'client_info ip_address'
    """
    return " ".join("_".join(_WORDS.findall(step)).lower() for step in path if isinstance(step, str))


def suggest(records: Iterable[dict[str, Any]], name: str) -> tuple[str, list[str]]:
    """A block of TOML that maps what could be guessed, and the members without which it is not yet one.

    Every path is used for one member at most, secrets by their names are declared as such, and a table has every word
    that the samples have: each guess stands there to be read and put right.
    """
    seen: dict[Steps, Values] = {}
    events = 0
    for record in records:
        events += 1
        for holder, key, path in leaves(record):
            value = holder[key]
            if isinstance(holder, list) and len(holder) > 1 and all(map(_is_address, holder)):
                if key:
                    continue
                value, path = ",".join(holder), path[:-1]  # a chain of proxies as a list
            general: Steps = tuple([0 if isinstance(step, int) else step for step in path])
            if len(path) <= MOST_STEPS and (len(seen) < _MOST_PATHS or general in seen):
                values = seen.setdefault(general, [])
                if len(values) < _MOST_VALUES:
                    values.append(value)
    secrets = [
        way
        for way, values in seen.items()
        if any(isinstance(step, str) and is_secret_name(step) for step in way) or any(map(is_secret_value, values))
    ]
    free = {way: values for way, values in seen.items() if way not in secrets and len(spell(way)) <= LONGEST}
    lines = _time(free)
    found = {"time"} if lines and not lines[0].startswith("#") else set()
    for member, shape, names in _GUESSES:
        fit = {way: values for way, values in free.items() if _distinct(values)} if member == "id" else free
        chosen = [] if member in found else _chosen(fit, shape, names, events, one=member == "ip")
        if chosen:
            lines.append(f"{member} = {_written(member, {way: free.pop(way) for way in chosen}, free)}")
            found.add(member)
    lacking = [] if "time" in found else ["time"]
    lacking += [] if found & {"ip", "user", "username", "actor", "endpoint"} else ["ip, user, username or endpoint"]
    head = ["[input]", f"format = {_quoted(name)}", "", "[[format]]", 'type = "mapping"', f"id = {_quoted(name)}"]
    if secrets:
        ways = [tuple([None if isinstance(s, int) else s for s in way]) for way in secrets]
        texts = dict.fromkeys(spell(way) for way in ways if way.count(None) <= MOST_ANY and len(spell(way)) <= LONGEST)
        head.append(f"secrets = [{', '.join(map(_quoted, texts))}]")
    if any("forwarded" in line for line in lines):
        head.append('trusted_proxies = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]  # your own proxies')
    left = [f"# {_quoted(spell(way))} = {_example(values)}" for way, values in free.items()]
    more = ["", "# Left over, with an example of each:", *left] if left else []
    return "\n".join([*head, "", "[format.member]", *lines, *more]), lacking


def _distinct(values: Values) -> bool:
    """Whether hardly two of the values are the same, as those of an event's own id."""
    return 4 * len(set(map(text_of, values))) >= 3 * len(values)


def _time(free: dict[Steps, Values]) -> list[str]:
    rated = []
    for path, values in free.items():
        form = time_format(values)
        if form is not None:
            text = words(path)
            late = re.search(r"expir|until|valid|creat|updat|birth|start", text) is not None
            named = re.search(r"time|date|\bts\b|when|\bat\b|publish|occur", text) is not None
            rated.append(((-len(values), late, not named, len(path)), path, form))
    if not rated:
        return ["# time = ...  # no value of the samples looks like a time: every event needs one"]
    _, path, form = min(rated, key=lambda one: one[0])
    del free[path]
    if form == RFC_3339:
        return [f"time = {_quoted(spell(path))}"]
    zone = "" if "%" not in form or "%z" in form else ', timezone = "UTC"'
    return [f"time = {{path = {_quoted(spell(path))}, format = {_quoted(form)}{zone}}}"]


def _chosen(
    free: dict[Steps, Values], shape: Callable[[Any], bool], names: str, events: int, one: bool = False
) -> list[Steps]:
    """The path of that shape whose words fit best, and further ones where not every event has the first."""
    whole = min(events, _MOST_VALUES)
    alternatives = names.split(" ")
    rated = []
    for path, values in free.items():
        if not _most(shape, values):
            continue
        text = words(path)
        own = text.rpartition(" ")[2]
        hits = [
            (where, rank)
            for rank, pattern in enumerate(alternatives)
            for where, of in enumerate((own, text.replace(" ", "_"), text))
            if re.search(pattern, of)
        ]
        if hits:
            rated.append(
                (min(hit[1] for hit in hits), min(hit[0] for hit in hits), -min(len(values), whole), len(path), path)
            )
    rated.sort(key=lambda row: row[:4])
    if not rated or one or -rated[0][2] >= whole:
        return [row[4] for row in rated[:1]]
    return [row[4] for at, row in enumerate(rated[:MOST_CANDIDATES]) if at == 0 or row[1] == 0]


def _written(member: str, chosen: dict[Steps, Values], free: dict[Steps, Values]) -> str:
    """The value of a member in TOML; the peer of a chain of proxies is taken out of what is free."""
    values = [value for some in chosen.values() for value in some]
    paths = [_quoted(spell(way)) for way in chosen]
    path = paths[0] if len(paths) == 1 else f"[{', '.join(paths)}]"
    if member == "ip" and any(map(_is_chain, values)):
        peers = _chosen(free, _is_address, r"remote peer connection", 1, one=True)
        peer = "".join(f", peer = {_quoted(spell(way))}" for way in peers if free.pop(way))
        return f"{{path = {path}, forwarded = true{peer}}}"
    if member in _TABLES:
        texts = [text for value in values if (text := text_of(value)) is not None]
        usual = _USUAL[member]
        cells = [
            f"{_quoted(word)} = {_quoted(_meaning(word, _TABLES[member], usual))}"
            for word in [*dict.fromkeys(texts)][:MOST_WORDS]
        ]
        default = f", default = {_quoted(usual)}" if member == "action" else ""
        return f"{{path = {path}{default}, table = {{{', '.join(cells)}}}}}"
    return path


def _meaning(word: str, table: Sequence[tuple[str, str]], usual: str) -> str:
    text = "_".join(_WORDS.findall(word)).lower() or word.lower()
    return next((meaning for meaning, pattern in table if re.search(pattern, text)), usual)


def _example(values: Values) -> str:
    text = msgspec.json.encode(values[0]).decode()
    return _printable(text if len(text) <= 60 else text[:57] + "...")


def _printable(text: str) -> str:
    return "".join(
        c if c.isprintable() else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in text
    )


def _quoted(text: str) -> str:
    """A string of TOML: in single quotes where that saves escapes."""
    if '"' in text and "'" not in text and text.isprintable():
        return f"'{text}'"
    return _printable(msgspec.json.encode(text).decode())
