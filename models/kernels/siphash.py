"""SipHash-2-4 (Aumasson, Bernstein, 2012): a hash of 64 bits that hostile values cannot steer without the key."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import inlined, kernel
from models.kernels.load import load8

PUBLIC_K0 = np.uint64(0x6C61_7077_696E_6720)
PUBLIC_K1 = np.uint64(0x7661_6E65_6C6C_7573)
"""Fixed and public: shard and canonical order must be the same everywhere. What must be secret is keyed elsewhere."""

V0 = np.uint64(0x736F6D6570736575)
V1 = np.uint64(0x646F72616E646F6D)
V2 = np.uint64(0x6C7967656E657261)
V3 = np.uint64(0x7465646279746573)
FINAL = np.uint64(0xFF)
ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_13, _16, _17, _21, _32, _43, _47, _48, _51, _56, _8 = (
    np.uint64(n) for n in (13, 16, 17, 21, 32, 43, 47, 48, 51, 56, 8)
)


@inlined
def sip_round(
    v0: np.uint64, v1: np.uint64, v2: np.uint64, v3: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """One SipRound."""
    v0 = v0 + v1
    v1 = ((v1 << _13) | (v1 >> _51)) ^ v0
    v0 = (v0 << _32) | (v0 >> _32)
    v2 = v2 + v3
    v3 = ((v3 << _16) | (v3 >> _48)) ^ v2
    v0 = v0 + v3
    v3 = ((v3 << _21) | (v3 >> _43)) ^ v0
    v2 = v2 + v1
    v1 = ((v1 << _17) | (v1 >> _47)) ^ v2
    v2 = (v2 << _32) | (v2 >> _32)
    return v0, v1, v2, v3


@inlined
def siphash(buffer: NDArray[np.uint8], at: int, size: int, k0: np.uint64, k1: np.uint64) -> np.uint64:
    """SipHash-2-4 of buffer[at : at + size] under the key (k0, k1), each half read little-endian."""
    v0 = k0 ^ V0
    v1 = k1 ^ V1
    v2 = k0 ^ V2
    v3 = k1 ^ V3
    i = at
    whole = at + size - (size & 7)
    while i < whole:
        word = load8(buffer, i)
        v3 = v3 ^ word
        v0, v1, v2, v3 = sip_round(v0, v1, v2, v3)
        v0, v1, v2, v3 = sip_round(v0, v1, v2, v3)
        v0 = v0 ^ word
        i += 8
    word = np.uint64(size & 0xFF) << _56
    shift = np.uint64(0)
    if i + 8 <= len(buffer):
        word = word | (load8(buffer, i) & ~(ALL << np.uint64(8 * (size & 7))))
        i = at + size
    while i < at + size:
        word = word | (np.uint64(buffer[i]) << shift)
        shift = shift + _8
        i += 1
    v3 = v3 ^ word
    v0, v1, v2, v3 = sip_round(v0, v1, v2, v3)
    v0, v1, v2, v3 = sip_round(v0, v1, v2, v3)
    v0 = v0 ^ word
    v2 = v2 ^ FINAL
    for _ in range(4):
        v0, v1, v2, v3 = sip_round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


@kernel
def entity_hash(buffer: NDArray[np.uint8], at: int, size: int, tenant: np.uint64) -> np.uint64:
    """Hash of (tenant, value), `tenant` being the tenant's own entity hash and 0 for a tenant itself; never 0."""
    turned = (tenant << _32) | (tenant >> _32)
    found = siphash(buffer, at, size, PUBLIC_K0 ^ tenant, PUBLIC_K1 ^ turned)
    return found if found != np.uint64(0) else np.uint64(1)
