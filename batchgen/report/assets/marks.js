"use strict";
// What was said of results: a person's pick, a check's flaws, a gate that waits. Told by shape and word.
(() => {
  const { make, store } = batchgen;
  const EXAMPLES = 5;
  const LONGEST_NAME = 12; // words of an id, where a flaw's words name another job
  const PICKS = new Map([["keep", { glyph: "★", word: "kept" }], ["reject", { glyph: "⊖", word: "rejected" }]]);
  const marks = {};
  batchgen.marks = marks;

  marks.plain = (kind) => kind.replaceAll("_", " ");
  marks.waits = (job) => job.gate === "closed" && job.state === "done";

  // Each: its name for the style, a shape, a word, and all there is to say.
  marks.of = (job, file) => {
    const found = [];
    const picked = file && PICKS.get(file.pick);
    if (picked) found.push({ name: file.pick, ...picked, says: picked.word });
    if (file?.flaws.length) {
      found.push({
        name: "flaw", glyph: "⚑", word: file.flaws.map(([kind]) => marks.plain(kind)).join(", "),
        says: file.flaws.map(([kind, words]) => `${marks.plain(kind)}: ${words}`).join("; "),
      });
    }
    if (marks.waits(job)) found.push({ name: "gate", glyph: "◔", word: "waits for approval", says: "waits for approval" });
    return found;
  };

  const shape = (mark, ...more) => make("span", { class: "mark", title: mark.says, data: { mark: mark.name } },
    make("span", { "aria-hidden": "true", text: mark.glyph }), ...more);

  // On a tile the shapes alone, since its label has the words.
  marks.shapes = (found) => (found.length ? make("span", { class: "marks" }, ...found.map((mark) => shape(mark))) : null);
  marks.pills = (found) => found.map((mark) => shape(mark, make("bdi", { text: mark.word })));

  // How many results have which mark, and examples of each flaw.
  let counted = { version: -1 };
  marks.tally = () => {
    if (counted.version === store.version) return counted;
    counted = { version: store.version, kept: 0, rejected: 0, flawed: 0, waiting: 0, kinds: new Map() };
    for (const job of store.jobs()) {
      if (marks.waits(job)) counted.waiting += 1;
      for (const file of job.files) {
        if (file.pick) counted[PICKS.get(file.pick).word] += 1;
        if (file.flaws.length) counted.flawed += 1;
        for (const [kind, words] of file.flaws) tell(counted.kinds, kind, { job, file, words });
      }
    }
    return counted;
  };

  const tell = (kinds, kind, one) => {
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

  // The other job that a flaw's words name, as those of a duplicate do; the longest name wins.
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
