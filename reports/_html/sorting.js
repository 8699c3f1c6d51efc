// Best first, then reversed, then as it was; what was not measured stays last.
function startSorting(table) {
  const heads = [...table.tHead.rows[0].cells];
  const original = [...table.tBodies[0].rows];
  heads.forEach((head, index) => {
    const button = make("button", { type: "button" }, ...head.childNodes);
    button.addEventListener("click", () => sortBy(table, heads, index, original));
    head.replaceChildren(button);
  });
}

function sortBy(table, heads, index, original) {
  const head = heads[index];
  const first = head.dataset.better === "high" ? "descending" : "ascending";
  const second = first === "ascending" ? "descending" : "ascending";
  const now = head.getAttribute("aria-sort");
  const next = { [first]: second, [second]: null }[now];
  const direction = now === null ? first : next;
  for (const other of heads) other.removeAttribute("aria-sort");
  if (direction) head.setAttribute("aria-sort", direction);
  table.tBodies[0].append(...(direction ? sorted(original, index, direction) : original));
  const name = head.dataset.name;
  say(direction ? `Sorted by ${name}, ${direction}.` : "Rows in their original order.");
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
