"use strict";
// Selecting several pictures: Shift and arrows, Shift- or Ctrl-click, or touch.
(() => {
  const { grid } = batchgen;
  const selected = new Map(); // tiles by key
  let anchor = null;
  let before = 0; // where the focus was before a key or click moved it
  const selection = {};
  batchgen.selection = selection;

  // Only what is visible: tiles hidden by a filter or another view must not be picked.
  selection.tiles = () => {
    if (!selected.size || document.getElementById("view-pictures").hidden) return [];
    return grid.tiles().filter((tile) => selected.has(grid.keyOf(tile)));
  };
  selection.all = () => [...selected.values()];

  // Filters or new rows have changed what is visible.
  selection.renew = () => {
    const count = selection.tiles().length;
    document.getElementById("picking").hidden = !count;
    document.getElementById("selected").textContent = `${batchgen.number(count)} selected`;
  };

  const redraw = () => {
    selection.renew();
    grid.lay();
  };

  selection.add = (tiles, on = true) => {
    for (const tile of tiles) {
      if (on) selected.set(grid.keyOf(tile), tile);
      else selected.delete(grid.keyOf(tile));
    }
    redraw();
  };

  selection.clear = () => {
    selected.clear();
    anchor = null;
    setSelecting(false);
    redraw();
  };

  const setSelecting = (on) => {
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

  const extendByKeys = (event) => {
    if (!event.key.startsWith("Arrow") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.shiftKey) {
      anchor ??= before;
      selected.clear();
      selection.add(between(anchor, grid.at()));
    } else if (selected.size) selection.clear();
  };
  const remember = () => { before = grid.at(); };

  const extendByClick = (event) => {
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
    place.addEventListener("keydown", extendByKeys);
    place.addEventListener("click", extendByClick, true);
    document.getElementById("select").addEventListener("click", () => {
      const on = !document.body.classList.contains("selecting");
      if (on) setSelecting(true);
      else selection.clear();
    });
    document.getElementById("unselect").addEventListener("click", selection.clear);
  });
})();
