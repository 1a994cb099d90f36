"use strict";
// Marks of results: picks, flaws, and gates that wait. Each has a shape and a word.
(() => {
  const { make, store } = batchgen;
  const EXAMPLES = 5;
  const LONGEST_NAME = 12; // words of an id, when a flaw's text names another job
  const PICKS = new Map([["keep", { glyph: "★", word: "kept" }], ["reject", { glyph: "⊖", word: "rejected" }]]);
  const marks = {};
  batchgen.marks = marks;

  marks.plain = (kind) => kind.replaceAll("_", " ");
  marks.waits = (job) => job.gate === "closed" && job.state === "done";

  // Each: its name for the style, a shape, a word, and the full text.
  marks.of = (job, file) => {
    const found = [];
    const picked = file && PICKS.get(file.pick);
    if (picked) found.push({ name: file.pick, ...picked, title: picked.word });
    if (file?.flaws.length) {
      found.push({
        name: "flaw", glyph: "⚑", word: file.flaws.map(([kind]) => marks.plain(kind)).join(", "),
        title: file.flaws.map(([kind, words]) => `${marks.plain(kind)}: ${words}`).join("; "),
      });
    }
    if (marks.waits(job)) found.push({ name: "gate", glyph: "◔", word: "waits for approval", title: "waits for approval" });
    return found;
  };

  const shape = (mark, ...more) => make("span", { class: "mark", title: mark.title, data: { mark: mark.name } },
    make("span", { "aria-hidden": "true", text: mark.glyph }), ...more);

  // Tiles show shapes only, because their label has the words.
  marks.shapes = (found) => (found.length ? make("span", { class: "marks" }, ...found.map((mark) => shape(mark))) : null);
  marks.pills = (found) => found.map((mark) => shape(mark, make("bdi", { text: mark.word })));

  // The number of results per mark, and examples of each flaw.
  let counted = { version: -1 };
  marks.tally = () => {
    if (counted.version === store.version) return counted;
    counted = { version: store.version, kept: 0, rejected: 0, flawed: 0, waiting: 0, kinds: new Map() };
    for (const job of store.jobs()) {
      if (marks.waits(job)) counted.waiting += 1;
      for (const file of job.files) {
        if (file.pick) counted[PICKS.get(file.pick).word] += 1;
        if (file.flaws.length) counted.flawed += 1;
        for (const [kind, words] of file.flaws) addExample(counted.kinds, kind, { job, file, words });
      }
    }
    return counted;
  };

  const addExample = (kinds, kind, one) => {
    if (!kinds.has(kind)) kinds.set(kind, { kind, results: 0, examples: [] });
    const known = kinds.get(kind);
    known.results += 1;
    if (known.examples.length < EXAMPLES) known.examples.push(one);
  };

  let ids = { version: -1 };
  const byId = () => {
    if (ids.version !== store.version) ids = { version: store.version, map: new Map(store.jobs().map((job) => [job.id, job])) };
    return ids.map;
  };

  marks.job = (id) => byId().get(id);

  // The other job that a flaw's text names, e.g. of a duplicate; the longest name wins.
  marks.other = (words, job) => {
    const known = byId();
    const parts = words.split(/\s+/).map((part) => part.replace(/^["'(]+|["'),.;:]+$/g, ""));
    for (let length = Math.min(LONGEST_NAME, parts.length); length > 0; length -= 1) {
      for (let at = 0; at + length <= parts.length; at += 1) {
        const found = known.get(parts.slice(at, at + length).join(" "));
        if (found && found !== job && found.files.length) return found;
      }
    }
    return null;
  };
})();
