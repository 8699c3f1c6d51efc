// Side by side: what every model wrote after one row's prefix.
const chosen = { set: 0, row: 0, hidden: new Set() };

const currentSet = () => page.reading.sets[chosen.set];
const currentDocument = () => {
  const [id, prefix, reference] = currentSet().documents[chosen.row];
  return { id, prefix: page.texts[prefix], reference: page.texts[reference] };
};

function labelOf(writer) {
  const label = page.rows[writer.row].label;
  const same = currentSet().writers.filter((other) => other.row === writer.row);
  return same.length > 1 ? `${label}, seed ${writer.seed}` : label;
}

function fill(select, texts) {
  select.replaceChildren(...texts.map((text, i) => make("option", { value: i }, text)));
}

function startReading() {
  const { sets } = page.reading;
  if (!sets?.length) {
    for (const name of ["side-by-side", "epoch-by-epoch"]) {
      by(name).replaceChildren(by(`${name}-title`), make("p", {}, "No texts: the results hold none, or there are too many results."));
    }
    return;
  }
  const groups = new Set(sets.map((set) => set.group));
  fill(by("set"), sets.map((set) => (groups.size > 1 ? `${set.group}: ${set.name}` : set.name)));
  by("set").addEventListener("change", () => chooseSet(Number(by("set").value)));
  by("row").addEventListener("change", () => chooseRow(Number(by("row").value)));
  by("previous").addEventListener("click", () => step(-1));
  by("next").addEventListener("click", () => step(1));
  by("choice").addEventListener("submit", (event) => event.preventDefault());
  by("writer").form.addEventListener("submit", (event) => event.preventDefault());
  for (const name of ["side-by-side", "epoch-by-epoch"]) {
    by(name).addEventListener("keydown", stepByKey);
  }
  startEpochs();
  chooseSet(0);
}

function chooseSet(number) {
  chosen.set = number;
  const kept = new Set(currentSet().with_epochs);
  const all = page.reading.all_epochs;
  fill(by("row"), currentSet().documents.map(([id], i) =>
    `${i + 1}: document ${id}${all || !kept.has(i) ? "" : " (with epochs)"}`));
  fillWriters();
  fillEpochWriters();
  chooseRow(currentSet().start);
}

function chooseRow(number) {
  chosen.row = number;
  by("row").value = String(number);
  showTexts();
  showEpochs();
}

function step(difference) {
  const total = currentSet().documents.length;
  chooseRow((chosen.row + difference + total) % total);
  say(`Row ${chosen.row + 1} of ${total}: document ${currentDocument().id}.`);
}

function stepByKey(event) {
  const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const modified = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
  // In a list of choices, and in a frame that scrolls, the arrows have their own meaning.
  if (!direction || modified || event.target.closest("select, input, .scroll, .text")) return;
  event.preventDefault();
  step(direction);
}

function fillWriters() {
  const fieldset = by("writers");
  const boxes = currentSet().writers.map((writer) => {
    const box = make("input", { type: "checkbox" });
    const label = labelOf(writer);
    box.checked = !chosen.hidden.has(label);
    box.addEventListener("change", () => {
      if (box.checked) chosen.hidden.delete(label);
      else chosen.hidden.add(label);
      showTexts();
    });
    return make("label", {}, box, " ", make("bdi", {}, label));
  });
  fieldset.replaceChildren(fieldset.querySelector("legend"), ...boxes);
}

function showTexts() {
  const { id, prefix, reference } = currentDocument();
  const total = currentSet().documents.length;
  by("given").replaceChildren(
    make("div", {}, make("h3", {}, `Prefix `, make("small", {}, `document ${id}, row ${chosen.row + 1} of ${total}`)),
      plainText(prefix)),
    make("div", {}, make("h3", {}, "Reference ", make("small", {}, "what really follows")),
      plainText(reference)),
  );
  const shown = currentSet().writers.filter((writer) => !chosen.hidden.has(labelOf(writer)));
  by("written").replaceChildren(...shown.map((writer) => article(writer, reference)));
}

function article(writer, reference) {
  const isReference = ["before", "retrained", "null"].includes(writer.role);
  const written = writer.written[chosen.row];
  const title = make("h3", {}, make("bdi", {}, labelOf(writer)));
  const frame = make("article", { class: isReference ? "reference-row" : "" }, title);
  if (!written) {
    frame.append(make("p", { class: "empty" }, "No text of this row is recorded."));
    return frame;
  }
  const [text, forgotten, given, ...values] = written;
  const { paragraph, kept, total } = compared(page.texts[text], page.texts[given?.[1]] ?? reference);
  const named = page.reading.fields.map((name, i) => [name, values[i]]);
  if (given) frame.append(otherCut(given));
  frame.append(facts([...named, ...keptFact(kept, total), ...forgottenFact(forgotten)]), paragraph);
  return frame;
}

function otherCut([prefix, reference]) {
  return make("details", {},
    make("summary", {}, "This model's tokenizer cuts the passage elsewhere"),
    make("h4", {}, "Its prefix"), plainText(page.texts[prefix]),
    make("h4", {}, "Its reference"), plainText(page.texts[reference]));
}

const keptFact = (kept, total) =>
  kept === null ? [] : [["words of the reference", `${kept} of ${total}`]];
const forgottenFact = (forgotten) =>
  forgotten === null ? [] : [["forgotten", forgotten ? "yes" : "no"]];

function facts(entries) {
  const known = entries.filter(([, value]) => value !== "–");
  return make("p", { class: "facts" }, ...known.flatMap(([name, value]) =>
    [make("span", {}, `${name} `, make("b", {}, value)), " "]));
}
