"use strict";
// Picking with keys and buttons: one result, several, or all shown.
(() => {
  const { make, store, filters, grid, lightbox, marks, outbox, selection } = batchgen;
  const WORDS = { k: "keep", x: "reject", u: "" };
  const DONE = { keep: "kept", reject: "rejected", "": "neither kept nor rejected" };
  let past = []; // what can be undone: for each action, every file with its pick before and after
  const picks = {
    past: () => past,
    remember(kept) { past = kept; },
  };
  batchgen.picks = picks;

  // One redraw and one message, however many changes there are.
  const save = (changes) => {
    for (const { job, file, pick } of changes) outbox.pick(job, file, pick);
    store.changed(new Set(changes.map(({ job }) => job)));
    outbox.send();
  };

  const pickTiles = (tiles, pick) => {
    const changes = tiles.filter(({ file }) => file && file.pick !== pick).map(({ job, file }) => ({ job, file, pick }));
    if (!changes.length) return;
    past.push(changes.map(({ job, file }) => ({ id: job.id, key: file.key, from: file.pick, to: pick })));
    save(changes);
  };

  // Only picks that are unchanged: not those that were not saved, or whose file was replaced since.
  const undo = () => {
    const last = past.pop();
    if (!last) {
      batchgen.say("Nothing to undo");
      return;
    }
    const changes = last.flatMap(({ id, key, from, to }) => {
      const job = marks.job(id);
      const file = job?.files.find((one) => one.key === key);
      return file?.pick === to ? [{ job, file, pick: from }] : [];
    });
    if (changes.length) save(changes);
    if (!changes.length) batchgen.say("Nothing is left to undo");
    else batchgen.say(changes.length === 1 ? `${changes[0].job.id}: undone` : `${batchgen.number(changes.length)} picks undone`);
  };

  const approve = (tiles) => {
    const jobs = new Set(tiles.map(({ job }) => job).filter(marks.waits));
    if (!jobs.size) {
      const open = tiles.some(({ job }) => job.gate === "open");
      if (tiles.length) batchgen.say(open ? "Already approved" : "Nothing here waits for approval");
      return;
    }
    for (const job of jobs) outbox.approve(job);
    store.changed(jobs);
    batchgen.say(jobs.size === 1 ? `${[...jobs][0].id} approved` : `${batchgen.number(jobs.size)} approved`);
    outbox.send();
  };

  const targets = () => {
    const open = lightbox.current();
    if (open) return [open];
    const chosen = selection.tiles();
    if (chosen.length) return chosen;
    return document.activeElement?.classList.contains("tile") ? [grid.tiles()[grid.at()]] : [];
  };

  const pick = (word) => {
    const tiles = targets();
    if (!tiles.length) {
      if (document.activeElement === document.body) grid.focus(grid.at());
      return;
    }
    const files = tiles.filter(({ file }) => file);
    const next = tiles.length === 1 && word ? after() : null;
    if (!files.length) batchgen.say("There is no result to pick yet");
    else pickTiles(files, word);
    if (tiles.length > 1 && files.length) batchgen.say(`${batchgen.number(files.length)} ${DONE[word]}`);
    if (next) next();
  };

  // Where to continue: the next result to pick, found before the filters may remove this one.
  const after = () => {
    if (lightbox.current()) return lightbox.onward;
    const tiles = grid.tiles();
    let next = grid.at() + 1;
    while (next < tiles.length && !tiles[next].file) next += 1;
    const following = tiles[next] ?? tiles[grid.at()];
    return () => grid.focus(Math.max(0, grid.find(following)));
  };

  // The buttons beside a large picture: for touch screens, and to show the current pick.
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

  const ask = () => {
    const files = filters.tiles(batchgen.shown()).filter(({ file }) => file);
    if (!files.length) {
      batchgen.say("There is no result to pick");
      return;
    }
    const box = document.getElementById("confirm");
    const results = files.length === 1 ? "the one result" : `all ${batchgen.number(files.length)} results`;
    document.getElementById("question").textContent = `Pick ${results} shown here? The key z undoes it.`;
    box.returnValue = "";
    box.onclose = () => {
      const word = { keep: "keep", reject: "reject", neither: "" }[box.returnValue];
      if (word === undefined) return;
      pickTiles(files, word);
      batchgen.say(`${batchgen.number(files.length)} ${DONE[word]}`);
    };
    box.showModal();
  };

  const pressed = (event) => {
    const typing = event.target.matches("input[type=search], input[type=text], select, textarea");
    if (typing || event.altKey || document.getElementById("confirm").open) return;
    const key = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && key !== "z") return;
    if (key === "z" && !event.shiftKey) undo();
    else if (!lightbox.current() && document.getElementById("view-pictures").hidden) return;
    else if (key === "escape" && selection.tiles().length && !lightbox.current()) selection.clear();
    else if (event.repeat || event.shiftKey) return;
    else if (key in WORDS) pick(WORDS[key]);
    else if (key === "a") approve(targets());
    else return;
    event.preventDefault();
  };

  addEventListener("DOMContentLoaded", () => {
    addEventListener("keydown", pressed);
    document.getElementById("all").addEventListener("click", ask);
    for (const button of document.querySelectorAll("#picking [data-word]")) {
      const { word } = button.dataset;
      button.addEventListener("click", () => (word === "approve" ? approve(targets()) : pick(word)));
    }
  });
})();
