"use strict";
// Small pictures. A server may fail to give one just now: it is asked again.
(() => {
  const { make, store } = batchgen;
  const UNREADABLE = "no preview: the file could not be read";
  const LATER = "no preview just now";
  const AGAIN = 5000; // milliseconds
  const missing = new Map(); // what stands in a picture's place → its file
  let timer = null;
  const previews = {};
  batchgen.previews = previews;

  const note = (text) => make("span", { class: "why", text });

  batchgen.picture = (file) => (file.thumb
    ? make("img", {
      src: store.thumb(file), alt: "", loading: "lazy", decoding: "async", width: file.width, height: file.height,
      on: { error: (event) => failed(event.target, file) },
    })
    : note(UNREADABLE));

  const failed = async (image, file) => {
    const place = note(store.head.live ? LATER : UNREADABLE);
    image.replaceWith(place);
    if (!store.head.live) return;
    missing.set(place, file);
    if (!await isUnreadable(file)) {
      timer ??= setTimeout(previews.again, AGAIN);
      return;
    }
    missing.delete(place);
    place.textContent = UNREADABLE;
  };

  // An image does not tell why it failed.
  const isUnreadable = async (file) => {
    if (document.body.classList.contains("gone")) return false;
    try {
      return (await fetch(store.thumb(file))).status === 404;
    } catch {
      return false;
    }
  };

  // Those that can still be seen; the others are asked for when they are drawn.
  previews.again = () => {
    clearTimeout(timer);
    timer = null;
    if (document.body.classList.contains("gone")) return; // called again when it is back
    const asked = [...missing];
    missing.clear();
    for (const [place, file] of asked) if (place.isConnected) place.replaceWith(batchgen.picture(file));
  };
})();
