"""What a threshold detection compiles to, in lines for `lapwing check`."""

from functools import lru_cache

from models.base import DIMENSIONS
from models.kernels.scan import MEMBERS, SPANS
from models.rules import span
from models.rules.expression import parse
from models.rules.flatten import MAX_LEAVES, MAX_MARKS
from models.rules.members import CODE, TEXT, TYPES
from models.rules.program import EVERY, FIRST_HASH, NO_METER, Bound, Compiled, Program, compile_rules
from models.rules.syntax import Compare, Counted, Expression, leaves
from models.rules.threshold import Threshold

_COST = (
    "free: columns that every event has",
    "low: compares members",
    "medium: reads text members",
    "high: searches text",
)


def describe(rule: Threshold) -> list[str]:
    """A sound rule's plan: its condition after parsing, what is metered for each entity, how early it opens, its cost.

    >>> for line in describe(Threshold(id="x", by="ip", where="(failure)", count=True, at_least=20,
    ...         attacks=(), unless=())):
    ...     print(line)
    for each ip, over 10m in 20 panes of 30s
    when   at least 20 events where failure
    meters 1: events where failure
    opens  as soon as it is reached
    cost   free: columns that every event has
    """
    program = compile_rules([rule])
    detection = program.detections[0]
    by = " and ".join(DIMENSIONS[d] for d in detection.by)
    panes = detection.window // detection.pane
    lines = [f"for each {by}, over {rule.window} in {panes} panes of {span.spell(detection.pane)}"]
    lines.append(f"when   {bound_text(program, detection.main)}")
    if detection.floor != NO_METER:
        lines.append(f"and    at least {detection.at_least_events} {meter_text(program, detection.floor)}")
    lines += [f"and    {bound_text(program, bound)}" for bound in detection.also]
    lines += [f"unless {bound_text(program, bound)}" for bound in detection.unless]
    texts = [meter_text(program, k) for k in range(len(program.meters))]
    lines.append(f"meters {len(texts)}: {'; '.join(texts)}")
    lines.append(f"opens  {_opens(detection)}")
    lines.append(f"cost   {_COST[max((cost(parse(text)) for text in program.marks), default=0)]}")
    return lines


@lru_cache(maxsize=256)
def sentence(rule: Threshold) -> str:
    """A sound rule's condition in one sentence.

    >>> from models.rules.threshold import Condition
    >>> sentence(Threshold(id="x", by="ip", where="failure", count=True, at_least=20,
    ...     unless=Condition(distinct="user", at_least=5)))
    'For each ip, over 10m: at least 20 events where failure, unless at least 5 different user where failure'
    """
    program = compile_rules([rule])
    detection = program.detections[0]
    by = " and ".join(DIMENSIONS[d] for d in detection.by)
    text = f"For each {by}, over {rule.window}: {bound_text(program, detection.main)}"
    if detection.floor != NO_METER:
        text += f", and at least {detection.at_least_events} {meter_text(program, detection.floor)}"
    text += "".join(f", and {bound_text(program, bound)}" for bound in detection.also)
    return text + "".join(f", unless {bound_text(program, bound)}" for bound in detection.unless)


def meter_text(program: Program, number: int) -> str:
    """What a meter counts, in words."""
    meter = program.meters[number]
    where = "" if meter.mark == EVERY else f" where {program.marks[meter.mark]}"
    if meter.kind == "count":
        return f"events{where}"
    if meter.kind == "sum":
        return f"{program.numbers[meter.source]} in sum{where}"
    names = (*DIMENSIONS, *program.hashes)
    assert len(DIMENSIONS) == FIRST_HASH
    return f"different {names[meter.source]}{where}"


def signature(program: Program, number: int) -> str:
    """What gives a meter's state its meaning, the same whatever other detections there are.

    >>> signature(compile_rules([Threshold(by="ip", where="failure", distinct="user")]), 0)
    'ip: different user where failure, 10m/30s'
    """
    meter = program.meters[number]
    by = "+".join(DIMENSIONS[d] for d in meter.by)
    return f"{by}: {meter_text(program, number)}, {span.spell(meter.window)}/{span.spell(meter.pane)}"


def summary(program: Program) -> list[str]:
    """What all detections need together, beside their bounds.

    >>> for line in summary(compile_rules([Threshold(where="failure and lat > 0", distinct="session")])):
    ...     print(line)
    expressions  1 of 64, with 2 comparisons of 64
    meters       2
    members read beside the columns: session, lat
    """
    lines = [
        f"expressions  {len(program.marks)} of {MAX_MARKS}, with {len(program.code.leaf)} comparisons of {MAX_LEAVES}"
    ]
    lines.append(f"meters       {len(program.meters)}")
    more = [name for name, slot in zip(MEMBERS, program.wanted.slots.tolist(), strict=True) if slot >= SPANS]
    lines.append(f"members read beside the columns: {', '.join(more) or 'none'}")
    return lines


def bound_text(program: Program, bound: Bound) -> str:
    """What must be reached, in words."""
    value = meter_text(program, bound.meter)
    least = f"at least {bound.times:g} times as many" if bound.times else f"at least {bound.at_least:g}"
    if bound.of != NO_METER:
        return f"{least} = {value} / {meter_text(program, bound.of)}"
    return f"{least} {value}"


def cost(tree: Expression) -> int:
    """An expression's class of cost, 0 to 3, by its dearest leaf.

    >>> [cost(parse(text)) for text in ("failure and status > 499", "asn == 1", "user == 'a'", "app contains 'b'")]
    [0, 1, 2, 3]
    """
    found = 0
    for leaf in leaves(tree):
        if isinstance(leaf, Counted) or leaf.member == "status" or TYPES[leaf.member] == CODE:
            continue
        kind = TYPES[leaf.member]
        if isinstance(leaf, Compare) and leaf.operator == "contains":
            found = max(found, 3)
        elif isinstance(leaf, Compare) and kind == TEXT:
            found = max(found, 2)
        else:
            found = max(found, 1)
    return found


def _opens(detection: Compiled) -> str:
    if detection.monotone:
        return "as soon as it is reached"
    return f"when its pane is final, {span.spell(detection.pane)} later: more events can undo it"
