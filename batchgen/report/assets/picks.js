"use strict";
// Picking: what a person says is shown at once, sent to the server, and taken back where that fails.
(() => {
  const { make, store, grid, lightbox, marks } = batchgen;
  const AT_ONCE = 5000; // words in one message
  const PATIENCE = 8000; // milliseconds until what was said must be told by the state, or is taken back
  const WORDS = { k: "keep", x: "reject", u: "" };
  const DONE = { keep: "kept", reject: "rejected", "": "neither kept nor rejected" };
  const wishes = new Map(); // what was said and is not told yet: by file's key, or by gate
  const outbox = new Map();
  const past = [];
  const selected = new Map();
  let sending = false;
  let anchor = null;
  const picks = {};
  batchgen.picks = picks;

  const gateKey = (job) => `gate ${job.seq}`;

  // A row comes: what it tells is kept aside, and what was said since is shown.
  store.overlay = (job) => {
    for (const file of job.files) {
      file.told = file.pick;
      const wish = wishes.get(file.key);
      if (wish?.value === file.told) wishes.delete(file.key);
      else if (wish) file.pick = wish.value;
    }
    const gate = wishes.get(gateKey(job));
    if (gate && (job.gate !== "closed" || job.attempts !== gate.attempt)) wishes.delete(gateKey(job));
    else if (gate) job.gate = gate.value;
  };

  const wish = (key, value, job, undo, word) => {
    clearTimeout(wishes.get(key)?.timer);
    wishes.set(key, { value, job, undo, attempt: job.attempts, timer: null });
    outbox.set(key, word);
  };

  const takeBack = (keys) => {
    const jobs = new Set();
    for (const key of keys) {
      const one = wishes.get(key);
      if (!one) continue;
      clearTimeout(one.timer);
      wishes.delete(key);
      one.undo();
      jobs.add(one.job);
    }
    if (jobs.size) store.changed(jobs);
  };

  // The files of a job are other objects once a row has come: found by their keys.
  const untold = (job, key) => () => {
    const file = job.files.find((one) => one.key === key);
    if (file) file.pick = file.told ?? "";
  };

  const say = (tiles, pick, undoing = false) => {
    const changed = tiles.filter(({ file }) => file && file.pick !== pick);
    if (!changed.length) return false;
    if (!undoing) past.push(changed.map(({ job, file }) => ({ job, key: file.key, pick: file.pick })));
    for (const { job, file } of changed) {
      file.told ??= file.pick;
      file.pick = pick;
      wish(file.key, pick, job, untold(job, file.key), { file: file.key, word: pick });
    }
    store.changed(new Set(changed.map(({ job }) => job)));
    send();
    return true;
  };

  const approve = (tiles) => {
    const jobs = new Set(tiles.map(({ job }) => job).filter(marks.waits));
    if (!jobs.size) {
      const open = tiles.some(({ job }) => job.gate === "open");
      if (tiles.length) batchgen.say(open ? "It is approved already" : "Nothing waits for a word about it");
      return;
    }
    for (const job of jobs) {
      job.gate = "open";
      wish(gateKey(job), "open", job, () => { job.gate = "closed"; }, { job: job.id, attempt: job.attempts, word: "approve" });
    }
    store.changed(jobs);
    batchgen.say(jobs.size === 1 ? `${[...jobs][0].id} approved` : `${batchgen.number(jobs.size)} approved`);
    send();
  };

  const undo = () => {
    const last = past.pop();
    if (!last) {
      batchgen.say("Nothing to take back");
      return;
    }
    for (const { job, key, pick } of last) {
      const file = job.files.find((one) => one.key === key);
      if (file) say([{ job, file }], pick, true);
    }
    batchgen.say(last.length === 1 ? `${last[0].job.id}: taken back` : `${batchgen.number(last.length)} picks taken back`);
  };

  // One message at a time: what is said meanwhile goes together with the next.
  const send = async () => {
    if (sending) return;
    sending = true;
    await null; // many are said in one go
    while (outbox.size) {
      const batch = new Map([...outbox].slice(0, AT_ONCE));
      for (const key of batch.keys()) outbox.delete(key);
      // In turn, so that a later word never overtakes an earlier one.
      await post(batch); // eslint-disable-line no-await-in-loop
    }
    sending = false;
  };

  const post = async (batch) => {
    // What was said anew since is no more this message's to take back.
    const mine = () => [...batch.keys()].filter((key) => !outbox.has(key));
    try {
      const answer = await fetch("words", {
        method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ words: [...batch.values()] }),
      });
      const heard = await answer.json();
      if (!answer.ok) throw new Error(heard.error ?? `the server said ${answer.status}`);
      if (heard.objections.length) batchgen.say(heard.objections[0]);
      settle(mine(), heard.objections.length ? 1000 : PATIENCE);
    } catch (error) {
      takeBack(mine());
      batchgen.say(error instanceof TypeError ? "Not saved: the server is gone" : `Not saved: ${error.message}`);
    }
  };

  // The state will tell it; where it does not, it was not so.
  const settle = (keys, patience) => {
    for (const key of keys) {
      const one = wishes.get(key);
      if (one) one.timer = setTimeout(() => takeBack([key]), patience);
    }
  };

  const targets = () => {
    const open = lightbox.current();
    if (open) return [open];
    if (selected.size) return grid.tiles().filter((tile) => selected.has(grid.keyOf(tile)));
    return document.activeElement?.classList.contains("tile") ? [grid.tiles()[grid.at()]] : [];
  };

  const pick = (word) => {
    const tiles = targets();
    if (!tiles.length) {
      if (document.activeElement === document.body) grid.focus(grid.at());
      return;
    }
    const files = tiles.filter(({ file }) => file);
    if (!files.length) {
      batchgen.say("There is no result to pick yet");
      return;
    }
    const next = tiles.length === 1 && word ? after(tiles[0]) : null;
    say(files, word);
    if (tiles.length > 1) batchgen.say(`${batchgen.number(files.length)} ${DONE[word]}`);
    if (next) next();
  };

  // Where to go on, found before the filters may take the picked one away.
  const after = (tile) => {
    if (lightbox.current()) return () => lightbox.step(1);
    const following = grid.tiles()[grid.at() + 1] ?? tile;
    return () => grid.focus(Math.max(0, grid.find(following)));
  };

  // The buttons beside a large picture: for a finger, and to see what was said.
  picks.show = (tile) => {
    const { job, file } = tile;
    const button = (label, key, pressed, on) => make(
      "button", { type: "button", class: "small", "aria-pressed": String(pressed), "aria-keyshortcuts": key, data: { key }, on: { click: on } },
      label, " ", make("kbd", { text: key }),
    );
    const place = document.getElementById("verdict");
    const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    place.replaceChildren(...[
      file && button("Keep", "k", file.pick === "keep", () => pick("keep")),
      file && button("Reject", "x", file.pick === "reject", () => pick("reject")),
      file && button("Neither", "u", !file.pick, () => pick("")),
      marks.waits(job) && button("Approve", "a", false, () => approve([tile])),
    ].filter(Boolean));
    place.hidden = !place.childElementCount;
    if (focused) place.querySelector(`[data-key="${focused}"]`)?.focus();
  };

  const select = (tiles, on = true) => {
    for (const tile of tiles) {
      if (on) selected.set(grid.keyOf(tile), true);
      else selected.delete(grid.keyOf(tile));
    }
    dressAll();
  };

  const unselect = () => {
    selected.clear();
    anchor = null;
    choosing(false);
    dressAll();
  };

  const choosing = (on) => {
    document.body.classList.toggle("selecting", on);
    document.getElementById("select").setAttribute("aria-pressed", String(on));
  };

  const dressAll = () => {
    const place = document.getElementById("picking");
    place.hidden = !selected.size;
    document.getElementById("selected").textContent = `${batchgen.number(selected.size)} selected`;
    grid.lay();
  };

  grid.dress = (element, tile) => {
    const on = selected.has(grid.keyOf(tile));
    element.classList.toggle("selected", on);
    if (selected.size) element.setAttribute("aria-pressed", String(on));
    else element.removeAttribute("aria-pressed");
  };

  const between = (one, other) => grid.tiles().slice(Math.min(one, other), Math.max(one, other) + 1);

  const walked = (event) => {
    if (!event.key.startsWith("Arrow") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.shiftKey) {
      anchor ??= before;
      selected.clear();
      select(between(anchor, grid.at()));
    } else if (selected.size) unselect();
  };
  // Where the focus was before a key or a finger moved it.
  let before = 0;
  const remember = () => { before = grid.at(); };

  const clicked = (event) => {
    const element = event.target.closest(".tile");
    if (!element) return;
    const at = Number(element.dataset.at);
    const chosen = document.body.classList.contains("selecting") || event.shiftKey || event.ctrlKey || event.metaKey;
    if (chosen) {
      event.stopPropagation();
      if (event.shiftKey) select(between(anchor ?? before, at));
      else select([grid.tiles()[at]], !selected.has(grid.keyOf(grid.tiles()[at])));
      anchor = at;
    }
  };

  const ask = () => {
    const files = grid.tiles().filter(({ file }) => file);
    if (!files.length) {
      batchgen.say("There is no result to pick");
      return;
    }
    const box = document.getElementById("confirm");
    const results = files.length === 1 ? "the one result" : `all ${batchgen.number(files.length)} results`;
    document.getElementById("question").textContent = `What of ${results} shown here? One key, z, takes it back.`;
    box.returnValue = "";
    box.onclose = () => {
      const word = { keep: "keep", reject: "reject", neither: "" }[box.returnValue];
      if (word !== undefined && say(files, word)) batchgen.say(`${batchgen.number(files.length)} ${DONE[word]}`);
    };
    box.showModal();
  };

  const pressed = (event) => {
    const typing = event.target.matches("input[type=search], select, textarea");
    if (typing || event.altKey || document.getElementById("confirm").open) return;
    if (!lightbox.current() && document.getElementById("view-pictures").hidden) return;
    const key = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && key !== "z") return;
    if (key === "escape" && selected.size && !lightbox.current()) unselect();
    else if (key === "z" && !event.shiftKey) undo();
    else if (event.repeat || event.shiftKey) return;
    else if (key in WORDS) pick(WORDS[key]);
    else if (key === "a") approve(targets());
    else return;
    event.preventDefault();
  };

  addEventListener("DOMContentLoaded", () => {
    addEventListener("keydown", pressed);
    const place = document.getElementById("grid");
    for (const event of ["keydown", "pointerdown"]) place.addEventListener(event, remember, true);
    place.addEventListener("keydown", walked);
    place.addEventListener("click", clicked, true);
    document.getElementById("select").addEventListener("click", () => {
      const on = !document.body.classList.contains("selecting");
      if (on) choosing(true);
      else unselect();
    });
    document.getElementById("all").addEventListener("click", ask);
    document.getElementById("unselect").addEventListener("click", unselect);
    for (const button of document.querySelectorAll("#picking [data-word]")) {
      const { word } = button.dataset;
      button.addEventListener("click", () => (word === "approve" ? approve(targets()) : pick(word)));
    }
  });
})();
