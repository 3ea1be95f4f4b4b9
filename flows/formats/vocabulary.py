"""The words of simulated events: names, places, clients. Every piece of JSON in them is ready to be put into a line."""

import ipaddress
from typing import Final

from models.simulation.operations import OPERATIONS, RESULTS
from models.simulation.population import Addresses

TENANTS: Final = ("acme", "globex", "initech")
_FIRST = (
    "sam", "maria", "li", "ahmed", "julia", "noah", "emma", "lucas", "mia", "omar", "ines", "david", "sara", "ivan",
    "anna", "peter", "nina", "jonas", "lea", "felix", "clara", "hugo", "eva", "leo", "marta", "tom", "ida", "paul",
    "rosa", "karl", "vera", "max", "olga", "finn", "zoe", "emil", "lucia", "adam", "tess", "bruno",
)  # fmt: skip
_INITIALS = "bcdfghjklmnpqrstvwaexyz"
_PLACES = (
    ("NL", "Amsterdam", "52.37", "4.90"), ("DE", "Berlin", "52.52", "13.40"), ("DE", "Hamburg", "53.55", "9.99"),
    ("DE", "M\u00fcnchen", "48.14", "11.58"), ("GB", "London", "51.51", "-0.13"), ("GB", "Leeds", "53.80", "-1.55"),
    ("FR", "Paris", "48.86", "2.35"), ("FR", "Lyon", "45.76", "4.84"), ("ES", "Madrid", "40.42", "-3.70"),
    ("ES", "Valencia", "39.47", "-0.38"), ("IT", "Milano", "45.46", "9.19"), ("IT", "Roma", "41.90", "12.50"),
    ("BE", "Gent", "51.05", "3.72"), ("AT", "Wien", "48.21", "16.37"), ("CH", "Basel", "47.56", "7.59"),
    ("DK", "Aarhus", "56.16", "10.20"), ("SE", "Stockholm", "59.33", "18.07"), ("NO", "Oslo", "59.91", "10.75"),
    ("FI", "Helsinki", "60.17", "24.94"), ("PL", "Warszawa", "52.23", "21.01"), ("CZ", "Praha", "50.08", "14.44"),
    ("IE", "Dublin", "53.35", "-6.26"), ("PT", "Porto", "41.15", "-8.61"), ("GR", "Athens", "37.98", "23.73"),
    ("US", "New York", "40.71", "-74.01"), ("US", "Chicago", "41.88", "-87.63"), ("US", "Austin", "30.27", "-97.74"),
    ("US", "Seattle", "47.61", "-122.33"), ("US", "Denver", "39.74", "-104.99"), ("CA", "Toronto", "43.65", "-79.38"),
    ("CA", "Vancouver", "49.28", "-123.12"), ("BR", "S\u00e3o Paulo", "-23.55", "-46.63"),
    ("AR", "Buenos Aires", "-34.60", "-58.38"), ("CL", "Santiago", "-33.45", "-70.67"),
    ("MX", "Puebla", "19.04", "-98.20"),
    ("IN", "Pune", "18.52", "73.86"), ("IN", "Mumbai", "19.08", "72.88"), ("SG", "Singapore", "1.35", "103.82"),
    ("JP", "Osaka", "34.69", "135.50"), ("JP", "Tokyo", "35.68", "139.69"), ("KR", "Seoul", "37.57", "126.98"),
    ("AU", "Sydney", "-33.87", "151.21"), ("AU", "Perth", "-31.95", "115.86"), ("NZ", "Auckland", "-36.85", "174.76"),
    ("ZA", "Durban", "-29.86", "31.02"), ("KE", "Nairobi", "-1.29", "36.82"), ("AE", "Dubai", "25.20", "55.27"),
    ("TR", "Izmir", "38.42", "27.13"),
)  # fmt: skip
_KINDS = ("residential", "mobile", "business", "hosting")
_NETWORKS = (64512, 64700, 64900, 65100)
_AGENTS = (
    *((f"Chrome/{v}.0 (Windows 10)", "web", "4.2.0") for v in (128, 129, 130, 131)),
    *((f"Chrome/{v}.0 (macOS 14)", "web", "4.2.0") for v in (129, 130, 131)),
    *((f"Firefox/{v}.0 (Windows 11)", "web", "4.2.0") for v in (130, 131, 132)),
    ("Safari/17.6 (macOS 14)", "web", "4.2.0"), ("Chrome/130.0 (Linux x86_64)", "web", "4.1.9"),
    *((f"Shop/{v} (iPhone; iOS 17.6)", "ios", v) for v in ("5.8.1", "5.8.2", "5.9.0")),
    *((f"Shop/{v} (Android 14; Pixel 8)", "android", v) for v in ("5.8.0", "5.8.2", "5.9.0", "5.9.1")),
    *((f"Shop/{v} (Android 13; A546B)", "android", v) for v in ("5.7.4", "5.8.2")),
    ("Caf\u00e9/5.9.1 (Android 14)", "android", "5.9.1"),
    ("order-sync/2.4 (Java/21)", "partner", "2.4.0"), ("crm-bridge/1.19 resty/2.13", "partner", "1.19.0"),
    ("report-runner/0.9 httpx/0.27", "partner", "0.9.3"), ("mailer/3.1 axios/1.7", "partner", "3.1.0"),
    ("python-requests/2.32.3", "web", "4.2.0"), ("curl/8.9.1", "web", "4.2.0"), ("Go-http-client/2.0", "web", "4.2.0"),
    ("okhttp/3.14.9", "android", "5.2.0"), ("Chrome/98.0 (Linux x86_64)", "web", "4.2.0"),
    ("Chrome/79.0 (Windows 10)", "web", "4.2.0"),
    ("Shop/6.0.0 (iPhone; iOS 18.1)", "ios", "6.0.0"), ("Shop/6.0.0 (Android 15; Pixel 9)", "android", "6.0.0"),
)  # fmt: skip

AGENTS: Final = tuple(
    f'"user_agent":"{text}","app":"{app}",' + (f'"app_version":"{version}",' if app != "web" else "")
    for text, app, version in _AGENTS
)


def username(user: int, tenant: int) -> str:
    """The name that an account signs in with, as Lapwing knows it.

    >>> username(42, 0)
    'anna.e42@acme.example'
    """
    return f"{_FIRST[user * 7 % len(_FIRST)]}.{_INITIALS[user % 23]}{user}@{TENANTS[tenant]}.example"


def mistyped(name: str) -> str:
    """The name with its first two letters exchanged: nobody's.

    >>> mistyped("ida.l42@acme.example")
    'dia.l42@acme.example'
    """
    return name[1] + name[0] + name[2:]


def identity(user: int, tenant: int) -> str:
    """An account's members. One in 33 spells its name with a capital."""
    name = username(user, tenant)
    return f'"user":"u-{user}","username":"{name.capitalize() if user % 33 == 5 else name}",'


def bot_name(bot: int) -> str:
    """The account of a program."""
    return f"svc-{bot}"


def bot_identity(bot: int) -> str:
    """A program's members."""
    return f'"user":"svc-{bot}","actor":"svc-{bot}","actor_type":"service","api_key":"key-{bot}",'


def broken(line: str, luck: int) -> str:
    """The line as a faulty source would send it: no event, still one line.

    >>> broken('{"time":"2026-11-02T00:00:00Z","id":"e7-1"}\\n', 4)
    '{"time":"yesterday","id":"e7-1"}\\n'
    """
    time = line[9 : line.index('"', 9)]
    return (
        line[: len(line) // 2] + "\n",
        line.replace(f'"time":"{time}",', "", 1),
        line.replace('"', "'"),
        f"[{line[:-1]}]\n",
        line.replace(time, "yesterday", 1),
    )[luck % 5]


def call(operation: int, result: int) -> tuple[str, str, str]:
    """What a call did; where it went before and after the identifier in its path, latency to follow."""
    action, method, path, *_ = OPERATIONS[operation]
    outcome, reason, status, error_code, error = RESULTS[result]
    did = f'"action":"{action}","outcome":"{outcome}",'
    if reason:
        did += f'"reason":"{reason}","error_code":"{error_code}","error":"{error}",'
    if action in ("login", "mfa_challenge"):
        did += f'"factor":"{"password" if action == "login" else "totp"}",'
    before, _, after = path.partition("{id}")
    return did, f'"method":"{method}","endpoint":"{before}', f'{after}","status":{status},"latency_ms":'


def addresses(table: Addresses) -> tuple[list[str], list[str]]:
    """Each address's members, and its entity: itself, or the /64 of an IPv6 address."""
    texts: list[str] = []
    entities: list[str] = []
    columns = (
        table.prefix.tolist(),
        table.host.tolist(),
        table.version.tolist(),
        table.kind.tolist(),
        table.city.tolist(),
    )
    for prefix, host, version, kind, city in zip(*columns, strict=True):
        if version == 4:
            text = entity = f"{prefix >> 24}.{prefix >> 16 & 255}.{prefix >> 8 & 255}.{prefix & 255}"
        else:
            text = str(ipaddress.IPv6Address(prefix << 64 | host))
            entity = f"{ipaddress.IPv6Address(prefix << 64)}/64"
        country, name, lat, lon = _PLACES[city]
        located = _KINDS[kind] not in ("mobile", "hosting")
        texts.append(
            f'"ip":"{text}","ip_type":"{_KINDS[kind]}","asn":{_NETWORKS[kind] + city},"country":"{country}",'
            + (f'"city":"{name}","lat":{lat},"lon":{lon},' if located else "")
        )
        entities.append(entity)
    return texts, entities
