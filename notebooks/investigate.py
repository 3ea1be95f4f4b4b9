"""What happened in this incident, who else is in it, where did it come from, and what should be done?

`lapwing lab investigate` opens it on a simulated day, with `--dir out --uid UID` on an incident of your own.
"""

import marimo

app = marimo.App(width="medium", app_title="Lapwing: investigate an incident")


@app.cell
def _():
    import collections
    from html import escape

    import altair as alt
    import marimo as mo

    from flows import query
    from models import base

    return alt, base, collections, escape, mo, query


@app.cell
def _(base, mo, query):
    directory = str(mo.cli_args().get("dir") or mo.query_params().get("dir") or "demo")
    asked = str(mo.cli_args().get("uid") or mo.query_params().get("uid") or "")
    incidents = query.incidents(directory)
    names = {
        f"{base.SEVERITIES[one.severity]}: {one.detection} {one.entity} ({one.tenant}) {one.uid[:8]}": one
        for one in incidents
    }
    first = next((name for name, one in names.items() if asked and one.uid.startswith(asked)), next(iter(names), None))
    choice = mo.ui.dropdown(names, value=first, label="incident", searchable=True, full_width=True)
    mo.vstack([mo.md(f"# What happened, and who else is in it?\n\nResults: `{directory}`."), choice])
    return choice, directory, incidents


@app.cell
def _(choice, directory, incidents, query):
    one = choice.value
    told = query.told(directory, one.uid) if one else []
    beside = query.linked(incidents, one) if one else []
    most = 5000
    minute = 60_000
    events = []
    if one:
        span = one.start - 5 * minute, one.end + 5 * minute + 1
        events = query.events(directory, one.tenant, one.dimension, one.entity, *span, most)
    return beside, events, most, one, told


@app.cell
def _(beside, escape, mo, one, told):
    # What attackers write is shown as text, never as markup.
    explained = [mo.Html(f"<h2>Why</h2><p>{escape(one.message)}</p>")] if one else [mo.md("There is no incident.")]
    if one and one.limit is not None and one.value is not None:
        explained.append(mo.md(f"It opens at **{one.limit:g}**; it reached **{one.value:g}**."))
    if told:
        explained.append(mo.Html(f"<h2>What to do</h2><p>{escape(told[-1].advice)}</p>"))
    linked = [
        {"uid": other.uid, "detection": other.detection, "entity": other.entity, "what": other.message}
        for other in beside
    ]
    if linked:
        explained += [
            mo.md("## Incidents of the same attack, or of the same entity"),
            mo.ui.table(linked, selection=None),
        ]
    mo.vstack(explained)
    return (linked,)


@app.cell
def _(alt, events, mo, one, told):
    dots = [
        {"time": event["lapwing"]["time"], "outcome": str(event.get("outcome", "unknown")),
         "action": str(event.get("action", "other")), "user": str(event.get("username") or event.get("user") or ""),
         "ip": str(event.get("ip", ""))}
        for event in events
    ]  # fmt: skip
    messages = [{"time": m.created, "activity": m.activity, "count": m.count, "message": m.message} for m in told]
    axis = alt.X("time:T", title=None, scale=alt.Scale(type="utc"), axis=alt.Axis(format="%d %b %H:%M:%S", tickCount=6))
    outcomes = alt.Scale(domain=["success", "failure", "denied", "unknown"],
                         range=["#2ca02c", "#d62728", "#fd8d3c", "#999999"])  # fmt: skip
    seen = (
        alt.Chart(alt.Data(values=dots))
        .mark_circle(size=36, opacity=0.6)
        .encode(x=axis, y=alt.Y("action:N", title=None),
                color=alt.Color("outcome:N", scale=outcomes, legend=alt.Legend(orient="top")),
                tooltip=["time:T", "action:N", "outcome:N", "user:N", "ip:N"])
        .properties(width=640, height=alt.Step(22))
    )  # fmt: skip
    said = (
        alt.Chart(alt.Data(values=messages))
        .mark_line(point=True, interpolate="step-after", color="#333")
        .encode(x=axis, y=alt.Y("count:Q", title="counted"), tooltip=["time:T", "activity:N", "count:Q", "message:N"])
        .properties(width=640, height=90)
    )
    timeline = alt.vconcat(seen, said).resolve_scale(x="shared")
    about = mo.md(
        "## Timeline\n\nThe events, five minutes before and after too, and below them what the messages counted."
    )
    mo.vstack([about, mo.ui.altair_chart(timeline, chart_selection=False, legend_selection=False)]) if one else mo.md(
        ""
    )
    return (timeline,)


@app.cell
def _(collections, events, mo, most):
    members = "ip", "username", "user", "country", "user_agent", "app", "endpoint", "outcome", "reason"
    counted = {
        member: collections.Counter(str(event[member]) for event in events if event.get(member) is not None)
        for member in members
    }
    entities = [
        {"member": member, "value": value, "events": n, "different": len(found)}
        for member, found in counted.items() for value, n in found.most_common(5)
    ]  # fmt: skip
    more = f" (the first {most:,})" if len(events) == most else ""
    mo.vstack([mo.md(f"## Who and what is in its {len(events):,} events{more}"),
               mo.ui.table(entities, selection=None, page_size=15)])  # fmt: skip
    return counted, entities


@app.cell
def _(alt, collections, counted, escape, events, mo):
    places = collections.Counter(
        (event["lat"], event["lon"], str(event.get("city", "")), str(event.get("country", "")))
        for event in events
        if isinstance(event.get("lat"), int | float) and isinstance(event.get("lon"), int | float)
    )
    points = [{"lat": lat, "lon": lon, "city": city, "country": country, "events": n}
              for (lat, lon, city, country), n in places.items()]  # fmt: skip
    world = alt.layer(
        alt.Chart(alt.sphere()).mark_geoshape(fill="#eef3f7", stroke="#bbb"),
        alt.Chart(alt.graticule(step=[30, 30])).mark_geoshape(stroke="#d5dde3", strokeWidth=0.5),
        alt.Chart(alt.Data(values=points)).mark_circle(color="#d62728", opacity=0.7).encode(
            longitude="lon:Q", latitude="lat:Q", size=alt.Size("events:Q", scale=alt.Scale(range=[20, 600])),
            tooltip=["city:N", "country:N", "events:Q"],
        ),
        alt.Chart(alt.Data(values=points)).mark_text(dy=-10, fontSize=10).encode(
            longitude="lon:Q", latitude="lat:Q", text="city:N"
        ),
    ).project("equalEarth").properties(width=620, height=320)  # fmt: skip
    located = sum(places.values())
    where = (
        ", ".join(f"{country} {n:,}" for country, n in counted["country"].most_common(12)) or "nothing is said of it"
    )
    told_where = f"{located:,} of {len(events):,} events say where; by country: {escape(where)}."
    mo.vstack([
        mo.Html(f"<h2>Where from</h2><p>{told_where}</p>"),
        mo.ui.altair_chart(world, chart_selection=False, legend_selection=False) if points else mo.md(""),
    ])  # fmt: skip
    return points, world


if __name__ == "__main__":
    app.run()
