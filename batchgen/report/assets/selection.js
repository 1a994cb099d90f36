"use strict";
// Several pictures at once: by Shift and arrows, by a click with Shift or Ctrl, or by a finger.
(() => {
  const { grid } = batchgen;
  const selected = new Map(); // by what a tile shows
  let anchor = null;
  let before = 0; // where the focus was before a key or a finger moved it
  const selection = {};
  batchgen.selection = selection;

  // Only what is shown: a filter, or another view, keeps the others from being picked.
  selection.tiles = () => {
    if (!selected.size || document.getElementById("view-pictures").hidden) return [];
    return grid.tiles().filter((tile) => selected.has(grid.keyOf(tile)));
  };
  selection.all = () => [...selected.values()];

  // Filters or rows have changed what is shown.
  selection.renew = () => {
    const count = selection.tiles().length;
    document.getElementById("picking").hidden = !count;
    document.getElementById("selected").textContent = `${batchgen.number(count)} selected`;
  };

  const dressed = () => {
    selection.renew();
    grid.lay();
  };

  selection.add = (tiles, on = true) => {
    for (const tile of tiles) {
      if (on) selected.set(grid.keyOf(tile), tile);
      else selected.delete(grid.keyOf(tile));
    }
    dressed();
  };

  selection.clear = () => {
    selected.clear();
    anchor = null;
    choosing(false);
    dressed();
  };

  const choosing = (on) => {
    document.body.classList.toggle("selecting", on);
    document.getElementById("select").setAttribute("aria-pressed", String(on));
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
      selection.add(between(anchor, grid.at()));
    } else if (selected.size) selection.clear();
  };
  const remember = () => { before = grid.at(); };

  const clicked = (event) => {
    const element = event.target.closest(".tile");
    if (!element) return;
    const at = Number(element.dataset.at);
    const chosen = document.body.classList.contains("selecting") || event.shiftKey || event.ctrlKey || event.metaKey;
    if (!chosen) return;
    event.stopPropagation();
    if (event.shiftKey) selection.add(between(anchor ?? before, at));
    else selection.add([grid.tiles()[at]], !selected.has(grid.keyOf(grid.tiles()[at])));
    anchor = at;
  };

  addEventListener("DOMContentLoaded", () => {
    const place = document.getElementById("grid");
    for (const event of ["keydown", "pointerdown"]) place.addEventListener(event, remember, true);
    place.addEventListener("keydown", walked);
    place.addEventListener("click", clicked, true);
    document.getElementById("select").addEventListener("click", () => {
      const on = !document.body.classList.contains("selecting");
      if (on) choosing(true);
      else selection.clear();
    });
    document.getElementById("unselect").addEventListener("click", selection.clear);
  });
})();
