// Which words of a text stand in the reference in the same order (a longest common subsequence).
const MOST_COMPARISONS = 4_000_000;  // above it the page would stand still

const wordsOf = (text) => text.split(/(\s+)/).filter((part) => part !== "");
const isSpace = (part) => /^\s+$/.test(part);

function sharedWords(words, reference) {
  const [n, m] = [words.length, reference.length];
  if (n * m > MOST_COMPARISONS) return null;
  const lengths = Array.from({ length: n + 1 }, () => new Uint16Array(m + 1));
  for (let i = n - 1; i >= 0; i--) {
    for (let j = m - 1; j >= 0; j--) {
      lengths[i][j] = words[i] === reference[j]
        ? lengths[i + 1][j + 1] + 1
        : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  return walk(words, reference, lengths);
}

function walk(words, reference, lengths) {
  const shared = new Set();
  let [i, j] = [0, 0];
  while (i < words.length && j < reference.length) {
    if (words[i] === reference[j]) {
      shared.add(i);
      i++;
      j++;
    } else if (lengths[i + 1][j] >= lengths[i][j + 1]) {
      i++;
    } else {
      j++;
    }
  }
  return shared;
}

// The text as a paragraph with its words marked, and how many of the reference's it kept.
function compared(text, reference) {
  const known = wordsOf(reference).filter((part) => !isSpace(part));
  const words = wordsOf(text).filter((part) => !isSpace(part));
  const shared = sharedWords(words, known);
  if (words.length === 0) {
    const nothing = make("p", { class: "text empty" }, "(the model wrote nothing)");
    return { paragraph: nothing, kept: 0, total: known.length };
  }
  const paragraph = plainText(text);
  if (shared) paragraph.replaceChildren(...marked(text, shared));
  return { paragraph, kept: shared && shared.size, total: known.length };
}

// Neighbours of one kind, with the spaces between them, are one element.
function marked(text, shared) {
  const pieces = [];
  let number = 0;
  let space = "";
  for (const part of wordsOf(text)) {
    if (isSpace(part)) {
      space = part;
      continue;
    }
    const same = shared.has(number++);
    const last = pieces.at(-1);
    if (last?.same === same) last.text += space + part;
    else pieces.push({ same, space, text: part });
    space = "";
  }
  const elements = pieces.flatMap((piece) =>
    [piece.space, make(piece.same ? "span" : "mark", { class: piece.same ? "same" : "" }, piece.text)]);
  return [...elements, space];
}

function plainText(text) {
  return make("p", { class: "text", dir: "auto" }, text);
}
