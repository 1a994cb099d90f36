"use strict";
// The jobs. Whoever has chunks gives them here: files of this report, or a server as they come.
(() => {
  const TOGETHER = 10;
  const UNSEEN = 100; // milliseconds
  const AGAIN = 3000; // milliseconds until a server is asked again
  const bySeq = new Map();
  const left = new Map(); // jobs that are shown no more, by number: when that was told
  let order = [];
  let sorted = true;
  const heard = [];
  const store = {
    head: { jobs: 0, files: "", chunks: [], causes: [], commands: null },
    loaded: 0,
    version: 0, // grows with every change: what was counted before is counted anew
    onChange(listener) { heard.push(listener); },
    // What a person just said wins over what is told, until that agrees; picks.js sets it.
    overlay() {},
    jobs() {
      if (!sorted) {
        order.sort((a, b) => a.seq - b.seq);
        sorted = true;
      }
      return order;
    },
  };
  batchgen.store = store;

  const tell = () => { for (const listener of heard) listener(); };

  // The order of fields is report/chunks.py's.
  const read = (row, texts) => {
    const [seq, id, model, state, sweep, tags, prompt, inputs, cause, error, attempts, request,
      cost, seconds, files, axes, gate] = row;
    const pairs = (places) => {
      const found = [];
      for (let at = 0; at < places.length; at += 2) found.push([texts[places[at]], texts[places[at + 1]]]);
      return found;
    };
    return {
      seq, id, attempts, request, cost, seconds, gate,
      model: texts[model], state: texts[state], sweep: texts[sweep],
      tags: tags.map((tag) => texts[tag]), prompt: texts[prompt], inputs: pairs(inputs), axes: pairs(axes),
      cause: texts[cause], error: texts[error],
      files: files.map(([path, thumb, type, width, height, bytes, length, key, position, pick, flaws]) => (
        { path, thumb, type, width, height, bytes, length, key, position, pick, flaws: pairs(flaws) }
      )),
      sought: null, // what a search looks through; made by the first one
    };
  };

  // A job that is known already is replaced: so does a run that goes on tell what became of it. A
  // chunk may come after news that are younger: the moment of its reading says so.
  batchgen.take = ({ texts, rows, gone = [], moment = 0 }) => {
    if (gone.length) forget(gone, moment);
    for (const row of rows) {
      const job = read(row, texts);
      const known = bySeq.get(job.seq);
      if ((known?.moment ?? left.get(job.seq) ?? 0) > moment) continue;
      left.delete(job.seq);
      Object.assign(job, { moment, version: (known?.version ?? 0) + 1 });
      store.overlay(job);
      if (known) Object.assign(known, job);
      else {
        sorted = sorted && (order.length === 0 || order[order.length - 1].seq < job.seq);
        bySeq.set(job.seq, job);
        order.push(job);
      }
    }
    store.loaded = order.length;
    store.version += 1;
    tell();
  };

  const forget = (seqs, moment) => {
    for (const seq of seqs) {
      if ((bySeq.get(seq)?.moment ?? 0) > moment) continue;
      left.set(seq, moment);
      bySeq.delete(seq);
    }
    order = order.filter((job) => bySeq.has(job.seq));
  };

  // Jobs were changed where they stand.
  store.changed = (jobs) => {
    for (const job of jobs) job.version += 1;
    store.version += 1;
    tell();
  };

  batchgen.begin = (head) => {
    store.head = head;
    store.version += 1;
    tell();
    load(head.chunks);
  };

  // The first one alone, and then some at a time: a browser that has scripts to run draws nothing.
  const load = async (names) => {
    for (let at = 0, count = 1; at < names.length; at += count, count = TOGETHER) {
      await Promise.all(names.slice(at, at + count).map(run));
      await drawn();
    }
  };

  const run = async (name) => {
    while (!await ran(name)) {
      if (!store.head.live) {
        batchgen.say(`${name} is missing: make the report again`);
        return;
      }
      batchgen.say("Some jobs could not be read just now: asked again");
      await new Promise((done) => { setTimeout(done, AGAIN); });
    }
  };

  const ran = (name) => new Promise((done) => {
    const script = batchgen.make("script", { src: name });
    script.async = false; // in the order in which they were asked for
    script.addEventListener("load", () => done(true));
    script.addEventListener("error", () => {
      script.remove();
      done(false);
    });
    document.head.append(script);
  });

  // A window that nobody sees draws no frame, and loads all the same.
  const drawn = () => new Promise((done) => {
    requestAnimationFrame(() => setTimeout(done));
    setTimeout(done, UNSEEN);
  });

  // A server finds a file by its key, a folder by its path.
  const asked = (file) => (store.head.live ? `?file=${file.key}` : "");
  store.thumb = (file) => (file.thumb ? `thumbs/${file.thumb.slice(0, 2)}/${file.thumb}.webp${asked(file)}` : null);
  store.original = (file) => {
    const parts = file.path.split("/").map(encodeURIComponent);
    return store.head.live ? `originals/${file.key}/${parts.at(-1)}` : store.head.files + parts.join("/");
  };
  store.input = (job, name) => job.inputs.find(([key]) => key === name)?.[1] ?? null;
  store.size = (job, file) => (file ? `${file.width}×${file.height}` : store.input(job, "size"));
  store.isVideo = (file) => file.type.startsWith("video/");
})();
