"""Joint entities, of two dimensions: columns of their own in a batch, there only where some detection asks for them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.base import DIMENSIONS, JOINTS, SKIP, WATCHED
from models.event import EventBatch
from models.kernels.arrive import EVERY_MARK
from models.kernels.joint import join
from models.kernels.layout import ACTIVE, RECORDS, ShardArrays, allocate_records
from models.kernels.table import refill
from models.rules.program import EVERY, Program
from models.windows.arrays import LEAST, places


def joints(program: Program) -> dict[int, np.uint64]:
    """The joint dimensions that detections watch, by index in WATCHED, and the marks of the rows that they count.

    >>> from models.rules.program import compile_rules
    >>> from models.rules.threshold import Threshold
    >>> own = Threshold(id="own", by=("user", "ip"), where="failure", count=True)
    >>> {WATCHED[joint]: int(marks) for joint, marks in joints(compile_rules([own])).items()}
    {'ip_user': 1}
    """
    found: dict[int, np.uint64] = {}
    for meter in program.meters:
        if len(meter.by) == 2:
            joint = len(DIMENSIONS) + JOINTS.index((meter.by[0], meter.by[1]))
            mark = EVERY_MARK if meter.mark == EVERY else np.uint64(1 << meter.mark)
            found[joint] = found.get(joint, np.uint64(0)) | mark
    return dict(sorted(found.items()))


def widened(batch: EventBatch, wanted: Mapping[int, np.uint64]) -> EventBatch:
    """The batch with entity columns of shape (len(WATCHED), n), those of the wanted joint dimensions filled.

    Only rows that some detection counts get a name there: the others are looked up, never entered (`counted_only`).
    Cost: about 60 ns for each row with both entities.
    """
    shape = len(WATCHED), len(batch)
    entity, start, length = (np.zeros(shape, kind) for kind in (np.uint64, np.int64, np.int32))
    for wide, narrow in ((entity, batch.entity), (start, batch.name_start), (length, batch.name_length)):
        wide[: len(DIMENSIONS)] = narrow
    used = len(batch.names)
    room = sum(int(length[[*JOINTS[joint - len(DIMENSIONS)]]].sum()) + len(batch) for joint in wanted)
    names = np.empty(used + room, np.uint8)
    names[:used] = batch.names
    for joint, marks in wanted.items():
        first, second = JOINTS[joint - len(DIMENSIONS)]
        has = batch.marks if marks != EVERY_MARK else batch.marks[:0]
        used = join(names, entity, start, length, has, marks, first, second, joint, used)
    return replace(batch, entity=entity, names=names[:used], name_start=start, name_length=length)


def counted_only(batch: EventBatch, joint: int) -> NDArray[np.uint8]:
    """The flags of a widened batch's rows in a joint dimension: who was given no name is scored, never added."""
    return np.where(batch.name_length[joint] == 0, batch.flags | np.uint8(SKIP), batch.flags)


def forget_idle(s: ShardArrays) -> ShardArrays:
    """The same shard without the records of entities that hold no ring, once most are such: they remember nothing."""
    if s.head[RECORDS] <= 2 * s.head[ACTIVE] + LEAST:
        return s
    fewer = s._replace(records=allocate_records(max(LEAST, places(2 * int(s.head[ACTIVE])))))
    refill(s, fewer, s.records["slot"] >= 0)
    return fewer


def entities(dimension: int, name: str) -> tuple[tuple[str, str], ...]:
    """The (dimension, name) of each part of an entity, by its name in the state.

    >>> entities(3, "sam"), entities(WATCHED.index("ip_user"), chr(9) + "192.0.2.1sam")
    ((('user', 'sam'),), (('ip', '192.0.2.1'), ('user', 'sam')))
    """
    if dimension < len(DIMENSIONS):
        return ((DIMENSIONS[dimension], name),)
    first, second = JOINTS[dimension - len(DIMENSIONS)]
    raw = name.encode()
    end = 1 + raw[0]
    return (DIMENSIONS[first], raw[1:end].decode()), (DIMENSIONS[second], raw[end:].decode())
