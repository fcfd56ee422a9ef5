/**
 * The browser's half of `lab.clients.page_frame.PageFrame`: a page of the kernel's machine, in a frame.
 *
 * It goes through Jupyter's proxy, so that the frame has the origin of the page around it: only
 * then does the browser send the frame's cookies, and does the server's frame-ancestors allow it.
 * When nothing listens at the port, the proxy answers with an error of its own; a sentence takes its place.
 */

const PROBE_DEADLINE = 5_000; // ms; a closed port answers at once, a busy machine does not
const STOPPED = "The server has stopped. Run this cell again to start it.";

function addressOf(port, path) {
  const config = document.getElementById("jupyter-config-data");
  if (!config) return `http://127.0.0.1:${port}${path}`; // not a Jupyter page: there is no proxy
  return new URL(`${JSON.parse(config.textContent).baseUrl ?? "/"}proxy/${port}${path}`, location.href).href;
}

/** Whether nothing listens there any more; an answer that is late says nothing. */
async function isGone(address) {
  const mode = new URL(address).origin === location.origin ? "same-origin" : "no-cors";
  try {
    const response = await fetch(address, { mode, cache: "no-store", signal: AbortSignal.timeout(PROBE_DEADLINE) });
    return response.status >= 500; // a no-cors answer has status 0
  } catch (error) {
    return error.name !== "TimeoutError";
  }
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
  const stopped = document.createElement("p");
  stopped.setAttribute("role", "status");
  frame.addEventListener("load", async () => {
    const gone = await isGone(address);
    stopped.textContent = gone ? STOPPED : "";
    frame.hidden = link.hidden = gone;
  });
  el.replaceChildren(frame, link, stopped);
}

export default { render };
