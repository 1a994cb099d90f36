"use strict";
// The page is loaded anew since the manifest was: what was open, selected and said is there again.
(() => {
  const { store, filters, grid, lightbox, marks, outbox, picks, selection } = batchgen;
  const KEY = "batchgen-again";
  const PATIENCE = 5000; // milliseconds
  const again = {};
  batchgen.again = again;

  const named = ({ job, file }) => ({ id: job.id, key: file?.key ?? null });
  const found = ({ id, key }) => {
    const job = marks.job(id);
    const file = job?.files.find((one) => one.key === key) ?? null;
    return job ? [{ job, file: file ?? job.files[0] ?? null }] : [];
  };

  // What was said is sent first. The view and its filters are in the address.
  again.load = async () => {
    await Promise.race([outbox.send(), new Promise((done) => { setTimeout(done, PATIENCE); })]);
    const open = lightbox.current();
    const kept = {
      page: location.pathname, top: scrollY, open: open && named(open), selected: selection.all().map(named), past: picks.past(),
    };
    try {
      sessionStorage.setItem(KEY, JSON.stringify(kept));
    } catch {
      // more than a browser keeps: then it begins anew
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
  // After the others: when all jobs are there and drawn.
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
