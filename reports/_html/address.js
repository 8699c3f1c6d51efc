// What was chosen stands in the page's address, so that a copied one shows the same:
// #comparison&hide=gpt,epochs&show=lambada&without=neo-kl&find=icu&as=heat&sort=ma~descending&cell=neo-icu~ma
const LISTS = ["hide", "show", "without"];  // columns of the table, columns beside it, rows
const WORDS = ["find", "as", "sort", "cell"];
const view = { place: "", ...emptyView() };

function emptyView() {
  return {
    ...Object.fromEntries(LISTS.map((name) => [name, new Set()])),
    ...Object.fromEntries(WORDS.map((name) => [name, ""])),
  };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;  // a percent sign that somebody typed
  }
}

// Of a place alone, '#figures', the view stays as it is.
function readAddress() {
  const [place, ...parts] = location.hash.slice(1).split("&");
  view.place = decoded(place);
  if (parts.length === 0) return;
  Object.assign(view, emptyView());
  for (const part of parts) {
    const [name, text = ""] = part.split(/=(.*)/s);
    if (LISTS.includes(name)) view[name] = new Set(text.split(",").filter(Boolean).map(decoded));
    if (WORDS.includes(name)) view[name] = decoded(text);
  }
}

function addressOf() {
  const lists = LISTS.map((name) => [name, [...view[name]].map(encodeURIComponent).join(",")]);
  const words = WORDS.map((name) => [name, encodeURIComponent(view[name])]);
  const parts = [...lists, ...words].filter(([, text]) => text !== "");
  return `#${[encodeURIComponent(view.place), ...parts.map((part) => part.join("="))].join("&")}`;
}

function keepAddress() {
  const address = addressOf();
  if (address === (location.hash || "#")) return;
  try {
    history.replaceState(null, "", address);
  } catch {
    // A page shown within another may not change its address.
  }
}

const splitCell = (text) => text.split(/~(.*)/s);

// A button that copies the address as it then is.
function copying(title) {
  const button = make("button", { type: "button" }, title);
  startCopying(button);
  return button;
}

function startCopying(button) {
  const title = button.textContent;
  button.addEventListener("click", async () => {
    const done = await copied(location.href);
    button.textContent = done ? "Copied" : "Copy it from the address bar";
    say(button.textContent);
    setTimeout(() => { button.textContent = title; }, 2500);
  });
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
