// Best first, then reversed, then as it was; what was not measured stays last.
// A page has one order: every table that has the column is sorted by it.
const original = new Map();  // a table's rows as they came

const headsOf = (table) => [...table.tHead.rows[0].cells];

function startSorting(table) {
  original.set(table, [...table.tBodies[0].rows]);
  for (const head of headsOf(table)) {
    const button = make("button", { type: "button" }, ...head.childNodes);
    button.addEventListener("click", () => sortNext(head));
    head.replaceChildren(button);
  }
}

function sortNext(head) {
  const first = head.dataset.better === "high" ? "descending" : "ascending";
  const second = first === "ascending" ? "descending" : "ascending";
  const now = head.getAttribute("aria-sort");
  const next = { [first]: second, [second]: null }[now];
  const direction = now === null ? first : next;
  view.sort = direction ? `${head.dataset.column}~${direction}` : "";
  sortAll();
  keepAddress();
  say(direction ? `Sorted by ${head.dataset.name}, ${direction}.` : "Rows in their original order.");
}

function sortAll() {
  const [, column, direction] = view.sort.match(/^(.*)~(ascending|descending)$/s) ?? [];
  for (const [table, rows] of original) {
    const heads = headsOf(table);
    for (const head of heads) head.removeAttribute("aria-sort");
    const index = heads.findIndex((head) => head.dataset.column === column);
    if (index >= 0) heads[index].setAttribute("aria-sort", direction);
    table.tBodies[0].append(...(index >= 0 ? sorted(rows, index, direction) : rows));
  }
}

function sorted(rows, index, direction) {
  const sign = direction === "ascending" ? 1 : -1;
  const value = (row) => row.cells[index].dataset.sort;
  const isLabel = index === 0;
  const known = rows.filter((row) => value(row) !== "");
  const compare = isLabel
    ? (a, b) => value(a).localeCompare(value(b), "en", { numeric: true })
    : (a, b) => order(Number(value(a)), Number(value(b)));
  return [
    ...known.sort((a, b) => sign * compare(a, b)),
    ...rows.filter((row) => value(row) === ""),
  ];
}

// A difference of two infinities is no number.
function order(a, b) {
  return a < b ? -1 : Number(a > b);
}
