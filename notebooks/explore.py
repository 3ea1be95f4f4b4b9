"""Which entities stood out, when, and what did they do then?

`lapwing lab explore` opens it on a simulated day; `lapwing lab explore --dir out` on your own results.
"""

import marimo

app = marimo.App(width="medium", app_title="Lapwing: explore anomalies")


@app.cell
def _():
    from html import escape

    import altair as alt
    import marimo as mo

    from flows import query
    from models import base

    return alt, base, escape, mo, query


@app.cell
def _(base, mo):
    directory = str(mo.cli_args().get("dir") or mo.query_params().get("dir") or "demo")
    dimension = mo.ui.dropdown([*base.DIMENSIONS], value="ip", label="dimension")
    most = mo.ui.slider(5, 60, value=20, label="lanes", show_value=True)
    head = mo.md(
        f"""
        # Who stood out, and when?

        A lane is an entity: those with the gravest incidents first, then those with the strangest minutes. A **bar**
        is an incident, from its first counted event to its last; a **dot** is a closed minute, the larger the stranger,
        red where it was so strange that nothing was learned from it. **Click a dot** for what was observed and
        expected, and for the events themselves. Ordinary minutes are kept as a sample, so a gap is no silence.
        Results: `{directory}`.
        """
    )
    mo.vstack([head, mo.hstack([dimension, most], justify="start")])
    return dimension, directory, most


@app.cell
def _(dimension, directory, most, query):
    lanes = query.strangest(directory, dimension.value, most.value)
    order = [f"{lane.entity}  ({lane.tenant})" for lane in lanes]
    bars = [
        {"lane": name, "severity": seen.severity, "detection": seen.detection, "start": seen.start, "end": seen.end,
         "message": seen.message}
        for name, lane in zip(order, lanes, strict=True) for seen in lane.incidents
    ]  # fmt: skip
    dots = [
        {"lane": name, "tenant": lane.tenant, "entity": lane.entity, "start": int(row["start"].timestamp() * 1000),
         "end": int(row["end"].timestamp() * 1000)}
        | {key: row[key] for key in ("feature", "observed", "expected", "score", "quantile", "guarded")}
        for name, lane in zip(order, lanes, strict=True) for row in lane.windows.to_pylist()
    ]  # fmt: skip
    return bars, dots, order


@app.cell
def _(alt, bars, base, dots, mo, order):
    time = alt.X(
        "start:T",
        title=None,
        axis=alt.Axis(labelOverlap=True, tickCount=8, format="%d %b %H:%M"),
        scale=alt.Scale(type="utc"),
    )
    names = [*base.SEVERITIES]
    scale = alt.Scale(domain=names[1:6], range=["#9ecae1", "#74c476", "#fdd049", "#fd8d3c", "#d62728"])
    lane = alt.Y("lane:N", sort=order, title=None, axis=alt.Axis(labelLimit=190))
    told = [bar | {"severity": names[bar["severity"]]} for bar in bars]
    incidents = (
        alt.Chart(alt.Data(values=told))
        .mark_bar(height=14, opacity=0.8, minBandSize=4)
        .encode(x=time, x2="end:T", y=lane,
                color=alt.Color("severity:N", scale=scale, title="incident", legend=alt.Legend(orient="top")),
                tooltip=["detection:N", "severity:N", "message:N"])
    )  # fmt: skip
    click = alt.selection_point(name="minute", fields=["lane", "start"], on="click")
    strange = alt.condition("datum.guarded", alt.value("#d62728"), alt.value("#1f77b4"))
    minutes = (
        alt.Chart(alt.Data(values=dots))
        .mark_circle()
        .encode(
            x=time, y=lane, color=strange, opacity=alt.condition(click, alt.value(0.9), alt.value(0.25)),
            size=alt.Size("score:Q", scale=alt.Scale(type="sqrt", range=[8, 160]), legend=None),
            tooltip=["lane:N", "start:T", "feature:N", "observed:Q", "expected:Q", "quantile:Q"],
        )
        .add_params(click)
    )  # fmt: skip
    chart = alt.layer(incidents, minutes).properties(width=600, height=alt.Step(24))
    picture = mo.ui.altair_chart(chart, chart_selection=False, legend_selection=False)
    picture if dots else mo.md("No minute is kept of this dimension.")
    return chart, picture


@app.cell
def _(dots, picture):
    chosen = {key: value for found in picture.selections.values() for key, value in found.items()}
    picked = [dot for dot in dots if dot["lane"] in chosen.get("lane", ()) and dot["start"] in chosen.get("start", ())]
    minute = max(picked or dots, key=lambda dot: dot["score"] or 0.0, default=None)
    return (minute,)


@app.cell
def _(dimension, directory, escape, minute, mo, query):
    events = []
    if minute:
        events = query.events(
            directory, minute["tenant"], dimension.value, minute["entity"], minute["start"], minute["end"], 500
        )
    shown = [{key: event[key] for key in event if key != "lapwing"} for event in events]
    expected = "nothing yet" if not minute or minute["expected"] is None else f"{minute['expected']:.3g}"
    # What attackers write is shown as text, never as markup.
    said = (
        f"<h2>{escape(minute['lane'])}</h2><p>{minute['feature']} was <b>{minute['observed']:g}</b>, expected "
        f"<b>{expected}</b>; score {minute['score'] or 0:.3g}, quantile {minute['quantile'] or 0:.5f}. "
        f"The minute's events, {len(events)}{' or more' if len(events) == 500 else ''}:</p>"
        if minute
        else ""
    )
    mo.vstack([mo.Html(said), mo.ui.table(shown, selection=None, page_size=12)]) if minute else mo.md("")
    return (events,)


if __name__ == "__main__":
    app.run()
