// Which cells of the lists on a page hold numbers that are not aligned: not at the right of their column, at another place than in the rows above, or with digits of different widths.
() => {
  const NUMBER = /^[-–]?\d[\d,]*(\.\d+)?( (of|\/) [\d,]+)?( ?(µs|ms|s|m|h|d|%|kB|MB))?( \d+ ?(s|m|h|d|ms))?( ago)?$/;
  const shown = (element) => element.getClientRects().length > 0;
  const faults = [];
  const edges = new Map(); // of each list: where its columns end, by the first row that has them
  let cells = 0;
  for (const item of document.querySelectorAll("main li")) {
    const row = [item, ...item.querySelectorAll("*")].find((one) => getComputedStyle(one).display === "grid");
    if (!row) continue;
    for (const cell of row.children) {
      const text = cell.textContent.trim();
      if (!shown(cell) || !NUMBER.test(text)) continue;
      cells++;
      const list = item.closest("ul, ol");
      const column = `${list.getAttribute("aria-label") ?? ""}: ${row.children.length} cells: ${[...row.children].indexOf(cell)} ${cell.className}`;
      const right = Math.round(cell.getBoundingClientRect().right);
      if (right !== (edges.get(list)?.[column] ?? right)) faults.push(`${column}: ${text}: its right edge is not that of the rows above`);
      edges.set(list, { [column]: right, ...edges.get(list) });
      const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        if (!/\d/.test(node.data) || !shown(node.parentElement)) continue;
        const { textAlign, fontVariantNumeric } = getComputedStyle(node.parentElement);
        const isRight = textAlign === "right" || textAlign === "end";
        if (!isRight || !fontVariantNumeric.includes("tabular-nums")) {
          faults.push(`${list.getAttribute("aria-label")}: ${cell.className}: ${text}: ${textAlign}, ${fontVariantNumeric}`);
        }
      }
    }
  }
  return { cells, faults: [...new Set(faults)] };
}
