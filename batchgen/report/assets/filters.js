"use strict";
// Which jobs are shown. Kept in the address, so that a view can be shared.
(() => {
  const { make, store, marks } = batchgen;
  const FEW = 12;
  const MOST_VALUES = 60;
  const AXIS = "axis:"; // before an axis' name, which may be any text, "state" too
  const plainText = (value) => [make("bdi", { text: value || "—" })];

  // `of`: a job's values. `ofFile`: a file's, so that only matching files of a job are shown.
  // `always`: shown even if all jobs have the same value.
  const FIRST = [
    { name: "state", title: "State", of: (job) => [job.state], label: (value) => [batchgen.badge(value)] },
    { name: "cause", title: "Cause", always: true, of: (job) => (job.cause ? [job.cause] : []), label: (value) => plainText(causeName(value)) },
    { name: "pick", title: "Pick", ofFile: (file) => [file.pick || "none"], label: (value) => plainText({ keep: "★ kept", reject: "⊖ rejected" }[value] ?? "not picked") },
    { name: "flaw", title: "Flaw", always: true, ofFile: (file) => file.flaws.map(([kind]) => kind), label: (value) => plainText(`⚑ ${marks.plain(value)}`) },
    { name: "gate", title: "Gate", always: true, of: (job) => (marks.waits(job) ? ["closed"] : []), label: () => plainText("◔ waits for approval") },
    {
      name: "model", title: "Model", of: (job) => [job.model],
      label: (value) => [make("span", { class: "alias", text: batchgen.alias(value) }), make("span", { class: "dim", text: value.split("/").slice(-2, -1)[0] ?? "" })],
    },
    { name: "sweep", title: "Sweep", of: (job) => (job.sweep ? [job.sweep] : []), label: plainText },
  ];
  const LAST = [{ name: "tag", title: "Tag", of: (job) => job.tags, label: plainText }];
  for (const facet of FIRST) if (facet.ofFile) facet.of = (job) => [...new Set(job.files.flatMap(facet.ofFile))];
  const FIXED = [...FIRST, ...LAST];

  const chosen = new Map(); // a facet's name → its chosen values
  const open = new Set();
  const listeners = [];
  let words = [];
  let text = "";
  const filters = { onChange(listener) { listeners.push(listener); } };
  batchgen.filters = filters;

  const picked = (facet) => chosen.get(facet.name)?.size ?? 0;
  const causeName = (key) => {
    const cause = store.head.causes.find((one) => one.key === key);
    return cause ? cause.code || cause.state : key;
  };

  // The values of all jobs, whatever is chosen: no list disappears because of a choice in another.
  let known = { version: -1 };
  const survey = () => {
    if (known.version === store.version) return known;
    const axes = new Map();
    const spread = new Map(FIXED.map((facet) => [facet.name, new Set()]));
    for (const job of store.jobs()) {
      for (const [axis, value] of job.axes) {
        if (!axes.has(axis)) axes.set(axis, new Set());
        const values = axes.get(axis);
        if (values.size <= MOST_VALUES) values.add(value);
      }
      for (const facet of FIXED) {
        const values = spread.get(facet.name);
        if (values.size < 2) for (const value of facet.of(job)) values.add(value);
      }
    }
    // In the manifest's order; only axes with more than one value, and not too many.
    const swept = [...axes].filter(([, values]) => values.size > 1 && values.size <= MOST_VALUES).map(([axis, values]) => axisFacet(axis, [...values]));
    known = { version: store.version, swept, spread };
    return known;
  };

  const axisFacet = (axis, order) => ({
    name: AXIS + axis, title: axis, order, label: plainText,
    of: (job) => job.axes.filter(([name]) => name === axis).map(([, value]) => value),
  });

  const facetsNow = () => {
    const { swept } = survey();
    const asked = [...chosen.keys()].filter((name) => name.startsWith(AXIS) && chosen.get(name).size && !swept.some((one) => one.name === name));
    return [...FIRST, ...swept, ...asked.map((name) => axisFacet(name.slice(AXIS.length), [])), ...LAST];
  };

  const hasOne = (facet, values) => values.some((value) => chosen.get(facet.name).has(value));
  const isFound = (job) => {
    job.searchText ??= `${job.id}\n${job.prompt}`.toLowerCase();
    return words.every((word) => job.searchText.includes(word));
  };

  // One pass: a job that fails only one facet still counts in that facet's own list.
  filters.apply = () => {
    const facets = facetsNow();
    const active = facets.filter(picked);
    const counts = new Map(facets.map((facet) => [facet, new Map()]));
    const shown = [];
    for (const job of store.jobs()) {
      if (words.length && !isFound(job)) continue;
      const failed = active.filter((facet) => !hasOne(facet, facet.of(job)));
      if (failed.length > 1) continue;
      if (!failed.length) shown.push(job);
      for (const facet of failed.length ? failed : facets) {
        const count = counts.get(facet);
        for (const value of facet.of(job)) count.set(value, (count.get(value) ?? 0) + 1);
      }
    }
    draw(counts);
    return shown;
  };

  // A tile per file; a job without files has one tile that says why.
  filters.tiles = (jobs) => {
    const active = FIXED.filter((facet) => facet.ofFile && picked(facet));
    const fits = (file) => active.every((facet) => hasOne(facet, facet.ofFile(file)));
    return jobs.flatMap((job) => (
      job.files.length ? job.files.filter(fits).map((file) => ({ job, file })) : [{ job, file: null }]
    ));
  };

  const kept = batchgen.keeper();

  const choice = (facet, value, count) => {
    // A cause's name arrives with the figures.
    const element = kept.get(JSON.stringify([facet.name, value]), facet.name === "cause" ? causeName(value) : "", () => make(
      "label", { class: "choice", title: value },
      make("input", {
        type: "checkbox", name: facet.name, value,
        on: { change: (event) => filters.toggle(facet.name, value, event.target.checked) },
      }),
      make("span", { class: "what" }, ...facet.label(value)),
      make("span", { class: "count" }),
    ));
    element.querySelector("input").checked = chosen.get(facet.name)?.has(value) ?? false;
    element.querySelector(".count").textContent = batchgen.number(count);
    return element;
  };

  const draw = (counts) => {
    const place = document.getElementById("facets");
    batchgen.arrange(place, [...counts].map(([facet, found]) => drawn(facet, found)).filter(Boolean));
    kept.done();
    const many = [...chosen.values()].reduce((sum, values) => sum + values.size, 0);
    document.getElementById("clear").hidden = !text && !many;
    document.getElementById("toggle-filters").textContent = many ? `Filter (${many})` : "Filter";
  };

  const isWorthShowing = (facet, values) => {
    if (picked(facet)) return true;
    // A cause is chosen in the Failures view; here it can be unchosen.
    if (!values.length || facet.name === "cause") return false;
    if (facet.name === "pick") return marks.tally().kept + marks.tally().rejected > 0;
    return Boolean(facet.always || facet.order) || survey().spread.get(facet.name).size > 1;
  };

  // The same values keep their places, whatever their counts become.
  const orders = new Map();
  const sort = (facet, values) => {
    const place = new Map((facet.order ?? orders.get(facet.name) ?? []).map((value, at) => [value, at]));
    const stays = store.loaded >= store.head.jobs && place.size === values.length && values.every(([value]) => place.has(value));
    if (facet.order || stays) values.sort((a, b) => place.get(a[0]) - place.get(b[0]));
    else values.sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    orders.set(facet.name, values.map(([value]) => value));
  };

  const drawn = (facet, counts) => {
    const mine = chosen.get(facet.name) ?? new Set();
    for (const value of mine) if (!counts.has(value)) counts.set(value, 0);
    let values = [...counts];
    if (facet.name === "cause") values = values.filter(([value]) => mine.has(value));
    if (!isWorthShowing(facet, values)) return null;
    sort(facet, values);
    const few = open.has(facet.name) ? values : values.filter(([value], at) => at < FEW || mine.has(value));
    const rest = values.length - few.length;
    const more = rest > 0 && kept.get(`more ${facet.name}`, rest, () => make("button", {
      type: "button", class: "more", text: `${batchgen.number(rest)} more`,
      on: { click: () => { open.add(facet.name); filters.changed(); } },
    }));
    const element = kept.get(`facet ${facet.name}`, "", () => make(
      "fieldset", {}, make("legend", { title: facet.title }, make("bdi", { text: facet.title })),
    ));
    const choices = few.map(([value, count]) => choice(facet, value, count));
    batchgen.arrange(element, [element.firstElementChild, ...choices, more].filter(Boolean));
    return element;
  };

  filters.changed = () => { for (const listener of listeners) listener(); };
  filters.toggle = (name, value, on) => {
    if (!chosen.has(name)) chosen.set(name, new Set());
    if (on) chosen.get(name).add(value);
    else chosen.get(name).delete(value);
    filters.changed();
  };
  filters.only = (name, value) => {
    chosen.clear();
    chosen.set(name, new Set([value]));
    filters.search("");
  };
  filters.clear = () => {
    chosen.clear();
    filters.search("");
  };
  filters.search = (value) => {
    text = value;
    words = value.toLowerCase().split(/\s+/).filter(Boolean);
    const field = document.getElementById("search");
    if (field.value !== value) field.value = value;
    filters.changed();
  };
  filters.write = (address) => {
    if (text) address.set("q", text);
    for (const [name, values] of chosen) for (const value of values) address.append(name, value);
  };
  filters.read = (address) => {
    chosen.clear();
    for (const [name, value] of address) {
      if (!name.startsWith(AXIS) && !FIXED.some((facet) => facet.name === name)) continue;
      if (!chosen.has(name)) chosen.set(name, new Set());
      chosen.get(name).add(value);
    }
    filters.search(address.get("q") ?? "");
  };
})();
