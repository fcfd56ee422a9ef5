// How an answer of the bot looks while it grows. A screen reader isn't told each token: it hears when an answer begins,
// and the whole of it at the end.

import { announce } from "./bell.js";
import { $, keepInView } from "./view.js";

// Show an answer in the element of its entry; called again whenever the log is drawn anew.
export function drawAnswer(item, answer, onStop) {
  item.classList.add("bot");
  const stop = document.createElement("button");
  stop.className = "stop quiet";
  stop.textContent = "Stop";
  stop.ariaLabel = "Stop the bot";
  stop.addEventListener("click", () => onStop(answer));
  item.querySelector(".head").append(" · only you see this");
  item.querySelector(".text").ariaLive = "off";
  item.append(stop);
  fill(item, answer);
}

// Show what has changed, and tell a screen reader if it is the beginning or the end.
export function updateAnswer(item, answer, { isNew }) {
  if (item) {
    fill(item, answer);
    keepInView();
  }
  if (!isNew) return;
  if (answer.state === "asked") announce("The bot is answering.");
  else if (answer.state !== "streaming") announce(["The bot:", answer.text, answer.note].filter(Boolean).join(" "));
}

function fill(item, { text, tool, state, note, mayAsk }) {
  const isGrowing = state === "asked" || state === "streaming";
  item.hidden = !mayAsk && !text && !tool; // from an earlier visit, and perhaps no longer stored
  item.dataset.state = state;
  item.querySelector(".text").ariaBusy = String(isGrowing);
  item.querySelector(".text").textContent = text || (isGrowing ? "…" : "");
  item.querySelector(".text").hidden = !text && !isGrowing;
  const sentences = [tool && `Called ${tool}.`, note].filter(Boolean);
  item.querySelector(".sent").textContent = sentences.join(" ");
  const stop = item.querySelector(".stop");
  if (!isGrowing && document.activeElement === stop) $("text").focus(); // a button that is hidden loses the focus
  stop.hidden = !isGrowing;
}
