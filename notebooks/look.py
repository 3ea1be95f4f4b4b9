"""What did an entity do, what was expected of it, and when was it an incident?

`make look` opens it on the demo's results; `marimo run notebooks/look.py -- --dir out` on others.
"""

import marimo

app = marimo.App(width="medium", app_title="Lapwing: look at an entity")


@app.cell
def _():
    import altair as alt
    import marimo as mo

    from flows import query
    from models import base

    return alt, base, mo, query


@app.cell
def _(mo, query):
    directory = str(mo.cli_args().get("dir") or mo.query_params().get("dir") or "demo")
    gravest = query.incidents(directory)
    mo.md(
        f"""
        # What did it do, and what was expected?

        Every row of the picture is a feature of one entity. A dot is a closed minute in which this feature stood out
        most: what was **observed**. The tick is what was **expected** after all minutes before; red dots were so
        strange that nothing was learned from them. Bands are **incidents**, from the first counted event to the last.
        Ordinary minutes are kept as a sample, so a gap is no silence. Results: `{directory}`.
        """
    )
    return directory, gravest


@app.cell
def _(base, directory, gravest, mo, query):
    # Of equally grave ones, the entity of which most is known shows most; of two dimensions together nothing is kept.
    first = max(
        [seen for seen in gravest[:20] if seen.dimension in base.DIMENSIONS],
        key=lambda seen: (seen.severity, query.windows(directory, seen.tenant, seen.dimension, seen.entity).num_rows),
        default=None,
    )
    dimension = mo.ui.dropdown([*base.DIMENSIONS], value=first.dimension if first else "tenant", label="dimension")
    return dimension, first


@app.cell
def _(dimension, directory, first, gravest, mo, query):
    grave = [first, *gravest] if first else []
    noted = [(seen.tenant, seen.entity) for seen in grave if seen.dimension == dimension.value]
    busy = [(seen.tenant, seen.entity) for seen in query.entities(directory, dimension.value, 100)]
    choices = {f"{name}  ({tenant})": (tenant, name) for tenant, name in dict.fromkeys(noted + busy)}
    entity = mo.ui.dropdown(choices, value=next(iter(choices), None), label="entity", searchable=True)
    mo.hstack([dimension, entity], justify="start")
    return (entity,)


@app.cell
def _(dimension, directory, entity, query):
    tenant, name = entity.value or ("", "")
    kept = ["start", "feature", "observed", "expected", "score", "quantile", "guarded", "sample_weight"]
    rows = query.windows(directory, tenant, dimension.value, name, kept).to_pylist()
    rows = [row | {"start": int(row["start"].timestamp() * 1000)} for row in rows]
    found = query.incidents(directory, tenant, dimension.value, name)
    incidents = [
        {"detection": seen.detection, "start": seen.start, "end": seen.end, "message": seen.message} for seen in found
    ]
    return incidents, name, rows


@app.cell
def _(alt, incidents, mo, name, rows):
    width, height = 760, 110
    moments = [row["start"] for row in rows] + [seen[at] for seen in incidents for at in ("start", "end")]
    time = alt.X(
        "start:T", title=None, axis=alt.Axis(labelOverlap=True, tickCount=8, format="%d %b %H:%M"),
        scale=alt.Scale(type="utc", domain=[min(moments, default=0), max(moments, default=1)]),
    )  # fmt: skip
    band = alt.Color("detection:N", title="incident", scale=alt.Scale(scheme="set2"))
    bands = (
        alt.Chart(alt.Data(values=incidents))
        .mark_rect(opacity=0.35)
        .encode(x=time, x2="end:T", color=band, tooltip=["detection:N", "start:T", "end:T", "message:N"])
    )

    def feature_row(feature):
        base = alt.Chart(alt.Data(values=[row for row in rows if row["feature"] == feature])).encode(x=time)
        count = alt.Scale(type="symlog", zero=True)
        tip = ["start:T", "observed:Q", "expected:Q", "score:Q", "quantile:Q", "guarded:N", "sample_weight:Q"]
        apart = base.mark_rule(color="#bbb").encode(y=alt.Y("expected:Q", scale=count), y2="observed:Q")
        expected = base.mark_tick(color="#333", thickness=2, size=9).encode(y=alt.Y("expected:Q", scale=count))
        strange = alt.condition("datum.guarded", alt.value("#d62728"), alt.value("#1f77b4"))
        observed = base.mark_circle(size=32, opacity=0.9).encode(
            y=alt.Y("observed:Q", title=feature, scale=count, axis=alt.Axis(tickCount=4, titleFontSize=10)),
            color=strange,
            tooltip=tip,
        )
        return alt.layer(bands, apart, expected, observed).properties(width=width, height=height)

    features = sorted({row["feature"] for row in rows if row["feature"]}, key=lambda f: ("events" not in f, f))
    chart = alt.vconcat(*[feature_row(feature) for feature in features]).properties(title=name)
    mo.ui.altair_chart(chart, chart_selection=False, legend_selection=False) if features else mo.md("Nothing is kept.")
    return (chart,)


@app.cell
def _(base, entity, gravest, mo):
    told = [f"- **{base.SEVERITIES[seen.severity]}** {seen.message}" for seen in gravest
            if (seen.tenant, seen.entity) == entity.value]  # fmt: skip
    mo.md("\n".join(told) if told else "No incident.")
    return


if __name__ == "__main__":
    app.run()
