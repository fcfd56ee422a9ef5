// What the tests ask of JupyterLab's own front end; every answer comes within the deadline or is an error.

const DEADLINE = 40_000; // ms for one notebook from its first cell to its last

window.course = {
  within(promise, what) {
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`too slow: ${what}`)), DEADLINE));
    return Promise.race([promise, late]);
  },
  async open(path) {
    const panel = await jupyterapp.commands.execute("docmanager:open", { path, factory: "Notebook" });
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
  async close() {
    await this.panel.sessionContext.shutdown();
    this.panel.context.model.dirty = false;
    this.panel.dispose();
  },
};
