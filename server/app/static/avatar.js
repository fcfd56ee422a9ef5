// The coloured circle with the first letter of a name.

const GOLDEN_ANGLE = 137.508; // degrees

export function avatar(user, node = document.createElement("span")) {
  let hash = 0;
  for (const letter of user) hash = (Math.imul(hash, 31) + letter.codePointAt(0)) >>> 0;
  node.className = "avatar";
  node.style.setProperty("--hue", (hash * GOLDEN_ANGLE) % 360); // similar names get different colours
  node.textContent = [...user][0]?.toUpperCase() ?? "";
  node.ariaHidden = "true";
  return node;
}
