"""The people, their addresses and their devices."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

TENANT_SHARES: Final = (0.70, 0.22, 0.08)
CITIES: Final = 48
DESKTOP_AGENTS, MOBILE_AGENTS, SERVICE_AGENTS, ATTACK_AGENTS = range(12), range(12, 22), range(22, 26), range(26, 32)
RESIDENTIAL, MOBILE, BUSINESS, HOSTING = range(4)

# Ranges that nobody owns: benchmarking, shared carrier space, documentation
_HOMES, _HOMES_SIZE = 0xC6120000, 1 << 17
_CARRIERS, _CARRIERS_SIZE = 0x64400000, 1 << 16
_BOTS, _BOTS_SIZE = 0x64600000, 1 << 21
_DOCUMENTATION = (0xCB007100, 0xC6336400, 0xC0000200)
_DOCUMENTATION_V6 = 0x20010DB8


@dataclass(slots=True)
class Addresses:
    """IP addresses by number: `prefix` is the IPv4 address, or the first 64 bits of an IPv6 one, `host` the rest."""

    prefix: NDArray[np.uint64]
    host: NDArray[np.uint64]
    version: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    city: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.prefix)


@dataclass(slots=True)
class Population:
    """Accounts by number, and where each signs in from. `popularity` is cumulative."""

    tenant: NDArray[np.int8]
    popularity: NDArray[np.float64]
    home: NDArray[np.int32]
    office: NDArray[np.int32]  # -1: none
    carrier: NDArray[np.int32]
    mobile_share: NDArray[np.float64]
    desktop: NDArray[np.int16]
    phone: NDArray[np.int16]
    admins: NDArray[np.int32]
    services: NDArray[np.int32]
    offices: NDArray[np.int32]
    carriers: NDArray[np.int32]
    addresses: Addresses

    def __len__(self) -> int:
        return len(self.tenant)


def zipf(size: int, exponent: float, shift: float) -> NDArray[np.float64]:
    """Zipf-Mandelbrot shares of `size` ranks, cumulative.

    >>> zipf(3, 1.0, 0.0).round(3).tolist()
    [0.545, 0.818, 1.0]
    """
    weight = 1.0 / (np.arange(1, size + 1) + shift) ** exponent
    return np.asarray(np.cumsum(weight) / weight.sum(), dtype=np.float64)


def draw(rng: np.random.Generator, cumulative: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Ranks drawn by cumulative shares."""
    return np.minimum(np.searchsorted(cumulative, rng.random(size), side="right"), len(cumulative) - 1)


def population(rng: np.random.Generator, users: int) -> Population:
    """People with homes (some share one), offices, a carrier each; one in 500 an admin, some service accounts."""
    homes = max(users * 4 // 5, 1)
    offices = max(users // 60, 3)
    carriers = 6 + users // 2_000
    services = max(users // 400, 4)
    office_numbers = np.arange(homes, homes + offices, dtype=np.int32)
    carrier_numbers = np.arange(homes + offices, homes + offices + carriers, dtype=np.int32)
    tenant = draw(rng, np.cumsum(TENANT_SHARES), users).astype(np.int8)
    tenant[:3] = (0, 1, 2)
    office_tenant = draw(rng, np.cumsum(TENANT_SHARES), offices)
    office_tenant[:3] = (0, 1, 2)
    office = np.full(users, -1, dtype=np.int32)
    for number in range(3):
        of_tenant = office_numbers[office_tenant == number]
        works = np.flatnonzero((tenant == number) & (rng.random(users) < 0.38))
        office[works] = of_tenant[draw(rng, zipf(len(of_tenant), 0.8, 4.0), len(works))]
    admins = []
    for number in range(3):
        of_tenant = office_numbers[office_tenant == number]
        here = np.flatnonzero(tenant == number)
        chosen = np.sort(rng.permutation(here)[: max(len(here) // 500, 1)])
        office[chosen] = rng.choice(of_tenant, len(chosen))
        admins.append(chosen)
    home = rng.integers(0, homes, users).astype(np.int32)
    service = np.sort(rng.permutation(users)[:services]).astype(np.int32)
    cloud = np.arange(homes + offices + carriers, homes + offices + carriers + services, dtype=np.int32)
    home[service] = cloud
    order = rng.permutation(users)
    weight = np.diff(zipf(users, 0.9, 20.0), prepend=0.0)[order]
    weight[service] = 0.0
    return Population(
        tenant=tenant,
        popularity=np.cumsum(weight) / weight.sum(),
        home=home,
        office=office,
        carrier=carrier_numbers[draw(rng, zipf(carriers, 0.7, 3.0), users)],
        mobile_share=rng.choice([0.0, 0.15, 0.4, 0.9], users, p=[0.3, 0.3, 0.25, 0.15]),
        desktop=rng.integers(DESKTOP_AGENTS.start, DESKTOP_AGENTS.stop, users).astype(np.int16),
        phone=rng.integers(MOBILE_AGENTS.start, MOBILE_AGENTS.stop, users).astype(np.int16),
        admins=np.concatenate(admins).astype(np.int32),
        services=service,
        offices=office_numbers,
        carriers=carrier_numbers,
        addresses=_addresses(rng, homes, offices, carriers, services),
    )


def _addresses(rng: np.random.Generator, homes: int, offices: int, carriers: int, services: int) -> Addresses:
    count = homes + offices + carriers + services
    number = np.arange(count, dtype=np.uint64)
    prefix = _HOMES + (number * 40_503 + 977) % _HOMES_SIZE
    kind = np.repeat([RESIDENTIAL, BUSINESS, MOBILE, HOSTING], [homes, offices, carriers, services]).astype(np.uint8)
    carrier = kind == MOBILE
    prefix[carrier] = _CARRIERS + (number[carrier] * 9_973) % _CARRIERS_SIZE
    version = np.where((rng.random(count) < 0.1) & (kind == RESIDENTIAL), 6, 4).astype(np.uint8)
    six = version == 6
    prefix[six] = (_DOCUMENTATION_V6 << 32) | (number[six] << np.uint64(8)) | np.uint64(1)
    host = rng.integers(1 << 48, 1 << 62, count).astype(np.uint64)
    return Addresses(prefix, host, version, kind, rng.integers(0, CITIES, count).astype(np.uint8))


class Newcomers:
    """Addresses that only attackers use, handed out one after another and never twice until a range is used up."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._rows: list[tuple[int, int, int, int, int]] = []
        self._hosted = self._bots = self._networks = 0

    def _add(self, prefix: int, host: int, version: int, kind: int) -> int:
        self._rows.append((prefix, host, version, kind, (len(self._rows) * 7) % CITIES))
        return self._first + len(self._rows) - 1

    def hosted(self) -> int:
        """One machine at a hosting company."""
        place = (self._hosted * 61 + 17) % 750
        self._hosted += 1
        return self._add(_DOCUMENTATION[place // 250] + 2 + place % 250, 0, 4, HOSTING)

    def bots(self, size: int) -> list[int]:
        """Machines all over, each somebody's."""
        first, self._bots = self._bots, self._bots + size
        return [
            self._add(_BOTS + (n * 1_299_709 + 5) % _BOTS_SIZE, 0, 4, RESIDENTIAL) for n in range(first, self._bots)
        ]

    def network(self, size: int) -> list[int]:
        """Many addresses of one IPv6 /64."""
        self._networks += 1
        prefix = (_DOCUMENTATION_V6 << 32) | (0xBAD << 20) | self._networks
        return [self._add(prefix, (n + 1) * 0x9E3779B97F4A7C15 % (1 << 62), 6, HOSTING) for n in range(size)]

    def joined(self, residents: Addresses) -> Addresses:
        """The residents' addresses with all of these behind them."""
        if not self._rows:
            return residents
        prefix, host, version, kind, city = (list(column) for column in zip(*self._rows, strict=True))
        return Addresses(
            np.concatenate([residents.prefix, np.array(prefix, dtype=np.uint64)]),
            np.concatenate([residents.host, np.array(host, dtype=np.uint64)]),
            np.concatenate([residents.version, np.array(version, dtype=np.uint8)]),
            np.concatenate([residents.kind, np.array(kind, dtype=np.uint8)]),
            np.concatenate([residents.city, np.array(city, dtype=np.uint8)]),
        )
