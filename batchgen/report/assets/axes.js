"use strict";
// The axes of a sweep: those that the manifest names, and whatever else differs between its jobs,
// because the rows of a data file have no axes.
(() => {
  const MOST = 60;
  const MOST_OWN = 200;
  const NONE = "—";

  const ownOf = (jobs) => {
    const names = new Set(jobs.flatMap((job) => job.axes.map(([name]) => name)));
    return [...names].map((name) => ({
      key: `axis:${name}`, title: name, own: true,
      values: jobs.map((job) => job.axes.find(([one]) => one === name)?.[1] ?? NONE),
    }));
  };

  const tagsOf = (jobs) => {
    const count = jobs[0].tags.length;
    if (!jobs.every((job) => job.tags.length === count)) return [];
    return jobs[0].tags.map((_, at) => (
      { key: `tag:${at}`, title: `tag ${at + 1}`, values: jobs.map((job) => job.tags[at]) }
    ));
  };

  const inputsOf = (jobs) => {
    const names = new Set(jobs.flatMap((job) => job.inputs.map(([name]) => name)));
    return [...names].map((name) => (
      { key: `input:${name}`, title: name, values: jobs.map((job) => batchgen.store.input(job, name) ?? NONE) }
    ));
  };

  const shape = (values) => {
    const places = new Map();
    return values.map((value) => {
      if (!places.has(value)) places.set(value, places.size);
      return places.get(value);
    }).join(",");
  };

  // The manifest's axes first; of two that group the jobs alike, only the first.
  batchgen.axesOf = (jobs) => {
    if (!jobs.length) return [];
    const seen = new Set();
    const found = [];
    const candidates = [
      ...ownOf(jobs), ...tagsOf(jobs), ...inputsOf(jobs),
      { key: "prompt", title: "prompt", values: jobs.map((job) => job.prompt) },
      { key: "model", title: "model", values: jobs.map((job) => job.model) },
    ];
    for (const axis of candidates) {
      const distinct = [...new Set(axis.values)];
      const alike = shape(axis.values);
      if (distinct.length < 2 || distinct.length > (axis.own ? MOST_OWN : MOST) || seen.has(alike)) continue;
      seen.add(alike);
      found.push({ own: false, ...axis, distinct });
    }
    return found;
  };
})();
