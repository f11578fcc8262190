// Which cells of the lists on a page hold numbers that are not aligned: not at the right of their column, or with digits of different widths.
() => {
  const NUMBER = /^[-–]?\d[\d,]*(\.\d+)?( (of|\/) [\d,]+)?( ?(µs|ms|s|m|h|d|%|kB|MB))?( \d+ ?(s|m|h|d|ms))?( ago)?$/;
  const shown = (element) => element.getClientRects().length > 0;
  const faults = [];
  let cells = 0;
  for (const item of document.querySelectorAll("main li")) {
    const row = [item, ...item.querySelectorAll("*")].find((one) => getComputedStyle(one).display === "grid");
    if (!row) continue;
    for (const cell of row.children) {
      const text = cell.textContent.trim();
      if (!shown(cell) || !NUMBER.test(text)) continue;
      cells++;
      const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        if (!/\d/.test(node.data) || !shown(node.parentElement)) continue;
        const { textAlign, fontVariantNumeric } = getComputedStyle(node.parentElement);
        const isRight = textAlign === "right" || textAlign === "end";
        if (!isRight || !fontVariantNumeric.includes("tabular-nums")) {
          const list = item.closest("ul, ol").getAttribute("aria-label");
          faults.push(`${list}: ${cell.className}: ${text}: ${textAlign}, ${fontVariantNumeric}`);
        }
      }
    }
  }
  return { cells, faults: [...new Set(faults)] };
}
