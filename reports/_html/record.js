// Everything that the record of one run says of how it was made.
function recordOf(run, result) {
  const part = (name) => page.pool[result[name]];
  const facts = {
    "result file": result.file,
    key: result.key,
    status: result.status,
    error: result.error,
    seed: result.seed,
    started: result.started,
    seconds: result.seconds,
  };
  return make("details", {},
    make("summary", {}, `Forget set ${run.set}, seed ${run.seed}: full record`),
    ...titled("Result", pairs(facts)),
    ...titled("Forget set", pairs(part("forget_set"))),
    ...titled("Model", pairs(part("model"))),
    ...titled("Settings of the method", settings(part("settings"))),
    ...titled("Stop line", pairs(stopLine(part("stop")))),
    ...titled("Protocol", pairs(part("protocol"))),
    ...titled("Evaluation sets", sets(part("sets"))),
    ...titled("Machine", pairs(part("environment"))),
    ...titled("Package versions", pairs(part("packages"))),
  );
}

function titled(title, content) {
  return content ? [make("h3", {}, title), content] : [];
}

function pairs(facts) {
  const known = Object.entries(facts).filter(([, value]) => value !== null && value !== "");
  return known.length === 0 ? null : make("dl", { class: "pairs" }, ...known.map(([name, value]) =>
    make("div", {}, make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, String(value)))));
}

function settings(rows) {
  return rows.length ? tableOf(["Setting", "Value", "Where it came from"], rows, [2]) : null;
}

function stopLine(stop) {
  return { source: stop.source, "EL10 below": stop.el, "MA below": stop.ma, rule: stop.rule,
    "unseen rows": stop.n_unseen || null };
}

function sets(found) {
  const rows = Object.entries(found).map(([name, set]) =>
    [name, set.source, set.split, String(set.n), set.revision ?? "–", set.sha256]);
  const heads = ["Set", "Source", "Split", "Rows", "Revision", "SHA-256"];
  return rows.length ? tableOf(heads, rows) : null;
}
