"use strict";
// Reloads the page after the manifest was reloaded, and restores what was open and selected.
(() => {
  const { store, filters, grid, lightbox, marks, outbox, picks, selection } = batchgen;
  const KEY = "batchgen-reload";
  const PATIENCE = 5000; // milliseconds
  const reload = {};
  batchgen.reload = reload;

  const named = ({ job, file }) => ({ id: job.id, key: file?.key ?? null });
  const found = ({ id, key }) => {
    const job = marks.job(id);
    const file = job?.files.find((one) => one.key === key) ?? null;
    return job ? [{ job, file: file ?? job.files[0] ?? null }] : [];
  };

  // Unsent picks go first. The view and its filters are in the address.
  reload.load = async () => {
    await Promise.race([outbox.send(), new Promise((done) => { setTimeout(done, PATIENCE); })]);
    const open = lightbox.current();
    const kept = {
      page: location.pathname, top: scrollY, open: open && named(open), selected: selection.all().map(named), past: picks.past(),
    };
    try {
      sessionStorage.setItem(KEY, JSON.stringify(kept));
    } catch {
      // more than a browser stores: start afresh
    }
    location.reload();
  };

  const taken = () => {
    try {
      const kept = JSON.parse(sessionStorage.getItem(KEY));
      sessionStorage.removeItem(KEY);
      return kept?.page === location.pathname ? kept : null;
    } catch {
      return null;
    }
  };

  let kept = taken();
  // Registered last: runs when all jobs are loaded and drawn.
  store.onChange(() => {
    if (!kept || store.loaded < store.head.jobs) return;
    const { top, open, selected, past } = kept;
    kept = null;
    picks.remember(past);
    if (selected.length) selection.add(selected.flatMap(found));
    scrollTo(0, top);
    const tile = open && found(open)[0];
    if (!tile) return;
    const tiles = grid.find(tile) >= 0 ? grid.tiles() : filters.tiles(batchgen.shown());
    const at = tiles.findIndex((one) => one.job === tile.job && one.file === tile.file);
    if (at >= 0) lightbox.open(tiles, at);
    else lightbox.open([tile], 0);
  });
})();
