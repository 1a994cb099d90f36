"use strict";
// A sweep as a table: one axis down, one across, the pictures in its cells; further axes narrow.
(() => {
  const { make, store, filters, grid, marks } = batchgen;
  const IN_CELL = 4;
  const MOST_JOBS = 5000;
  const MOST_NARROWING = 6;
  const DEFAULTS = { sweep: null, down: null, across: null, narrowed: new Map() };
  const kept = batchgen.keeper();
  const opens = new WeakMap(); // a button in a cell → the list that it opens, and the position
  let choice = DEFAULTS;
  let given = [];
  let shown = [];
  const matrix = { jobs: () => shown };
  batchgen.matrix = matrix;

  matrix.show = (jobs) => {
    given = jobs;
    shown = [];
    batchgen.arrange(document.getElementById("matrix"), parts());
    kept.done();
  };

  const again = (more) => {
    choice = { ...choice, ...more };
    matrix.show(given);
    batchgen.selection?.renew();
  };

  const parts = () => {
    const sizes = new Map();
    for (const job of given) if (job.sweep) sizes.set(job.sweep, (sizes.get(job.sweep) ?? 0) + 1);
    const sweeps = [...sizes.keys()].sort((a, b) => sizes.get(b) - sizes.get(a));
    if (!sweeps.length) return [kept.get("empty", "", () => make("p", { class: "empty", text: "No job here belongs to a sweep: matrix, repeat or rows in the manifest make one." }))];
    if (!sweeps.includes(choice.sweep)) choice = { ...DEFAULTS, sweep: sweeps[0] };
    const swept = given.filter((job) => job.sweep === choice.sweep);
    const axes = batchgen.axesOf(swept.slice(0, MOST_JOBS));
    const down = axes.find((axis) => axis.key === choice.down) ?? axes[0];
    const across = choice.across === "" ? undefined
      : axes.find((axis) => axis.key === choice.across && axis !== down) ?? axes.find((axis) => axis !== down);
    const others = axes.filter((axis) => axis !== down && axis !== across);
    const narrowing = (axes.some((axis) => axis.own) ? others.filter((axis) => axis.own) : others).slice(0, MOST_NARROWING);
    const places = swept.slice(0, MOST_JOBS).map((_, at) => at)
      .filter((at) => narrowing.every((axis) => [undefined, axis.values[at]].includes(choice.narrowed.get(axis.key))));
    shown = places.map((at) => swept[at]);
    return [
      bar({ sweeps, axes, down, across, narrowing }),
      ...(swept.length > MOST_JOBS ? [kept.get("cut", swept.length, () => make("p", { class: "dim", text: `The first ${batchgen.number(MOST_JOBS)} of ${batchgen.number(swept.length)} jobs: filter to see others.` }))] : []),
      scroller(swept, places, down, across),
    ];
  };

  const bar = ({ sweeps, axes, down, across, narrowing }) => {
    const titles = axes.map((axis) => [axis.key, axis.title]);
    const shows = [sweeps, titles, choice.sweep, down?.key, across?.key, narrowing.map((axis) => [axis.key, axis.distinct, choice.narrowed.get(axis.key)])];
    return kept.get("bar", JSON.stringify(shows), () => make("div", { class: "bar" },
      pick("Sweep", sweeps.map((name) => [name, name]), choice.sweep, (sweep) => again({ ...DEFAULTS, sweep })),
      axes.length ? pick("Down", titles, down.key, (key) => again({ down: key })) : null,
      axes.length > 1 ? pick("Across", [["", "—"], ...titles.filter(([key]) => key !== down.key)], across?.key ?? "", (key) => again({ across: key })) : null,
      ...narrowing.map(narrow)));
  };

  // Values by position: an axis may have the value "all".
  const narrow = (axis) => {
    const at = axis.distinct.indexOf(choice.narrowed.get(axis.key));
    const options = [["", "all"], ...axis.distinct.map((value, place) => [String(place), value])];
    return pick(`${axis.title}:`, options, at < 0 ? "" : String(at), (place) => {
      const narrowed = new Map(choice.narrowed);
      if (place === "") narrowed.delete(axis.key);
      else narrowed.set(axis.key, axis.distinct[Number(place)]);
      again({ narrowed });
    });
  };

  const pick = (label, options, value, chosen) => make("label", {}, make("bdi", { class: "name", text: label }),
    make("select", { on: { change: (event) => chosen(event.target.value) } },
      ...options.map(([one, title]) => make("option", { value: one, selected: one === value, text: title || "—" }))));

  const ALL = { title: "", distinct: [""], values: [] };

  // A different table starts at its beginning; the same one keeps its scroll position.
  const scroller = (jobs, places, rows = ALL, columns = ALL) => {
    const axes = JSON.stringify([choice.sweep, rows.key, columns.key]);
    const element = kept.get("scroller", axes, () => make(
      "div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "Matrix" },
      make("table", { class: "matrix" }, make("thead", {}, make("tr")), make("tbody")),
    ));
    const cells = new Map(rows.distinct.map((row) => [row, new Map()]));
    for (const at of places) {
      const line = cells.get(rows.values[at] ?? "");
      const column = columns.values[at] ?? "";
      if (!line.has(column)) line.set(column, []);
      line.get(column).push(jobs[at]);
    }
    // Rows and columns that narrowing left empty are dropped.
    const across = columns.distinct.filter((column) => [...cells.values()].some((line) => line.has(column)));
    const one = (name, key, build) => kept.get(JSON.stringify([name, ...key]), axes, build);
    const title = (scope, value) => one(scope, [value], () => make("th", { scope, dir: "auto", text: value || "all" }));
    const corner = one("corner", [], () => make("th", { scope: "col" }, make("bdi", { text: rows.title }), columns.title ? " ╲ " : "", make("bdi", { text: columns.title })));
    batchgen.arrange(element.querySelector("thead tr"), [corner, ...across.map((value) => title("col", value))]);
    batchgen.arrange(element.querySelector("tbody"), rows.distinct.filter((row) => cells.get(row).size).map((row) => {
      const line = one("line", [row], () => make("tr"));
      batchgen.arrange(line, [title("row", row), ...across.map((column) => cell(
        one("cell", [row, column], () => make("td", {}, make("div"))), cells.get(row).get(column) ?? [], [row, column],
      ))]);
      return line;
    }));
    return element;
  };

  const open = (event) => {
    const [tiles, at] = opens.get(event.currentTarget);
    batchgen.lightbox.open(tiles, at);
  };

  const cell = (element, jobs, key) => {
    const tiles = filters.tiles(jobs);
    const found = tiles.slice(0, IN_CELL).map(small);
    const rest = tiles.length - found.length;
    if (rest > 0) {
      found.push(kept.get(JSON.stringify(["more", ...key]), rest, () => make("button", {
        type: "button", class: "small", text: `+${rest}`, "aria-label": `${rest} more`, on: { click: open },
      })));
    }
    for (const [at, one] of found.entries()) opens.set(one, [tiles, at]);
    element.firstElementChild.className = tiles.length > 1 ? "cells" : "cells one";
    batchgen.arrange(element.firstElementChild, found);
    return element;
  };

  const small = (tile) => kept.get(grid.keyOf(tile), tile.job.version, () => {
    const { job, file } = tile;
    const marked = marks.of(job, file);
    return make(
      "button", {
        type: "button", class: "cell", data: { state: job.state, key: file?.key ?? "", pick: file?.pick ?? "" },
        "aria-label": [job.id, job.state, ...marked.map((mark) => mark.word)].join(", "), title: job.id, on: { click: open },
      },
      file ? batchgen.picture(file) : batchgen.badge(job.state),
      file && store.isVideo(file) ? make("span", { class: "length", text: "▶" }) : null,
      file && store.isAudio(file) ? make("span", { class: "length", text: "♪" }) : null,
      marks.shapes(marked),
    );
  });
})();
