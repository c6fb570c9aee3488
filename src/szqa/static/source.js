// A fragment #c12-34 that is no sentence of its own (several, or a part of one): show the sentences it touches.
// The numbers are compared, never counted: every sentence says its own in its id.
"use strict";
function showPlace() {
  for (const old of document.querySelectorAll(".here")) old.classList.remove("here");
  const wanted = /^#c(\d+)-(\d+)$/.exec(location.hash);
  if (!wanted) return;
  const [start, end] = [Number(wanted[1]), Number(wanted[2])];
  let first = null;
  for (const sentence of document.querySelectorAll(".sentence")) {
    const [low, high] = sentence.id.slice(1).split("-").map(Number);
    if (low < end && start < high) {
      sentence.classList.add("here");
      first ||= sentence;
    }
  }
  (first?.querySelector("mark") || first)?.scrollIntoView({ block: "center" });
}
addEventListener("hashchange", showPlace);
showPlace();
