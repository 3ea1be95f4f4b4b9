"""The people, their addresses and their devices."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.simulation.rhythm import TENANT_SHARES

CITIES: Final = 48
DESKTOP_AGENTS, MOBILE_AGENTS, SERVICE_AGENTS, ATTACK_AGENTS = range(12), range(12, 22), range(22, 26), range(26, 32)
RELEASED_AGENTS: Final = range(32, 34)
"""The newest version of the app; phones get it after a release."""
COUNTRY: Final = np.repeat(np.arange(34), [1, 3, 2, 2, 2, 2, *[1] * 12, 5, 2, 1, 1, 1, 1, 2, 1, 2, 1, 2, *[1] * 5])
"""Each city's country."""
_REGIONS: Final = (range(24), range(24, 35), range(35, 48))
"""The cities in which most people of each tenant live."""
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
    """Accounts by number, and where each signs in from; then the bots, which have numbers behind the accounts'.

    `popularity` is cumulative over `order`, in which each tenant's accounts stand together: tenant t's have the shares
    from `bounds[t]` to `bounds[t + 1]`. A phone's address is one of the `carrier_size` from `carrier` on.
    """

    tenant: NDArray[np.int8]
    order: NDArray[np.int64]
    popularity: NDArray[np.float64]
    bounds: NDArray[np.float64]
    home: NDArray[np.int32]
    office: NDArray[np.int32]  # -1: none
    carrier: NDArray[np.int32]
    carrier_size: NDArray[np.int32]
    mobile_share: NDArray[np.float64]
    desktop: NDArray[np.int16]
    phone: NDArray[np.int16]
    admins: NDArray[np.int32]
    offices: NDArray[np.int32]
    carriers: NDArray[np.int32]
    bot_tenant: NDArray[np.int8]
    bot_address: NDArray[np.int32]
    addresses: Addresses

    def __len__(self) -> int:
        return len(self.tenant)

    def accounts(self, tenant: int) -> NDArray[np.int64]:
        """The accounts of a tenant, busiest first."""
        here = self.tenant[self.order] == tenant
        weight = np.diff(self.popularity, prepend=0.0)[here]
        return np.asarray(self.order[here][np.argsort(-weight, kind="stable")])


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
    """People with homes (some share one), an office in the same city, a carrier of the country; one in 500 an admin.

    Everybody stays where they live, so that no honest journey is impossible.
    """
    homes, offices = max(users * 4 // 5, 1), max(users // 60, 3)
    tenant = draw(rng, np.cumsum(TENANT_SHARES), users).astype(np.int8)
    tenant[:3] = (0, 1, 2)
    office_tenant = draw(rng, np.cumsum(TENANT_SHARES), offices)
    office_tenant[:3] = (0, 1, 2)
    office_city, city = _cities(rng, office_tenant), _cities(rng, tenant)
    office = _offices(rng, tenant, office_tenant)
    admins = [_some(rng, tenant, number) for number in range(len(TENANT_SHARES))]
    for number, chosen in enumerate(admins):
        office[chosen] = rng.choice(np.flatnonzero(office_tenant == number), len(chosen))
    city[office >= 0] = office_city[office[office >= 0]]

    # Homes of one city have numbers in a row
    edges = np.arange(CITIES + 1) * homes // CITIES
    home = np.minimum(edges[city] + (rng.random(users) * (edges[city + 1] - edges[city])).astype(np.int64), homes - 1)
    home_city = np.minimum(np.searchsorted(edges, np.arange(homes), side="right") - 1, CITIES - 1)
    people_of = np.bincount(COUNTRY[city], minlength=int(COUNTRY[-1]) + 1)
    pool = np.clip(people_of // 500, 1, 200)
    pool_first = np.concatenate([[0], np.cumsum(pool)[:-1]])
    carrier_city = np.searchsorted(COUNTRY, np.repeat(np.arange(len(pool)), pool))
    bots = 12 + users // 2_000
    bot_tenant = draw(rng, np.cumsum(TENANT_SHARES), bots).astype(np.int8)
    bot_tenant[:6] = (0, 1, 2, 0, 1, 2)

    first_carrier = homes + offices
    first_bot = first_carrier + len(carrier_city)
    order, popularity = _popularity(rng, tenant)
    return Population(
        tenant=tenant,
        order=order,
        popularity=popularity,
        bounds=np.concatenate([[0.0], popularity[np.cumsum(np.bincount(tenant, minlength=3)) - 1]]),
        home=home.astype(np.int32),
        office=np.where(office >= 0, office + homes, -1).astype(np.int32),
        carrier=(first_carrier + pool_first[COUNTRY[city]]).astype(np.int32),
        carrier_size=pool[COUNTRY[city]].astype(np.int32),
        mobile_share=rng.choice([0.0, 0.15, 0.4, 0.9], users, p=[0.3, 0.3, 0.25, 0.15]),
        desktop=rng.integers(DESKTOP_AGENTS.start, DESKTOP_AGENTS.stop, users).astype(np.int16),
        phone=rng.integers(MOBILE_AGENTS.start, MOBILE_AGENTS.stop, users).astype(np.int16),
        admins=np.concatenate(admins).astype(np.int32),
        offices=np.arange(homes, first_carrier, dtype=np.int32),
        carriers=np.arange(first_carrier, first_bot, dtype=np.int32),
        bot_tenant=bot_tenant,
        bot_address=np.arange(first_bot, first_bot + bots, dtype=np.int32),
        addresses=_addresses(rng, home_city, office_city, carrier_city, rng.integers(0, CITIES, bots)),
    )


def _cities(rng: np.random.Generator, tenant: NDArray[np.int8] | NDArray[np.int64]) -> NDArray[np.int64]:
    """A city for each, nine in ten in the tenant's part of the world."""
    city = rng.integers(0, CITIES, len(tenant))
    for number, region in enumerate(_REGIONS):
        here = np.flatnonzero((tenant == number) & (rng.random(len(tenant)) < 0.9))
        city[here] = region.start + draw(rng, zipf(len(region), 0.6, 1.0), len(here))
    return city


def _offices(rng: np.random.Generator, tenant: NDArray[np.int8], office_tenant: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each account works, -1: nowhere known."""
    office = np.full(len(tenant), -1, dtype=np.int64)
    for number in range(len(TENANT_SHARES)):
        of_tenant = np.flatnonzero(office_tenant == number)
        works = np.flatnonzero((tenant == number) & (rng.random(len(tenant)) < 0.38))
        office[works] = of_tenant[draw(rng, zipf(len(of_tenant), 0.8, 4.0), len(works))]
    return office


def _some(rng: np.random.Generator, tenant: NDArray[np.int8], number: int) -> NDArray[np.int64]:
    here = np.flatnonzero(tenant == number)
    return np.sort(rng.permutation(here)[: max(len(here) // 500, 1)])


def _popularity(rng: np.random.Generator, tenant: NDArray[np.int8]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Accounts by tenant, and the cumulative shares of the traffic in that order."""
    weight = np.diff(zipf(len(tenant), 0.9, 20.0), prepend=0.0)[rng.permutation(len(tenant))]
    order = np.argsort(tenant, kind="stable")
    return order, np.asarray(np.cumsum(weight[order]) / weight.sum(), dtype=np.float64)


def _addresses(rng: np.random.Generator, *cities: NDArray[np.int64]) -> Addresses:
    """Addresses for homes, offices, carriers and bots in these cities."""
    city = np.concatenate(cities)
    count = len(city)
    number = np.arange(count, dtype=np.uint64)
    prefix = _HOMES + (number * 40_503 + 977) % _HOMES_SIZE
    kind = np.repeat([RESIDENTIAL, BUSINESS, MOBILE, HOSTING], [len(part) for part in cities]).astype(np.uint8)
    carrier = kind == MOBILE
    prefix[carrier] = _CARRIERS + (number[carrier] * 9_973) % _CARRIERS_SIZE
    version = np.where((rng.random(count) < 0.1) & (kind == RESIDENTIAL), 6, 4).astype(np.uint8)
    six = version == 6
    prefix[six] = (_DOCUMENTATION_V6 << 32) | (number[six] << np.uint64(8)) | np.uint64(1)
    host = rng.integers(1 << 48, 1 << 62, count).astype(np.uint64)
    return Addresses(prefix, host, version, kind, city.astype(np.uint8))


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
