"use strict";
// Drawn again and again while jobs come in: an element that still fits stays as it is, with its
// focus, its scroll and the mouse that is being pressed on it.
(() => {
  const FOCUSED = "a[href], button, input, select";

  // Gives `place` exactly these children. Those that stand right are not touched.
  batchgen.arrange = (place, elements) => {
    const held = document.activeElement;
    const wanted = new Set(elements);
    for (const one of [...place.childNodes]) if (!wanted.has(one)) one.remove();
    let next = place.firstChild;
    for (const one of elements) {
      if (one === next) next = next.nextSibling;
      else place.insertBefore(one, next);
    }
    // One that was moved has lost it.
    if (held !== document.activeElement && place.contains(held)) held.focus({ preventScroll: true });
  };

  const stops = (element) => [element, ...element.querySelectorAll(FOCUSED)];

  // A picture that is there already is not loaded again, so that nothing flickers. Gives what in the
  // fresh element stands where the focus was in the old one.
  batchgen.inherit = (old, fresh) => {
    const heir = stops(fresh)[stops(old).indexOf(document.activeElement)] ?? null;
    const [before, after] = [old.querySelector("img"), fresh.querySelector("img")];
    if (before && after && before.getAttribute("src") === after.getAttribute("src")) after.replaceWith(before);
    return heir;
  };

  // All children anew, and the focus where it was.
  batchgen.renew = (place, elements) => {
    const at = stops(place).indexOf(document.activeElement);
    place.replaceChildren(...elements);
    if (at > 0) stops(place)[at]?.focus({ preventScroll: true });
  };

  // Elements by their keys, from one drawing to the next.
  batchgen.keeper = () => {
    let before = new Map();
    let now = new Map();
    let heir = null;
    return {
      // As it stands, or built anew where what it shows has another version.
      get(key, version, build) {
        const known = before.get(key);
        if (known?.version === version) {
          now.set(key, known);
          return known.element;
        }
        const element = build();
        if (known) heir = batchgen.inherit(known.element, element) ?? heir;
        now.set(key, { version, element });
        return element;
      },
      // What was not asked for since the last time is forgotten.
      done() {
        [before, now] = [now, new Map()];
        heir?.focus({ preventScroll: true });
        heir = null;
      },
    };
  };
})();
