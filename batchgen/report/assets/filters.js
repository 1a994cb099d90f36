"use strict";
// Which jobs are shown. Kept in the address, so that a view can be sent to somebody.
(() => {
  const { make, store } = batchgen;
  const FACETS = {
    state: { title: "State", of: (job) => [job.state] },
    model: { title: "Model", of: (job) => [job.model] },
    sweep: { title: "Sweep", of: (job) => (job.sweep ? [job.sweep] : []) },
    tag: { title: "Tag", of: (job) => job.tags },
    cause: { title: "Cause", of: (job) => (job.cause ? [job.cause] : []) },
  };
  const NAMES = Object.keys(FACETS);
  const FEW = 12;
  const chosen = Object.fromEntries(NAMES.map((name) => [name, new Set()]));
  const open = new Set();
  let words = [];
  let text = "";
  const heard = [];
  const filters = { chosen, onChange(listener) { heard.push(listener); } };
  batchgen.filters = filters;

  const hasOne = (set, values) => values.some((value) => set.has(value));
  const sought = (job) => words.every((word) => job.sought.includes(word));

  // One walk: a job that fails at one facet alone still counts in that facet's own list.
  filters.apply = () => {
    const counts = Object.fromEntries(NAMES.map((name) => [name, new Map()]));
    const active = NAMES.filter((name) => chosen[name].size);
    const shown = [];
    for (const job of store.jobs()) {
      if (words.length && !sought(job)) continue;
      let failed = null;
      let failures = 0;
      for (const name of active) {
        if (!hasOne(chosen[name], FACETS[name].of(job))) {
          failed = name;
          failures += 1;
          if (failures > 1) break;
        }
      }
      if (failures > 1) continue;
      if (failures === 0) shown.push(job);
      for (const name of failures ? [failed] : NAMES) {
        for (const value of FACETS[name].of(job)) {
          counts[name].set(value, (counts[name].get(value) ?? 0) + 1);
        }
      }
    }
    draw(counts);
    return shown;
  };

  const label = (name, value) => {
    if (name === "state") return [batchgen.badge(value)];
    if (name === "model") return [make("span", { class: "alias", text: batchgen.alias(value) }), make("span", { class: "dim", text: value.split("/").slice(-2, -1)[0] ?? "" })];
    if (name === "cause") {
      const cause = store.head.causes.find((one) => one.key === value);
      return [make("bdi", { text: cause ? cause.code || cause.state : value })];
    }
    return [make("bdi", { text: value })];
  };

  const choice = (name, value, count) => make(
    "label", { class: "choice", title: value },
    make("input", {
      type: "checkbox", name, value, checked: chosen[name].has(value),
      on: { change: (event) => filters.toggle(name, value, event.target.checked) },
    }),
    make("span", { class: "what" }, ...label(name, value)),
    make("span", { class: "count", text: batchgen.number(count) }),
  );

  const draw = (counts) => {
    const place = document.getElementById("facets");
    const focused = document.activeElement;
    const key = place.contains(focused) ? [focused.name, focused.value] : null;
    place.replaceChildren(...NAMES.map((name) => facet(name, counts[name])).filter(Boolean));
    if (key) {
      [...place.querySelectorAll("input")].find((one) => one.name === key[0] && one.value === key[1])?.focus();
    }
    const some = Boolean(text) || NAMES.some((name) => chosen[name].size);
    document.getElementById("clear").hidden = !some;
    const many = NAMES.reduce((sum, name) => sum + chosen[name].size, 0);
    document.getElementById("toggle-filters").textContent = many ? `Filter (${many})` : "Filter";
  };

  const facet = (name, counts) => {
    for (const value of chosen[name]) if (!counts.has(value)) counts.set(value, 0);
    // A cause is chosen among the failures; here it can be taken back.
    const values = [...counts].filter(([value]) => name !== "cause" || chosen.cause.has(value));
    if (!values.length || (values.length === 1 && name !== "cause" && !chosen[name].size)) return null;
    values.sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    const few = open.has(name) ? values : values.filter(([value], at) => at < FEW || chosen[name].has(value));
    const rest = values.length - few.length;
    const more = rest > 0 && make("button", {
      type: "button", class: "more", text: `${batchgen.number(rest)} more`,
      on: { click: () => { open.add(name); filters.tell(); } },
    });
    return make("fieldset", {}, make("legend", { text: FACETS[name].title }),
      ...few.map(([value, count]) => choice(name, value, count)), more || null);
  };

  filters.tell = () => { for (const listener of heard) listener(); };
  filters.toggle = (name, value, on) => {
    if (on) chosen[name].add(value);
    else chosen[name].delete(value);
    filters.tell();
  };
  filters.only = (name, value) => {
    filters.clear();
    chosen[name].add(value);
    filters.tell();
  };
  filters.clear = () => {
    for (const name of NAMES) chosen[name].clear();
    filters.search("");
  };
  filters.search = (value) => {
    text = value;
    words = value.toLowerCase().split(/\s+/).filter(Boolean);
    const field = document.getElementById("search");
    if (field.value !== value) field.value = value;
    filters.tell();
  };
  filters.write = (address) => {
    if (text) address.set("q", text);
    for (const name of NAMES) for (const value of chosen[name]) address.append(name, value);
  };
  filters.read = (address) => {
    for (const name of NAMES) {
      chosen[name].clear();
      for (const value of address.getAll(name)) chosen[name].add(value);
    }
    filters.search(address.get("q") ?? "");
  };
})();
