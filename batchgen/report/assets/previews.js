"use strict";
// Thumbnails. A server may be unable to send one at the moment: then it is asked again.
(() => {
  const { make, store } = batchgen;
  const UNREADABLE = "no preview: the file could not be read";
  const LATER = "no preview just now";
  const AGAIN = 5000; // milliseconds
  const missing = new Map(); // placeholder → its file
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

  // An image's error event does not say why it failed.
  const isUnreadable = async (file) => {
    if (document.body.classList.contains("gone")) return false;
    try {
      return (await fetch(store.thumb(file))).status === 404;
    } catch {
      return false;
    }
  };

  // Only those still on the page; others are requested when they are drawn.
  previews.again = () => {
    clearTimeout(timer);
    timer = null;
    if (document.body.classList.contains("gone")) return; // called again when it is back
    const asked = [...missing];
    missing.clear();
    for (const [place, file] of asked) if (place.isConnected) place.replaceWith(batchgen.picture(file));
  };
})();
