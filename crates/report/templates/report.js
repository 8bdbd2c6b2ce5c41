"use strict";
(() => {
  const root = document.documentElement;
  const theme = document.getElementById("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
  });

  const element = (name, properties) => Object.assign(document.createElement(name), properties);
  // Each line of a table is a body of its own: a row, and one that opens its record.
  const value = (body, column) => {
    const cell = body.rows[0].cells[column];
    const number = Number.parseFloat(cell.dataset.sort);
    return Number.isNaN(number) ? cell.textContent.trim() : number;
  };
  // The same order on every machine.
  const { compare: inWords } = new Intl.Collator("en");
  const compare = (a, b) => {
    // What has no number comes last in one order and first in the other.
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return typeof a === "number" ? a - b : inWords(a, b);
  };

  // Sorts by the heads of the columns; where those are not shown, on a phone, by a list of them.
  const sortable = (table, tools) => {
    const heads = [...table.tHead.rows[0].cells];
    const list = element("select", { className: "order", ariaLabel: "Order of the rows" });
    list.append(element("option", { textContent: "Order …", value: "" }));
    const sort = (column, up) => {
      heads.forEach((head) => head.removeAttribute("aria-sort"));
      heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
      list.value = `${column} ${up}`;
      const lines = [...table.tBodies].map((body) => [value(body, column), body]);
      lines.sort(([a], [b]) => (up ? compare(a, b) : compare(b, a)));
      table.append(...lines.map(([, body]) => body));
    };
    heads.forEach((head, column) => {
      const title = head.textContent;
      for (const up of [true, false]) {
        list.append(element("option", { textContent: `${title} ${up ? "▲" : "▼"}`, value: `${column} ${up}` }));
      }
      const button = element("button", { type: "button", textContent: title });
      button.addEventListener("click", () => sort(column, head.getAttribute("aria-sort") !== "ascending"));
      head.replaceChildren(button);
    });
    list.addEventListener("change", () => {
      const [column, up] = list.value.split(" ");
      if (up) sort(Number(column), up === "true");
    });
    tools.append(list);
  };

  const filterable = (table, tools) => {
    const lines = [...table.tBodies];
    const words = "Show only rows with …";
    const filter = element("input", { type: "search", className: "filter", placeholder: words, ariaLabel: words });
    // It stays in print, so that nobody takes a part for the whole.
    const shown = element("span", { className: "shown", role: "status" });
    filter.addEventListener("input", () => {
      const wanted = filter.value.trim();
      let count = 0;
      for (const line of lines) {
        // Field by field: what two have together is in none.
        const fields = [...line.querySelectorAll("td, dt, dd")].filter((field) => !field.querySelector("dl"));
        line.hidden = !fields.some((field) => field.textContent.toLowerCase().includes(wanted.toLowerCase()));
        count += line.hidden ? 0 : 1;
      }
      shown.textContent = wanted ? `${count} of ${lines.length} rows, those with “${wanted}”` : "";
    });
    tools.prepend(filter);
    tools.append(shown);
  };

  const openable = (records, tools) => {
    const button = element("button", { type: "button", className: "all", textContent: "Open all" });
    button.addEventListener("click", () => {
      const open = records.some((record) => !record.open);
      for (const record of records) record.open = open;
    });
    const tell = () => (button.textContent = records.every((record) => record.open) ? "Close all" : "Open all");
    for (const record of records) {
      record.addEventListener("toggle", tell);
      // Whoever clicks into the first field means the record, unless they mark its text.
      record.closest("tbody").rows[0].cells[0].addEventListener("click", () => {
        if (getSelection().isCollapsed) record.open = !record.open;
      });
    }
    tools.append(button);
  };

  for (const table of document.querySelectorAll("table")) {
    const tools = element("div", { className: "tools" });
    const count = table.tBodies.length;
    const records = [...table.querySelectorAll("td > details")];
    if (count > 1) sortable(table, tools);
    if (records.length > 1) openable(records, tools);
    if (count > 7) filterable(table, tools);
    if (tools.firstChild) table.parentElement.before(tools);
  }
})();
