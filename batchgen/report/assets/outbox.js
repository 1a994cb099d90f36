"use strict";
// What a person said: it is shown at once, sent, and taken back only where the server did not take it.
(() => {
  const { store } = batchgen;
  const AT_ONCE = 5000; // words in one message
  const SOON = 1000; // milliseconds until one that met an objection is taken back
  const PATIENCE = 8000; // and one of many, of which most were taken
  const ANEW = "the server was started anew: open its new address";
  const NOT_OURS = [404, 405, 501];
  const wishes = new Map(); // what was said and is not told yet: by file's key, or by gate
  const waiting = new Map(); // of these what is not sent yet
  let sending = null;
  const outbox = {};
  batchgen.outbox = outbox;

  const gateKey = (job) => `gate ${job.seq}`;

  // A row comes: what it tells is kept aside, and what was said since is shown.
  store.overlay = (job) => {
    for (const file of job.files) {
      file.told = file.pick;
      const wish = wishes.get(file.key);
      if (!wish) continue;
      if (wish.value === file.told || isOvertaken(wish, file.told)) wishes.delete(file.key);
      else file.pick = wish.value;
    }
    const gate = wishes.get(gateKey(job));
    if (gate && (job.gate !== "closed" || job.attempts !== gate.attempt)) wishes.delete(gateKey(job));
    else if (gate) job.gate = gate.value;
  };

  // It was taken long ago, and then somebody else said something else.
  const isOvertaken = (wish, told) => wish.heard !== null && performance.now() - wish.heard > PATIENCE && told !== wish.before;

  const want = (wish) => {
    const one = { before: null, attempt: wish.job.attempts, heard: null, ...wish };
    wishes.set(one.key, one);
    waiting.set(one.key, one);
  };

  outbox.pick = (job, file, pick) => {
    file.told ??= file.pick;
    file.pick = pick;
    want({ key: file.key, value: pick, before: file.told, job, undo: untold(job, file.key), word: { file: file.key, word: pick } });
  };

  outbox.approve = (job) => {
    job.gate = "open";
    const word = { job: job.id, attempt: job.attempts, word: "approve" };
    want({ key: gateKey(job), value: "open", job, undo: () => { job.gate = "closed"; }, word });
  };

  // The files of a job are other objects once a row has come: found by their keys.
  const untold = (job, key) => () => {
    const file = job.files.find((one) => one.key === key);
    if (file) file.pick = file.told ?? "";
  };

  // Those of them about which nothing else was said since: they are wishes no more.
  const dropped = (batch) => {
    const mine = batch.filter((one) => wishes.get(one.key) === one);
    for (const one of mine) {
      wishes.delete(one.key);
      one.undo();
    }
    return mine;
  };

  const takeBack = (batch) => {
    const jobs = new Set(dropped(batch).map((one) => one.job));
    if (jobs.size) store.changed(jobs);
  };

  // One message at a time: what is said meanwhile goes together with the next.
  outbox.send = () => {
    sending ??= empty().finally(() => { sending = null; });
    return sending;
  };

  const empty = async () => {
    await null; // many are said in one go
    while (waiting.size) {
      const batch = [];
      for (const [key, one] of waiting) {
        batch.push(one);
        waiting.delete(key);
        if (batch.length === AT_ONCE) break;
      }
      // In turn, so that a later word never overtakes an earlier one.
      await post(batch); // eslint-disable-line no-await-in-loop
    }
  };

  const post = async (batch) => {
    try {
      const answer = await fetch("words", {
        method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ words: batch.map((one) => one.word) }),
      });
      settle(batch, await heard(answer));
    } catch (error) {
      takeBack(batch);
      batchgen.say(`Not saved: ${error instanceof TypeError ? "the server is gone" : error.message}`);
    }
  };

  const heard = async (answer) => {
    const ours = answer.headers.get("Content-Type")?.startsWith("application/json");
    if (!ours) throw new Error(answer.ok || NOT_OURS.includes(answer.status) ? ANEW : `the server said ${answer.status}`);
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.error ?? `the server said ${answer.status}`);
    return said;
  };

  // Where the rows are given, they say what became of it; else the state will tell.
  const settle = (batch, { objections, rows }) => {
    const now = performance.now();
    for (const one of batch) one.heard = now;
    const told = new Set((rows?.rows ?? []).map(([seq]) => seq));
    if (rows) {
      dropped(batch.filter((one) => told.has(one.job.seq)));
      // Read after the words were taken: a row of the same look that comes later was read before.
      batchgen.take({ ...rows, moment: rows.moment + 0.5 });
    }
    if (!objections.length) return;
    batchgen.say(objections[0]);
    const rest = batch.filter((one) => !told.has(one.job.seq));
    setTimeout(() => takeBack(rest), rest.length > 1 ? PATIENCE : SOON);
  };
})();
