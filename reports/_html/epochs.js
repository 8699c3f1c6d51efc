// Epoch by epoch: what one method made of the row shown, and of its forget set as a whole.
function startEpochs() {
  by("writer").addEventListener("change", showEpochs);
}

function fillEpochWriters() {
  const before = by("writer").selectedOptions[0]?.textContent;
  const traced = currentSet().writers.filter((writer) => writer.trace);
  fill(by("writer"), traced.map(labelOf));
  const same = traced.findIndex((writer) => labelOf(writer) === before);
  if (traced.length) by("writer").value = String(Math.max(same, 0));
}

function showEpochs() {
  const traced = currentSet().writers.filter((writer) => writer.trace);
  const writer = traced[Number(by("writer").value)];
  by("writer").form.hidden = !writer;
  by("curve").replaceChildren(...(writer ? means(writer) : []));
  const place = currentSet().with_epochs.indexOf(chosen.row);
  by("epochs").replaceChildren(...(writer && place >= 0 ? rowEpochs(writer, place) : []));
  by("epochs-of").textContent = coverage(traced.length, place);
}

function coverage(nTraced, place) {
  const { documents, with_epochs: kept } = currentSet();
  const row = `The row shown above, document ${currentDocument().id}, after every epoch of unlearning.`;
  if (!nTraced) return "No method's epochs are recorded for this forget set.";
  if (page.reading.all_epochs) return row;
  const why = `To keep this page small it holds the epochs of ${kept.length} of ${documents.length} rows, evenly chosen; they are named “with epochs” in the list of rows.`;
  return place >= 0 ? `${row} ${why}` : `This row's epochs are not on this page. ${why}`;
}

function means(writer) {
  const { means: epochs } = writer.trace;
  const result = page.results[writer.key];
  const stop = page.pool[result.stop];
  const line = (i) => epochs.map((epoch) => epoch[2 + i]);
  const numbers = epochs.map((epoch) => String(epoch[0]));
  const lines = [["MA", line(1)], ["BERTScore", line(2)], ["EL10", line(0)]];
  const limits = [["MA's stop line", stop.ma]].filter(([, value]) => value !== null);
  const description = `Mean MA, BERTScore and EL10 of the forget set over ${numbers.length - 1} epochs; the table below has the numbers.`;
  const rows = epochs.map(([epoch, active, ...values]) =>
    [String(epoch), String(active), ...values.map(inPrint)]);
  return [
    make("p", {}, `${labelOf(writer)}: ${result.trace}`),
    make("div", { class: "drawing", role: "region", tabindex: "0", "aria-label": "Means over epochs" },
      curve(numbers, lines, limits, description)),
    make("details", {}, make("summary", {}, "Means of the forget set, as a table"),
      tableOf(["Epoch", "Rows trained on", ...page.reading.fields], rows)),
  ];
}

// Entropy, the last of the fields, is in bits; the others are shares.
function inPrint(value, i) {
  if (value === null) return "–";
  return i === page.reading.fields.length - 1 ? value.toFixed(3) : (100 * value).toFixed(1);
}

function rowEpochs(writer, place) {
  const given = writer.written[chosen.row]?.[2];
  const reference = given ? page.texts[given[1]] : currentDocument().reference;
  return writer.trace.rows[place].map((epoch, i) => {
    const number = writer.trace.means[i][0];
    const title = make("h3", {}, number === 0 ? "Before unlearning" : `Epoch ${number}`);
    if (!epoch) return make("li", {}, title, make("p", { class: "empty" }, "Not examined."));
    const [text, forgotten, active, ...values] = epoch;
    const { paragraph, kept, total } = compared(page.texts[text], reference);
    const named = values.map((value, k) => [page.reading.fields[k], inPrint(value, k)]);
    const trained = number === 0 ? [] : [["trained on", active ? "yes" : "no, sat out"]];
    return make("li", {}, title,
      facts([...trained, ...named, ...keptFact(kept, total), ...forgottenFact(forgotten)]),
      paragraph);
  });
}
