// The list of sections: folded where it would push the page away, and telling where one is.
const BESIDE = matchMedia("(min-width: 75rem)");  // as in choosing.css, where it stands beside the text
const FEW = 6;

function startContents() {
  const links = [...document.querySelectorAll("#contents a")];
  const fold = () => { by("contents").open = BESIDE.matches || links.length <= FEW; };
  BESIDE.addEventListener("change", fold);
  fold();
  const seen = new Set();
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) seen[entry.isIntersecting ? "add" : "delete"](entry.target.id);
    const now = links.find((link) => seen.has(link.hash.slice(1)));
    for (const link of links) {
      if (link === now) link.setAttribute("aria-current", "location");
      else link.removeAttribute("aria-current");
    }
  }, { rootMargin: "0px 0px -60% 0px" });
  for (const link of links) watcher.observe(by(link.hash.slice(1)));
}
