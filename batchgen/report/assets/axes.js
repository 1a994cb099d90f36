"use strict";
// What a sweep goes through. The state keeps a sweep's name alone, so the axes are read from what
// its jobs have: the words of their ids, their tags by place, and inputs that differ.
(() => {
  const MOST = 60;

  // harbour-dawn-ink, harbour-dawn-ink-2 → [dawn, ink, 1], [dawn, ink, 2]; null where ids differ
  // in length by more than a repeat.
  const wordsOf = (jobs) => {
    const all = jobs.map((job) => {
      const id = job.id.startsWith(`${job.sweep}-`) ? job.id.slice(job.sweep.length + 1) : job.id;
      return id.split("-");
    });
    const fewest = Math.min(...all.map((words) => words.length));
    const most = Math.max(...all.map((words) => words.length));
    if (most - fewest > 1) return null;
    if (most === fewest) return all;
    const repeats = all.every((words) => words.length === fewest || /^\d+$/.test(words[fewest]));
    return repeats ? all.map((words) => (words.length === fewest ? [...words, "1"] : words)) : null;
  };

  const tagsOf = (jobs) => {
    const count = jobs[0].tags.length;
    return jobs.every((job) => job.tags.length === count) ? jobs.map((job) => job.tags) : null;
  };

  const byPlace = (table, title) => (table === null ? [] : table[0].map((_, at) => (
    { title: title(at), values: table.map((row) => row[at]) }
  )));

  const inputsOf = (jobs) => {
    const names = new Set(jobs.flatMap((job) => job.inputs.map(([name]) => name)));
    return [...names].map((title) => (
      { title, values: jobs.map((job) => batchgen.store.input(job, title) ?? "—") }
    ));
  };

  const shape = (values) => {
    const places = new Map();
    return values.map((value) => {
      if (!places.has(value)) places.set(value, places.size);
      return places.get(value);
    }).join(",");
  };

  // Those first that a person named; of two that cut the jobs alike, the first.
  batchgen.axesOf = (jobs) => {
    if (!jobs.length) return [];
    const seen = new Set();
    const found = [];
    const candidates = [
      ...byPlace(tagsOf(jobs), (at) => `tag ${at + 1}`),
      ...byPlace(wordsOf(jobs), (at) => `id word ${at + 1}`),
      { title: "prompt", values: jobs.map((job) => job.prompt) },
      ...inputsOf(jobs),
      { title: "model", values: jobs.map((job) => job.model) },
    ];
    for (const axis of candidates) {
      const distinct = [...new Set(axis.values)];
      const alike = shape(axis.values);
      if (distinct.length < 2 || distinct.length > MOST || seen.has(alike)) continue;
      seen.add(alike);
      found.push({ ...axis, distinct });
    }
    return found;
  };
})();
