"""IP addresses as entities: an IPv4 address, or the prefix of an IPv6 address."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import kernel

LONGEST_ADDRESS = 64
"""Bytes of the longest text that can be an address: brackets, eight groups, a port."""


@kernel
def _quad_end(buffer: NDArray[np.uint8], i: int, end: int, octets: NDArray[np.int64]) -> int:
    """After the dotted quad at i, or -1; no octet has a leading zero."""
    for k in range(4):
        first = i
        octet = 0
        while i < end and i - first < 4 and 0x30 <= buffer[i] <= 0x39:
            octet = octet * 10 + np.int64(buffer[i]) - 0x30
            i += 1
        if i == first or octet > 255 or (i - first > 1 and buffer[first] == 0x30):
            return -1
        octets[k] = octet
        if k < 3:
            if i >= end or buffer[i] != 0x2E:
                return -1
            i += 1
    return i


@kernel
def _port(buffer: NDArray[np.uint8], i: int, end: int) -> bool:
    """Whether nothing is left at i, or a colon and a port."""
    if i == end:
        return True
    if buffer[i] != 0x3A or end - i < 2 or end - i > 6:
        return False
    port = 0
    for k in range(i + 1, end):
        if buffer[k] < 0x30 or buffer[k] > 0x39:
            return False
        port = port * 10 + np.int64(buffer[k]) - 0x30
    return port <= 65_535


@kernel
def _groups(buffer: NDArray[np.uint8], i: int, end: int, group: NDArray[np.int64], octets: NDArray[np.int64]) -> bool:
    """Read buffer[i : end] as an IPv6 address (RFC 4291, 2.2; no zone) into eight groups."""
    count = 0
    gap = -1
    if end - i < 2:
        return False
    if buffer[i] == 0x3A:
        if buffer[i + 1] != 0x3A:
            return False
        gap = 0
        i += 2
    while i < end:
        if count == 8:
            return False
        first = i
        value = 0
        while i < end and i - first < 5:
            c = np.int64(buffer[i])
            if 0x30 <= c <= 0x39:
                value = value * 16 + c - 0x30
            elif 0x61 <= (c | 0x20) <= 0x66:
                value = value * 16 + (c | 0x20) - 0x57
            else:
                break
            i += 1
        if i < end and buffer[i] == 0x2E:
            if count > 6 or _quad_end(buffer, first, end, octets) != end:
                return False
            group[count] = octets[0] * 256 + octets[1]
            group[count + 1] = octets[2] * 256 + octets[3]
            count += 2
            i = end
            break
        if i == first or i - first > 4:
            return False
        group[count] = value
        count += 1
        if i == end:
            break
        if buffer[i] != 0x3A or i + 1 == end:
            return False
        i += 1
        if buffer[i] == 0x3A:
            if gap >= 0:
                return False
            gap = count
            i += 1
    if gap < 0:
        return count == 8
    if count == 8:
        return False
    shift = 8 - count
    for k in range(count - 1, gap - 1, -1):
        group[k + shift] = group[k]
    for k in range(gap, gap + shift):
        group[k] = 0
    return True


@kernel
def _decimal(out: NDArray[np.uint8], i: int, value: int) -> int:
    """Write a number below 1,000 in decimal; the place after it."""
    if value >= 100:
        out[i] = 0x30 + value // 100
        i += 1
    if value >= 10:
        out[i] = 0x30 + value // 10 % 10
        i += 1
    out[i] = 0x30 + value % 10
    return i + 1


@kernel
def _digit(value: int) -> int:
    """A hexadecimal digit in lower case."""
    return 0x30 + value if value < 10 else 0x57 + value


@kernel
def _write_groups(group: NDArray[np.int64], out: NDArray[np.uint8], i: int) -> int:
    """Write eight groups as RFC 5952, section 4; the place after them."""
    best = -1
    longest = 1
    k = 0
    while k < 8:
        run = 0
        while k + run < 8 and group[k + run] == 0:
            run += 1
        if run > longest:
            best = k
            longest = run
        k += run + 1
    k = 0
    while k < 8:
        if k == best:
            out[i] = 0x3A
            out[i + 1] = 0x3A
            i += 2
            k += longest
            continue
        if k > 0 and k != best + longest:
            out[i] = 0x3A
            i += 1
        value = group[k]
        shift = 12
        while shift > 0 and value >> shift == 0:
            shift -= 4
        while shift >= 0:
            out[i] = _digit((value >> shift) & 15)
            i += 1
            shift -= 4
        k += 1
    return i


@kernel
def write_address(
    buffer: NDArray[np.uint8], at: int, size: int, prefix: int, work: NDArray[np.int64], out: NDArray[np.uint8], i: int
) -> int:
    """Write the entity of an address text at out[i :] (64 bytes of room); the place after it, or -1 if it is none.

    `work` holds 12 numbers. IPv4 keeps all its bits, as does IPv4 mapped into IPv6; a port is dropped.
    """
    if size < 2 or size > LONGEST_ADDRESS:
        return -1
    end = at + size
    octets = work[8:12]
    group = work[0:8]
    after = _quad_end(buffer, at, end, octets)
    if after >= 0:
        if not _port(buffer, after, end):
            return -1
    else:
        first = at
        last = end
        if buffer[at] == 0x5B:
            first = at + 1
            last = first
            while last < end and buffer[last] != 0x5D:
                last += 1
            if last == end or not _port(buffer, last + 1, end):
                return -1
        if not _groups(buffer, first, last, group, octets):
            return -1
        mapped = group[5] == 0xFFFF
        for k in range(5):
            mapped = mapped and group[k] == 0
        if not mapped:
            for k in range(8):
                kept = min(16, max(0, prefix - 16 * k))
                group[k] &= 0xFFFF ^ (0xFFFF >> kept)
            i = _write_groups(group, out, i)
            out[i] = 0x2F
            return _decimal(out, i + 1, prefix)
        for k in range(2):
            octets[2 * k] = group[6 + k] >> 8
            octets[2 * k + 1] = group[6 + k] & 255
    for k in range(4):
        i = _decimal(out, i, octets[k])
        if k < 3:
            out[i] = 0x2E
            i += 1
    return i
