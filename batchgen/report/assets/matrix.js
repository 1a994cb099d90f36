"use strict";
// A sweep as a table: one axis down, one across, the pictures in its cells; further axes narrow.
(() => {
  const { make, store, filters, marks } = batchgen;
  const IN_CELL = 4;
  const MOST_JOBS = 5000;
  const MOST_NARROWING = 6;
  const NOBODY = { sweep: null, down: null, across: null, narrowed: new Map() };
  let asked = NOBODY;
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
    if (!sweeps.includes(asked.sweep)) asked = { ...NOBODY, sweep: sweeps[0] };
    const swept = jobs.filter((job) => job.sweep === asked.sweep);
    const axes = batchgen.axesOf(swept.slice(0, MOST_JOBS));
    const down = axes.find((axis) => axis.key === asked.down) ?? axes[0];
    const across = asked.across === "" ? undefined
      : axes.find((axis) => axis.key === asked.across && axis !== down) ?? axes.find((axis) => axis !== down);
    const others = axes.filter((axis) => axis !== down && axis !== across);
    const narrowing = (axes.some((axis) => axis.own) ? others.filter((axis) => axis.own) : others).slice(0, MOST_NARROWING);
    const rows = swept.slice(0, MOST_JOBS).map((_, at) => at)
      .filter((at) => narrowing.every((axis) => [undefined, axis.values[at]].includes(asked.narrowed.get(axis.key))));
    const again = (more) => {
      const key = document.activeElement?.dataset.chooses;
      asked = { ...asked, ...more };
      matrix.show(jobs);
      [...place.querySelectorAll("select")].find((one) => one.dataset.chooses === key)?.focus();
    };
    place.replaceChildren(
      bar({ sweeps, axes, down, across, narrowing }, again),
      swept.length > MOST_JOBS ? make("p", { class: "dim", text: `The first ${batchgen.number(MOST_JOBS)} of ${batchgen.number(swept.length)} jobs: filter for others.` }) : "",
      make("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "Matrix" }, table(swept, rows, down, across)),
    );
  };

  const bar = ({ sweeps, axes, down, across, narrowing }, again) => {
    const titles = axes.map((axis) => [axis.key, axis.title]);
    return make("div", { class: "bar" },
      pick("Sweep", "sweep", sweeps.map((name) => [name, name]), asked.sweep, (sweep) => again({ ...NOBODY, sweep })),
      axes.length ? pick("Down", "down", titles, down.key, (key) => again({ down: key })) : null,
      axes.length > 1 ? pick("Across", "across", [["", "—"], ...titles.filter(([key]) => key !== down.key)], across?.key ?? "", (key) => again({ across: key })) : null,
      ...narrowing.map((axis) => narrow(axis, again)));
  };

  // Values by their place: an axis may have the word "all" for a value.
  const narrow = (axis, again) => {
    const at = axis.distinct.indexOf(asked.narrowed.get(axis.key));
    const options = [["", "all"], ...axis.distinct.map((value, place) => [String(place), value])];
    return pick(`${axis.title}:`, axis.key, options, at < 0 ? "" : String(at), (place) => {
      const narrowed = new Map(asked.narrowed);
      if (place === "") narrowed.delete(axis.key);
      else narrowed.set(axis.key, axis.distinct[Number(place)]);
      again({ narrowed });
    });
  };

  const pick = (label, key, options, value, chosen) => make("label", {}, make("bdi", { class: "name", text: label }),
    make("select", { data: { chooses: key }, on: { change: (event) => chosen(event.target.value) } },
      ...options.map(([one, title]) => make("option", { value: one, selected: one === value, text: title || "—" }))));

  const ALL = { title: "", distinct: [""], values: [] };

  const table = (jobs, places, rows = ALL, columns = ALL) => {
    const cells = new Map(rows.distinct.map((row) => [row, new Map()]));
    for (const at of places) {
      const line = cells.get(rows.values[at] ?? "");
      const column = columns.values[at] ?? "";
      if (!line.has(column)) line.set(column, []);
      line.get(column).push(jobs[at]);
    }
    // What was narrowed away has no row and no column of its own.
    const across = columns.distinct.filter((column) => [...cells.values()].some((line) => line.has(column)));
    const head = make("tr", {}, make("th", { scope: "col" }, make("bdi", { text: rows.title }), columns.title ? " ╲ " : "", make("bdi", { text: columns.title })),
      ...across.map((value) => make("th", { scope: "col", dir: "auto", text: value || "all" })));
    const lines = rows.distinct.filter((row) => cells.get(row).size).map((row) => make("tr", {},
      make("th", { scope: "row", dir: "auto", text: row || "all" }),
      ...across.map((column) => make("td", {}, cell(cells.get(row).get(column) ?? [])))));
    return make("table", { class: "matrix" }, make("thead", {}, head), make("tbody", {}, ...lines));
  };

  const cell = (jobs) => {
    const tiles = filters.tiles(jobs);
    const shown = tiles.slice(0, IN_CELL).map((one, at) => small(one, () => batchgen.lightbox.open(tiles, at)));
    const rest = tiles.length - shown.length;
    const more = rest > 0 && make("button", {
      type: "button", class: "small", text: `+${rest}`, "aria-label": `${rest} more`, on: { click: () => batchgen.lightbox.open(tiles, IN_CELL) },
    });
    return make("div", { class: tiles.length > 1 ? "cells" : "cells one" }, ...shown, more || null);
  };

  const small = ({ job, file }, click) => {
    const said = marks.of(job, file);
    return make(
      "button", {
        type: "button", class: "cell", data: { state: job.state, key: file?.key ?? "", pick: file?.pick ?? "" },
        "aria-label": [job.id, job.state, ...said.map((mark) => mark.word)].join(", "), title: job.id, on: { click },
      },
      file ? batchgen.picture(file) : batchgen.badge(job.state),
      file && store.isVideo(file) ? make("span", { class: "length", text: "▶" }) : null,
      marks.shapes(said),
    );
  };
})();
