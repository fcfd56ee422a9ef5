// Pyodide, as the kernel loads it, with the packages of the lessons. The browser itself unpacks them, meanwhile.
import { loadPyodide as load } from "./itself.mjs";

const packages = fetch(new URL("packages.bin", import.meta.url)).then(({ body }) =>
  new Response(body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer(),
);

export async function loadPyodide(options) {
  const pyodide = await load({ ...options, packages: [], fsInit });
  // Python looks for a module in the reader's folder last: each look there asks the page
  const { path } = pyodide.pyimport("sys");
  path.remove("");
  path.append("");
  return pyodide;
}

// packages.bin is a tar archive: a header of 512 bytes, and the file itself in blocks of 512 bytes
async function fsInit(FS, { sitePackages }) {
  const archive = new Uint8Array(await packages);
  const decoder = new TextDecoder();
  for (let at = 0; archive[at]; ) {
    const field = (from, size) => decoder.decode(archive.subarray(at + from, at + from + size)).split("\0")[0];
    const path = [sitePackages, field(345, 155), field(0, 100)].filter(Boolean).join("/");
    const size = parseInt(field(124, 12), 8);
    if (field(156, 1) === "5") FS.mkdirTree(path);
    else FS.writeFile(path, archive.slice(at + 512, at + 512 + size), { canOwn: true });
    at += 512 + Math.ceil(size / 512) * 512;
  }
}
