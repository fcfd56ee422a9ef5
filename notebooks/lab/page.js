/**
 * The browser's half of `lab.page.PageFrame`: a page of the kernel's machine, in a frame.
 *
 * It goes through Jupyter's proxy, so that the frame has the origin of the page around it: only
 * then does the browser send the frame's cookies, and does the server's frame-ancestors allow it.
 */

function addressOf(port, path) {
  const config = document.getElementById("jupyter-config-data");
  if (!config) return `http://127.0.0.1:${port}${path}`; // not a Jupyter page: there is no proxy
  return new URL(`${JSON.parse(config.textContent).baseUrl ?? "/"}proxy/${port}${path}`, location.href).href;
}

function render({ model, el }) {
  const address = addressOf(model.get("_port"), model.get("_path"));
  const frame = document.createElement("iframe");
  frame.src = address;
  frame.title = model.get("title");
  frame.style.cssText = `width: 100%; height: ${model.get("height")}px; border: 1px solid currentColor; border-radius: 8px; box-sizing: border-box`;
  const link = document.createElement("a");
  link.href = address;
  link.target = "_blank";
  link.textContent = `${model.get("title")}, in a tab of its own`;
  el.replaceChildren(frame, link);
}

export default { render };
