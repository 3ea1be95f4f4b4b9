"""What would another detector have found in these rows: ours, River's, IsolationForest?

`lapwing lab compare` opens it on the closed minutes of a simulated day; `lapwing lab compare --table FILE` on your own
CSV, Parquet or .npz.
"""

import marimo

app = marimo.App(width="medium", app_title="Lapwing: compare detectors")


@app.cell
def _():
    import altair as alt
    import marimo as mo
    import numpy as np

    from flows.errors import LapwingError
    from flows.kept_scores import kept_or_scored
    from flows.lab import COLUMNS, DETECTORS

    return COLUMNS, DETECTORS, LapwingError, alt, kept_or_scored, mo, np


@app.cell
def _(COLUMNS, DETECTORS, mo):  # noqa: N803
    directory = str(mo.cli_args().get("dir") or mo.query_params().get("dir") or "demo")
    given = str(mo.cli_args().get("table") or mo.query_params().get("table") or f"{directory}/windows.parquet")
    path = mo.ui.text(given, label="table", full_width=True)
    columns = mo.ui.text(
        ",".join(COLUMNS) if given.endswith("windows.parquet") else "",
        label="columns (none: all numeric ones)", full_width=True,
    )  # fmt: skip
    label = mo.ui.text("", label="column that is 1 where a row is an attack, if there is one")
    detectors = mo.ui.multiselect(
        ["default", "ewma", "half_space_trees", "return_levels", "river:anomaly.HalfSpaceTrees",
         "river:anomaly.LocalOutlierFactor", "sklearn:IsolationForest"],
        value=[*DETECTORS], label="detectors",
    )  # fmt: skip
    top = mo.ui.slider(10, 500, step=10, value=50, label="strangest rows", show_value=True)
    about = mo.md(
        """
        # What would another detector have found?

        Each row is scored before it is learned, in the file's order, as `lapwing score` does. Detectors agree where the
        same rows are among their strangest; the table says how many of a detector's strangest another has too.
        """
    )
    mo.vstack([about, path, columns, mo.hstack([detectors, top], justify="start"), label])
    return columns, detectors, label, path, top


@app.cell
def _(LapwingError, columns, detectors, kept_or_scored, label, mo, np, path):  # noqa: N803
    names = [name.strip() for name in columns.value.split(",") if name.strip()]
    truth = kept_or_scored(path.value, "ewma", [label.value]).table.rows[:, 0] if label.value else None
    found, faults = {}, []
    for detector in mo.status.progress_bar(detectors.value, title="scoring") if detectors.value else ():
        try:
            found[detector] = kept_or_scored(path.value, detector, names)
        except LapwingError as error:
            faults.append({"detector": detector, "why": str(error)})
    strange = {name: np.nan_to_num(got.scores, nan=-np.inf) for name, got in found.items()}
    return faults, found, strange, truth


@app.cell
def _(faults, found, mo, np, strange, top, truth):
    first = {name: set(np.argsort(-values, kind="stable")[: top.value].tolist()) for name, values in strange.items()}
    agreement = []
    for name, got in found.items():
        known = np.isfinite(got.scores)
        row = {"detector": name, "rows": len(got.scores), "scored": int(known.sum()),
               "seconds": "kept" if np.isnan(got.seconds) else f"{got.seconds:.2f}"}  # fmt: skip
        if truth is not None and 0 < truth[known].sum() < known.sum():
            from sklearn.metrics import roc_auc_score  # only here: it takes longer to import than all else to draw

            row["AUC"] = round(float(roc_auc_score(truth[known] > 0, got.scores[known])), 4)
        agreement.append(
            row | {f"also in {other}": len(first[name] & first[other]) for other in first if other != name}
        )
    tables = [mo.ui.table(agreement, selection=None)] if agreement else [mo.md("Choose a detector.")]
    tables += [mo.ui.table(faults, selection=None)] if faults else []
    mo.vstack(tables)
    return agreement, first


@app.cell
def _(alt, first, found, mo):
    dots = [
        {"detector": name, "row": row + 1, "score": float(found[name].scores[row]),
         "others": sum(row in rows for other, rows in first.items() if other != name)}
        for name, rows in first.items() for row in sorted(rows)
    ]  # fmt: skip
    chart = (
        alt.Chart(alt.Data(values=dots))
        .mark_circle(size=40)
        .encode(
            x=alt.X("row:Q", title="row of the table"), y=alt.Y("score:Q", scale=alt.Scale(type="symlog")),
            color=alt.Color("others:O", title="also found by", scale=alt.Scale(scheme="viridis"),
                            legend=alt.Legend(orient="top")),
            tooltip=["row:Q", "score:Q", "others:Q"],
        )
        .properties(width=620, height=120)
        .facet(row=alt.Row("detector:N", title=None))
        .resolve_scale(y="independent")
    )  # fmt: skip
    mo.ui.altair_chart(chart, chart_selection=False, legend_selection=False) if dots else mo.md("")
    return (chart,)


if __name__ == "__main__":
    app.run()
