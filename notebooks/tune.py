"""What would another threshold have done: how many incidents a day, which, and what would it have missed?

`lapwing lab tune` opens it on a simulated day, with `--dir out --config FILE --truth FILE` on results of your own.
"""

import marimo

app = marimo.App(width="medium", app_title="Lapwing: tune a threshold")


@app.cell
def _():
    from pathlib import Path

    import altair as alt
    import marimo as mo

    from flows import tuning
    from flows.compare import read_truth
    from flows.config import load
    from flows.config_diff import diff, with_limits
    from flows.errors import LapwingError
    from flows.html_page import table
    from flows.intervals import wilson
    from flows.rethreshold import answered as can_answer
    from flows.rethreshold import moment

    return (
        LapwingError, Path, alt, can_answer, diff, load, mo, moment, read_truth, table, tuning, wilson, with_limits,
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
def _(fault, index, limit, mo, now, table, told):
    # What hangs on the slider is sent as it is: a table of marimo's own would ask for its rows once more.
    fired = index.at(limit.value) if index is not None else None
    numbers = [now, told("chosen", fired)] if fired is not None else []
    cells = [[f"{value:,g}" if isinstance(value, float) else value for value in row.values()] for row in numbers]
    mo.vstack([mo.Html(table([*numbers[0]], cells)), mo.plain_text(fault)]) if numbers else mo.md("")
    return fired, numbers


@app.cell
def _(alt, index):
    # It does not name the slider, so that a move of it does not ask for all limits again.
    levels = index.spread(60) if index is not None else []
    curve = [{"limit": level, "a_day": index.at(level).a_day} for level in levels]
    line = (
        alt.Chart(alt.Data(values=curve))
        .mark_line(interpolate="step-after", point=False)
        .encode(x=alt.X("limit:Q", scale=alt.Scale(type="log", nice=False)),
                y=alt.Y("a_day:Q", title="incidents a day", scale=alt.Scale(type="symlog")))
    )  # fmt: skip
    return curve, line


@app.cell
def _(alt, curve, fired, limit, line, mo):
    chosen = [{"limit": limit.value, "a_day": fired.a_day}] if fired is not None else []
    mark = alt.Chart(alt.Data(values=chosen)).mark_circle(size=120, color="#d62728").encode(x="limit:Q", y="a_day:Q")
    chart = (line + mark).properties(width=700, height=200)
    mo.ui.altair_chart(chart, chart_selection=False, legend_selection=False) if curve else mo.md("")
    return (chart,)


@app.cell
def _(fired, mo, moment, table):
    listed = [
        {"from": moment(one.start // 60_000_000), "to": moment(one.end // 60_000_000), "entity": one.entity,
         "tenant": one.tenant, "reached": one.value}
        for one in (fired.incidents(200) if fired is not None else [])
    ]  # fmt: skip
    burners = [{"entity": one.entity, "tenant": one.tenant, "incidents": one.incidents, "share": f"{one.share:.0%}"}
               for one in (fired.burners(5) if fired is not None else [])]  # fmt: skip
    shown = mo.ui.table(listed, selection=None, page_size=10, show_column_summaries=False, show_data_types=False)
    parts = [mo.md("## What would have fired"), shown]
    if burners:
        parts += [mo.md("## Who has the most"), mo.Html(table([*burners[0]], [[*row.values()] for row in burners]))]
    mo.vstack(parts) if fired is not None else mo.md("")
    return burners, listed


@app.cell
def _(LapwingError, Path, before, config, detection, diff, file, limit, mo, with_limits):  # noqa: N803
    change = ""
    if limit is not None and limit.value != before:
        text = Path(file).read_text() if file else ""
        try:
            after = with_limits(text, config, {detection.value.id: float(limit.value)})
            change = diff(text, after, file or "config.toml")
        except LapwingError as error:
            change = str(error)
    how = "The change, for `patch`. Then `lapwing test` its examples, and `lapwing backtest` it."
    mo.vstack([mo.md(f"## The change\n\n{how if change else 'This is the limit in force: nothing changes.'}"),
               mo.plain_text(change)])  # fmt: skip
    return (change,)


@app.cell
def _(mo, unanswered):
    mo.accordion({f"{len(unanswered)} detections that windows do not answer": mo.ui.table(unanswered, selection=None)})
    return


if __name__ == "__main__":
    app.run()
