"use strict";
// The page is redrawn again and again while jobs come in: an unchanged element is reused, so that it
// keeps its focus, its scroll position and a mouse press in progress.
(() => {
  const FOCUSED = "a[href], button, input, select";

  // Gives `place` exactly these children. Those already in place are not touched.
  batchgen.arrange = (place, elements) => {
    const focused = document.activeElement;
    const wanted = new Set(elements);
    for (const one of [...place.childNodes]) if (!wanted.has(one)) one.remove();
    let next = place.firstChild;
    for (const one of elements) {
      if (one === next) next = next.nextSibling;
      else place.insertBefore(one, next);
    }
    // Moving an element loses its focus.
    if (focused !== document.activeElement && place.contains(focused)) focused.focus({ preventScroll: true });
  };

  const stops = (element) => [element, ...element.querySelectorAll(FOCUSED)];

  // Reuses a picture that is already loaded, so that nothing flickers. Returns the element of the new
  // one that corresponds to the focused element of the old one.
  batchgen.inherit = (old, fresh) => {
    const successor = stops(fresh)[stops(old).indexOf(document.activeElement)] ?? null;
    const [before, after] = [old.querySelector("img"), fresh.querySelector("img")];
    if (before && after && before.getAttribute("src") === after.getAttribute("src")) after.replaceWith(before);
    return successor;
  };

  // Replaces all children and keeps the focus.
  batchgen.renew = (place, elements) => {
    const at = stops(place).indexOf(document.activeElement);
    place.replaceChildren(...elements);
    if (at > 0) stops(place)[at]?.focus({ preventScroll: true });
  };

  // Keeps elements by key from one redraw to the next.
  batchgen.keeper = () => {
    let before = new Map();
    let now = new Map();
    let successor = null;
    return {
      // The existing element, or a new one if the version has changed.
      get(key, version, build) {
        const known = before.get(key);
        if (known?.version === version) {
          now.set(key, known);
          return known.element;
        }
        const element = build();
        if (known) successor = batchgen.inherit(known.element, element) ?? successor;
        now.set(key, { version, element });
        return element;
      },
      // Forgets the elements that this redraw did not use.
      done() {
        [before, now] = [now, new Map()];
        successor?.focus({ preventScroll: true });
        successor = null;
      },
    };
  };
})();
