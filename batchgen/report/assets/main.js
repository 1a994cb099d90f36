"use strict";
// Views, keys and the address.
(() => {
  const { store, filters, grid, matrix, failures, marks } = batchgen;
  const VIEWS = ["pictures", "matrix", "failures", "night"];
  const FILTERED = ["pictures", "matrix"];
  const REDRAW = 600; // milliseconds: chunks that arrive in that time are drawn together
  let view = "pictures";
  let shown = [];
  let reading = false;
  let timer = null;
  let typing = null;

  const refresh = () => {
    clearTimeout(timer);
    timer = null;
    shown = filters.apply();
    const all = store.loaded < store.head.jobs ? `${batchgen.number(store.loaded)} of ${batchgen.number(store.head.jobs)} loaded` : batchgen.number(store.loaded);
    const some = shown.length === store.loaded ? all : `${batchgen.number(shown.length)} of ${all}`;
    document.getElementById("shown").textContent = `${some} ${store.loaded === 1 ? "job" : "jobs"}`;
    failures.count();
    showTally();
    draw();
  };

  // Picks, flaws and waiting approvals, in the line of figures.
  const showTally = () => {
    const tally = marks.tally();
    const kinds = [["★", "kept"], ["⊖", "rejected"], ["⚑", "flawed"], ["◔", "waiting", "waits for approval", "wait for approval"]];
    const parts = kinds.filter(([, name]) => tally[name]).map(([glyph, name, one = name, many = one]) => batchgen.make("span", { class: "badge" },
      batchgen.make("span", { "aria-hidden": "true", text: glyph }), batchgen.make("b", { text: batchgen.number(tally[name]) }), ` ${tally[name] === 1 ? one : many}`));
    const place = document.getElementById("marked");
    place.replaceChildren(...parts);
    place.hidden = !parts.length;
  };

  const draw = () => {
    if (view === "pictures") grid.show(shown);
    if (view === "matrix") matrix.show(shown);
    if (view === "failures") failures.show();
    batchgen.lightbox.renew();
    batchgen.selection?.renew();
  };

  // The jobs of the visible view.
  batchgen.shown = () => (view === "matrix" ? matrix.jobs() : shown);

  batchgen.view = (name) => {
    view = VIEWS.includes(name) ? name : "pictures";
    for (const one of VIEWS) {
      document.getElementById(`view-${one}`).hidden = one !== view;
      const tab = document.getElementById(`tab-${one}`);
      tab.setAttribute("aria-selected", String(one === view));
      tab.tabIndex = one === view ? 0 : -1;
    }
    document.body.dataset.shows = view;
    document.body.dataset.view = FILTERED.includes(view) ? "filtered" : "plain";
    write();
    draw();
  };

  const write = () => {
    if (reading) return;
    const address = new URLSearchParams();
    if (view !== "pictures") address.set("view", view);
    filters.write(address);
    const text = address.toString();
    history.replaceState(null, "", text ? `#${text}` : "#");
  };

  const read = () => {
    reading = true;
    const address = new URLSearchParams(location.hash.slice(1));
    filters.read(address);
    batchgen.view(address.get("view") ?? "pictures");
    reading = false;
  };

  // The tab list is one tab stop, as usual.
  const walk = (event) => {
    const at = VIEWS.indexOf(view);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: VIEWS.length - 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    event.preventDefault();
    batchgen.view(VIEWS.at(to % VIEWS.length));
    document.getElementById(`tab-${view}`).focus();
  };

  const help = () => batchgen.say("/ search · 1–4 views · arrows move · Enter opens · Esc closes");

  const KEYS = {
    "/": (event) => { event.preventDefault(); document.getElementById("search").focus(); },
    "?": help,
    1: () => batchgen.view("pictures"), 2: () => batchgen.view("matrix"),
    3: () => batchgen.view("failures"), 4: () => batchgen.view("night"),
  };

  const redraw = () => grid.hold(refresh);

  store.onChange(() => {
    // The first and the last chunk are drawn at once.
    if (store.loaded >= store.head.jobs || !shown.length) redraw();
    else timer ??= setTimeout(redraw, REDRAW);
  });
  filters.onChange(() => { write(); refresh(); });

  addEventListener("DOMContentLoaded", () => {
    for (const name of VIEWS) document.getElementById(`tab-${name}`).addEventListener("click", () => batchgen.view(name));
    document.querySelector(".tabs").addEventListener("keydown", walk);
    const search = document.getElementById("search");
    search.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => filters.search(search.value), 80);
    });
    document.getElementById("clear").addEventListener("click", () => filters.clear());
    document.getElementById("size").addEventListener("input", (event) => grid.size(Number(event.target.value)));
    document.getElementById("fit").addEventListener("click", (event) => {
      const whole = document.body.classList.toggle("whole");
      event.target.setAttribute("aria-pressed", String(whole));
    });
    document.getElementById("toggle-filters").addEventListener("click", (event) => {
      const open = document.body.classList.toggle("filtering");
      event.target.setAttribute("aria-expanded", String(open));
    });
    addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
      if (event.target.matches("input[type=search], input[type=text], select, textarea")) {
        if (event.key === "Escape") event.target.blur();
        return;
      }
      KEYS[event.key]?.(event);
    });
    const top = document.querySelector(".top");
    // The figures may take two lines; sticky elements below need the height.
    new ResizeObserver(() => document.documentElement.style.setProperty("--top", `${top.offsetHeight}px`)).observe(top);
    addEventListener("hashchange", read);
    read();
  });
})();
