"use strict";
const button = (text) => {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  return made;
};
const tools = (before) => {
  const line = document.createElement("p");
  line.className = "tools";
  before.before(line);
  return line;
};
for (const table of document.querySelectorAll("table[data-sort]")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const sort = button(head.textContent);
    head.textContent = "";
    head.append(sort);
    sort.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const number = head.classList.contains("n");
      const key = (row) => row.cells[column].textContent;
      const rows = [...body.rows].sort((a, b) => number
        ? (parseFloat(key(a)) || 0) - (parseFloat(key(b)) || 0)
        : key(a).localeCompare(key(b)));
      if (down) rows.reverse();
      body.append(...rows);
    });
  });
}
const all = document.querySelector("#all table");
if (all) {
  const rows = [...all.tBodies[0].rows];
  const label = document.createElement("label");
  const input = document.createElement("input");
  const told = document.createElement("span");
  input.type = "search";
  told.setAttribute("role", "status");
  label.append("Show rows that contain ", input);
  tools(all.parentElement).append(label, told);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      if (!row.hidden) shown += 1;
    }
    told.textContent = words.length ? shown + " of " + rows.length : "";
  });
}
const folds = [...document.querySelectorAll("#drops details")];
if (folds.length > 1) {
  const toggle = button("Open all");
  tools(document.querySelector("#drops h3")).append(toggle);
  toggle.addEventListener("click", () => {
    const open = toggle.textContent === "Open all";
    folds.forEach((fold) => { fold.open = open; });
    toggle.textContent = open ? "Close all" : "Open all";
  });
}
const open = () => {
  const there = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (there && there.tagName === "DETAILS") there.open = true;
};
addEventListener("hashchange", open);
open();
addEventListener("beforeprint", () => {
  for (const cause of document.querySelectorAll("#drops h3")) {
    let one = cause.nextElementSibling;
    while (one && one.tagName === "P") one = one.nextElementSibling;
    if (one && one.tagName === "DETAILS") one.open = true;
  }
});
