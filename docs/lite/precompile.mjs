// Put bytecode beside every module, made by the very Python that will read it: node precompile.mjs PYODIDE LIBRARY PACKAGES
import { pathToFileURL } from "node:url";

const [folder, library, packages] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${folder}/pyodide.mjs`));
const pyodide = await loadPyodide({ packages: [] });
for (const [path, from] of Object.entries({ "/library": library, "/packages": packages })) {
  pyodide.FS.mkdir(path);
  pyodide.mountNodeFS(path, from);
}
pyodide.runPython(`
import compileall, py_compile, sys, warnings
warnings.simplefilter("ignore")  # about sources of others
options = {"quiet": 2, "invalidation_mode": py_compile.PycInvalidationMode.UNCHECKED_HASH}
compileall.compile_dir("/packages", **options)
# from an archive, Python takes bytecode that lies beside the source, and keeps the path that is written in it
archive = next(path for path in sys.path if path.endswith(".zip"))
compileall.compile_dir("/library", ddir=archive, legacy=True, **options)
`);
