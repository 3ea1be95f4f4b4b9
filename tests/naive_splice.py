"""Scored events by definition: one row at a time, with Python's own numbers and text."""

import math
from decimal import ROUND_HALF_EVEN, Decimal

from models.base import DIMENSIONS, FEATURES, HAS_ID, JUMPED, LATE, NO_FEATURE
from models.event import ScoredBatch


def number(x: float) -> str:
    if not math.isfinite(x):
        return "null"
    if x == 0:
        return "0.0"
    mantissa, exponent = f"{x:.3e}".split("e")  # correctly rounded, half to even
    if not -4 <= int(exponent) < 9:
        mantissa = mantissa.rstrip("0")
        return f"{mantissa}{'0' if mantissa.endswith('.') else ''}e{int(exponent)}"
    plain = f"{Decimal(mantissa + 'e' + exponent):f}"
    plain = plain if "." in plain else plain + ".0"
    plain = plain.rstrip("0")
    return plain + "0" if plain.endswith(".") else plain


def quantile(q: float) -> str:
    if not math.isfinite(q):
        return "null"
    if q >= 1:
        return "1.000000"
    return str(min(Decimal("0.999999"), Decimal(max(q, 0.0)).quantize(Decimal("0.000001"), ROUND_HALF_EVEN)))


def member(scored: ScoredBatch, row: int, identity: str, ignored: str = "", ignored_more: int = 0) -> str:
    """The member `lapwing` of a row, its name included."""
    batch = scored.batch
    flags = int(batch.flags[row])
    uids = range(int(scored.uid_from[row]), int(scored.uid_from[row + 1]))
    alerts = ",".join(f'"{scored.uids[16 * k : 16 * k + 16].tobytes().hex()}"' for k in uids)
    scores = []
    for d, dimension in enumerate(DIMENSIONS):
        if dimension == "tenant" or scored.feature[d, row] == NO_FEATURE:
            continue
        rank = quantile(float(scored.quantile[d, row]))
        text = (
            f'"feature":"{FEATURES[scored.feature[d, row]]}","score":{number(scored.score[d, row])},"quantile":{rank}'
        )
        if rank != "null" and float(rank) >= 0.9:
            text += f',"z":{number(scored.z[d, row])},"expected":{number(scored.expected[d, row])}'
            text += f',"observed":{number(scored.observed[d, row])}'
        scores.append(f'"{dimension}":{{{text}}}')
    risk = "null" if scored.risk[row] < 0 else str(scored.risk[row])
    out = f'"lapwing":{{"v":1,"time":{int(batch.time[row]) // 1000},"risk":{risk},'
    out += f'"late":{"true" if flags & LATE else "false"},"alerts":[{alerts}],"scores":{{{",".join(scores)}}}'
    if flags & JUMPED:
        out += ',"jumped":true'
    if not flags & HAS_ID:
        out += f',"id":"{identity}"'
    if scored.uids_more[row]:
        out += f',"alerts_more":{scored.uids_more[row]}'
    if ignored:
        out += f',"ignored":{ignored}'
    if ignored_more:
        out += f',"ignored_more":{ignored_more}'
    return out + "}"
