"""What would another threshold have done: how many incidents a day, which, and what would it have missed?

`lapwing lab tune` opens it on a simulated day, with `--dir out --config FILE --truth FILE` on results of your own.
"""

import marimo

app = marimo.App(width="medium", app_title="Lapwing: tune a threshold")


@app.cell
def _():
    from pathlib import Path

    import marimo as mo

    from flows import tuning
    from flows.compare import read_truth
    from flows.config import load
    from flows.config_diff import diff, with_limits
    from flows.errors import LapwingError
    from flows.html_page import listing, table
    from flows.intervals import wilson
    from flows.limit_curve import LimitCurve
    from flows.rethreshold import answered as can_answer
    from flows.rethreshold import moment

    return (
        LapwingError, LimitCurve, Path, can_answer, diff, listing, load, mo, moment, read_truth, table, tuning, wilson,
        with_limits,
    )  # fmt: skip


@app.cell
def _(LapwingError, Path, can_answer, load, mo):  # noqa: N803
    given = {
        name: str(mo.cli_args().get(name) or mo.query_params().get(name) or "") for name in ("dir", "config", "truth")
    }
    directory, file = given["dir"] or "demo", given["config"]
    labels = given["truth"] or next((str(path) for path in sorted(Path(directory).glob("*.truth.ndjson"))), "")
    config = load(file or None)
    answered, unanswered = {}, []
    for rule in config.detection:
        try:
            can_answer(rule)
            answered[rule.id] = rule
        except LapwingError as error:
            unanswered.append({"detection": rule.id, "why": str(error)})
    detection = mo.ui.dropdown(answered, value=next(iter(answered), None), label="detection")
    mo.vstack([
        mo.md(
            f"""
            # What would another threshold have done?

            The answer comes from the closed minutes that are kept (`windows.parquet`), at once and without a second
            pass over the events. Where these cannot say, it says so, and `lapwing backtest` answers from the events.
            Results: `{directory}`{f", labels: `{labels}`" if labels else ", no labels"}.
            """
        ),
        detection,
    ])  # fmt: skip
    return config, detection, directory, file, labels, unanswered


@app.cell
def _(LapwingError, config, detection, directory, mo, tuning):  # noqa: N803
    index, why = None, "Windows say of no detection of this configuration what it reaches."
    if detection.value is not None:
        try:
            index = tuning.index_of(directory, config, detection.value)
        except LapwingError as error:
            why = str(error)
    if index is None:
        limit, before = None, 0.0
    else:
        before = tuning.limit_of(detection.value)
        limit = mo.ui.slider(
            *index.bounds(), step=index.step, value=before, label="limit", show_value=True, full_width=True
        )
    limit if limit is not None else mo.plain_text(why)
    return before, index, limit, why


@app.cell
def _(LapwingError, index, labels, read_truth, tuning, wilson):  # noqa: N803
    def share(count, of):
        low, high = wilson(count, of)
        return f"{count / of:.0%} ({low:.0%} to {high:.0%})" if of else "not known"

    def told(name, found):
        row = {"": name, "limit": found.limit, "incidents": found.total, "a day": round(found.a_day, 2),
               "entities": found.entities}  # fmt: skip
        if truth:
            seen = tuning.beside(index, found, truth)
            row |= {"precision": share(seen.incidents - seen.false, seen.incidents),
                    "recall": share(seen.found, seen.attacks)}  # fmt: skip
        return row

    truth, fault = [], ""
    if index is not None and labels:
        try:
            truth = tuning.of_its_time(index, read_truth(labels))
        except LapwingError as error:
            fault = str(error)
    return fault, told


@app.cell
def _(before, index, told):
    now = told("in force", index.at(before)) if index is not None else None
    return (now,)


@app.cell
def _(LimitCurve, index):  # noqa: N803
    # It does not name the slider, so that a move of it does not ask for all limits again.
    curve = LimitCurve([(level, index.at(level).a_day) for level in index.spread(60)]) if index is not None else None
    return (curve,)


@app.cell
def _(LapwingError, Path, config, detection, diff, file, with_limits):  # noqa: N803
    def change_to(limit):
        text = Path(file).read_text() if file else ""
        try:
            return diff(text, with_limits(text, config, {detection.value.id: float(limit)}), file or "config.toml")
        except LapwingError as error:
            return str(error)

    return (change_to,)


@app.cell
def _(mo):
    heads = {name: mo.md(f"## {name}") for name in ("What would have fired", "Who has the most", "The change")}
    how = mo.md("The change, for `patch`. Then `lapwing test` its examples, and `lapwing backtest` it.")
    return heads, how


@app.cell
def _(before, change_to, curve, fault, heads, how, index, limit, listing, mo, moment, now, table, told):
    # All that hangs on the slider is one piece of plain HTML with little in it: a browser shows that after one message.
    # What is marimo's or Vega's own is built anew at every move, and asks for its rows once more.
    def rows(found):
        cells = [[f"{value:,g}" if isinstance(value, float) else value for value in row.values()] for row in found]
        return mo.Html(table([*found[0]], cells)) if found else mo.Html("Nobody.")

    fired, numbers, listed, burners, change, parts = None, [], [], [], "", []
    if index is not None:
        fired = index.at(limit.value)
        numbers = [now, told("chosen", fired)]
        listed = [
            {"from": moment(one.start // 60_000_000), "to": moment(one.end // 60_000_000), "entity": one.entity,
             "tenant": one.tenant, "reached": f"{one.value:g}"}
            for one in fired.incidents(200)
        ]  # fmt: skip
        burners = [{"entity": one.entity, "tenant": one.tenant, "incidents": one.incidents, "share": f"{one.share:.0%}"}
                   for one in fired.burners(5)]  # fmt: skip
        change = change_to(limit.value) if limit.value != before else ""
        first = listing(("from", "to", "entity", "tenant", "reached"), [row.values() for row in listed])
        parts = [
            rows(numbers), mo.plain_text(fault), mo.Html(curve.svg(limit.value, fired.a_day)),
            heads["What would have fired"], mo.Html(f"The first {len(listed):,} of {fired.total:,}:"),
            mo.Html(f'<div style="max-height: 20em; overflow: auto">{first}</div>'),
            heads["Who has the most"], rows(burners),
            heads["The change"], how if change else mo.Html("This is the limit in force: nothing changes."),
            mo.plain_text(change),
        ]  # fmt: skip
    mo.vstack(parts)
    return burners, change, fired, listed, numbers


@app.cell
def _(mo, unanswered):
    mo.accordion({f"{len(unanswered)} detections that windows do not answer": mo.ui.table(unanswered, selection=None)})
    return


if __name__ == "__main__":
    app.run()
