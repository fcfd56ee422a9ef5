// Shows asyncapi.json: how to connect, the messages that you send and receive, and the close codes.

const DOCUMENT = new URL("../../asyncapi.json", import.meta.url);

/** Make an element; children that are strings become text, never markup. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Split a text into nodes, where `words` and ``words`` become code. */
function prose(text) {
  return text.split(/``(.+?)``|`(.+?)`/).flatMap((part, index) => {
    if (part === undefined || part === "") return [];
    return index % 3 === 0 ? [part] : [element("code", {}, part)];
  });
}

function paragraphs(text) {
  return text.split("\n\n").map((part) => element("p", {}, ...prose(part)));
}

function table(label, heads, rows) {
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
  const body = rows.map((cells) => element("tr", {}, ...cells.map((cell) => element("td", {}, ...cell))));
  const whole = element("table", { "aria-label": label }, element("thead", {}, head), element("tbody", {}, ...body));
  return element("div", { class: "table", role: "region", "aria-label": label, tabindex: "0" }, whole);
}

/** Describe the values of a field in words. */
function kind(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.allOf) return schema.allOf.map(kind).join(" and ");
  if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${kind(schema.items)}`;
  const unit = schema.type === "string" ? " characters" : "";
  const least = schema.minimum ?? schema.minLength;
  const most = schema.maximum ?? schema.maxLength;
  const range = least === undefined ? (most === undefined ? "" : `, up to ${most}`) : `, ${least} to ${most ?? "any"}`;
  return `${schema.type ?? "any"}${range}${range && unit}${schema.pattern ? `, ${schema.pattern}` : ""}`;
}

function fields(label, schema) {
  const rows = Object.entries(schema.properties).map(([name, field]) => [
    [element("code", {}, name)],
    [element("code", {}, kind(field))],
    [(schema.required ?? []).includes(name) ? "always" : "sometimes"],
    prose(field.description ?? ""),
  ]);
  return table(label, ["field", "value", "present", "meaning"], rows);
}

function message(found, model) {
  const { name, title, description, payload, examples } = found.components.messages[model];
  const schema = found.components.schemas[payload.$ref.split("/").pop()];
  const where = Object.values(found.channels).filter(({ messages }) => model in messages).map(({ address }) => address);
  const heading = element("h3", { id: title }, element("code", {}, name), " ",
    element("small", {}, `${title}, on ${where.join(" and ")}`));
  const example = examples ? [element("pre", { tabindex: "0" }, JSON.stringify(examples[0].payload))] : [];
  return [heading, ...paragraphs(description), ...example, fields(`Fields of ${title}`, schema)];
}

/** Return the models of every operation with this action; the server "receives" what you send. */
function models(found, action) {
  const operations = Object.values(found.operations).filter((operation) => operation.action === action);
  const names = operations.flatMap((operation) => operation.messages.map((one) => one.$ref.split("/").pop()));
  return [...new Set(names)]; // some are on both channels
}

function draw(found) {
  const sent = models(found, "receive");
  const got = models(found, "send");
  const { host, protocol, pathname = "" } = found.servers.this;
  const ways = Object.entries(found.components.securitySchemes);
  const codes = found.channels.chat["x-close-codes"];
  document.querySelector("#main").replaceChildren(
    element("h1", {}, `${found.info.title}: messages`),
    ...paragraphs(found.info.description),
    element("p", {}, "This page is generated from ", element("a", { href: DOCUMENT.href }, "asyncapi.json"),
      `, AsyncAPI ${found.asyncapi}, version ${found.info.version} of the protocol.`),
    element("h2", { id: "connect" }, "Connect"),
    ...Object.values(found.channels).flatMap(({ address, title }) => [
      element("p", {}, `${title}:`), element("pre", { tabindex: "0" }, `${protocol}://${host}${pathname}${address}`)]),
    table("Credentials", ["with", "where", "what"],
      ways.map(([name, way]) => [[name], [way.in ?? "header"], prose(way.description)])),
    element("h2", { id: "send" }, "What you send"),
    ...sent.flatMap((model) => message(found, model)),
    element("h2", { id: "get" }, "What you receive"),
    ...got.flatMap((model) => message(found, model)),
    element("h2", { id: "values" }, "Values"),
    element("h3", { id: "Position" }, element("code", {}, "Position")),
    fields("Fields of Position", found.components.schemas.Position),
    element("h2", { id: "close" }, "Close codes"),
    table("Close codes", ["code", "name", "meaning"],
      codes.map(({ code, name, description }) => [[String(code)], [element("code", {}, name)], prose(description)])),
  );
  const links = (names) => element("ul", {}, ...names.map((name) => element("li", {}, element("a", { href: `#${name}` }, name))));
  document.querySelector("#contents").append(
    element("a", { href: "#connect" }, "Connect"),
    element("p", {}, "You send"), links(sent),
    element("p", {}, "You receive"), links(got),
    element("p", {}, "More"), element("ul", {}, element("li", {}, element("a", { href: "#close" }, "Close codes"))),
  );
}

const main = document.querySelector("#main");
try {
  const answer = await fetch(DOCUMENT);
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  draw(await answer.json());
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
} catch (error) {
  main.append(element("p", { class: "notice", role: "alert" }, `asyncapi.json could not be read: ${error.message}`));
} finally {
  main.removeAttribute("aria-busy");
}
