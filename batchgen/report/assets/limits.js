"use strict";
// What limits the run in progress, and the form that changes it.
(() => {
  const { make } = batchgen;
  const RUN_ONLY = ["budget", "stop_at", "max_duration"];
  const limits = {};
  batchgen.limits = limits;
  let inForce = null;
  let filled = {}; // the values with which the form was filled

  const form = () => document.getElementById("tuning-form");
  const fields = () => [...form().querySelectorAll("input")];
  const complain = (text) => {
    const place = document.getElementById("tuning-refused");
    place.textContent = text;
    place.hidden = !text;
  };

  limits.show = (found) => {
    inForce = found;
    const place = document.getElementById("limits");
    place.hidden = !found;
    if (!found) return;
    const refused = found.refused ? ` · the last change was refused: ${found.refused}` : "";
    const text = `Limits: ${found.line}${refused}`;
    const line = document.getElementById("limits-line");
    if (line.textContent !== text) line.textContent = text;
  };

  // Not while it is open: nobody's words are overwritten.
  const fill = () => {
    const model = document.getElementById("tuning-model").value;
    const values = model ? inForce.models[model] : inForce;
    filled = {};
    for (const field of fields()) {
      field.closest("label").hidden = Boolean(model) && RUN_ONLY.includes(field.name);
      filled[field.name] = String(values[field.name] ?? "");
      field.value = filled[field.name];
    }
    complain("");
  };

  const open = () => {
    if (!inForce) return;
    const models = Object.keys(inForce.models);
    document.getElementById("tuning-model").replaceChildren(
      make("option", { value: "", text: "the whole run" }),
      ...models.map((model) => make("option", { value: model, text: batchgen.alias(model) })),
    );
    fill();
    document.getElementById("tuning").showModal();
    form().querySelector("input").focus();
  };

  const send = async (event) => {
    event.preventDefault();
    const changed = fields().filter((field) => !field.closest("label").hidden && field.value.trim() !== filled[field.name]);
    if (!changed.length) {
      complain("Nothing is changed yet.");
      return;
    }
    const button = document.getElementById("tuning-send");
    button.disabled = true;
    complain("");
    try {
      // An empty field lifts the limit.
      const values = Object.fromEntries(changed.map((field) => [field.name, field.value.trim() || "none"]));
      await batchgen.post("tune", { values, model: document.getElementById("tuning-model").value });
      document.getElementById("tuning").close();
      batchgen.say("Changed");
    } catch (error) {
      complain(`Not changed: ${error instanceof TypeError ? "the server is gone" : error.message}`);
    }
    button.disabled = false;
  };

  addEventListener("DOMContentLoaded", () => {
    document.getElementById("tune").addEventListener("click", open);
    document.getElementById("tuning-model").addEventListener("change", fill);
    document.getElementById("tuning-close").addEventListener("click", () => document.getElementById("tuning").close());
    form().addEventListener("submit", send);
  });
})();
