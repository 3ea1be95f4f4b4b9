"""`lapwing troubleshoot`: why a person cannot log in, what a release broke, who calls an endpoint wrongly."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from flows.commands.console import columns, result
from flows.commands.moments import span
from flows.commands.options import By, From, Json, Keys, Tenant, To, TrailPlace
from flows.commands.timeline import told_range
from flows.errors import InputError, UsageError

if TYPE_CHECKING:
    from flows.trail.reader import Trail
    from flows.troubleshoot.endpoint import Report as EndpointReport
    from flows.troubleshoot.person import Diagnosis
    from flows.troubleshoot.release import Report as ReleaseReport

_LONGEST = 500
_MOST = 20
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=(__doc__ or "").partition(": ")[2])
KeysIfAny = Annotated[
    str | None, typer.Option("--keys", metavar="DIR", help="The trail's keys; without them nobody is named.")
]


@app.command("user")
def of_user(
    user: Annotated[str, typer.Argument(metavar="U", help="A user id or username.")],
    trail: TrailPlace,
    keys: Keys,
    tenant: Tenant = None,
    start: From = None,
    end: To = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Say why a person cannot log in: the likely cause, its evidence, the last attempts and what changed before.

    What others met in the same time, with the same version of the app and from the same network, is compared by
    person, with intervals at 95 %. Where the data are too few it says that it cannot tell.

    \b
    Causes: taken_over, locked, locked_by_attack, locked_by_somebody, deleted, expired, broken_release,
            blocked_network, blocked, outage, server_error, factor_lost, unknown_user, attacked, wrong_password,
            wrong_tenant, no_attempts

    \b
    Examples:
      lapwing troubleshoot user sam@example.com --trail trail --keys keys
      lapwing troubleshoot user u-17 --tenant acme --to 2026-11-03 --json --trail trail --keys keys
    """
    first, last = span(start, end)
    from flows.trail.timeline import known
    from flows.troubleshoot.asked import of_user as diagnosed

    opened = _open(trail, keys, by)
    if opened.keys is None:
        raise ValueError("nobody is found by name without keys")
    tenants = opened.tenants()
    found = known(opened.keys, tenants, user)
    if tenant is None:
        if len(found) > 1:
            raise UsageError(f"{user} is known in tenants {', '.join(found[:5])}: choose one by --tenant")
        if not found and len(tenants) != 1:
            raise InputError(f"{trail}: nobody is known as {user}; --tenant T says where the attempts should have come")
        tenant = (found or tenants)[0]
    elif tenant not in tenants:
        raise InputError(f"{trail}: there is no event of tenant {tenant}")
    until = last if last is not None else time.time_ns() // 1000
    told = diagnosed(opened, user, tenant, first, until, [one for one in found if one != tenant])
    if json:
        result(_stamped(told))
    else:
        print(_person(told))


@app.command("release")
def of_release(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="As app_version has it.")],
    trail: TrailPlace,
    keys: KeysIfAny = None,
    tenant: Tenant = None,
    application: Annotated[str | None, typer.Option("--app", metavar="A", help="Only this app.")] = None,
    names: Annotated[int, typer.Option("--users", min=0, max=10_000, help="People to name, with --keys.")] = _MOST,
    start: From = None,
    end: To = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Say what a release broke: errors by endpoint before, with and beside it, and the people whom it hit.

    Before is as long as the release has been seen, at least a day, by other versions of the same app; beside are
    other versions in its time. An error is status 400 or above, without a status a failure. An endpoint is worse when
    the intervals at 95 % do not touch, and not called so where other versions fail as often in the same time.

    \b
    Examples:
      lapwing troubleshoot release 4.3.0 --trail trail --keys keys
      lapwing troubleshoot release 4.3.0 --app web --json --trail trail
    """
    first, last = span(start, end)
    from flows.troubleshoot.asked import of_release as found

    told = found(_open(trail, keys, by), version, application, tenant, first, last, names)
    if json:
        result(_stamped(told))
    else:
        print(_release(told))


@app.command("endpoint")
def of_endpoint(
    path: Annotated[str, typer.Argument(metavar="PATH", help="As /users/{id}, or with an identifier in it.")],
    trail: TrailPlace,
    tenant: Tenant = None,
    start: From = None,
    end: To = None,
    json: Json = False,
) -> None:
    """Say who calls an endpoint wrongly: statuses 400, 404 and 422 by client, version and method.

    \b
    Examples:
      lapwing troubleshoot endpoint /v2/auth/register --trail trail
      lapwing troubleshoot endpoint '/users/{id}' --tenant acme --from 2026-11-02 --json --trail trail
    """
    first, last = span(start, end)
    from flows.troubleshoot.asked import of_endpoint as found

    told = found(_open(trail, None), path, tenant, first, last)
    if json:
        result(told)
    else:
        print(_endpoint(told, told_range(tenant, start, end)))


def _open(trail: str, keys: str | None, by: str | None = None) -> "Trail":
    from flows.trail.access import Access, reader
    from flows.trail.reader import Trail

    if keys is None:
        return Trail.open(trail, None)
    return Trail.open(trail, Path(keys), access=Access("troubleshoot", reader(by)))


def _person(told: "Diagnosis") -> str:
    from flows.troubleshoot.history import at

    lines = [_shown(told.sentence)]
    for cause in filter(None, (told.cause, *told.also)):
        lines += ["", f"{cause.name} ({'likely' if cause.likely else 'possible'})"]
        lines += [] if cause.sentence in told.sentence else [f"  {_shown(cause.sentence)}"]
        lines += [f"  - {_shown(line)}" for line in cause.evidence]
    if told.errors:
        lines += ["", "what failed, in the order in which it first came"]
        lines += [f"  {count:>6,}  {_shown(error)}" for error, count in told.errors]
    if told.changes:
        lines += ["", "what changed before"]
        lines += [
            f"  {at(one.time)}  {_shown(' '.join(filter(None, (one.what, one.by and f'by {one.by}', *one.fields))))}"
            for one in told.changes
        ]
    if told.attempts:
        heads = ("last attempts", "action", "outcome", "reason", "code", "from", "app", "request")
        rows = [
            (at(one.time)[:-4], one.action, one.outcome, one.reason or "-", one.error_code or "-",
             f"{one.ip or '-'}{'' if one.known else ' (new)'}", one.version or one.app or "-", one.request_id or "-")
            for one in told.attempts
        ]  # fmt: skip
        lines += ["", columns([heads, *rows])]
    return "\n".join(lines)


def _release(told: "ReleaseReport") -> str:
    from flows.troubleshoot.history import at

    seen = f"seen {at(told.first)} to {at(told.last)}; before it: from {at(told.before_from)}"
    lines = [_shown(told.sentence), "", _shown(f"{', '.join(told.apps)} {told.version}: {seen}"), ""]
    heads = ("endpoint", "errors before", "with it", "beside it", "", "people", "statuses")
    rows = [
        (one.endpoint, one.before, one.with_it, one.beside, one.verdict, f"{one.people:,}",
         ", ".join(f"{name} ({count:,})" for name, count in one.statuses.items()))
        for one in told.endpoints[:_MOST]
    ]  # fmt: skip
    lines += [columns([heads, *rows])]
    if len(told.endpoints) > _MOST:
        lines += [f"  and {len(told.endpoints) - _MOST:,} more endpoints: --json has them"]
    if told.users:
        lines += ["", f"people who met an error on what is worse: {told.people:,}"]
        lines += [f"  {_shown(name)}" for name in told.users]
    return "\n".join(lines)


def _endpoint(told: "EndpointReport", span: str) -> str:
    lines = [_shown(told.sentence), ""]
    lines += [_shown(f"{told.endpoint}{span}: {told.calls:,} calls, {told.wrong:,} wrong"), ""]
    heads = ("client", "version", "method", "wrong", "others", "stands out", "people", "statuses and codes")
    rows = [
        (one.client, one.version or "-", one.method or "-", one.wrong, one.rest,
         {True: "yes", False: "no", None: "cannot tell"}[one.stands_out], f"{one.people:,}",
         ", ".join(f"{name} ({count:,})" for name, count in (*one.statuses.items(), *one.error_codes.items())))
        for one in told.clients[:_MOST]
    ]  # fmt: skip
    lines += [columns([heads, *rows])]
    if len(told.clients) > _MOST:
        lines += [f"  and {len(told.clients) - _MOST:,} more clients: --json has them"]
    return "\n".join(lines)


def _stamped(told: Any) -> Any:
    """The result with its times as text."""
    from flows.trail.schema import stamp

    def of(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: _as_text(name, inner, stamp, of) for name, inner in value.items()}
        return [of(one) for one in value] if isinstance(value, list | tuple) else value

    return of(msgspec.to_builtins(told))


def _as_text(name: str, value: Any, stamp: Any, of: Any) -> Any:
    is_time = name in ("time", "first", "last", "before_from") and isinstance(value, int)
    return stamp(value) if is_time else of(value)


def _shown(text: str) -> str:
    from flows.formats.evidence import shown

    return shown(text, _LONGEST)
