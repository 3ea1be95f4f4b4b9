"""Check a proof of `lapwing prove` without Lapwing: python verify_proof.py proof.json public-keys.txt"""

import base64
import hashlib
import json
import struct
import sys
from contextlib import suppress
from urllib.parse import quote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


PLACE = "tree day tenant log leaf offset index time received"
EVENT = (
    "id action outcome reason method endpoint error_code factor actor_type ip_type country app app_version status asn "
    "latency_ms risk late lapwing user_id actor_id target_id ip_token session_token request_token user_sealed "
    "actor_sealed target_sealed raw raw_hash"
)
OTHER = "uid user_id ip_token subjects sealed"


def check(good, what):
    if not good:
        sys.exit(f"NOT PROVEN: {what}")


def packed(value):  # MessagePack; bytes are {"base64": ...}
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int) and -32 <= value < 128:
        return bytes([value & 0xFF])
    if isinstance(value, int | float):
        for code, form in [(0xCB, "d")] if isinstance(value, float) else zip(range(0xCC, 0xD4), "BHIQbhiq"):
            with suppress(struct.error):
                return bytes([code]) + struct.pack(">" + form, value)
    text, raw = isinstance(value, str), isinstance(value, dict)
    body = value.encode() if text else base64.b64decode(value["base64"]) if raw else b"".join(map(packed, value))
    size, small, codes = (len(body), 32, (0xD9, 0xDA, 0xDB)) if text else (len(body), 0, (0xC4, 0xC5, 0xC6))
    size, small, codes = (size, small, codes) if text or raw else (len(value), 16, (0, 0xDC, 0xDD))
    if size < small:
        return bytes([(0xA0 if text else 0x90) + size]) + body
    width = 1 if size < 256 and codes[0] else 2 if size < 65536 else 4
    return bytes([codes[width // 2]]) + size.to_bytes(width, "big") + body


proof = json.load(open(sys.argv[1], encoding="utf-8"))
row, leaf = proof["row"], base64.b64decode(proof["leaf_bytes"])
body, _, below = proof["checkpoint"].rpartition("\n\n")
place, size, root = body.split("\n")[:3]
names = f"{PLACE} {EVENT if proof['table'] == 'events' else OTHER}".split()
check(list(row) == names, "the row's columns are not the table's")
check(leaf == packed(list(row.values())), "the row is not what the leaf's bytes say")
check(place.endswith("/".join(quote(p, safe="") for p in ("", proof["table"], row["tree"], row["log"]))), "another log")
at, last, node = row["leaf"], int(size) - 1, hashlib.sha256(b"\x00" + leaf).digest()
for beside in map(base64.b64decode, proof["path"]):  # RFC 9162, 2.1.3.2
    right = at & 1 or at == last
    node = hashlib.sha256(b"\x01" + (beside + node if right else node + beside)).digest()
    while right and at and not at & 1:
        at, last = at >> 1, last >> 1
    at, last = at >> 1, last >> 1
check(last == 0 and node == base64.b64decode(root), "the path does not lead to the root of the checkpoint")
for key in (base64.b64decode(line.split("+", 2)[2])[1:] for line in open(sys.argv[2], encoding="utf-8")):
    for signature in (base64.b64decode(line.split(" ")[2])[4:] for line in below.splitlines()):
        with suppress(InvalidSignature):
            Ed25519PublicKey.from_public_bytes(key).verify(signature, f"{body}\n".encode())
            sys.exit(print(f"proven: leaf {row['leaf']} of {place}, signed by the key {key.hex()}"))
check(False, "no key that you believe has signed the checkpoint")
