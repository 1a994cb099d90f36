"use strict";
// Loaded first, so that no light page flashes before a dark one.
(() => {
  const KEY = "batchgen-theme";
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const kept = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // a browser may store nothing for pages from file://
    }
  };
  const show = (theme) => { root.dataset.theme = theme ?? (dark.matches ? "dark" : "light"); };
  show(kept());
  dark.addEventListener("change", () => show(kept()));
  addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      const next = root.dataset.theme === "dark" ? "light" : "dark";
      try {
        localStorage.setItem(KEY, next);
      } catch {
        // as above
      }
      show(next);
    });
  });
})();
