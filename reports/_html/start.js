document.documentElement.classList.add("scripted");
startTheme();
startPrinting();
for (const table of document.querySelectorAll("table.comparison")) {
  startSorting(table);
  startNumbers(table);
}
startReading();
