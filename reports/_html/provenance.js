// Every number opens to where it comes from; within a table one of them is in the tab order.
function startNumbers(table) {
  const buttons = [];
  for (const cell of table.querySelectorAll("td[data-column]")) {
    if (cell.dataset.sort === "") continue;
    const mean = cell.querySelector(".mean");
    const button = make("button", { type: "button", "aria-haspopup": "dialog" });
    mean.replaceWith(button);
    button.append(mean);
    button.tabIndex = buttons.length ? -1 : 0;
    button.addEventListener("click", () => {
      moveTo(button);
      openProvenance(cell.parentElement.dataset.row, cell.dataset.column);
    });
    buttons.push(button);
  }
  table.addEventListener("keydown", moveByKey);
}

function moveTo(button) {
  for (const other of button.closest("tbody").querySelectorAll("td button")) other.tabIndex = -1;
  button.tabIndex = 0;
  button.focus();
}

// Not of a row or column that is hidden.
const isChosen = (button) => !button.closest("[hidden]");

// What is in the tab order has to be there to be seen.
function keepOneInOrder(table) {
  const buttons = [...table.tBodies[0].querySelectorAll("td button")];
  const shown = buttons.filter(isChosen);
  const kept = shown.find((button) => button.tabIndex === 0) ?? shown[0];
  for (const button of buttons) button.tabIndex = button === kept ? 0 : -1;
}

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

function moveByKey(event) {
  const cell = event.target.closest("td");
  const step = STEPS[event.key];
  if (!cell || !step || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const rows = [...cell.closest("tbody").rows];
  let [row, column] = [rows.indexOf(cell.parentElement), cell.cellIndex];
  while (rows[row + step[0]]?.cells[column + step[1]]) {
    row += step[0];
    column += step[1];
    const button = rows[row].cells[column].querySelector("button");
    if (button && isChosen(button)) return moveTo(button);
  }
}

function startProvenance() {
  by("provenance").addEventListener("close", () => {
    view.cell = "";
    keepAddress();
  });
}

// The record that the address asks for, if the page has it.
function openAsked() {
  const [key, column] = splitCell(view.cell);
  const number = page.rows.findIndex((row) => row.key === key && row.cells[column]);
  if (number >= 0) openProvenance(number, column);
}

function openProvenance(rowNumber, column) {
  const row = page.rows[rowNumber];
  const dialog = by("provenance");
  dialog.setAttribute("aria-labelledby", "provenance-title");
  const close = make("button", { type: "button", class: "close" }, "Close");
  close.addEventListener("click", () => dialog.close());
  view.cell = `${row.key}~${column}`;
  keepAddress();
  dialog.replaceChildren(
    make("h2", { id: "provenance-title" }, `${row.label}: ${page.columns[column].label}`),
    ...summary(row, column),
    make("p", {}, copying("Copy link to this record")),
    ...runs(row, column),
    close,
  );
  hideTip();
  dialog.showModal();
  dialog.scrollTop = 0;
}

function summary(row, column) {
  const cell = row.cells[column];
  return [
    make("p", { class: "big" }, make("b", {}, cell.text), cell.spread ? ` ± ${cell.spread} ` : " ",
      cell.interval),
    make("p", {}, `${[row.group, ...cell.hints].join("; ")}.`),
    ...explained(row, column),
  ];
}

function explained(row, column) {
  if (column !== "s_z" && column !== "s_m") return [];
  const names = row.scored.map((name) => page.columns[name]?.label ?? name).join(", ");
  const text = `Computed from the means of this row and of the rows it is compared with, over ${names}.`;
  return [make("p", {}, text)];
}

function runs(row, column) {
  const failures = row.failures.map((reason) => make("li", {}, `Left out: ${reason}`));
  const values = row.cells[column].by_run;
  const lines = row.runs.map((run, i) => [run, values[i], page.results[run.key]]);
  return [
    failures.length ? make("ul", { class: "notes" }, ...failures) : null,
    make("h3", {}, row.runs.length === 1 ? "The run" : `The ${row.runs.length} runs`),
    runTable(lines),
    ...lines.filter((line) => line[2]).map(([run, , result]) => recordOf(run, result)),
  ].filter(Boolean);
}

function runTable(lines) {
  const heads = ["Forget set", "Seed", "Value", "Documents", "Std. error", "Status", "Outcome"];
  const rows = lines.map(([run, value, result]) => [
    run.set,
    String(run.seed),
    value?.[0] ?? "–",
    String(value?.[1] ?? "–"),
    value?.[2] || "–",
    result?.status ?? "not a stored result",
    result?.trace ?? "–",
  ]);
  return tableOf(heads, rows, [6]);
}

// A plain table; the columns named last hold sentences.
function tableOf(heads, rows, wide = []) {
  const body = rows.map((row) => make("tr", {}, ...row.map((text, i) => i === 0
    ? make("th", { scope: "row" }, text)
    : make("td", wide.includes(i) ? { class: "label sentence" } : {}, text))));
  const head = make("tr", {}, ...heads.map((text, i) =>
    make("th", { scope: "col", class: wide.includes(i) ? "label" : null }, text)));
  const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
  // A frame that scrolls is in the tab order, so that keys can scroll it.
  return make("div", { class: "scroll", role: "group", tabindex: "0", "aria-label": heads.join(", ") }, table);
}
