"use strict";
// A sweep as a table: one axis down, one across, the pictures in its cells.
(() => {
  const { make, store } = batchgen;
  const IN_CELL = 6;
  const MOST_JOBS = 5000;
  let sweep = null;
  let down = null;
  let across = null;
  const matrix = {};
  batchgen.matrix = matrix;

  matrix.show = (jobs) => {
    const place = document.getElementById("matrix");
    const sizes = new Map();
    for (const job of jobs) if (job.sweep) sizes.set(job.sweep, (sizes.get(job.sweep) ?? 0) + 1);
    const sweeps = [...sizes.keys()].sort((a, b) => sizes.get(b) - sizes.get(a));
    if (!sweeps.length) {
      place.replaceChildren(make("p", { class: "empty", text: "No job here comes from a sweep: matrix, repeat or rows in the manifest make one." }));
      return;
    }
    if (!sweeps.includes(sweep)) [sweep, down, across] = [sweeps[0], null, null];
    const swept = jobs.filter((job) => job.sweep === sweep).slice(0, MOST_JOBS);
    const axes = batchgen.axesOf(swept);
    const title = (at) => axes[at]?.title ?? "";
    if (!axes.some((axis) => axis.title === down)) down = title(0);
    if (across === null || (across && !axes.some((axis) => axis.title === across))) across = title(1);
    if (across === down) across = axes.find((axis) => axis.title !== down)?.title ?? "";
    const again = () => matrix.show(jobs);
    place.replaceChildren(
      make("div", { class: "bar" },
        pick("Sweep", sweeps, sweep, (value) => { [sweep, down, across] = [value, null, null]; again(); }),
        pick("Down", axes.map((axis) => axis.title), down, (value) => { down = value; again(); }),
        pick("Across", ["", ...axes.map((axis) => axis.title)], across, (value) => { across = value; again(); })),
      make("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "Matrix" },
        table(swept, axes.find((axis) => axis.title === down), axes.find((axis) => axis.title === across))),
    );
  };

  const pick = (label, values, value, chosen) => make("label", {}, `${label} `,
    make("select", { on: { change: (event) => chosen(event.target.value) } },
      ...values.map((one) => make("option", { value: one, selected: one === value, text: one || "—" }))));

  const ONE = { title: "", distinct: [""], values: [] };

  const table = (jobs, rows = ONE, columns = ONE) => {
    const cells = new Map();
    jobs.forEach((job, at) => {
      const key = `${rows.values[at] ?? ""}\n${columns.values[at] ?? ""}`;
      if (!cells.has(key)) cells.set(key, []);
      cells.get(key).push(job);
    });
    const head = make("tr", {}, make("th", { scope: "col", text: rows.title }),
      ...columns.distinct.map((value) => make("th", { scope: "col", dir: "auto", text: value || "all" })));
    const lines = rows.distinct.map((row) => make("tr", {},
      make("th", { scope: "row", dir: "auto", text: row || "all" }),
      ...columns.distinct.map((column) => make("td", {}, cell(cells.get(`${row}\n${column}`) ?? [])))));
    return make("table", { class: "matrix" }, make("thead", {}, head), make("tbody", {}, ...lines));
  };

  const cell = (jobs) => {
    const tiles = jobs.flatMap((job) => (
      job.files.length ? job.files.map((file) => ({ job, file })) : [{ job, file: null }]
    ));
    const shown = tiles.slice(0, IN_CELL).map((one, at) => make(
      "button", {
        type: "button", class: "cell", data: { state: one.job.state },
        "aria-label": `${one.job.id}, ${one.job.state}`, title: one.job.id,
        on: { click: () => batchgen.lightbox.open(tiles, at) },
      },
      one.file ? batchgen.picture(one.file) : batchgen.badge(one.job.state),
      one.file && store.isVideo(one.file) ? make("span", { class: "length", text: "▶" }) : null,
    ));
    const rest = tiles.length - shown.length;
    const more = rest > 0 && make("button", {
      type: "button", class: "small", text: `+${rest}`, on: { click: () => batchgen.lightbox.open(tiles, IN_CELL) },
    });
    return make("div", { class: "cells" }, ...shown, more || null);
  };
})();
