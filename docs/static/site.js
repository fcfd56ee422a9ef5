// what axe misses in the generated pages: names of the sidebars, table corners that are no headers, boxes to scroll by key
// the search shows an excerpt of each page that it finds, which it has to fetch: a browser refuses that for local files
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
addEventListener("DOMContentLoaded", () => {
  for (const [side, name] of [[".sidebar-drawer", "All pages"], [".toc-drawer", "On this page"]])
    document.querySelector(side)?.setAttribute("aria-label", name);
  for (const caption of document.querySelectorAll(".caption[role=heading]")) caption.setAttribute("aria-level", "2");
  for (const corner of document.querySelectorAll("th"))
    if (!corner.textContent.trim()) corner.replaceWith(document.createElement("td"));
  // on a phone, site.css sets the rows of a wide table below each other, each field with the name of its column
  for (const table of document.querySelectorAll("table.docutils")) {
    const names = [...table.querySelectorAll("thead tr > *")].map(name => name.textContent.trim());
    if (names.length < 4) continue;
    table.classList.add("stacked");
    for (const row of table.querySelectorAll("tbody tr"))
      [...row.cells].forEach((field, column) => (field.dataset.column = column && names[column]));
  }
  // a long sentence is wrapped, as JupyterLab does; a picture made of characters isn't
  for (const output of document.querySelectorAll(".cell_output pre"))
    if (!/[─│]/.test(output.textContent) && /.{86}/.test(output.textContent)) output.classList.add("wrapped");
  for (const box of document.querySelectorAll("pre, .table-wrapper, .cell_output"))
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
});
