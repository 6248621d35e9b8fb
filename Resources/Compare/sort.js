"use strict";
for (const head of document.querySelectorAll("table.sortable thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = head.textContent;
  head.replaceChildren(button);
  button.addEventListener("click", () => {
    const table = head.closest("table"), body = table.tBodies[0];
    const column = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending";
    const key = (row) => {
      const cell = row.cells[column], data = cell.querySelector("data");
      return data ? Number(data.value) : cell.textContent.trim();
    };
    const known = (value) => typeof value === "number" || (value !== "" && value !== "–");
    const order = (a, b) => {
      if (known(a) !== known(b)) return known(a) ? -1 : 1;
      const step = typeof a === "number" && typeof b === "number" ? a - b
        : String(a).localeCompare(String(b), undefined, { numeric: true });
      return down ? -step : step;
    };
    const rows = Array.from(body.rows, (row) => [key(row), row]);
    rows.sort((a, b) => order(a[0], b[0]));
    body.append(...rows.map((pair) => pair[1]));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
  });
}
