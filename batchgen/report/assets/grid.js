"use strict";
// The pictures. Only tiles near the viewport exist, however many there are.
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
  let sizeIndex = 2;
  const drawn = new Map(); // tiles by key: reused while the job is unchanged
  const grid = {
    tiles: () => tiles,
    at: () => current,
    find: ({ job, file }) => {
      const exact = tiles.findIndex((one) => one.job === job && one.file?.key === file?.key);
      return exact >= 0 ? exact : tiles.findIndex((one) => one.job === job);
    },
    dress() {}, // called for each tile that is drawn; picks.js sets it
  };
  const keyOf = ({ job, file }) => `${job.seq}/${file?.key ?? ""}`;
  grid.keyOf = keyOf;
  batchgen.grid = grid;
  const place = () => document.getElementById("grid");

  grid.show = (jobs) => {
    const at = tiles[current];
    tiles = filters.tiles(jobs);
    // If the current tile is gone, the next one takes its place.
    const again = at ? grid.find(at) : 0;
    current = again >= 0 ? again : Math.min(current, Math.max(0, tiles.length - 1));
    grid.lay();
  };

  const topOf = (at) => place().getBoundingClientRect().top + Math.floor(at / columns) * pitch();

  // Keeps the visible tiles in place, whatever the change adds above them: rows, lines of figures.
  grid.hold = (change) => {
    const looking = scrollY >= 1 && tiles.length && place().clientWidth;
    const first = Math.max(0, Math.ceil(-place().getBoundingClientRect().top / pitch())) * columns;
    const seen = looking ? tiles[Math.min(first, tiles.length - 1)] : null;
    const top = looking ? topOf(grid.find(seen)) : 0;
    change();
    const now = looking && place().clientWidth ? grid.find(seen) : -1;
    if (now >= 0 && topOf(now) !== top) scrollBy(0, topOf(now) - top);
  };

  grid.size = (value) => { sizeIndex = value; grid.lay(); };

  grid.lay = () => {
    const width = place().clientWidth;
    if (!width) return;
    const target = width < NARROW ? SIDES[sizeIndex] * 0.8 : SIDES[sizeIndex];
    columns = Math.max(1, Math.round((width + GAP) / (target + GAP)));
    side = (width + GAP) / columns - GAP;
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
    const held = document.activeElement?.classList.contains("tile");
    const wanted = new Set(tiles.slice(first, last).map(keyOf));
    for (const [key, { element }] of drawn) {
      if (!wanted.has(key)) {
        element.remove();
        drawn.delete(key);
      }
    }
    // In reading order; existing tiles are never moved, so they keep the focus.
    let before = null;
    for (let at = first; at < last; at += 1) {
      const element = tileAt(at);
      const next = before ? before.nextElementSibling : place().firstElementChild;
      if (element !== next) place().insertBefore(element, next);
      before = element;
      element.dataset.at = at;
      element.tabIndex = at === current ? 0 : -1;
      Object.assign(element.style, {
        left: `${(at % columns) * (side + GAP)}px`, top: `${Math.floor(at / columns) * pitch()}px`,
        width: `${side}px`, height: `${side + CAPTION}px`,
      });
      grid.dress(element, tiles[at]);
    }
    // A finished job has a new tile, which takes over the focus.
    if (held && tiles.length && document.activeElement === document.body) {
      drawn.get(keyOf(tiles[current]))?.element.focus({ preventScroll: true });
    }
  };

  // The existing tile, or a new one in its place if the job has changed.
  const tileAt = (at) => {
    const { job } = tiles[at];
    const key = keyOf(tiles[at]);
    const known = drawn.get(key);
    if (known?.version === job.version) return known.element;
    const element = tile(at);
    drawn.set(key, { element, version: job.version });
    if (known) {
      const successor = batchgen.inherit(known.element, element);
      known.element.replaceWith(element);
      successor?.focus({ preventScroll: true });
    }
    return element;
  };

  const tile = (at) => {
    const { job, file } = tiles[at];
    const facts = [batchgen.alias(job.model), store.size(job, file), seedOf(job)].filter(Boolean);
    const marked = marks.of(job, file);
    const words = [job.id, job.state, ...marked.map((mark) => mark.word), ...facts];
    return make(
      "button", {
        type: "button", class: "tile", data: { at, state: job.state, key: file?.key ?? "", pick: file?.pick ?? "" },
        "aria-label": `${words.join(", ")}. ${job.prompt}`,
        on: {
          click: (event) => batchgen.lightbox.open(tiles, Number(event.currentTarget.dataset.at)),
          focus: (event) => { current = Number(event.currentTarget.dataset.at); },
        },
      },
      make("span", { class: "frame" }, ...content(job, file), marks.shapes(marked),
        make("span", { class: "over" }, make("span", { class: "prompt", dir: "auto", text: job.prompt }),
          make("span", { class: "facts", text: facts.join(" · ") }),
          marked.length ? make("span", { class: "facts", text: marked.map((mark) => `${mark.glyph} ${mark.word}`).join(" · ") }) : null)),
      make("span", { class: "caption" }, make("bdi", { text: job.id }),
        job.state === "done" ? null : batchgen.badge(job.state)),
    );
  };

  const seedOf = (job) => {
    const seed = store.input(job, "seed");
    return seed === null ? null : `seed ${seed}`;
  };

  const content = (job, file) => {
    if (!file) return [make("span", { class: "why", dir: "auto", text: job.error || job.prompt })];
    const sign = store.isAudio(file) ? "♪" : "▶";
    const plays = store.isVideo(file) || store.isAudio(file);
    const mark = plays && make("span", { class: "length", text: `${sign} ${length(file)}` });
    return [batchgen.picture(file), mark || null];
  };

  const length = (file) => (file.length === null ? file.type.split("/")[0] : `${file.length.toFixed(1)} s`);

  grid.focus = (at) => {
    if (!tiles.length || !place().clientWidth) return;
    current = Math.min(Math.max(0, at), tiles.length - 1);
    const top = place().getBoundingClientRect().top + Math.floor(current / columns) * pitch();
    const head = document.querySelector(".top").getBoundingClientRect().bottom + GAP;
    if (top < head) scrollBy(0, top - head);
    else if (top + pitch() > innerHeight) scrollBy(0, top + pitch() - innerHeight);
    draw();
    drawn.get(keyOf(tiles[current]))?.element.focus({ preventScroll: true });
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
