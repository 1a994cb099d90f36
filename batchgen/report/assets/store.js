"use strict";
// The jobs. Chunks come from files of this report, or from a server as they arrive.
(() => {
  const TOGETHER = 10;
  const UNSEEN = 100; // milliseconds
  const AGAIN = 3000; // milliseconds until a chunk is requested again
  const bySeq = new Map();
  const removed = new Map(); // seq of a removed job → the moment of its removal
  let order = [];
  let sorted = true;
  const listeners = [];
  const store = {
    head: { jobs: 0, files: "", bucket: "", chunks: [], causes: [], commands: null },
    loaded: 0,
    version: 0, // grows with every change, to invalidate cached counts
    onChange(listener) { listeners.push(listener); },
    // Unconfirmed picks win over the rows until both agree; outbox.js sets it.
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

  const notify = () => { for (const listener of listeners) listener(); };

  // The order of fields is report/chunks.py's.
  const read = (row, texts) => {
    const [seq, id, model, state, sweep, tags, prompt, inputs, cause, error, attempts, request,
      cost, seconds, files, axes, gate, reused] = row;
    const pairs = (places) => {
      const found = [];
      for (let at = 0; at < places.length; at += 2) found.push([texts[places[at]], texts[places[at + 1]]]);
      return found;
    };
    return {
      seq, id, attempts, request, cost, seconds, gate, reused,
      model: texts[model], state: texts[state], sweep: texts[sweep],
      tags: tags.map((tag) => texts[tag]), prompt: texts[prompt], inputs: pairs(inputs), axes: pairs(axes),
      cause: texts[cause], error: texts[error],
      files: files.map(([path, thumb, type, width, height, bytes, length, key, position, pick, flaws]) => (
        { path, thumb, type, width, height, bytes, length, key, position, pick, flaws: pairs(flaws) }
      )),
      searchText: null, // made by the first search
    };
  };

  // A known job is replaced: that is how a run in progress updates it. A chunk may arrive after newer
  // rows, so each row has the moment at which it was read.
  batchgen.take = ({ texts, rows, gone = [], moment = 0 }) => {
    if (gone.length) forget(gone, moment);
    for (const row of rows) {
      const job = read(row, texts);
      const known = bySeq.get(job.seq);
      if ((known?.moment ?? removed.get(job.seq) ?? 0) > moment) continue;
      removed.delete(job.seq);
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
    notify();
  };

  const forget = (seqs, moment) => {
    for (const seq of seqs) {
      if ((bySeq.get(seq)?.moment ?? 0) > moment) continue;
      removed.set(seq, moment);
      bySeq.delete(seq);
    }
    order = order.filter((job) => bySeq.has(job.seq));
  };

  // Jobs were changed in place.
  store.changed = (jobs) => {
    for (const job of jobs) job.version += 1;
    store.version += 1;
    notify();
  };

  batchgen.begin = (head) => {
    store.head = head;
    store.version += 1;
    notify();
    load(head.chunks);
  };

  // The first one alone, then a few at a time: a browser draws nothing while it has scripts to run.
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
      batchgen.say("Some jobs could not be read just now: trying again");
      await new Promise((done) => { setTimeout(done, AGAIN); });
    }
  };

  const ran = (name) => new Promise((done) => {
    const script = batchgen.make("script", { src: name });
    script.async = false; // in the order of the requests
    script.addEventListener("load", () => done(true));
    script.addEventListener("error", () => {
      script.remove();
      done(false);
    });
    document.head.append(script);
  });

  // A hidden window draws no frames, and must load anyway.
  const drawn = () => new Promise((done) => {
    requestAnimationFrame(() => setTimeout(done));
    setTimeout(done, UNSEEN);
  });

  // A server finds a file by its key, a folder by its path.
  const query = (file) => (store.head.live ? `?file=${file.key}` : "");
  store.thumb = (file) => (file.thumb ? `thumbs/${file.thumb.slice(0, 2)}/${file.thumb}.webp${query(file)}` : null);
  store.original = (file) => {
    const parts = file.path.split("/").map(encodeURIComponent);
    return store.head.live ? `originals/${file.key}/${parts.at(-1)}` : store.head.files + parts.join("/");
  };
  // What a page from file:// can neither show nor link.
  store.outOfReach = () => Boolean(store.head.bucket) && !store.head.live;
  store.place = (file) => (store.head.bucket ?? "") + file.path;
  store.input = (job, name) => job.inputs.find(([key]) => key === name)?.[1] ?? null;
  store.size = (job, file) => (file && file.width ? `${file.width}×${file.height}` : store.input(job, "size"));
  store.isVideo = (file) => file.type.startsWith("video/");
  store.isAudio = (file) => file.type.startsWith("audio/");
})();
