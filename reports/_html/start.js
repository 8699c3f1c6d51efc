document.documentElement.classList.add("scripted");
startTheme();
startPrinting();
startContents();
joinOthers();
for (const table of tables()) {
  startSorting(table);
  startNumbers(table);
  startHints(table);
}
startTip();
startProvenance();
startReading();
startChoosing();
arrive();
