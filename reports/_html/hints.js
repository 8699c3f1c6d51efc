// A number's interval and n, where the pointer or the keyboard is; Escape takes the hint away.
function startHints(table) {
  table.addEventListener("focusin", (event) => showTip(event.target));
  table.addEventListener("focusout", hideTip);
  table.addEventListener("mouseover", (event) => showTip(event.target));
  table.addEventListener("mouseout", (event) => {
    if (!by("tip").contains(event.relatedTarget)) hideTip();
  });
}

function startTip() {
  by("tip").addEventListener("mouseleave", hideTip);
  addEventListener("scroll", followTip, { capture: true, passive: true });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") hideTip();
  });
}

function hideTip() {
  by("tip").hidden = true;
  document.querySelector("[aria-describedby='tip']")?.removeAttribute("aria-describedby");
}

// The keyboard moves the page to the number that it reaches; a pointer then is elsewhere.
function followTip() {
  const cell = document.querySelector("[aria-describedby='tip']:focus")?.closest("td");
  if (cell) place(by("tip"), cell.getBoundingClientRect());
  else hideTip();
}

function showTip(target) {
  const cell = target.closest?.("td[data-column]");
  const button = cell?.querySelector("button");
  if (!button) return;
  hideTip();
  const row = page.rows[cell.parentElement.dataset.row];
  const { text, hints } = row.cells[cell.dataset.column];
  const title = `${row.label}, ${page.columns[cell.dataset.column].label}: ${text}`;
  by("tip").replaceChildren(
    make("b", {}, make("bdi", {}, title)), make("ul", {}, ...hints.map((line) => make("li", {}, line))));
  by("tip").hidden = false;
  button.setAttribute("aria-describedby", "tip");
  place(by("tip"), cell.getBoundingClientRect());
}

// Under the cell, or above where there is no room; touching it, so that a pointer can get there.
function place(tip, cell) {
  const { width, height } = tip.getBoundingClientRect();
  const { clientWidth, clientHeight } = document.documentElement;
  const left = Math.min(Math.max(cell.right - width, 4), clientWidth - width - 4);
  const isUnder = cell.bottom + height < clientHeight || cell.top < height;
  tip.style.left = `${Math.max(left, 4)}px`;
  tip.style.top = `${isUnder ? cell.bottom - 2 : cell.top - height + 2}px`;
}
