"use strict";
// The pictures. Only what is near the window exists, however many there are.
(() => {
  const { make, store, filters, marks } = batchgen;
  const SIDES = [112, 152, 208, 288];
  const GAP = 6;
  const CAPTION = 24;
  const AHEAD = 600;
  const NARROW = 640;
  let tiles = [];
  let columns = 1;
  let side = SIDES[2];
  let current = 0;
  let wish = 2;
  const drawn = new Map();
  const grid = { tiles: () => tiles };
  batchgen.grid = grid;
  const place = () => document.getElementById("grid");

  grid.show = (jobs) => {
    const at = tiles[current];
    tiles = filters.tiles(jobs);
    const again = at ? tiles.findIndex((one) => one.job === at.job && one.file?.path === at.file?.path) : -1;
    current = Math.max(0, again);
    grid.lay(true);
  };

  grid.size = (value) => { wish = value; grid.lay(true); };

  grid.lay = (anew = false) => {
    const width = place().clientWidth;
    if (!width) return;
    const target = width < NARROW ? SIDES[wish] * 0.8 : SIDES[wish];
    columns = Math.max(1, Math.round((width + GAP) / (target + GAP)));
    side = (width + GAP) / columns - GAP;
    if (anew) {
      for (const element of drawn.values()) element.remove();
      drawn.clear();
    }
    place().style.height = `${Math.ceil(tiles.length / columns) * pitch()}px`;
    document.getElementById("nothing").hidden = tiles.length > 0;
    draw();
  };

  const pitch = () => side + CAPTION + GAP;

  const draw = () => {
    if (!place().clientWidth) return;
    const top = -place().getBoundingClientRect().top;
    const first = Math.max(0, Math.floor((top - AHEAD) / pitch())) * columns;
    const last = Math.min(tiles.length, Math.ceil((top + innerHeight + AHEAD) / pitch()) * columns);
    for (const [at, element] of drawn) {
      if (at < first || at >= last) {
        element.remove();
        drawn.delete(at);
      }
    }
    for (let at = first; at < last; at += 1) {
      let element = drawn.get(at);
      if (!element) {
        element = tile(at);
        drawn.set(at, element);
        place().append(element);
      }
      element.tabIndex = at === current ? 0 : -1;
      Object.assign(element.style, {
        left: `${(at % columns) * (side + GAP)}px`, top: `${Math.floor(at / columns) * pitch()}px`,
        width: `${side}px`, height: `${side + CAPTION}px`,
      });
    }
  };

  const tile = (at) => {
    const { job, file } = tiles[at];
    const facts = [batchgen.alias(job.model), store.size(job, file), seedOf(job)].filter(Boolean);
    const said = marks.of(job, file);
    const words = [job.id, job.state, ...said.map((mark) => mark.word), ...facts];
    return make(
      "button", {
        type: "button", class: "tile", data: { at, state: job.state, key: file?.key ?? "", pick: file?.pick ?? "" },
        "aria-label": `${words.join(", ")}. ${job.prompt}`,
        on: { click: () => batchgen.lightbox.open(tiles, at), focus: () => { current = at; } },
      },
      make("span", { class: "frame" }, ...inside(job, file), marks.shapes(said),
        make("span", { class: "over" }, make("span", { class: "prompt", dir: "auto", text: job.prompt }),
          make("span", { class: "facts", text: facts.join(" · ") }),
          said.length ? make("span", { class: "facts", text: said.map((mark) => `${mark.glyph} ${mark.word}`).join(" · ") }) : null)),
      make("span", { class: "caption" }, make("bdi", { text: job.id }),
        job.state === "done" ? null : batchgen.badge(job.state)),
    );
  };

  const seedOf = (job) => {
    const seed = store.input(job, "seed");
    return seed === null ? null : `seed ${seed}`;
  };

  const inside = (job, file) => {
    if (!file) return [make("span", { class: "why", dir: "auto", text: job.error || job.prompt })];
    const mark = store.isVideo(file) && make("span", { class: "length", text: `▶ ${length(file)}` });
    return [batchgen.picture(file), mark || null];
  };

  const length = (file) => (file.length === null ? "video" : `${file.length.toFixed(1)} s`);

  batchgen.picture = (file) => (file.thumb
    ? make("img", { src: store.thumb(file), alt: "", loading: "lazy", decoding: "async", width: file.width, height: file.height })
    : make("span", { class: "why", text: "no preview: the file could not be read" }));

  grid.focus = (at) => {
    if (!tiles.length) return;
    current = Math.min(Math.max(0, at), tiles.length - 1);
    const top = place().getBoundingClientRect().top + Math.floor(current / columns) * pitch();
    const head = document.querySelector(".top").getBoundingClientRect().bottom + GAP;
    if (top < head) scrollBy(0, top - head);
    else if (top + pitch() > innerHeight) scrollBy(0, top + pitch() - innerHeight);
    draw();
    drawn.get(current)?.focus({ preventScroll: true });
  };

  const MOVES = {
    ArrowLeft: () => current - 1, ArrowRight: () => current + 1,
    ArrowUp: () => (current < columns ? current : current - columns),
    ArrowDown: () => (current + columns < tiles.length ? current + columns : current),
    Home: () => 0, End: () => tiles.length - 1,
    PageUp: () => current - columns * 4, PageDown: () => current + columns * 4,
  };

  addEventListener("DOMContentLoaded", () => {
    place().addEventListener("keydown", (event) => {
      const move = MOVES[event.key];
      if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      grid.focus(move());
    });
    addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
    new ResizeObserver(() => grid.lay()).observe(place());
  });
})();
