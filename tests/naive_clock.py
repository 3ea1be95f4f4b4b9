"""TIME.md 1.1-1.4 as a story told row by row, slowly: a held row is a variable, not a look ahead."""

from typing import NamedTuple

HOLD = 256


class Params(NamedTuple):
    lateness: int
    late_count_max: int
    max_jump: int


class Verdict(NamedTuple):
    row: int
    place: int
    late: bool
    skip: bool
    jumped: bool


def clock(rows, params, messages, ended=True):
    """rows: (ordinal, time, record time or None). Gives the verdicts in order; the last row may be missing."""
    verdicts = []
    greatest = None
    candidate = None  # a jump whose row has left already
    held = None

    def beyond(value, than):
        return than is None or value > than + params.max_jump

    def normal(number, moved, time):
        nonlocal greatest
        greatest = moved if greatest is None else max(greatest, moved)
        watermark = greatest - params.lateness
        late = time < watermark
        verdicts.append(
            Verdict(number, max(time, watermark), late, late and watermark - time > params.late_count_max, False)
        )

    def refused(number, watermark):
        verdicts.append(Verdict(number, watermark, False, True, True))

    def give_up(moved, time, number):
        nonlocal candidate
        if greatest is None:
            normal(number, moved, time)
        else:
            refused(number, greatest - params.lateness)
            candidate = moved

    for number, (ordinal, time, record) in enumerate(rows):
        moved = time if record is None else min(time, record)
        if held is not None and ordinal - held[0] > HOLD:
            give_up(*held[1:])
            held = None
        if held is not None:
            _, held_moved, held_time, held_number = held
            held = None
            if not beyond(moved, greatest):
                refused(held_number, greatest - params.lateness)
            else:
                smaller = min(held_moved, moved)
                if held_moved > smaller + params.max_jump:
                    refused(held_number, smaller - params.lateness)
                    candidate = held_moved
                else:
                    normal(held_number, held_moved, held_time)
        if not beyond(moved, greatest):
            candidate = None
        elif candidate is not None:
            greatest = min(candidate, moved)
            if not beyond(max(candidate, moved), greatest) or moved > candidate:
                candidate = None
        if beyond(moved, greatest):
            held = (ordinal, moved, time, number)
        else:
            normal(number, moved, time)
    if held is not None and (ended or messages - held[0] > HOLD):
        give_up(*held[1:])
    return verdicts, greatest
