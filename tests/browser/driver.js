// What the tests ask of JupyterLab's own front end; every answer comes within the deadline or is an error.

let deadline = 90_000; // ms for one notebook from its first cell to its last

window.course = {
  patience(milliseconds) {
    deadline = milliseconds; // where the kernel is slower to start
  },
  within(promise, what) {
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`too slow: ${what}`)), deadline));
    return Promise.race([promise, late]);
  },
  async open(path) {
    const panel = await jupyterapp.commands.execute("docmanager:open", { path, factory: "Notebook" });
    await this.adopt(panel);
    for (const widget of [...jupyterapp.shell.widgets("main")]) if (widget !== panel) widget.dispose();
  },
  async adopt(panel = jupyterapp.shell.currentWidget) {
    await this.within(panel.context.ready, "reading the notebook");
    await this.within(panel.sessionContext.ready, "starting the kernel");
    this.panel = panel;
  },
  async settled() {
    // run-all resolves early when a cell fails; an empty request behind it is answered after all of them
    const { kernel } = this.panel.sessionContext.session;
    await kernel.requestExecute({ code: "", silent: true, stop_on_error: false }).done;
  },
  async runAll() {
    await this.within(jupyterapp.commands.execute("notebook:run-all-cells"), "running all cells");
    await this.within(this.settled(), "running all cells");
  },
  async run(indices) {
    for (const index of indices) {
      this.panel.content.activeCellIndex = index;
      await this.within(jupyterapp.commands.execute("notebook:run-cell"), `running cell ${index}`);
    }
    await this.within(this.settled(), "running the cells");
  },
  async runTo(index) {
    this.panel.content.activeCellIndex = index;
    await this.within(jupyterapp.commands.execute("notebook:run-all-above"), "running the cells above");
    await this.run([index]);
  },
  async execute(code) {
    const { kernel } = this.panel.sessionContext.session;
    const request = kernel.requestExecute({ code });
    let printed = "";
    request.onIOPub = ({ header, content }) => {
      if (header.msg_type === "stream") printed += content.text;
    };
    const { content } = await this.within(request.done, "running code");
    if (content.status !== "ok") throw new Error(`${content.ename}: ${content.evalue}`);
    return printed;
  },
  cells() {
    return this.panel.content.model.sharedModel.cells.map((cell) => cell.toJSON());
  },
  write(index, source) {
    this.panel.content.model.sharedModel.cells[index].setSource(source);
  },
  async show(index) {
    const notebook = this.panel.content;
    await notebook.scrollToItem(index, "start");
    notebook.widgets[index].node.dataset.shown = index;
  },
  async theme(name) {
    await jupyterapp.commands.execute("apputils:change-theme", { theme: name });
  },
  // the lowest contrast (WCAG 2, 1.4.3) of any text in this element with what is behind it
  contrast(root) {
    const parse = (color) => {
      const [r, g, b, alpha = 1] = color.match(/[\d.]+/g).map(Number);
      return { rgb: [r, g, b], alpha };
    };
    const over = (top, below) => top.rgb.map((value, i) => value * top.alpha + below[i] * (1 - top.alpha));
    const behind = (node) => {
      if (!node) return [255, 255, 255];
      const color = parse(getComputedStyle(node).backgroundColor);
      return color.alpha === 0 ? behind(node.parentElement) : over(color, behind(node.parentElement));
    };
    const luminance = (rgb) => {
      const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratios = [...root.querySelectorAll("*")]
      .filter((node) => node.matches("input") || [...node.childNodes].some((child) => child.nodeType === 3))
      .filter((node) => node.getAttribute("aria-disabled") !== "true" && node.getAttribute("aria-hidden") !== "true")
      .flatMap((node) => [getComputedStyle(node), ...(node.matches("input") ? [getComputedStyle(node, "::placeholder")] : [])]
        .map((style) => {
          const ground = behind(node);
          const [high, low] = [luminance(ground), luminance(over(parse(style.color), ground))].sort((a, b) => b - a);
          return (high + 0.05) / (low + 0.05);
        }));
    return Math.min(...ratios);
  },
  async close() {
    await this.panel.sessionContext.shutdown();
    this.leave();
  },
  leave() {
    this.panel.context.model.dirty = false;
    this.panel.dispose();
  },
};
