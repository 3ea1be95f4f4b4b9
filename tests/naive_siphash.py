"""SipHash-c-d (Aumasson, Bernstein, 2012) in plain Python."""

MASK = 2**64 - 1


def siphash(message: bytes, k0: int = 0, k1: int = 0, c: int = 2, d: int = 4) -> int:
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def turned(x: int, by: int) -> int:
        return (x << by | x >> (64 - by)) & MASK

    def rounds(n: int) -> None:
        for _ in range(n):
            v[0] = (v[0] + v[1]) & MASK
            v[2] = (v[2] + v[3]) & MASK
            v[1] = turned(v[1], 13) ^ v[0]
            v[3] = turned(v[3], 16) ^ v[2]
            v[0] = turned(v[0], 32)
            v[2] = (v[2] + v[1]) & MASK
            v[0] = (v[0] + v[3]) & MASK
            v[1] = turned(v[1], 17) ^ v[2]
            v[3] = turned(v[3], 21) ^ v[0]
            v[2] = turned(v[2], 32)

    padded = message + bytes(7 - len(message) % 8) + bytes([len(message) & 255])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        rounds(c)
        v[0] ^= word
    v[2] ^= 255
    rounds(d)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def rust_hash(key: str) -> int:
    """What Rust's DefaultHasher says of a string: SipHash-1-3 under no key, the string ended by 0xff."""
    return siphash(key.encode() + b"\xff", c=1, d=3)
