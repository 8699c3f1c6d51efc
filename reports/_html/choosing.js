// Columns, rows and how numbers are shown; one choice for all comparison tables of the page.
const tables = () => [...document.querySelectorAll("table.comparison")];
const forms = () => [...document.querySelectorAll("form.choosing")];

function startChoosing() {
  for (const form of forms()) {
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => choose(form));
    form.addEventListener("reset", (event) => {
      event.preventDefault();
      Object.assign(view, emptyView());
      showChoice();
    });
    form.addEventListener("click", (event) => chooseMany(form, event.target.dataset));
    startCopying(form.querySelector("[data-copies]"));
  }
  addEventListener("hashchange", arrive);
}

// Metrics outside the scores join the table; until one is chosen they are hidden there.
function joinOthers() {
  for (const details of document.querySelectorAll("details.others")) {
    const main = details.previousElementSibling.querySelector("table");
    const others = details.querySelector("table");
    [...others.rows].forEach((row, i) => main.rows[i].append(...[...row.cells].slice(1)));
    details.remove();
  }
}

const boxes = (form, name) => [...form.querySelectorAll(`input[name="${name}"]`)];

function choose(form) {
  view.find = form.elements.find.value.trim();
  view.as = form.elements.as.value;
  keepBoxes(boxes(form, "column"), (box) => box.defaultChecked ? "hide" : "show");
  keepBoxes(boxes(form, "row"), () => "without");
  showChoice();
}

// A list holds what is not as it was at first.
function keepBoxes(inputs, listOf) {
  for (const box of inputs) {
    const list = view[listOf(box)];
    if (box.checked === box.defaultChecked) list.delete(box.value);
    else list.add(box.value);
  }
}

function chooseMany(form, { columns, rows }) {
  if (columns) for (const box of boxes(form, "column")) {
    box.checked = columns === "all" || !("empty" in box.dataset) && box.defaultChecked;
  }
  if (rows) for (const box of boxes(form, "row")) box.checked = rows === "all";
  if (columns || rows) choose(form);
}

function showChoice() {
  for (const table of tables()) showTable(table);
  for (const form of forms()) showForm(form);
  sortAll();
  keepAddress();
}

const isColumnShown = (box) => view[box.defaultChecked ? "hide" : "show"].has(box.value) !== box.defaultChecked;

function showTable(table) {
  const form = table.closest("section").querySelector("form.choosing");
  const hidden = new Set(boxes(form, "column").filter((box) => !isColumnShown(box)).map((box) => box.value));
  for (const cell of table.querySelectorAll("thead th, td")) {
    const { hidden: was } = cell;
    const now = hidden.has(cell.dataset.column);
    if (was !== now) cell.hidden = now;
  }
  const isFound = finder();
  for (const row of table.tBodies[0].rows) row.hidden = view.without.has(row.dataset.key) || !isFound(row);
  for (const name of ["heat", "numbers"]) table.classList.toggle(`as-${name}`, view.as === name);
  keepOneInOrder(table);
}

// References stay: without them a method's numbers say little.
function finder() {
  const words = view.find.toLowerCase().split(",").map((word) => word.trim()).filter(Boolean);
  if (words.length === 0) return () => true;
  return (row) => {
    const label = row.cells[0].dataset.sort.toLowerCase();
    return row.classList.contains("reference") || words.some((word) => label.includes(word));
  };
}

function showForm(form) {
  const { find, as } = form.elements;
  if (find.value.trim() !== view.find) find.value = view.find;
  as.value = view.as;
  if (as.selectedIndex < 0) as.value = view.as = "";
  for (const box of boxes(form, "column")) box.checked = isColumnShown(box);
  for (const box of boxes(form, "row")) box.checked = !view.without.has(box.value);
  const section = form.closest("section");
  for (const scale of section.querySelectorAll(".scale")) scale.hidden = view.as !== "heat";
  const rows = [...section.querySelectorAll("table.comparison tbody tr")];
  const columns = boxes(form, "column");
  const counts = [columns.filter(isColumnShown).length, rows.filter((row) => !row.hidden).length];
  const all = [columns.length, rows.length];
  form.querySelectorAll(".count").forEach((place, i) => {
    place.textContent = `: ${counts[i]} of ${all[i]}`;
  });
  const isCut = counts[1] < all[1];
  section.querySelector(".chosen").textContent = isCut
    ? `${counts[1]} of ${all[1]} rows shown; marks, scores and colours are still over all compared rows.`
    : "";
}

// What the address asks for, at first and whenever it changes.
function arrive() {
  const before = by("provenance").open;
  readAddress();
  const asked = view.cell;
  if (before) by("provenance").close();
  view.cell = asked;
  showChoice();
  if (location.hash.includes("&")) by(view.place)?.scrollIntoView();
  if (view.cell) openAsked();
}
