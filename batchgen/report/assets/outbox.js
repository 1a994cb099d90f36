"use strict";
// Picks and approvals: shown at once, sent, and reverted only if the server did not accept them.
(() => {
  const { store } = batchgen;
  const AT_ONCE = 5000; // changes in one message
  const SOON = 1000; // milliseconds until a refused change is reverted
  const PATIENCE = 8000; // and until those of a partly refused batch are
  const RESTARTED = "the server was restarted: open its new address";
  const NOT_OURS = [404, 405, 501];
  const unconfirmed = new Map(); // changes that the state does not show yet, by file key or gate
  const waiting = new Map(); // those of them not sent yet
  let sending = null;
  const outbox = {};
  batchgen.outbox = outbox;

  const gateKey = (job) => `gate ${job.seq}`;

  // A row arrives: keep its values aside, and show unconfirmed changes.
  store.overlay = (job) => {
    for (const file of job.files) {
      file.saved = file.pick;
      const change = unconfirmed.get(file.key);
      if (!change) continue;
      if (change.value === file.saved || isOvertaken(change, file.saved)) unconfirmed.delete(file.key);
      else file.pick = change.value;
    }
    const gate = unconfirmed.get(gateKey(job));
    if (gate && (job.gate !== "closed" || job.attempts !== gate.attempt)) unconfirmed.delete(gateKey(job));
    else if (gate) job.gate = gate.value;
  };

  // It was accepted long ago, and then changed by somebody else.
  const isOvertaken = (change, saved) => change.acceptedAt !== null && performance.now() - change.acceptedAt > PATIENCE && saved !== change.before;

  const enqueue = (change) => {
    const one = { before: null, attempt: change.job.attempts, acceptedAt: null, ...change };
    unconfirmed.set(one.key, one);
    waiting.set(one.key, one);
  };

  outbox.pick = (job, file, pick) => {
    file.saved ??= file.pick;
    file.pick = pick;
    enqueue({ key: file.key, value: pick, before: file.saved, job, undo: revertPick(job, file.key), decision: { file: file.key, action: pick } });
  };

  outbox.approve = (job) => {
    job.gate = "open";
    const decision = { job: job.id, attempt: job.attempts, action: "approve" };
    enqueue({ key: gateKey(job), value: "open", job, undo: () => { job.gate = "closed"; }, decision });
  };

  // A new row replaces a job's file objects, so find the file by its key.
  const revertPick = (job, key) => () => {
    const file = job.files.find((one) => one.key === key);
    if (file) file.pick = file.saved ?? "";
  };

  // Forgets and reverts the changes that no later change has replaced.
  const dropped = (batch) => {
    const mine = batch.filter((one) => unconfirmed.get(one.key) === one);
    for (const one of mine) {
      unconfirmed.delete(one.key);
      one.undo();
    }
    return mine;
  };

  const revert = (batch) => {
    const jobs = new Set(dropped(batch).map((one) => one.job));
    if (jobs.size) store.changed(jobs);
  };

  // One message at a time: later changes go together in the next.
  outbox.send = () => {
    sending ??= sendAll().finally(() => { sending = null; });
    return sending;
  };

  const sendAll = async () => {
    await null; // collect all changes of one action
    while (waiting.size) {
      const batch = [];
      for (const [key, one] of waiting) {
        batch.push(one);
        waiting.delete(key);
        if (batch.length === AT_ONCE) break;
      }
      // One after the other, so that a later change never overtakes an earlier one.
      await post(batch); // eslint-disable-line no-await-in-loop
    }
  };

  const post = async (batch) => {
    try {
      settle(batch, await batchgen.post("decisions", { decisions: batch.map((one) => one.decision) }));
    } catch (error) {
      revert(batch);
      batchgen.say(`Not saved: ${error instanceof TypeError ? "the server is gone" : error.message}`);
    }
  };

  batchgen.post = async (path, document) => readAnswer(await fetch(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(document),
  }));

  const readAnswer = async (answer) => {
    const ours = answer.headers.get("Content-Type")?.startsWith("application/json");
    if (!ours) throw new Error(answer.ok || NOT_OURS.includes(answer.status) ? RESTARTED : `the server answered ${answer.status}`);
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error ?? `the server answered ${answer.status}`);
    return body;
  };

  // If the response has rows, they show the outcome; otherwise the next rows will.
  const settle = (batch, { objections, rows }) => {
    const now = performance.now();
    for (const one of batch) one.acceptedAt = now;
    const inRows = new Set((rows?.rows ?? []).map(([seq]) => seq));
    if (rows) {
      dropped(batch.filter((one) => inRows.has(one.job.seq)));
      // Read after the changes were applied: a later row with the same moment was read before.
      batchgen.take({ ...rows, moment: rows.moment + 0.5 });
    }
    if (!objections.length) return;
    batchgen.say(objections[0]);
    const rest = batch.filter((one) => !inRows.has(one.job.seq));
    setTimeout(() => revert(rest), rest.length > 1 ? PATIENCE : SOON);
  };
})();
